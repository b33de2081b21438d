"""Judges tables that messages name: each holds exactly the messages whose topic, header or field names it.

    routing.py send BROKERS PREFIX PART COUNT [late]    writes COUNT events; `late` also to topics that are new then
    routing.py judge DATA BROKERS PREFIX                reads the topics and all tables of the lake

PREFIX-shop-… are topics that a pattern means; PREFIX-sales names tables by the header `tenant`; PREFIX-events by the
field `kind`, of which fewer may become tables than there are. The rule that makes names is written down here anew.
"""

import collections
import json
import random
import sys

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import lake
from checks import Checks

SHOPS = [f"shop-{letter}{more}" for letter in "abcdef" for more in ("", "x", "yy")]
LATE = ["shop-late", "shop-later"]
TENANTS = [f"Tenant {number}" for number in range(17)] + ["a.b/../c", "größe", "UPPER"]
KINDS = [f"kind-{number:02}" for number in range(24)]
KINDS_MAX = 20
LETTERS = "bronze.dead_letters"


def named(value):
    """What of a table's name a value makes."""
    return "".join(c.lower() if c.isascii() and c.isalnum() or c == "_" else "_" for c in value)


def send(brokers, prefix, part, count, late=""):
    shops = [f"{prefix}-{name}" for name in SHOPS + (LATE if late else [])]
    admin = AdminClient({"bootstrap.servers": brokers})
    known = admin.list_topics(timeout=30).topics
    new = [NewTopic(name, 1, 1) for name in shops if name not in known]
    for future in (admin.create_topics(new) if new else {}).values():
        future.result(30)
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 20})
    refused = []
    done = lambda error, _: error and refused.append(error)
    dice = random.Random(int(part))

    def pick(names):
        """Half of the events go to a few tables, so that some are large and most are small."""
        return names[dice.randrange(4 if dice.random() < 0.5 else len(names))]

    for n in range(int(count)):
        event = {"id": f"{part}-{n}", "n": n}
        headers, odd = [], dice.random() < 0.02
        if n % 3 == 0:
            topic = pick(shops)
        elif n % 3 == 1:
            topic = f"{prefix}-sales"
            headers = [("type", b"refund" if dice.random() < 0.05 else b"sale")]
            headers += [] if odd else [("tenant", pick(TENANTS).encode())]
        else:
            topic = f"{prefix}-events"
            event["kind"] = None if odd else pick(KINDS)
        while True:
            try:
                producer.produce(topic, value=json.dumps(event), headers=headers, on_delivery=done)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    if producer.flush(60) or refused:
        raise SystemExit(f"routing: the broker refused {refused[:3]}")


def messages(brokers, prefix):
    """All messages of all topics of the prefix."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "routing-judge", "enable.auto.commit": False})
    topics = consumer.list_topics(timeout=30).topics
    for topic in sorted(name for name in topics if name.startswith(f"{prefix}-")):
        for partition in topics[topic].partitions:
            first, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
            consumer.assign([TopicPartition(topic, partition, first)])
            while first < end:
                for message in consumer.consume(10_000, 1.0):
                    if message.error():
                        raise SystemExit(f"routing: cannot read {topic}/{partition} at {first}")
                    first = message.offset() + 1
                    yield message
    consumer.close()


def wanted(prefix, message):
    """The table of a message by the topics file; None for a dead letter."""
    topic, headers = message.topic(), dict(message.headers() or [])
    if topic == f"{prefix}-sales":
        if headers["type"] == b"refund":
            return "bronze.refunds"
        return f"bronze.sales_{named(headers['tenant'].decode())}" if "tenant" in headers else None
    if topic == f"{prefix}-events":
        kind = json.loads(message.value())["kind"]
        return kind and f"bronze.of_{named(kind)}"
    return f"bronze.{named(topic)}"


def judge(data, brokers, prefix):
    checks = Checks()
    catalog = lake.open_catalog(data)
    tables = {name: catalog.load_table(name) for name in lake.tables(catalog, ["bronze"])}
    expected = collections.defaultdict(set)
    sent = 0
    for message in messages(brokers, prefix):
        table = wanted(prefix, message)
        # What finds no room for a table of its own is a dead letter, all of it.
        expected[table if table in tables else LETTERS].add((message.topic(), message.partition(), message.offset()))
        sent += 1
    checks.check(f"there are about sixty tables ({len(tables)})", 55 <= len(tables) <= 65, sorted(tables))
    of_kind = [name for name in tables if name.startswith("bronze.of_")]
    checks.check(f"a template makes no more tables than it may", len(of_kind) == KINDS_MAX, of_kind)
    late = [f"bronze.{named(f'{prefix}-{name}')}" for name in LATE]
    checks.check("topics that came later have tables", set(late) <= set(tables), sorted(tables))
    duck, rows = lake.duck(), 0
    for name, table in tables.items():
        batches = lake.batches(table, ("_src_topic", "_src_partition", "_src_offset"))
        places = [place for batch in batches for place in zip(*(column.to_pylist() for column in batch.columns))]
        (seen,) = duck.execute(f"SELECT count(*) FROM {lake.duck_source(table)}").fetchone() if places else (0,)
        want = expected.pop(name, set())
        right = set(places) == want and len(places) == len(want) == seen
        lost, more = len(want - set(places)), len(places) - len(want & set(places))
        checks.check(f"{name}: {len(want)} rows", right, f"{lost} lost, {more} doubled or foreign, DuckDB counts {seen}")
        rows += len(places)
    checks.check(f"every one of {sent} messages is somewhere", rows == sent and not expected, f"{rows} rows, {list(expected)}")
    sale = tables["bronze.sales_upper"]
    transforms = [str(field.transform) for field in sale.spec().fields]
    checks.check("a table has the template's partitioning", transforms == ["bucket[4]"], transforms)
    order = [(sale.schema().find_column_name(field.source_id), field.direction.name) for field in sale.sort_order().fields]
    checks.check("and its sort order", order == [("n", "DESC")], order)
    checks.check("and its properties", sale.properties.get("owner") == "shop", sale.properties)
    checks.finish()


if __name__ == "__main__":
    {"send": send, "judge": judge}[sys.argv[1]](*sys.argv[2:])
