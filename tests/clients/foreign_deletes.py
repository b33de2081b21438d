"""Tables whose rows others deleted without touching their files: foreign_deletes.py SLUICE DATA URI SEED

DuckDB writes position deletes (format 2) and deletion vectors (format 3) over the REST catalog at URI. No engine here
writes deletes by key, so those are made by hand and committed with PyIceberg. Every statement is run on a copy in
DuckDB's memory, too; Sluice must read exactly its rows. Then Sluice changes the tables on top, the others read, DuckDB
changes them again, Sluice compacts them.
"""

import json
import os
import random
import subprocess
import sys
import uuid

import lake
import pyarrow
import pyarrow.parquet
from checks import Checks
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestContent, ManifestWriterV2
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _FastAppendFiles
from pyiceberg.typedef import Record

sluice, data, uri, seed = sys.argv[1:]
dice = random.Random(int(seed))
checks = Checks()
catalog = lake.catalog("rest", uri, "rest")
duck = lake.duck()
lake.attach(duck, uri)
catalog.create_namespace("theirs")

BY_MARK = "'write.delete.mode'='merge-on-read', 'write.update.mode'='merge-on-read'"
TABLES = {
    "plain": f"WITH ('format-version'=2, {BY_MARK})",
    "parted": f"PARTITIONED BY (status) WITH ('format-version'=2, {BY_MARK})",
    "vectors": f"WITH ('format-version'=3, {BY_MARK})",
    "keyed": "WITH ('format-version'=2)",
    "keyed_parted": "PARTITIONED BY (status) WITH ('format-version'=2)",
}
METRICS = ("column_sizes", "value_counts", "null_value_counts", "nan_value_counts", "lower_bounds", "upper_bounds")
MARKED = ("plain", "parted", "vectors")
KEYED = ("keyed", "keyed_parted")
WRITTEN = [table for table in TABLES if table != "vectors"]


def run(arguments):
    """The lines that Sluice prints, and what it complains of."""
    done = subprocess.run(
        [sluice, *arguments, "--json"],
        env={**os.environ, "SLUICE_DATA": data, "SLUICE_LAKE_CATALOG": uri},
        capture_output=True,
        text=True,
    )
    assert "panicked" not in done.stderr, done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def sluice_sql(sql):
    status, lines, complaint = run(["sql", sql])
    assert status == 0, f"{sql}\n{complaint}"
    return lines


def same(step, keyed=KEYED):
    """All tables hold the rows of their copies. Those in `keyed` have deletes by key, which PyIceberg does not read at
    all, and DuckDB 1.5.5 reads otherwise than the format says: it applies those of a partition to all, and takes a
    null for equal to any key. Where that makes a difference the copy alone is the judge."""
    ours = " UNION ALL ".join(f"SELECT '{table}' AS t, id, status, n FROM theirs.{table}" for table in TABLES)
    found = {table: [] for table in TABLES}
    for row in sluice_sql(ours):
        found[row["t"]].append((row.get("id"), row.get("status"), row.get("n")))
    for table in TABLES:
        expected = sorted(duck.execute(f"SELECT id, status, n FROM {table}").fetchall(), key=repr)
        readings = {"Sluice": found[table]}
        if table not in keyed or table == "keyed":
            readings["DuckDB"] = duck.execute(f"SELECT id, status, n FROM rest.theirs.{table}").fetchall()
        if table not in keyed:
            read = catalog.load_table(f"theirs.{table}").scan().to_arrow()
            readings["PyIceberg"] = [tuple(row.values()) for row in read.select(["id", "status", "n"]).to_pylist()]
        for reader, rows in readings.items():
            rows = sorted(rows, key=repr)
            checks.check(f"{step}: {reader} reads {table}", rows == expected, f"{rows}, expected {expected}")


def delete_files(table):
    """The delete files of a table, as PyIceberg lists them."""
    return catalog.load_table(f"theirs.{table}").inspect.delete_files().to_pylist()


def both(table, make):
    """DuckDB runs a statement on the lake's table and on its copy."""
    duck.execute(make(f"rest.theirs.{table}"))
    duck.execute(make(table))


def rows(count):
    made = [(dice.randint(0, 40), f"'s{dice.randint(0, 2)}'", dice.choice(["NULL", dice.randint(0, 9)])) for _ in range(count)]
    return ", ".join(f"({id}, {status}, {n})" for id, status, n in made)


def condition():
    return dice.choice([
        f"id % 5 = {dice.randint(0, 4)}", f"n IS NULL AND id < {dice.randint(5, 40)}", f"n = {dice.randint(0, 9)}",
        f"id BETWEEN {dice.randint(0, 10)} AND {dice.randint(10, 20)} AND status = 's{dice.randint(0, 2)}'",
    ])


def statement():
    kind = dice.choice(["insert", "delete", "delete", "update"])
    if kind == "insert":
        values = rows(6)
        return lambda table: f"INSERT INTO {table} VALUES {values}"
    where = condition()
    if kind == "delete":
        return lambda table: f"DELETE FROM {table} WHERE {where}"
    return lambda table: f"UPDATE {table} SET n = id + 100 WHERE {where}"


class DeletesWriter(ManifestWriterV2):
    """PyIceberg writes manifests of data files only; this one is of delete files."""

    def content(self):
        return ManifestContent.DELETES

    @property
    def _meta(self):
        return {**super()._meta, "content": "deletes"}


class AddDeletes(_FastAppendFiles):
    """A snapshot that adds delete files."""

    def new_manifest_writer(self, spec):
        location = self._transaction._table.location_provider().new_metadata_location(f"{uuid.uuid4()}-deletes.avro")
        schema = self._transaction.table_metadata.schema()
        return DeletesWriter(spec, schema, self._io.new_output(location), self._snapshot_id, self._compression)


def delete_by_key(name, columns, keys, status=None):
    """Deletes the rows with these keys from the lake's table, within one partition of a table that has any, and from
    the copy."""
    table = catalog.load_table(f"theirs.{name}")
    schema = table.schema().select(*columns)
    keys_table = pyarrow.Table.from_pylist([dict(zip(columns, key)) for key in keys], schema=schema_to_pyarrow(schema))
    location = table.location_provider().new_data_location(f"{uuid.uuid4()}-keys.parquet")
    with table.io.new_output(location).create() as file:
        pyarrow.parquet.write_table(keys_table, file)
    deletes = DataFile.from_args(
        _table_format_version=2,
        content=DataFileContent.EQUALITY_DELETES,
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=Record(status) if name == "keyed_parted" else Record(),
        record_count=len(keys),
        file_size_in_bytes=len(table.io.new_input(location)),
        equality_ids=[field.field_id for field in schema.fields],
        **dict.fromkeys(METRICS, {}),
    )
    deletes.spec_id = table.spec().spec_id
    with table.transaction() as change:
        added = AddDeletes(operation=Operation.DELETE, transaction=change, io=table.io)
        added.append_data_file(deletes)
        added.commit()
    within = f" AND status = '{status}'" if name == "keyed_parted" else ""
    for key in keys:
        literals = ["NULL" if value is None else repr(value) for value in key]
        matches = " AND ".join(f"{column} IS NOT DISTINCT FROM {value}" for column, value in zip(columns, literals))
        duck.execute(f"DELETE FROM {name} WHERE {matches}{within}")


for table, form in TABLES.items():
    both(table, lambda name: f"CREATE TABLE {name} (id bigint, status varchar, n int) {form if name != table else ''}")
    values = rows(30)
    both(table, lambda name: f"INSERT INTO {name} VALUES {values}")

for number in range(4):
    for table in MARKED:
        for _ in range(3):
            both(table, statement())
    for table in KEYED:
        status = f"s{dice.randint(0, 2)}"
        delete_by_key(table, ["id"], [(dice.randint(0, 40),) for _ in range(8)], status)
        # What comes later under the same keys stays.
        values = rows(8)
        both(table, lambda name: f"INSERT INTO {name} VALUES {values}")
        column, some = ("id", range(40)) if table == "keyed" else ("n", [None, *range(10)])
        delete_by_key(table, [column, "status"], [(dice.choice(some), status) for _ in range(2)], status)
    same(f"their deletes {number}")
formats = {table: {file["file_format"] for file in delete_files(table)} for table in TABLES}
expected = {**dict.fromkeys(TABLES, {"PARQUET"}), "vectors": {"PUFFIN"}}
checks.check("there is something to apply", formats == expected, formats)

for table in WRITTEN:
    for make in (
        lambda name: f"DELETE FROM {name} WHERE id % 6 = 1",
        lambda name: f"UPDATE {name} SET n = 7 WHERE id % 6 = 2",
        lambda name: f"INSERT INTO {name} VALUES (1, 's1', 1), (2, 's2', NULL)",
    ):
        sluice_sql(make(f"theirs.{table}"))
        duck.execute(make(table))
same("Sluice on top")
for sql in ("DELETE FROM theirs.vectors WHERE id < 100", "INSERT INTO theirs.vectors VALUES (1, 's1', 1)"):
    status, _, complaint = run(["sql", sql])
    refused = status == 1 and "format version is v3; only version 2 is written" in complaint
    checks.check(f"{sql}: refused", refused, complaint)

for table in MARKED:
    both(table, lambda name: f"DELETE FROM {name} WHERE id % 7 = 3")
same("they on top of Sluice")

# Every file is written anew; the deletes that are left behind have nothing to delete from.
for table in WRITTEN:
    sluice_sql(f"UPDATE theirs.{table} SET n = n")
status, _, complaint = run(["maintain", "--all"])
checks.check("maintenance", status == 0, complaint)
same("rewritten", keyed=())
left = {table: len(delete_files(table)) for table in WRITTEN}
checks.check("no deletes are left", not any(left.values()), left)
checks.finish()
