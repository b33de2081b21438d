"""Writes records that no well-meaning producer would: send.py BROKERS TOPIC FILE.

FILE holds one JSON object per line: {"text": ...}, {"hex": ...} or {} for a record without a value. The records
go to partition 0 in the order of the file.
"""

import json
import pathlib
import sys

from confluent_kafka import Producer

brokers, topic, path = sys.argv[1:]
producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "message.max.bytes": 32 << 20})
refused = []
sent = 0
for line in pathlib.Path(path).read_text().splitlines():
    record = json.loads(line)
    value = bytes.fromhex(record["hex"]) if "hex" in record else record.get("text")
    producer.produce(topic, value=value, partition=0, on_delivery=lambda error, _: error and refused.append(error))
    producer.flush(30)
    sent += 1
if refused or len(producer):
    raise SystemExit(f"send: the broker refused {len(refused)} of {sent} records: {refused[:3]}")
print(f"sent {sent} records to {topic}")
