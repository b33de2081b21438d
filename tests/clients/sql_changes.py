"""SQL that writes, judged from outside: sql_changes.py SLUICE DATA KIND URI NAME SEED STATEMENTS.

A sequence of statements follows from the seed. Each is run by Sluice on a table of the lake and by DuckDB on a copy in
its memory; after each, PyIceberg reads the lake's table and must find exactly DuckDB's rows. At the end PyIceberg
appends to what Sluice wrote, and Sluice must read that too. The catalog is reached as `lake.catalog` takes it.
"""

import json
import os
import random
import subprocess
import sys

import duckdb
import lake

sluice, data, kind, uri, name, seed, statements = sys.argv[1:]
catalog = lake.catalog(kind, uri, name)
dice = random.Random(int(seed))
duck = duckdb.connect()
TYPES = "id bigint, name varchar, n int, amount decimal(8, 2), day date"
COLUMNS = "id, name, n, amount, day"


def run(sql):
    """What Sluice says it changed."""
    done = subprocess.run(
        [sluice, "sql", sql, "--json"], env={**os.environ, "SLUICE_DATA": data}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{sql}\n{done.stdout}{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def sides(table, make):
    """The statement for Sluice and for DuckDB."""
    return make(f"bronze.{table}"), make(table)


def literal(kind):
    if dice.random() < 0.15:
        return "NULL"
    if kind == "day":
        return f"DATE '2026-01-{dice.randint(1, 6):02}'"
    if kind == "name":
        return f"'{dice.choice('abcdef')}'"
    if kind == "amount":
        return f"{dice.randint(-5000, 5000) / 100}"
    return str(dice.randint(0, 60))


def row():
    return "(" + ", ".join(literal(kind) for kind in ("id", "name", "n", "amount", "day")) + ")"


def values(count):
    rows = [f"(CAST({i} AS bigint), {literal('name')}, {literal('n')})" for i in dice.sample(range(60), count)]
    return f"(SELECT * FROM (VALUES {', '.join(rows)}) AS v (id, name, n)) AS s"


def condition(table, prefix=""):
    column = dice.choice(["id", "n", "name", "day", "amount"])
    simple = f"{prefix}{column} {dice.choice(['=', '<', '>=', '<>'])} {literal(column)}"
    return dice.choice([
        simple,
        f"NOT ({simple})",
        f"{prefix}{column} IS NULL",
        f"{prefix}id IN (SELECT max(id) FROM {table} GROUP BY day)",
        f"{prefix}id % 7 = {dice.randint(0, 6)} AND {simple}",
        f"{prefix}day = DATE '2026-01-{dice.randint(1, 6):02}'",
    ])


def statement(table):
    """A statement as a function of the table's name."""
    state = dice.getstate()

    def make(name):
        dice.setstate(state)
        kind = dice.choice(["insert", "insert", "copy", "delete", "update", "update", "merge", "merge"])
        if kind == "insert":
            return f"INSERT INTO {name} VALUES {', '.join(row() for _ in range(dice.randint(1, 8)))}"
        if kind == "copy":
            rows = f"SELECT id + 1, name, n, amount, day FROM {name} WHERE {condition(name)} AND id < 50"
            return f"INSERT INTO {name} ({COLUMNS}) {rows}"
        if kind == "delete":
            return f"DELETE FROM {name} WHERE {condition(name)}"
        if kind == "update":
            what = dice.choice([
                f"n = n + 1, name = {literal('name')}",
                f"day = {literal('day')}",
                "amount = -amount, n = id % 100",
            ])
            return f"UPDATE {name} SET {what} WHERE {condition(name)}"
        source = values(dice.randint(1, 10))
        clauses = ["WHEN MATCHED THEN UPDATE SET name = s.name, n = s.n"]
        if dice.random() < 0.5:
            clauses.insert(0, "WHEN MATCHED AND s.n > 30 THEN DELETE")
        if dice.random() < 0.7:
            clauses.append("WHEN NOT MATCHED THEN INSERT (id, name, n) VALUES (s.id, s.name, s.n)")
        return f"MERGE INTO {name} AS t USING {source} ON t.id = s.id {' '.join(clauses)}"

    return make


def rows_of_duck(table):
    return sorted(duck.execute(f"SELECT {COLUMNS} FROM {table}").fetchall(), key=repr)


def rows_of_lake(catalog, table):
    found = catalog.load_table(f"bronze.{table}").scan().to_arrow().select(COLUMNS.split(", "))
    return sorted((tuple(row.values()) for row in found.to_pylist()), key=repr)


def create(table, extra):
    run(f"CREATE TABLE bronze.{table} ({TYPES}) {extra}")
    duck.execute(f"CREATE TABLE {table} ({TYPES})")


create("plain", "")
create("parted", "PARTITIONED BY (day, bucket(3, id))")
create("marked", "PARTITIONED BY (day) TBLPROPERTIES ('write.delete.mode' = 'merge-on-read', "
       "'write.update.mode' = 'merge-on-read', 'write.merge.mode' = 'merge-on-read')")
changed = 0
for number in range(int(statements)):
    for table in ("plain", "parted", "marked"):
        if number == 0:
            many = ", ".join(row() for _ in range(60))
            make = lambda name: f"INSERT INTO {name} VALUES {many}"
        else:
            make = statement(table)
        ours, theirs = sides(table, make)
        before = rows_of_duck(table)
        duck.execute("BEGIN")
        said = run(ours)
        duck.execute(theirs)
        duck.execute("COMMIT")
        expected, found = rows_of_duck(table), rows_of_lake(catalog, table)
        assert found == expected, f"after\n  {ours}\nthe lake has {len(found)} rows, DuckDB {len(expected)}:\n" \
            f"  only in the lake {[r for r in found if r not in expected]}\n" \
            f"  only in DuckDB {[r for r in expected if r not in found]}"
        assert said["inserted"] - said["deleted"] == len(expected) - len(before), f"{ours}: {said}"
        changed += said["inserted"] + said["updated"] + said["deleted"]

run("CREATE TABLE bronze.copied PARTITIONED BY (day) AS SELECT * FROM bronze.marked WHERE id > 10")
duck.execute("CREATE TABLE copied AS SELECT * FROM marked WHERE id > 10")
assert rows_of_lake(catalog, "copied") == rows_of_duck("copied")
run("ALTER TABLE bronze.copied ADD COLUMN extra varchar")
run("ALTER TABLE bronze.copied RENAME COLUMN name TO label")
run("ALTER TABLE bronze.copied CREATE BRANCH audit")
run("UPDATE bronze.copied SET extra = label WHERE n IS NOT NULL")
table = catalog.load_table("bronze.copied")
assert [f.name for f in table.schema().fields] == ["id", "label", "n", "amount", "day", "extra"], table.schema()
assert "audit" in table.refs(), table.refs()
was = table.scan(snapshot_id=table.refs()["audit"].snapshot_id).to_arrow()
assert was.num_rows == len(rows_of_duck("copied"))
for name in ("plain", "marked"):  # PyIceberg itself cannot write buckets without a library of its own
    foreign = catalog.load_table(f"bronze.{name}")
    more = duck.execute(f"SELECT {COLUMNS} FROM {name} WHERE id < 5").arrow()
    more = more.read_all() if hasattr(more, "read_all") else more
    foreign.append(more.cast(foreign.schema().as_arrow()))
    duck.execute(f"INSERT INTO {name} SELECT * FROM {name} WHERE id < 5")
    run(f"DELETE FROM bronze.{name} WHERE id = 3")
    duck.execute(f"DELETE FROM {name} WHERE id = 3")
    assert rows_of_lake(catalog, name) == rows_of_duck(name), name
assert changed > 0
print(f"seed {seed}: {statements} statements on three tables changed {changed} rows; all agree")
