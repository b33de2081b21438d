"""Waits until every record that the broker holds has been committed: landed.py DATA BROKERS SECONDS TOPIC...

Counts by the totals that each snapshot carries, so looking often is cheap. Says nothing about which records they
are: that is exactly_once.py's part. The exit code is 1 when the time is over first.
"""

import sys
import time

import exactly_once
import lake
from pyiceberg.exceptions import NoSuchTableError
from sqlalchemy.exc import OperationalError


def committed(catalog, topics):
    """Rows of the tables that record progress in one of the topics, by their snapshots' totals.

    Tables that were loaded from files carry a source too, but no progress.
    """
    progress = {f"sluice.offsets.{topic}" for topic in topics}
    total = 0
    try:
        for name in lake.tables(catalog, ["bronze"]):
            table = catalog.load_table(name)
            if progress & set(table.properties):
                total += int(table.current_snapshot().summary["total-records"]) if table.current_snapshot() else 0
    except (OperationalError, NoSuchTableError):
        pass  # the lake is being made: there is nothing in it yet
    return total


def wait(data, brokers, seconds, topics):
    """True as soon as as many rows are committed as the broker holds now."""
    wanted = sum(end - first for first, end in exactly_once.held_offsets(brokers, topics).values())
    catalog = lake.open_catalog(data)
    deadline = time.monotonic() + seconds
    while (found := committed(catalog, topics)) < wanted:
        if time.monotonic() > deadline:
            print(f"{found} of {wanted} records were committed after {seconds} s")
            return False
        time.sleep(0.2)
    print(f"{found} of {wanted} records are committed")
    return True


if __name__ == "__main__":
    sys.exit(0 if wait(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4:]) else 1)
