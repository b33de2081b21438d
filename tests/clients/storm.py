"""Another engine on the table of an ingest: storm.py DATA TABLE BROKERS TOPIC SECONDS RESULT.

While Sluice ingests TOPIC into TABLE and compacts it, this sends records to the topic, and PyIceberg appends rows of its
own, deletes rows of both, expires snapshots, creates branches, and rolls back, all on the catalog itself. Every row has
an id; RESULT is told which ids the table must hold at the end, each once. SLUICE_TEST_SEED replays the choices.

A commit of ours is part of the table as long as no rollback went behind it. Rows of the topic come again after a
rollback, also those that were deleted in what was taken back. Snapshots are expired when rows have landed since the last
rollback: before that they tell Sluice where to go on.
"""

import datetime
import json
import os
import pathlib
import random
import sys
import time

import lake
import pyarrow
from confluent_kafka import Producer
from pyiceberg.exceptions import CommitFailedException, ValidationException

data, name, brokers, topic, seconds, result = sys.argv[1:]
draw = random.Random(int(os.environ.get("SLUICE_TEST_SEED", "20261121")))
catalog = lake.open_catalog(data)
producer = Producer({"bootstrap.servers": brokers, "linger.ms": 5})
made = {"sent": 0, "append": 0, "delete": 0, "expire": 0, "branch": 0, "rollback": 0, "lost races": 0}
commits = []  # ours that stand: (sequence number, ids added, ids deleted)
rolled_back_at = 0


def send(count):
    for number in range(made["sent"], made["sent"] + count):
        event = {"id": f"s{number}", "event_type": "sale"}
        producer.produce(topic, json.dumps(event), partition=number % 2)
    made["sent"] += count
    producer.poll(0)


def tried(change):
    """The table after `change`, which is tried again when Sluice was faster."""
    for _ in range(40):
        table = catalog.load_table(name)
        try:
            # A table that was changed is at its new state, whatever Sluice did meanwhile.
            return None if change(table) is False else table
        except (CommitFailedException, ValidationException):
            made["lost races"] += 1
    raise SystemExit("storm: lost 40 races for the table in a row")


def sequence(table):
    return table.current_snapshot().sequence_number


def append():
    ids = [f"f{made['append']}-{row}" for row in range(3)]
    now = datetime.datetime.now(datetime.timezone.utc)
    rows = [
        {"id": one, "event_type": "sale", "_src_topic": "foreign", "_src_partition": 0, "_src_offset": row, "_ingested_at": now}
        for row, one in enumerate(ids)
    ]
    made["append"] += 1

    def change(table):
        table.append(pyarrow.Table.from_pylist(rows, schema=table.schema().as_arrow()))

    commits.append((sequence(tried(change)), ids, []))


def delete():
    def change(table):
        held = table.scan(selected_fields=("id",), limit=500).to_arrow()["id"].to_pylist()
        if len(held) < 10:
            return False
        # One row: one file, one snapshot.
        change.id = draw.choice(held)
        table.delete(f"id = '{change.id}'")
        return True

    table = tried(change)
    if table:
        made["delete"] += 1
        commits.append((sequence(table), [], [change.id]))


def branch():
    tried(lambda table: table.manage_snapshots().create_branch(
        table.current_snapshot().snapshot_id, f"audit-{made['branch']}").commit())
    made["branch"] += 1


def ancestors(table):
    at, found = table.current_snapshot(), []
    while at:
        found.append(at)
        at = table.snapshot_by_id(at.parent_snapshot_id) if at.parent_snapshot_id else None
    return found


def rollback():
    global rolled_back_at

    def change(table):
        history = ancestors(table)[1:7]
        if len(history) < 3:
            return False
        change.target = draw.choice(history)
        table.manage_snapshots().rollback_to_snapshot(change.target.snapshot_id).commit()
        return True

    table = tried(change)
    if table:
        made["rollback"] += 1
        rolled_back_at = table.metadata.last_sequence_number
        commits[:] = [commit for commit in commits if commit[0] <= change.target.sequence_number]


def expire():
    def change(table):
        landed = [
            one.sequence_number for one in ancestors(table)
            if f"sluice.ranges.{topic}" in one.summary.additional_properties
        ]
        if not landed or landed[0] <= rolled_back_at:
            return False
        old = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=4)
        table.maintenance.expire_snapshots().older_than(old).commit()
        return True

    if tried(change):
        made["expire"] += 1


def expected():
    """Ids that the table must hold."""
    ids = {f"s{number}" for number in range(made["sent"])}
    for _, added, deleted in sorted(commits, key=lambda commit: commit[0]):
        ids |= set(added)
        ids -= set(deleted)
    return sorted(ids)


def main():
    end = time.monotonic() + float(seconds)
    send(50)
    append()  # there is a snapshot from here on
    turns = [append, append, delete, branch, expire, rollback]
    while time.monotonic() < end:
        draw.shuffle(turns)
        for turn in turns:
            send(20)
            turn()
            time.sleep(0.1)
    send(20)
    if producer.flush(30):
        raise SystemExit("storm: the broker did not take all records")
    pathlib.Path(result).write_text(json.dumps(expected()))
    print(json.dumps(made))


main()
