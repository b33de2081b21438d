"""Tables that need maintenance: small_tables.py DATA WAREHOUSE COUNT, tables bronze.t0, bronze.t1, ... of a column id.

PyIceberg creates them and appends one row a commit: ids 0 to 5 in six files, of which 2 is deleted again. All their
snapshots but the last may expire at once. In each folder lie three files that nothing leads to.
"""

import sys

import lake
import pyarrow
from pyiceberg.io import load_file_io

PROPERTIES = {
    "history.expire.max-snapshot-age-ms": "0",
    "sluice.maintain.reader-grace-ms": "0",
}

data, warehouse, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
catalog = lake.open_catalog(data)
io = load_file_io(lake.store_settings(), warehouse)
catalog.create_namespace("bronze")
schema = pyarrow.schema([("id", pyarrow.int64())])
for number in range(count):
    location = f"{warehouse}/bronze/t{number}"
    table = catalog.create_table(f"bronze.t{number}", schema, location, properties=PROPERTIES)
    for row in range(6):
        table.append(pyarrow.table({"id": [row]}, schema))
    table.delete("id = 2")
    for orphan in range(3):
        with io.new_output(f"{location}/data/left-{orphan}.parquet").create() as file:
            file.write(b"left behind")
print(f"{count} tables")
