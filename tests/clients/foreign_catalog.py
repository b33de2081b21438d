"""A SQL catalog that PyIceberg made: foreign_catalog.py make|old|check URI NAME WAREHOUSE

`make` creates it, with a table of two rows in the namespaces `made` and `made.inner` each. `old` does the same and then
leaves the database as older versions of PyIceberg and of Iceberg's Java library made it, without types of entries.
`check` opens what Sluice has worked on: its rows, its own table, and a commit of PyIceberg on top.
"""

import sys

import lake
import pyarrow
import sqlalchemy
from checks import Checks
from pyiceberg.catalog.sql import SqlCatalog

step, uri, name, warehouse = sys.argv[1:]
checks = Checks()
catalog = SqlCatalog(name, uri=uri, warehouse=warehouse, **lake.store_settings())
ROWS = pyarrow.table({"id": pyarrow.array([1, 2]), "name": ["a", "b"]})


def ids(table):
    return sorted(catalog.load_table(table).scan().to_arrow()["id"].to_pylist())


if step == "check":
    for table in ("made.t", "made.inner.t"):
        checks.check(f"{table} with the row of Sluice", ids(table) == [1, 2, 3], ids(table))
        catalog.load_table(table).append(ROWS)
        checks.check(f"{table} appended to", ids(table) == [1, 1, 2, 2, 3], ids(table))
    checks.check("a table of Sluice", ids("made.ours") == [7], ids("made.ours"))
    listed = sorted(catalog.list_tables("made"))
    checks.check("the list", listed == [("made", "ours"), ("made", "t")], listed)
else:
    for namespace in ("made", "made.inner"):
        catalog.create_namespace(namespace)
        table = catalog.create_table(f"{namespace}.t", ROWS.schema)
        table.append(ROWS)
        checks.check(f"{namespace}.t", ids(f"{namespace}.t") == [1, 2])
    if step == "old":
        with catalog.engine.begin() as connection:
            connection.execute(sqlalchemy.text("ALTER TABLE iceberg_tables DROP COLUMN iceberg_type"))
checks.finish()
