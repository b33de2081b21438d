"""Another writer of the same table: foreign_writer.py DATA TABLE, a table of columns id and name.

PyIceberg appends rows, adds a column, appends rows that have it, and deletes a row that is alone in its file.
"""

import datetime
import sys

import lake
import pyarrow
from pyiceberg.types import StringType

NOW = datetime.datetime.now(datetime.timezone.utc)

data, name = sys.argv[1:]
catalog = lake.open_catalog(data)
table = catalog.load_table(name)


def append(**row):
    """One row with a source of its own; other columns that are not named are null."""
    row |= {"_src_topic": "foreign", "_src_partition": 0, "_src_offset": row["id"], "_ingested_at": NOW}
    table.append(pyarrow.Table.from_pylist([row], schema=table.schema().as_arrow()))
    table.refresh()


append(id=10, name="j")
append(id=11, name="k")
with table.update_schema() as update:
    update.add_column("extra", StringType())
table.refresh()
append(id=12, name="l", extra="new")
table.delete("id = 11")
table.refresh()
print(f"{name}: {len(table.history())} snapshots, {table.scan().to_arrow().num_rows} rows")
