"""Judges a load: DuckDB reads the CSV file, PyIceberg the table; every row is there as often as in the file.

    same_file.py DATA TABLE FILE REJECTED

The first columns of the table are those of the file. REJECTED counts the lines of the file that are no rows.
"""

import sys

import lake
from checks import Checks


def main():
    data, name, path, rejected = sys.argv[1:]
    checks = Checks()
    catalog, duck = lake.open_catalog(data), lake.duck()
    # null_padding and ignore_errors off: a line that is no row is left out by its number of fields.
    wanted = duck.sql(f"FROM read_csv('{path}', header = true, all_varchar = true, strict_mode = true,"
                      " store_rejects = true)")
    columns = wanted.columns
    loaded = catalog.load_table(name).scan().to_arrow()
    lines = loaded.column("_src_offset").to_pylist()
    checks.check("no line is there twice", len(lines) == len(set(lines)), f"{len(lines)} rows, {len(set(lines))} lines")
    duck.register("loaded", loaded)
    duck.sql("CREATE TABLE wanted AS FROM wanted")
    texts = ", ".join(f'"{column}"::varchar AS "{column}"' for column in columns)
    missing = duck.sql(f"FROM wanted EXCEPT ALL SELECT {texts} FROM loaded").fetchall()
    foreign = duck.sql(f"SELECT {texts} FROM loaded EXCEPT ALL FROM wanted").fetchall()
    count = duck.sql("SELECT count(*) FROM wanted").fetchone()[0]
    checks.check(f"all {count} rows of the file", count > 0 and not missing, f"{len(missing)} missing: {missing[:3]}")
    checks.check("and no others", not foreign, f"{len(foreign)} foreign: {foreign[:3]}")
    letters = catalog.load_table("bronze.dead_letters").scan().to_arrow()
    checks.check(f"{rejected} dead letters", letters.num_rows == int(rejected), f"{letters.num_rows}")
    checks.finish()


if __name__ == "__main__":
    main()
