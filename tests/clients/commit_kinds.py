"""Judges each kind of commit: commit_kinds.py sql|rest URI NAME EXPECTED append|read

EXPECTED has a line of JSON for each table: its name, the rows that it and its branches and tags must hold, its
columns. PyIceberg and DuckDB read each. With `append`, PyIceberg then appends row 1000, and both read again. NAME is
that of a SQL catalog.
"""

import json
import sys

import lake
import pyarrow

kind, uri, name, expected_file, step = sys.argv[1:]
duck = lake.duck()
catalog = lake.catalog(kind, uri, name)
if kind == "rest":
    lake.attach(duck, uri)
with open(expected_file) as lines:
    tables = {line["table"]: line for line in map(json.loads, lines)}


def rows(found):
    """Id and status of Arrow rows, sorted."""
    return sorted(zip(found.column("id").to_pylist(), found.column("status").to_pylist()))


def rows_of_duck(table):
    """As DuckDB reads the table: over REST by its name, else by its metadata file."""
    source = f"rest.{'.'.join(table.name())}" if kind == "rest" else lake.duck_source(table)
    return sorted(duck.execute(f"SELECT id, status FROM {source}").fetchall())


def totals_hold(table, expected):
    """The summary's counts are those of the manifests."""
    summary = table.current_snapshot().summary
    files = list(table.scan().plan_files())
    deletes = {delete.file_path: delete for file in files for delete in file.delete_files}
    counted = {
        "total-data-files": len(files),
        "total-records": sum(file.file.record_count for file in files),
        "total-delete-files": len(deletes),
        "total-position-deletes": sum(delete.record_count for delete in deletes.values()),
    }
    for key, value in counted.items():
        assert int(summary[key]) == value, f"{table.name()}: {key} is {summary[key]}, counted {value}"
    live = counted["total-records"] - counted["total-position-deletes"]
    assert live == len(expected), f"{table.name()}: {live} rows by its counts, {len(expected)} expected"


def judge(expected):
    """The table holds what it must."""
    table = catalog.load_table(expected["table"])
    wanted = sorted(map(tuple, expected["rows"]))
    for reader, found in (("PyIceberg", rows(table.scan().to_arrow())), ("DuckDB", rows_of_duck(table))):
        assert found == wanted, f"{expected['table']}: {reader} reads {found}, expected {wanted}"
    totals_hold(table, wanted)
    columns = [field.name for field in table.schema().fields]
    assert columns == expected["columns"], f"{expected['table']}: {columns}"
    refs = {ref: table.scan(snapshot_id=named.snapshot_id).to_arrow() for ref, named in table.refs().items() if ref != "main"}
    found = {ref: rows(read) for ref, read in refs.items()}
    wanted = {ref: sorted(map(tuple, read)) for ref, read in expected["refs"].items()}
    assert found == wanted, f"{expected['table']}: {found}"


def append(expected):
    """Appends a row with PyIceberg; columns that it does not know stay null."""
    table = catalog.load_table(expected["table"])
    values = {"id": 1000, "status": "paid"}
    schema = table.schema().as_arrow()
    columns = [pyarrow.array([values.get(field.name)], type=field.type) for field in schema]
    table.append(pyarrow.Table.from_arrays(columns, schema=schema))
    expected["rows"].append((1000, "paid"))


assert len(tables) > 30, f"{len(tables)} tables were made"
for expected in tables.values():
    judge(expected)
if step == "append":
    for expected in tables.values():
        append(expected)
        judge(expected)
altered = catalog.load_table("kinds.altered_plain")
assert altered.properties["owner"] == "judge", altered.properties
assert str(altered.schema().find_field("amount").field_type) == "long", altered.schema()
print(f"{len(tables)} tables hold what they must")
