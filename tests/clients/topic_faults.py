"""What happens to topics: topic_faults.py BROKERS TOPIC FAULT NUMBER.

grow N       it gets N partitions; ten records go to each of the new ones
abort N      a transaction of N records is aborted, one of three is committed
recreate N   it is deleted and created again, with N other records
expire N     the broker gives up all records before offset N
"""

import json
import sys
import time

from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

brokers, topic, fault, number = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
admin = AdminClient({"bootstrap.servers": brokers})


def done(futures):
    for future in futures.values():
        future.result(timeout=30)


def until_done(change):
    """Tries again while the broker is still at the last change."""
    for _ in range(100):
        try:
            return done(change())
        except KafkaException as error:
            last = error
            time.sleep(0.2)
    raise SystemExit(f"topic_faults: {fault}: {last}")


def send(producer, name, count, partition=0):
    for record in range(count):
        event = {"id": f"{name}-{partition}-{record}", "event_type": "sale"}
        producer.produce(topic, json.dumps(event), partition=partition)


def flushed(producer):
    if producer.flush(60):
        raise SystemExit(f"topic_faults: {fault}: the broker did not take all records")


match fault:
    case "grow":
        before = len(admin.list_topics(topic, timeout=30).topics[topic].partitions)
        done(admin.create_partitions([NewPartitions(topic, number)]))
        producer = Producer({"bootstrap.servers": brokers, "topic.metadata.refresh.interval.ms": 200})
        for _ in range(100):
            if len(producer.list_topics(topic, timeout=30).topics[topic].partitions) == number:
                break
            time.sleep(0.2)
        for partition in range(before, number):
            send(producer, "grown", 10, partition)
        flushed(producer)
    case "abort":
        producer = Producer({"bootstrap.servers": brokers, "transactional.id": f"{topic}-aborts"})
        producer.init_transactions(60)
        for name, count, end in (("aborted", number, producer.abort_transaction), ("committed", 3, producer.commit_transaction)):
            producer.begin_transaction()
            send(producer, name, count)
            flushed(producer)
            end(60)
    case "recreate":
        partitions = len(admin.list_topics(topic, timeout=30).topics[topic].partitions)
        done(admin.delete_topics([topic]))
        until_done(lambda: admin.create_topics([NewTopic(topic, partitions, 1)]))
        producer = Producer({"bootstrap.servers": brokers})
        send(producer, "recreated", number)
        flushed(producer)
    case "expire":
        done(admin.delete_records([TopicPartition(topic, 0, number)]))
