"""Another engine on the Iceberg REST catalog of `sluice serve`: rest_catalog.py URI DIRECT NAME

PyIceberg attaches to URI, creates (at once and staged), appends, evolves, deletes, overwrites, branches, renames and
drops. After each step the same table is read through DIRECT, the SQL catalog NAME itself (an address as SQLAlchemy
takes it), which must show the same state. DuckDB attaches last and reads, too.
"""

import sys

import lake
import pyarrow
from checks import Checks
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NamespaceNotEmptyError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import LongType, NestedField, StringType

uri, direct, name = sys.argv[1:]
checks = Checks()
rest = lake.catalog("rest", uri, "rest")
sql = lake.catalog("sql", direct, name)

SCHEMA = Schema(
    NestedField(1, "id", LongType(), required=True),
    NestedField(2, "name", StringType(), required=False),
)
SPEC = PartitionSpec(PartitionField(2, 1000, IdentityTransform(), "name"))


def rows(table, ids, **more):
    """Arrow rows of a table."""
    made = [{"id": number, "name": f"n{number}"} | more for number in ids]
    return pyarrow.Table.from_pylist(made, schema=table.schema().as_arrow())


def ids(table):
    """The ids of a table's current rows, sorted."""
    return sorted(table.scan(selected_fields=("id",)).to_arrow()["id"].to_pylist())


def same(step, table, expected):
    """The table holds `expected`, seen over REST and directly."""
    table.refresh()
    alone = sql.load_table(table.name())
    checks.check(f"{step}: over REST", ids(table) == expected, ids(table))
    checks.check(f"{step}: in the catalog itself", ids(alone) == expected, ids(alone))
    checks.check(f"{step}: one state", alone.metadata_location == table.metadata_location, alone.metadata_location)


def refused(step, error, action):
    """`action` fails with this error of PyIceberg and no other."""
    try:
        action()
    except error:
        checks.check(step, True)
    except Exception as other:  # noqa: BLE001
        checks.check(step, False, repr(other))
    else:
        checks.check(step, False, "nothing was refused")


# namespaces, also with two levels; `ab` is no child of `a`
for namespace in ("rest", "rest.inner", "restful"):
    rest.create_namespace_if_not_exists(namespace, {"owner": "judge"})
refused("a namespace twice", NamespaceAlreadyExistsError, lambda: rest.create_namespace("rest"))
checks.check("children", rest.list_namespaces("rest") == [("rest", "inner")], rest.list_namespaces("rest"))
rest.update_namespace_properties("rest", removals={"owner"}, updates={"team": "a"})
checks.check("properties", rest.load_namespace_properties("rest") == {"team": "a"})
checks.check("namespaces in the catalog itself", ("rest", "inner") in sql.list_namespaces("rest"), sql.list_namespaces("rest"))

for partitioned, spec in ((False, PartitionSpec()), (True, SPEC)):
    table_name = f"rest.{'parted' if partitioned else 'plain'}"
    table = rest.create_table(table_name, SCHEMA, partition_spec=spec, properties={"k": "v"})
    refused(f"{table_name} twice", TableAlreadyExistsError, lambda: rest.create_table(table_name, SCHEMA))
    table.append(rows(table, range(10)))
    same(f"{table_name} append", table, list(range(10)))
    with table.update_schema() as update:
        update.add_column("extra", StringType())
        update.rename_column("name", "label")
    table.refresh()
    more = pyarrow.Table.from_pylist(
        [{"id": 10, "label": "ten", "extra": "x"}], schema=table.schema().as_arrow()
    )
    table.append(more)
    same(f"{table_name} append after evolution", table, list(range(11)))
    table.delete("id < 3")
    same(f"{table_name} delete", table, list(range(3, 11)))
    table.overwrite(more, overwrite_filter="id = 10")
    same(f"{table_name} overwrite", table, list(range(3, 11)))
    with table.transaction() as change:
        change.append(pyarrow.Table.from_pylist([{"id": 11, "label": "e"}], schema=table.schema().as_arrow()))
        change.set_properties({"k": "w"})
    same(f"{table_name} transaction", table, list(range(3, 12)))
    checks.check(f"{table_name} property", table.properties["k"] == "w")
    main = table.current_snapshot().snapshot_id
    table.manage_snapshots().create_branch(main, "side").create_tag(main, "mark").commit()
    table.append(
        pyarrow.Table.from_pylist([{"id": 12, "label": "s"}], schema=table.schema().as_arrow()), branch="side"
    )
    same(f"{table_name} append to a branch", table, list(range(3, 12)))
    side = table.scan(snapshot_id=table.snapshot_by_name("side").snapshot_id).to_arrow()
    checks.check(f"{table_name} branch", len(side) == 10, len(side))
    checks.check(f"{table_name} tag", table.refs()["mark"].snapshot_id == main, table.refs())

# two clients on one base: the second is refused, or PyIceberg builds it again on the new base
first, second = rest.load_table("rest.plain"), rest.load_table("rest.plain")
first.append(pyarrow.Table.from_pylist([{"id": 20}], schema=first.schema().as_arrow()))
late = pyarrow.Table.from_pylist([{"id": 21}], schema=second.schema().as_arrow())
try:
    second.append(late)
except CommitFailedException:
    second.refresh()
    second.append(late)
same("two clients", second, [*range(3, 12), 20, 21])

# a table made by one transaction: staged first, created by its commit
with rest.create_table_transaction("rest.inner.staged", SCHEMA, partition_spec=SPEC) as change:
    checks.check("staged: not there yet", not rest.table_exists("rest.inner.staged"))
    change.append(pyarrow.Table.from_pylist([{"id": 1}, {"id": 2}], schema=SCHEMA.as_arrow()))
same("staged", rest.load_table("rest.inner.staged"), [1, 2])

# names
rest.rename_table("rest.inner.staged", "restful.moved")
same("renamed", rest.load_table("restful.moved"), [1, 2])
refused("the old name", NoSuchTableError, lambda: rest.load_table("rest.inner.staged"))
location = rest.load_table("restful.moved").metadata_location
rest.drop_table("restful.moved")
refused("a dropped table", NoSuchTableError, lambda: rest.load_table("restful.moved"))
same("registered", rest.register_table("restful.again", location), [1, 2])
refused("a namespace that holds tables", NamespaceNotEmptyError, lambda: rest.drop_namespace("restful"))
rest.drop_namespace("rest.inner")
checks.check("a dropped namespace", not rest.namespace_exists("rest.inner"))

# DuckDB attaches to the same catalog
duck = lake.duck()
lake.attach(duck, uri)
for table_name in ("rest.plain", "rest.parted"):
    found = [number for (number,) in duck.execute(f"SELECT id FROM rest.{table_name} ORDER BY id").fetchall()]
    expected = ids(rest.load_table(table_name))
    checks.check(f"DuckDB reads {table_name}", found == expected, found)
duck.execute("INSERT INTO rest.rest.plain (id) VALUES (30)")
same("DuckDB inserts", second, [*range(3, 12), 20, 21, 30])

checks.finish()
