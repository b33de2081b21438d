"""The source of reference data, and the judge of what was synced from it.

    reference.py run SQL                         changes the PostgreSQL database of the tests
    reference.py same DATA TABLE SOURCE    the table is what the source says now, each row once
    reference.py state DATA TABLE...             prints where the state of each table lies

The database is read with psycopg2, the table with PyIceberg and with DuckDB.
"""

import os
import sys
from collections import Counter

import lake
import psycopg2
from checks import Checks

# As PostgreSQL and DuckDB write them alike: lists by their elements, times in UTC to the microsecond.
COLUMNS = {
    "id": "id::text", "name": "name", "price": "price::text", "active": "active::text",
    "tags": "array_to_string(tags, ',')", "detail": "detail::text",
    "stamp": "to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
}
DUCK = {
    "id": "id::varchar", "name": "name", "price": "price::varchar", "active": "active::varchar",
    "tags": "CASE WHEN tags IS NOT NULL THEN coalesce(array_to_string(tags, ','), '') END", "detail": "detail",
    "stamp": "strftime(updated_at AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S.%f')",
}


def ask(sql):
    connection = psycopg2.connect(os.environ["SYNC_SOURCE"], password=os.environ["SYNC_PASSWORD"])
    with connection, connection.cursor() as cursor:
        cursor.execute(sql)
        rows = cursor.fetchall() if cursor.description else []
    connection.close()
    return rows


def same(data, name, source):
    checks = Checks()
    wanted = Counter(ask(f"SELECT {', '.join(COLUMNS.values())} FROM {source}"))
    table = lake.open_catalog(data).load_table(name)
    duck = lake.duck()
    select = f"SELECT {', '.join(DUCK.values())} FROM "
    by_duckdb = Counter(duck.execute(select + lake.duck_source(table)).fetchall())
    duck.register("landed", table.scan().to_arrow())
    by_pyiceberg = Counter(duck.execute(select + "landed").fetchall())
    for reader, found in (("DuckDB", by_duckdb), ("PyIceberg", by_pyiceberg)):
        missing, foreign = wanted - found, found - wanted
        checks.check(f"{reader}: all {wanted.total()} rows of the source", wanted and not missing,
                     f"{missing.total()} missing: {list(missing)[:2]}")
        checks.check(f"{reader}: and no others", not foreign, f"{foreign.total()} foreign: {list(foreign)[:2]}")
    types = {field.name: str(field.field_type) for field in table.schema().fields}
    checks.check("types", (types["price"], types["updated_at"], types["tags"]) ==
                 ("decimal(10, 2)", "timestamptz", "list<string>"), f"{types}")
    checks.finish()


def main():
    command, *arguments = sys.argv[1:]
    if command == "run":
        ask(arguments[0])
    elif command == "same":
        same(*arguments)
    elif command == "state":
        catalog = lake.open_catalog(arguments[0])
        for name in arguments[1:]:
            print(name, catalog.load_table(name).metadata_location)


if __name__ == "__main__":
    main()
