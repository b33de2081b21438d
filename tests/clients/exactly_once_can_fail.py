"""Judges the judge: exactly_once.py must see what is lost, doubled or foreign. exactly_once_can_fail.py FOLDER BROKERS.

PyIceberg makes tables as a landing would, first whole, then each with one fault.
"""

import json
import os
import pathlib
import subprocess
import sys

import pyarrow
from checks import Checks
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from pyiceberg.catalog.sql import SqlCatalog

RECORDS = 100
PARTITIONS = 2

folder, brokers = sys.argv[1:]
topic = f"judged-{os.getpid()}"
admin = AdminClient({"bootstrap.servers": brokers})
admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result()
producer = Producer({"bootstrap.servers": brokers})
for number in range(RECORDS):
    producer.produce(topic, value=b"{}", partition=number % PARTITIONS)
producer.flush()


def rows(numbers):
    return pyarrow.table({
        "_src_topic": [topic] * len(numbers),
        "_src_partition": pyarrow.array([number % PARTITIONS for number in numbers], pyarrow.int32()),
        "_src_offset": [number // PARTITIONS for number in numbers],
    })


def found(name, landed, letters):
    """What the judge says of a lake with these record numbers landed and as dead letters."""
    data = pathlib.Path(folder) / name
    data.mkdir(parents=True)
    catalog = SqlCatalog("sluice", uri=f"sqlite:///{data}/catalog.db", warehouse=f"file://{data}")
    catalog.create_namespace("bronze")
    for table, numbers in (("events", landed), ("dead_letters", letters)):
        catalog.create_table(f"bronze.{table}", rows(numbers).schema).append(rows(numbers))
    script = pathlib.Path(__file__).parent / "exactly_once.py"
    run = subprocess.run([sys.executable, script, data, brokers, topic], capture_output=True, text=True, check=False)
    verdict = json.loads(run.stdout)
    return run.returncode, verdict["lost"], verdict["doubled"], verdict["foreign"]


checks = Checks()
everything = list(range(RECORDS))
for name, landed, letters, expected in (
    ("whole", everything[:90], everything[90:], (0, 0, 0, 0)),
    ("lost", everything[:90], everything[91:], (1, 1, 0, 0)),
    ("doubled", everything[:90], everything[89:], (1, 0, 1, 0)),
    ("twice in one table", everything[:90] + [3, 3], everything[90:], (1, 0, 1, 0)),
    ("foreign", everything[:90] + [5000], everything[90:], (1, 0, 0, 1)),
):
    verdict = found(name, landed, letters)
    checks.check(f"a landing that is {name}", verdict == expected, f"{expected} expected, {verdict} found")
checks.finish()
