"""Judges each kind of commit, partitioned and not: PyIceberg and DuckDB read what Sluice committed, PyIceberg
appends on top, Sluice appends on top of that, and all are read again.

Usage: commit_kinds.py PROGRAM, where PROGRAM is the example `commit_kinds` of the catalog crate.
"""

import json
import subprocess
import sys
import tempfile

import pyarrow

import lake


def ids(table):
    """Ids of all rows as PyIceberg reads them."""
    return sorted(table.scan().to_arrow().column("id").to_pylist())


def totals_hold(name, table, expected):
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
        assert int(summary[key]) == value, f"{name}: {key} is {summary[key]}, counted {value}"
    live = counted["total-records"] - counted["total-position-deletes"]
    assert live == len(expected), f"{name}: {live} rows by its counts, {len(expected)} expected"


def judge(catalog, duck, expected):
    """Every table holds what it must."""
    for name, wanted in expected.items():
        table = catalog.load_table(name)
        found = ids(table)
        assert found == sorted(wanted), f"{name}: PyIceberg reads {found}, expected {sorted(wanted)}"
        totals_hold(name, table, wanted)
        found = duck.execute("SELECT id FROM iceberg_scan(?) ORDER BY id", [table.metadata_location]).fetchall()
        assert [row[0] for row in found] == sorted(wanted), f"{name}: DuckDB reads {found}"


def append(catalog, name, id):
    """Appends a row with PyIceberg; columns that it does not know stay null."""
    table = catalog.load_table(name)
    schema = table.schema().as_arrow()
    values = {"id": id, "status": "paid"}
    columns = [pyarrow.array([values.get(field.name)], type=field.type) for field in schema]
    table.append(pyarrow.Table.from_arrays(columns, schema=schema))


def main(program):
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run([program, folder, "make"], check=True, stdout=subprocess.PIPE, text=True).stdout
        expected = {line["table"]: line["ids"] for line in map(json.loads, made.splitlines())}
        assert len(expected) == 24, f"{len(expected)} tables were made"
        catalog, duck = lake.open_catalog(folder), lake.duck()
        judge(catalog, duck, expected)
        altered = catalog.load_table("kinds.altered_plain")
        assert altered.properties["owner"] == "judge"
        assert str(altered.schema().find_field("amount").field_type) == "long"
        assert set(catalog.load_table("kinds.expired_plain").refs()) == {"main", "before"}
        for name, wanted in expected.items():
            append(catalog, name, 1000)
            wanted.append(1000)
        judge(catalog, duck, expected)
        subprocess.run([program, folder, "add"], check=True)
        for wanted in expected.values():
            wanted.append(2000)
        judge(catalog, duck, expected)
        print(f"{len(expected)} tables hold what they must, three times")


if __name__ == "__main__":
    main(sys.argv[1])
