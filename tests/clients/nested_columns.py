"""Columns that change inside structs and lists, and what is told about a table, judged from outside.

    nested_columns.py SLUICE DATA

Sluice changes nested columns and PyIceberg and DuckDB read; PyIceberg changes them and Sluice reads. A file without
field ids is added by PyIceberg and read by the name mapping, before and after its columns are renamed. A table of
format version 3 gets columns with a default for older rows. Last, Sluice's tables about tables are held against
PyIceberg's inspection.
"""

import json
import os
import sqlite3
import subprocess
import sys
import uuid

import lake
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.types import LongType, StringType

sluice, data = sys.argv[1:]
catalog = lake.open_catalog(data)
duck = lake.duck()


def run(sql):
    done = subprocess.run(
        [sluice, "sql", sql, "--json"], env={**os.environ, "SLUICE_DATA": data}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{sql}\n{done.stdout}{done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines() if line]


def plain(value):
    """Without what is null, as JSON lines leave it out."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value


def without_empty(rows):
    """Without lists of nothing: PyIceberg makes them of null where a list's columns changed; DuckDB does not."""
    return [{key: part for key, part in row.items() if part != []} for row in rows]


def same(name, with_duck=True):
    """All three read the same rows."""
    table = catalog.load_table(f"bronze.{name}")
    expected = sorted((plain(row) for row in table.scan().to_arrow().to_pylist()), key=str)
    found = sorted((plain(row) for row in run(f"SELECT * FROM bronze.{name}")), key=str)
    assert without_empty(found) == without_empty(expected), f"{name}\n sluice    {found}\n PyIceberg {expected}"
    if with_duck:
        rows = duck.execute(f"SELECT * FROM {lake.duck_source(table)}").arrow()
        rows = rows.read_all() if hasattr(rows, "read_all") else rows
        seen = sorted((plain(row) for row in rows.to_pylist()), key=str)
        assert found == seen, f"{name}\n sluice {found}\n DuckDB {seen}"
    return found


checked = 0
run("CREATE TABLE bronze.nested (id bigint, at struct<street varchar, no int>, items array<struct<name varchar, n int>>)")
for sql in [
    "INSERT INTO {t} VALUES (1, named_struct('street', 'Elm', 'no', 7), [named_struct('name', 'a', 'n', 1)])",
    "ALTER TABLE {t} ADD COLUMN at.zip varchar",
    "ALTER TABLE {t} RENAME COLUMN at.street TO road",
    "ALTER TABLE {t} ALTER COLUMN at.no TYPE bigint",
    "ALTER TABLE {t} ADD COLUMN items.element.price double",
    "ALTER TABLE {t} RENAME COLUMN items.element.name TO title",
    "INSERT INTO {t} VALUES (2, named_struct('road', 'Oak', 'no', 9000000000, 'zip', 'z'), "
    "[named_struct('title', 'b', 'n', 2, 'price', 0.5), null]), (3, null, null)",
    "ALTER TABLE {t} DROP COLUMN at.road",
    "ALTER TABLE {t} ALTER COLUMN items.element.price FIRST",
    "UPDATE {t} SET id = id + 10 WHERE id = 1",
]:
    run(sql.format(t="bronze.nested"))
    same("nested")
    checked += 1

table = catalog.load_table("bronze.nested")
with table.update_schema() as change:
    change.add_column(("at", "city"), StringType())
    change.rename_column(("at", "zip"), "code")
    change.move_first(("at", "zip"))
    change.update_column(("items", "element", "n"), LongType())
same("nested")
table = catalog.load_table("bronze.nested")
row = {"id": 4, "at": {"code": "c", "no": 1, "city": "x"}, "items": [{"price": 2.0, "title": "t", "n": 1 << 40}]}
table.append(pa.Table.from_pylist([row], schema=table.schema().as_arrow()))
assert len(same("nested")) == 4
run("DELETE FROM bronze.nested WHERE id = 2")
assert len(same("nested")) == 3
checked += 3

folder = f"{os.path.abspath(data)}/warehouse/bronze/imported"
os.makedirs(f"{folder}/data", exist_ok=True)
rows = pa.table({"id": pa.array([1, 2]), "at": pa.array([{"x": 1}, None]), "ns": pa.array([[1, 2], None])})
pq.write_table(rows, f"{folder}/data/plain.parquet")
imported = catalog.create_table("bronze.imported", rows.schema, location=f"file://{folder}")
imported.add_files([f"file://{folder}/data/plain.parquet"])
assert len(same("imported", with_duck=False)) == 2
run("ALTER TABLE bronze.imported RENAME COLUMN id TO number")
run("ALTER TABLE bronze.imported RENAME COLUMN at.x TO y")
assert {"number", "at", "ns"} == set(same("imported", with_duck=False)[0])
checked += 2

# PyIceberg reads format version 3 and does not write it, so the defaults are written into the metadata file.
run("CREATE TABLE bronze.third (id bigint, at struct<x int>)")
run("INSERT INTO bronze.third VALUES (1, named_struct('x', 5)), (2, NULL)")
was = catalog.load_table("bronze.third").metadata_location
metadata = json.loads(open(was.removeprefix("file://")).read())
metadata |= {"format-version": 3, "next-row-id": 0, "last-column-id": 20}
fields = metadata["schemas"][-1]["fields"]
inside = next(field for field in fields if field["name"] == "at")["type"]["fields"]
default = lambda id, name, of, value: {
    "id": id, "name": name, "required": False, "type": of, "initial-default": value, "write-default": value
}
inside.append(default(18, "z", "int", 9))
fields.append(default(19, "word", "string", "none"))
fields.append(default(20, "price", "decimal(9, 2)", "1.50"))
now = was.removeprefix("file://").rsplit("/", 1)[0] + f"/00009-{uuid.uuid4()}.metadata.json"
with open(now, "w") as file:
    json.dump(metadata, file)
with sqlite3.connect(f"{data}/catalog.db") as pointers:
    moved = pointers.execute(
        "UPDATE iceberg_tables SET metadata_location = ? WHERE table_name = 'third'", (f"file://{now}",)
    )
    assert moved.rowcount == 1
rows = catalog.load_table("bronze.third").scan().to_arrow().to_pylist()
expected = [{key: str(value) if key == "price" else plain(value) for key, value in row.items()} for row in rows]
found = run("SELECT id, at, word, CAST(price AS varchar) AS price FROM bronze.third ORDER BY id")
assert [plain(row) for row in found] == [plain(row) for row in expected], f"{found}\n{expected}"
assert found[0] == {"id": 1, "at": {"x": 5, "z": 9}, "word": "none", "price": "1.50"}, found
checked += 1

run("CREATE TABLE bronze.parted (id bigint, day date, m timestamp, h timestamp, y timestamp, w double) "
    "PARTITIONED BY (day, month(m), hour(h), year(y))")
for at in ("2026-05-01 13:14:15", "1969-12-31 23:00:00"):
    at = f"TIMESTAMP '{at}'"
    run("INSERT INTO bronze.parted SELECT value, CASE WHEN value > 5 THEN NULL ELSE DATE '2026-05-02' END, "
        f"{at} AS m, {at} AS h, {at} AS y, value / 2.0 FROM generate_series(1, 9)")
parted = catalog.load_table("bronze.parted")
theirs = {row["path"]: row for row in parted.inspect.manifests().to_pylist()}
for ours in run('SELECT path, partition_summaries FROM bronze."parted$manifests"'):
    expected = plain(theirs.pop(ours["path"])["partition_summaries"])
    assert plain(ours["partition_summaries"]) == expected, f"{ours}\n{expected}"
    checked += 1
assert not theirs
theirs = {row["file_path"]: row["readable_metrics"] for row in parted.inspect.files().to_pylist()}
for ours in run('SELECT file_path, readable_metrics FROM bronze."parted$files"'):
    expected = theirs.pop(ours["file_path"])
    for column, metrics in ours["readable_metrics"].items():
        for what in ("column_size", "value_count", "null_value_count", "nan_value_count"):
            assert metrics.get(what) == expected[column][what], f"{column} {what}: {metrics} {expected[column]}"
        for what in ("lower_bound", "upper_bound"):
            bound = expected[column][what]
            told = None if bound is None else bound.isoformat() if hasattr(bound, "isoformat") else bound
            assert metrics.get(what) == told, f"{column} {what}: {metrics.get(what)} {told}"
    checked += 1
assert not theirs
ours = run('SELECT record_count, file_count, total_data_file_size_in_bytes, last_updated_snapshot_id '
           'FROM bronze."parted$partitions"')
keys = ("record_count", "file_count", "total_data_file_size_in_bytes", "last_updated_snapshot_id")
theirs = [{key: row[key] for key in keys} for row in parted.inspect.partitions().to_pylist()]
assert sorted(map(str, ours)) == sorted(map(str, theirs)), f"{ours}\n{theirs}"
print(f"{checked} comparisons; all agree")
