"""Judges a landing: every record that the broker holds is in the tables exactly once.

    exactly_once.py DATA BROKERS TOPIC...

DATA is the lake's folder, or `URI#NAME` of an Iceberg SQL catalog elsewhere.
PyIceberg reads `_src_topic`, `_src_partition`, `_src_offset` of every table in namespace `bronze`, dead letters
included. librdkafka tells the offsets that each partition holds. Prints one JSON object; the exit code is 1 when
a record is lost, doubled, or stands in a table without being in the broker.
"""

import json
import sys

import numpy
import pyarrow.compute
from confluent_kafka import Consumer, TopicPartition

import lake

SOURCE = ("_src_topic", "_src_partition", "_src_offset")
DEAD_LETTERS = "bronze.dead_letters"


def held_offsets(brokers, topics):
    """{(topic, partition): (first, end)} of what the broker holds now."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "exactly-once-judge"})
    held = {}
    for topic in topics:
        metadata = consumer.list_topics(topic, timeout=30).topics[topic]
        if metadata.error:
            raise SystemExit(f"exactly_once: the broker has no topic {topic}: {metadata.error}")
        for partition in metadata.partitions:
            held[topic, partition] = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
    consumer.close()
    return held


def count(catalog, held):
    """How often each held offset stands in the tables; rows per table; rows of records not held."""
    seen = {source: numpy.zeros(end - first, dtype=numpy.uint16) for source, (first, end) in held.items()}
    topics = {topic for topic, _ in held}
    rows, foreign = {}, 0
    for name in lake.tables(catalog, ["bronze"]):
        table = catalog.load_table(name)
        if not set(SOURCE) <= {field.name for field in table.schema().fields}:
            continue
        rows[name] = 0
        for batch in lake.batches(table, SOURCE):
            for topic in topics.intersection(pyarrow.compute.unique(batch["_src_topic"]).to_pylist()):
                part = batch.filter(pyarrow.compute.equal(batch["_src_topic"], topic))
                rows[name] += part.num_rows
                partitions = part["_src_partition"].to_numpy(zero_copy_only=False)
                offsets = part["_src_offset"].to_numpy(zero_copy_only=False)
                for partition in numpy.unique(partitions):
                    if (topic, int(partition)) not in held:
                        foreign += int((partitions == partition).sum())
                        continue
                    first, end = held[topic, int(partition)]
                    mine = offsets[partitions == partition]
                    inside = mine[(mine >= first) & (mine < end)]
                    foreign += len(mine) - len(inside)
                    numpy.add.at(seen[topic, int(partition)], inside - first, 1)
    return seen, rows, foreign


def main():
    data, brokers, *topics = sys.argv[1:]
    held = held_offsets(brokers, topics)
    catalog = lake.catalog("sql", *data.rsplit("#", 1)) if "://" in data else lake.open_catalog(data)
    seen, rows, foreign = count(catalog, held)
    lost = {f"{topic}/{partition}": int((times == 0).sum()) for (topic, partition), times in seen.items()}
    doubled = sum(int((times > 1).sum()) for times in seen.values())
    verdict = {
        "records": sum(end - first for first, end in held.values()),
        "landed": sum(count for name, count in rows.items() if name != DEAD_LETTERS),
        "dead_letters": rows.get(DEAD_LETTERS, 0),
        "lost": sum(lost.values()),
        "doubled": doubled,
        "foreign": foreign,
        "rows": rows,
        "lost_by_partition": {source: number for source, number in lost.items() if number},
    }
    print(json.dumps(verdict))
    exact = rows and verdict["lost"] == doubled == foreign == 0
    sys.exit(0 if exact else 1)


if __name__ == "__main__":
    main()
