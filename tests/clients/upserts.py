"""Judges tables with a key: the rows are what a map over the topic's messages says.

    upserts.py send BROKERS EVENTS ENVELOPES SEED COUNT    writes COUNT random changes to each of two topics
    upserts.py judge DATA BROKERS EVENTS ENVELOPES         reads the topics and the tables bronze.EVENTS, bronze.ENVELOPES

EVENTS holds events with the field `op`, ENVELOPES Debezium's. Messages are keyed, so the messages of one key are in one
partition. PyIceberg and DuckDB must both see the rows of the map, no snapshot may have a key twice, and no delete in the
table may be by value.
"""

import json
import random
import sys

from confluent_kafka import Consumer, Producer, TopicPartition

import lake
from checks import Checks

KEYS = 400


def send(brokers, events, envelopes, seed, count):
    dice = random.Random(int(seed))
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    refused = []
    done = lambda error, _: error and refused.append(error)
    for number in range(int(count)):
        key, value = dice.randrange(KEYS), dice.randrange(1 << 40)
        kind = dice.choice("ccuuuuuudt")
        row = {"id": key, "v": value, "note": f"n{value % 97}"}
        plain = {"op": {"d": "delete"}.get(kind, kind), "id": key} if kind == "d" else {"op": kind, **row}
        source = {"lsn": int(seed) * 1_000_000 + number, "db": "shop"}
        empty = {"id": key, "v": None, "note": None}
        images = {"before": empty, "after": None} if kind == "d" else {"before": None, "after": row}
        envelope = {**images, "source": source, "op": kind, "ts_ms": 1}
        key_text = json.dumps({"id": key})
        for topic, message in ((events, plain), (envelopes, envelope)):
            text = None if kind == "t" else json.dumps(message)
            producer.produce(topic, key=key_text, value=text, on_delivery=done)
        if kind == "d":  # as Debezium does
            producer.produce(envelopes, key=key_text, value=None, on_delivery=done)
        producer.poll(0)
    if producer.flush(60) or refused:
        raise SystemExit(f"upserts: the broker refused {refused[:3]}")


def messages(brokers, topic):
    """All messages of a topic, partition by partition, in the order of their offsets."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "upserts-judge", "enable.auto.commit": False})
    for partition in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
        first, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
        consumer.assign([TopicPartition(topic, partition, first)])
        while first < end:
            message = consumer.poll(30)
            if message is None or message.error():
                raise SystemExit(f"upserts: cannot read {topic}/{partition} at {first}")
            first = message.offset() + 1
            yield json.loads(message.key()), message.value() and json.loads(message.value())
    consumer.close()


def expected(brokers, topic):
    rows = {}
    for key, message in messages(brokers, topic):
        if message is None or message["op"] in ("d", "delete"):
            rows.pop(key["id"], None)
        else:
            row = message.get("after", message)
            rows[row["id"]] = (row["id"], row["v"], row["note"])
    return sorted(rows.values())


def judge(data, brokers, *topics):
    checks = Checks()
    catalog = lake.open_catalog(data)
    duck = lake.duck()
    for topic in topics:
        table = catalog.load_table(f"bronze.{topic.replace('-', '_')}")
        wanted = expected(brokers, topic)
        checks.check(f"{topic}: there is something to compare", len(wanted) > KEYS // 4, len(wanted))
        found = table.scan(selected_fields=("id", "v", "note")).to_arrow().to_pylist()
        found = sorted((row["id"], row["v"], row["note"]) for row in found)
        checks.check(f"{topic}: PyIceberg sees the rows of the map ({len(wanted)})", found == wanted, difference(wanted, found))
        found = sorted(duck.execute(f"SELECT id, v, note FROM {lake.duck_source(table)}").fetchall())
        checks.check(f"{topic}: DuckDB sees them too", found == wanted, difference(wanted, found))
        kinds = {file["content"] for file in table.inspect.files().to_pylist()}
        checks.check(f"{topic}: no delete is by value", 2 not in kinds, kinds)
        doubled = [at.snapshot_id for at in table.snapshots() if not is_unique(table, at.snapshot_id)]
        checks.check(f"{topic}: no snapshot has a key twice ({len(table.snapshots())})", not doubled, doubled)
        snapshots = [dict(snapshot.summary.additional_properties) for snapshot in table.snapshots()]
        deleted = sum(int(summary.get("added-position-deletes", 0)) for summary in snapshots)
        checks.check(f"{topic}: rows were deleted by position", deleted > 0, snapshots)
    letters = catalog.load_table("bronze.dead_letters").scan().to_arrow().num_rows
    checks.check("nothing is a dead letter", letters == 0, letters)
    checks.finish()


def is_unique(table, snapshot):
    keys = table.scan(snapshot_id=snapshot, selected_fields=("id",)).to_arrow().column("id")
    return len(keys) == len(keys.unique())


def difference(wanted, found):
    wanted, seen = set(wanted), set(found)
    return f"missing {sorted(wanted - seen)[:3]}, too many {sorted(seen - wanted)[:3]}, {len(found)} rows"


if __name__ == "__main__":
    {"send": send, "judge": judge}[sys.argv[1]](*sys.argv[2:])
