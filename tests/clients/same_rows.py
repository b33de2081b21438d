"""Judges the lake as others read it: PyIceberg, DuckDB and Sluice's own SQL must agree on every table.

    same_rows.py SLUICE DATA TABLE...        all tables of bronze, silver and gold when none is named

Compared are the number of rows and, per column, the number of nulls and of distinct values and the smallest and
largest value as text. PyIceberg gives the reference; DuckDB answers from the metadata file and shares no code
with it.
"""

import json
import subprocess
import sys

import lake
from checks import Checks

# Types whose smallest and largest value print the same everywhere.
PLAIN = ("string", "int", "long", "date", "boolean")


def summary_sql(schema, source):
    parts = ["count(*) AS n"]
    for number, field in enumerate(schema.fields):
        column = f'"{field.name}"'
        parts.append(f"count({column}) AS c{number}")
        parts.append(f"count(DISTINCT {column}) AS d{number}")
        if str(field.field_type) in PLAIN and str(field.field_type) != "boolean":
            parts.append(f"CAST(min({column}) AS VARCHAR) AS a{number}, CAST(max({column}) AS VARCHAR) AS z{number}")
    return f"SELECT {', '.join(parts)} FROM {source}"


def by_duckdb(duck, sql):
    cursor = duck.execute(sql)
    return dict(zip([column[0] for column in cursor.description], cursor.fetchone()))


def by_sluice(program, data, sql):
    run = subprocess.run([program, "sql", sql, "--json", "--data", data], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        return {"error": run.stderr.strip()}
    return json.loads(run.stdout.splitlines()[-1])


def main():
    program, data, *names = sys.argv[1:]
    checks = Checks()
    catalog = lake.open_catalog(data)
    duck = lake.duck()
    for name in names or lake.tables(catalog):
        table = catalog.load_table(name)
        reference = table.scan().to_arrow()
        duck.register("reference", reference)
        expected = by_duckdb(duck, summary_sql(table.schema(), "reference"))
        from_duckdb = by_duckdb(duck, summary_sql(table.schema(), lake.duck_source(table)))
        checks.check(f"{name}: DuckDB reads what PyIceberg reads ({expected['n']} rows)", from_duckdb == expected,
                     f"{differences(expected, from_duckdb)}")
        from_sluice = by_sluice(program, data, summary_sql(table.schema(), name))
        checks.check(f"{name}: Sluice answers what PyIceberg reads", from_sluice == expected,
                     f"{differences(expected, from_sluice)}")
        snapshot = table.current_snapshot()
        total = int(snapshot.summary["total-records"]) if snapshot else 0
        # The total counts the rows of data files, and those that are deleted by position among them.
        gone = int(snapshot.summary["total-position-deletes"] or 0) if snapshot else 0
        checks.check(f"{name}: the snapshot's own total is true", total - gone == expected["n"], f"{total} - {gone}")
        duck.unregister("reference")
    checks.finish()


def differences(expected, found):
    keys = expected.keys() | found.keys()
    return {key: (expected.get(key), found.get(key)) for key in keys if expected.get(key) != found.get(key)}


if __name__ == "__main__":
    main()
