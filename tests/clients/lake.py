"""The lake as foreign readers see it: PyIceberg through the catalog file, DuckDB through the metadata files.

Nothing here uses a line of Sluice. S3 is reached as the AWS_* variables say.
"""

import os

import duckdb
import duckdb_extensions
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog


def store_settings():
    """How PyIceberg reaches the S3 store of the AWS_* variables; empty without any."""
    names = (
        ("s3.endpoint", "AWS_ENDPOINT_URL"),
        ("s3.access-key-id", "AWS_ACCESS_KEY_ID"),
        ("s3.secret-access-key", "AWS_SECRET_ACCESS_KEY"),
        ("s3.region", "AWS_REGION"),
    )
    return {setting: os.environ[variable] for setting, variable in names if variable in os.environ}


def catalog(kind, uri, name):
    """The catalog at `uri` as PyIceberg opens it: of kind `rest`, or of kind `sql` under this name."""
    if kind == "rest":
        return RestCatalog("rest", uri=uri, **store_settings())
    # Tables that exist are what is judged: no reader may create any here.
    return SqlCatalog(name, uri=uri, init_catalog_tables="false", **store_settings())


def open_catalog(data):
    """The Iceberg SQL catalog `sluice` in the folder `data`, as PyIceberg opens it."""
    return catalog("sql", f"sqlite:///{os.path.abspath(data)}/catalog.db", "sluice")


def tables(catalog, namespaces=("bronze", "silver", "gold")):
    """Names of all tables in these namespaces, as `namespace.table`."""
    present = {namespace[0] for namespace in catalog.list_namespaces()}
    return sorted(
        ".".join(name)
        for namespace in namespaces
        if namespace in present
        for name in catalog.list_tables(namespace)
    )


def batches(table, columns):
    """The table's current rows, some columns, batch by batch."""
    return table.scan(selected_fields=tuple(columns)).to_arrow_batch_reader()


def duck():
    """A DuckDB connection that reads Iceberg tables on disk and on the S3 of the AWS_* variables."""
    connection = duckdb.connect()
    for name in ("httpfs", "avro", "iceberg"):
        duckdb_extensions.import_extension(name)
        connection.load_extension(name)
    connection.execute("SET TimeZone = 'UTC'")
    if "AWS_ENDPOINT_URL" in os.environ:
        scheme, address = os.environ["AWS_ENDPOINT_URL"].split("://")
        connection.execute(
            "CREATE SECRET (TYPE s3, PROVIDER config, KEY_ID ?, SECRET ?, REGION ?, ENDPOINT ?, URL_STYLE 'path',"
            f" USE_SSL {'true' if scheme == 'https' else 'false'})",
            [os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"],
             os.environ.get("AWS_REGION", "us-east-1"), address],
        )
    return connection


def attach(connection, uri):
    """Attaches the REST catalog at `uri` to a DuckDB connection, as `rest`."""
    connection.execute(f"ATTACH 'sluice' AS rest (TYPE iceberg, ENDPOINT '{uri}', AUTHORIZATION_TYPE 'none')")


def duck_source(table):
    """What DuckDB selects from to read the current snapshot of a PyIceberg table."""
    return f"iceberg_scan('{table.metadata_location}')"
