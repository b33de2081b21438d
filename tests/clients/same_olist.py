"""Judges the gold models on the Olist files: DuckDB computes each table from the CSV files, every cell must agree.

    same_olist.py DATA FOLDER_OF_CSV QUERIES

QUERIES holds one query per gold table, each after a line `-- gold.NAME`. The tables are read by PyIceberg.
Texts, numbers without a fraction, dates and decimals agree exactly, floating point to 1e-9 of its value.
"""

import datetime
import decimal
import math
import pathlib
import re
import sys

import lake
from checks import Checks

CSV = re.compile(r"\.csv(\.zst|\.gz)?$")
RELATIVE = 1e-9
SHOWN = 3


def queries(path):
    """{table: query} of the file."""
    parts = re.split(r"^--\s*(gold\.\w+)\s*$", pathlib.Path(path).read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (query.strip().rstrip(";") for query in parts[2::2])))


def csv_views(duck, folder):
    for path in sorted(pathlib.Path(folder).iterdir()):
        if CSV.search(path.name):
            columns = duck.execute("SELECT * FROM read_csv(?) LIMIT 0", [str(path)]).description
            zips = [column[0] for column in columns if column[0].endswith("zip_code_prefix")]
            types = ", ".join(f"'{name}': 'VARCHAR'" for name in zips)
            source = f"read_csv('{path}'{f', types = {{{types}}}' if types else ''})"
            duck.execute(f'CREATE VIEW "{CSV.sub("", path.name)}" AS SELECT * FROM {source}')


def plain(value):
    """A value in the one form in which both sides are compared."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, decimal.Decimal)):
        return decimal.Decimal(value).normalize()
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None).isoformat()
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day).isoformat()
    return value


def same(left, right):
    if isinstance(left, float) or isinstance(right, float):
        if left is None or right is None:
            return left is right
        return math.isclose(float(left), float(right), rel_tol=RELATIVE, abs_tol=1e-12)
    return left == right


def order(row):
    """Sorts by what is exact first, so that rounding cannot change which rows are compared."""
    exact = [str(value) for value in row if not isinstance(value, float)]
    return exact, [f"{value:.6e}" for value in row if isinstance(value, float)]


def compare(expected, found):
    """Cells that differ, as text, of two lists of rows."""
    if len(expected) != len(found):
        return [f"{len(expected)} rows expected, {len(found)} found"]
    pairs = zip(sorted(expected, key=order), sorted(found, key=order))
    return [f"{left} expected, {right} found" for left, right in pairs if not all(map(same, left, right))]


def main():
    data, folder, path = sys.argv[1:]
    checks = Checks()
    catalog, duck = lake.open_catalog(data), lake.duck()
    csv_views(duck, folder)
    expected = queries(path)
    built = set(lake.tables(catalog, ["gold"]))
    checks.check("there are gold tables and a query for each", built and built == set(expected),
                 f"built {sorted(built)}, queries for {sorted(expected)}")
    for name in sorted(built & set(expected)):
        cursor = duck.execute(expected[name])
        columns = [column[0] for column in cursor.description]
        wanted = [tuple(map(plain, row)) for row in cursor.fetchall()]
        table = catalog.load_table(name).scan().to_arrow()
        if not checks.check(f"{name}: has the columns of the query", set(table.column_names) == set(columns),
                            f"{sorted(columns)} expected, {sorted(table.column_names)} found"):
            continue
        found = [tuple(plain(row[column]) for column in columns) for row in table.to_pylist()]
        wrong = compare(wanted, found)
        checks.check(f"{name}: {len(wanted)} rows, {len(wanted) * len(columns)} cells, all equal",
                     wanted and not wrong, "; ".join(wrong[:SHOWN]) or "no rows")
    checks.finish()


if __name__ == "__main__":
    main()
