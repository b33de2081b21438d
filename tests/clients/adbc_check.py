"""What pandas, polars or a notebook do through ADBC, on the table bronze.numbers.

adbc_check.py HOST:PORT (or HOST PORT). The table has 1,000,000 rows: amount is id cents, at is
2026-01-01T00:00:00Z and id times 1.000001 s, flag says whether id is even.
"""

import datetime
import decimal
import sys
import time

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi as flightsql
import pyarrow as pa
import pyarrow.compute as pc

from checks import Checks

ROWS = 1_000_000
FIRST_AT = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
COLUMNS = {
    "id": pa.int64(),
    "name": pa.string(),
    "amount": pa.decimal128(12, 2),
    "at": pa.timestamp("us", tz="UTC"),
    "flag": pa.bool_(),
}


def at(number):
    return FIRST_AT + datetime.timedelta(microseconds=number * 1_000_001)


def fetch(connection, sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetch_arrow_table()


def metadata(checks, connection):
    info = connection.adbc_get_info()
    checks.check("get_info names the server", info.get("vendor_name") == "Sluice", info)

    objects = connection.adbc_get_objects(depth="all", table_name_filter="numbers").read_all().to_pylist()
    schemas = {schema["db_schema_name"]: schema for catalog in objects for schema in catalog["catalog_db_schemas"]}
    checks.check("get_objects lists the catalog", [catalog["catalog_name"] for catalog in objects] == ["sluice"], objects)
    tables = schemas.get("bronze", {}).get("db_schema_tables", [])
    checks.check("get_objects lists the table", [(t["table_name"], t["table_type"]) for t in tables] == [("numbers", "TABLE")], tables)
    columns = [column["column_name"] for table in tables for column in table["table_columns"]]
    checks.check("get_objects lists the columns", columns == list(COLUMNS), columns)
    names = [column["xdbc_type_name"] for table in tables for column in table["table_columns"]]
    checks.check("get_objects names the types", names == ["BIGINT", "VARCHAR", "DECIMAL", "TIMESTAMP", "BOOLEAN"], names)

    schema = connection.adbc_get_table_schema("numbers", catalog_filter="sluice", db_schema_filter="bronze")
    found = {field.name: field.type for field in schema}
    checks.check("get_table_schema", found == COLUMNS, found)
    types = connection.adbc_get_table_types()
    checks.check("get_table_types", sorted(types) == ["TABLE", "VIEW"], types)


def queries(checks, connection):
    table = fetch(connection, "SELECT * FROM bronze.numbers WHERE id IN (7, 123456) ORDER BY id")
    expected = [
        {"id": n, "name": f"n{n}", "amount": decimal.Decimal(n).scaleb(-2), "at": at(n), "flag": n % 2 == 0} for n in (7, 123456)
    ]
    checks.check("statement", table.to_pylist() == expected, table.to_pylist())
    found = {field.name: field.type for field in table.schema}
    checks.check("types of the result", found == COLUMNS, found)

    with connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema("SELECT id, amount FROM bronze.numbers")
        checks.check("execute_schema", schema.types == [pa.int64(), pa.decimal128(12, 2)], schema)
        cursor.adbc_prepare("SELECT id FROM bronze.numbers WHERE id = ? AND at < ?")
        bound = cursor.adbc_prepare("SELECT id FROM bronze.numbers WHERE id = ? AND at < ?")
        checks.check("prepare declares its parameters", bound is not None and len(bound) == 2, bound)

    empty = fetch(connection, "SELECT id, name FROM bronze.numbers WHERE id < 0")
    checks.check("an empty result has its schema", empty.num_rows == 0 and empty.schema.names == ["id", "name"], empty.schema)
    text = fetch(connection, "SELECT 'it''s ? not a marker' AS \"Text\" -- ?\n;").to_pylist()
    checks.check("markers only where they are markers", text == [{"Text": "it's ? not a marker"}], text)


def parameters(checks, connection):
    sql = "SELECT id FROM bronze.numbers WHERE id = ? AND name = ? AND amount = ? AND at = ? AND flag = ?"
    n = 654_321
    values = (n, f"n{n}", decimal.Decimal(n).scaleb(-2), at(n), False)
    found = fetch(connection, sql, values).to_pylist()
    checks.check("parameters of every type", found == [{"id": n}], found)
    naive = fetch(connection, "SELECT count(*) AS n FROM bronze.numbers WHERE at < ?", (at(1000).replace(tzinfo=None),)).to_pylist()
    checks.check("a time without a zone is taken as UTC", naive == [{"n": 1000}], naive)
    null = fetch(connection, "SELECT count(*) AS n FROM bronze.numbers WHERE id = ? OR amount = ?", (None, None)).to_pylist()
    checks.check("null parameters", null == [{"n": 0}], null)
    limited = fetch(connection, "SELECT id FROM bronze.numbers ORDER BY id LIMIT ?", (3,)).to_pylist()
    checks.check("LIMIT ?", limited == [{"id": 0}, {"id": 1}, {"id": 2}], limited)
    given = fetch(connection, "SELECT ? AS given", ("text",)).to_pylist()
    checks.check("a parameter without a context", given == [{"given": "text"}], given)


def refusals(checks, connection):
    def refused(name, sql, values=None, says=""):
        try:
            fetch(connection, sql, values)
        except flightsql.Error as error:
            checks.check(name, says in str(error) and "INTERNAL" not in str(error), error)
        else:
            checks.check(name, False, "it was not refused")

    refused("an unknown table", "SELECT * FROM bronze.absent", says="absent")
    refused("an unknown column", "SELECT nothing FROM bronze.numbers", says="nothing")
    refused("a syntax error", "SELEC 1", says="SELEC")
    refused("an error in the middle of a result", "SELECT id / (id - 999999) FROM bronze.numbers", says="zero")
    refused("writing", "INSERT INTO bronze.numbers (id) VALUES (1)")
    refused("too few parameters", "SELECT ? + ?", (1,), says="2")
    refused("a fraction for an integer", "SELECT count(*) FROM bronze.numbers WHERE id = ?", (decimal.Decimal("1.5"),), says="1")


def sessions(checks, address):
    cookies = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
    with flightsql.connect(f"grpc://{address}", db_kwargs=cookies, autocommit=True) as connection:
        checks.check("the current catalog", connection.adbc_current_catalog == "sluice", connection.adbc_current_catalog)
        connection.adbc_current_db_schema = "bronze"
        checks.check("the current schema", connection.adbc_current_db_schema == "bronze", connection.adbc_current_db_schema)
        found = fetch(connection, "SELECT count(*) AS n FROM numbers").to_pylist()
        checks.check("unqualified names", found == [{"n": ROWS}], found)
    user = {"username": "tester", "password": "any"}
    with flightsql.connect(f"grpc://{address}", db_kwargs=user, autocommit=True) as connection:
        checks.check("a sign-in", fetch(connection, "SELECT 1 AS one").to_pylist() == [{"one": 1}])


def million(checks, connection):
    begun = time.monotonic()
    table = fetch(connection, "SELECT * FROM bronze.numbers")
    seconds = time.monotonic() - begun
    ids = pa.array(range(ROWS))
    table = table.sort_by("id")
    checks.check("1,000,000 rows", table.num_rows == ROWS, table.num_rows)
    expected = {
        "id": ids,
        "name": pc.binary_join_element_wise("n", ids.cast(pa.string()), ""),
        "amount": pa.array([decimal.Decimal(n).scaleb(-2) for n in range(ROWS)], COLUMNS["amount"]),
        "at": pc.add(pc.multiply(ids, 1_000_001), int(FIRST_AT.timestamp()) * 1_000_000).cast(COLUMNS["at"]),
        "flag": pc.equal(pc.bit_wise_and(ids, 1), 0),
    }
    for name, values in expected.items():
        checks.check(f"1,000,000 values of {name}", table[name].combine_chunks().equals(values), name)
    print(f"        {ROWS:,} rows in {seconds:.2f} s")
    # A result that is dropped after its first batch gives back its place, of which a server has 64.
    for _ in range(70):
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM bronze.numbers")
            next(iter(cursor.fetch_record_batch()))
    checks.check("70 results that were not read to their end", fetch(connection, "SELECT 1 AS one").to_pylist() == [{"one": 1}])


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: adbc_check.py HOST:PORT")
    address = ":".join(sys.argv[1:])
    checks = Checks()
    # Autocommit from the start: the server has no transactions, and the driver would warn of it.
    with flightsql.connect(f"grpc://{address}", autocommit=True) as connection:
        metadata(checks, connection)
        queries(checks, connection)
        parameters(checks, connection)
        refusals(checks, connection)
        million(checks, connection)
    sessions(checks, address)
    print(("PASS" if checks.failed == 0 else "FAIL") + f" ADBC {adbc_driver_flightsql.__version__}")
    checks.finish()


if __name__ == "__main__":
    main()
