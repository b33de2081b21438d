"""Sends events at a steady pace: steady.py BROKERS TOPIC PARTITIONS RATE SECONDS.

Sales and returns in turns, and each fiftieth is no event at all; the key of a record is its number. Ends when the broker
has them all; prints how many.
"""

import json
import sys
import time

from confluent_kafka import Producer

brokers, topic, partitions, rate, seconds = sys.argv[1:]
producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 20})
refused = []
begun, sent = time.monotonic(), 0
while (elapsed := time.monotonic() - begun) < float(seconds):
    while sent < elapsed * float(rate):
        event = {"id": str(sent), "event_type": "sale" if sent % 2 else "return"}
        value = "no event" if sent % 50 == 0 else json.dumps(event)
        producer.produce(topic, value, key=str(sent), partition=sent % int(partitions),
                         on_delivery=lambda error, _: error and refused.append(error))
        sent += 1
    producer.poll(0.05)
if producer.flush(60) or refused:
    raise SystemExit(f"steady: the broker refused {len(refused)} of {sent} records: {refused[:3]}")
print(sent)
