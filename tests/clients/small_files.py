"""Many small commits by another program: small_files.py DATA TABLE, a table of columns id and name.

PyIceberg appends one row a commit, deletes one of them, tags an old state, and lets snapshots expire at once.
"""

import datetime
import sys

import lake
import pyarrow

NOW = datetime.datetime.now(datetime.timezone.utc)

data, name = sys.argv[1:]
table = lake.open_catalog(data).load_table(name)
for number in range(100, 108):
    row = {"id": number, "name": f"n{number}"}
    row |= {"_src_topic": "foreign", "_src_partition": 0, "_src_offset": number, "_ingested_at": NOW}
    table.append(pyarrow.Table.from_pylist([row], schema=table.schema().as_arrow()))
    table.refresh()
    if number == 103:
        table.manage_snapshots().create_tag(table.current_snapshot().snapshot_id, "audit").commit()
table.delete("id = 105")
with table.transaction() as transaction:
    transaction.set_properties(
        {"history.expire.max-snapshot-age-ms": "0", "sluice.maintain.reader-grace-ms": "0"}
    )
