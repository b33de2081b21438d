"""The rows of a tagged state as PyIceberg reads them: tagged_rows.py DATA TABLE TAG; prints their number."""

import sys

import lake

data, name, tag = sys.argv[1:]
table = lake.open_catalog(data).load_table(name)
print(table.scan(snapshot_id=table.snapshot_by_name(tag).snapshot_id).to_arrow().num_rows)
