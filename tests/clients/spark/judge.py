"""Spark and Sluice on the same tables: judge.py JARS SLUICE.

Spark attaches to the Iceberg REST catalog of `sluice serve`. What Sluice wrote Spark reads; what Spark wrote, with its
own delete files and deletion vectors, Sluice's SQL reads: after each statement both must give the same rows.
"""

import os
import sys
import tempfile

import changes
import kinds
import together
from checks import Checks
from engines import Sluice, spark

jars, program = sys.argv[1:]
checks = Checks()

with tempfile.TemporaryDirectory(prefix="sluice-spark-") as folder:
    warehouse = f"s3://{os.environ['MINIO_BUCKET']}/spark-{os.getpid()}"
    sluice = Sluice(program, f"{folder}/lake", SLUICE_LAKE_WAREHOUSE=warehouse)
    try:
        uri = sluice.serve()
        session = spark(jars, uri)
        together.judge(checks, session, sluice, uri)
        kinds.judge(checks, session, sluice)
        for version in (2, 3):
            changes.judge(checks, session, sluice, version)
        session.stop()
    finally:
        sluice.stop()
checks.finish()
