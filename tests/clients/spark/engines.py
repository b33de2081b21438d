"""The two engines of one lake: Sluice as its own binary, Spark on the REST catalog that Sluice serves."""

import json
import os
import subprocess
import threading

from pyspark.sql import SparkSession

EXTENSIONS = "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"


class Sluice:
    """One lake: statements on it, and the server that others attach to."""

    def __init__(self, program, folder, **settings):
        self.program = program
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
        self.environment = kept | {"SLUICE_DATA": folder} | settings
        self.server = None

    def command(self, *arguments):
        return subprocess.run(
            [self.program, *arguments], env=self.environment, capture_output=True, text=True, check=False
        )

    def sql(self, statement):
        """The rows of a query or the report of a change, as dictionaries; raises what Sluice complains about."""
        run = self.command("sql", statement, "--json")
        if run.returncode != 0:
            raise RuntimeError(f"{statement}\n{run.stderr.strip()}")
        return [json.loads(line) for line in run.stdout.splitlines()]

    def serve(self):
        """Starts the server; gives the address of its Iceberg catalog."""
        command = [self.program, "serve", "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        self.server = subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True)
        for line in self.server.stderr:
            if "http://" in line:
                # keeps the pipe empty, so that the server never waits for a reader
                threading.Thread(target=self.drain, daemon=True).start()
                return f"http://{line.split('http://')[1].strip()}/iceberg"
        raise SystemExit("the server ended before it named its address")

    def drain(self):
        for line in self.server.stderr:
            if "WARN" in line or "ERROR" in line:
                print(f"server: {line.rstrip()}", flush=True)

    def stop(self):
        if self.server:
            self.server.terminate()
            self.server.wait(30)


def spark(jars, uri):
    """A session of one core and a small heap on the catalog at this address, under the name `lake`."""
    settings = {
        "spark.driver.memory": "1g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraClassPath": f"{jars}/*",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.extensions": EXTENSIONS,
        "spark.sql.defaultCatalog": "lake",
        "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.lake.type": "rest",
        "spark.sql.catalog.lake.uri": uri,
        "spark.sql.catalog.lake.cache-enabled": "false",
        # Of the S3 store only the keys are told here: its address comes from the catalog.
        "spark.sql.catalog.lake.s3.access-key-id": os.environ["AWS_ACCESS_KEY_ID"],
        "spark.sql.catalog.lake.s3.secret-access-key": os.environ["AWS_SECRET_ACCESS_KEY"],
    }
    session = SparkSession.builder.master("local[1]").config(map=settings).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def append(session, name, *rows):
    """Spark appends rows, given as SQL literals by column; columns that a row does not name become null."""
    types = session.table(name).dtypes
    values = [", ".join(f"cast({row.get(column, 'null')} as {kind}) as {column}" for column, kind in types) for row in rows]
    session.sql(f"insert into {name} by name " + " union all ".join(f"select {row}" for row in values))
