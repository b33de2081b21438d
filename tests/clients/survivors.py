"""Judges lakes whose writers were killed: survivors.py FILE, one lake a line.

Each line is a JSON object: `name` for messages, `uri` and `catalog` of an Iceberg SQL catalog, and what must be found:
`topics` with `brokers` (each record of them is in the tables exactly once), or `ids` (for some tables the values of
their column id). In every table every snapshot must be readable, every file that a snapshot names must be there, and
no other file may lie in the table's folder: orphans were to be removed before.
"""

import json
import os
import pathlib
import sys
import urllib.parse

import pyarrow.fs
from checks import Checks
from exactly_once import count, held_offsets
from pyiceberg.catalog.sql import SqlCatalog

import lake


def store(location):
    """The file system and the path in it of a location."""
    url = urllib.parse.urlparse(location)
    if url.scheme != "s3":
        return pyarrow.fs.LocalFileSystem(), url.path
    endpoint = urllib.parse.urlparse(os.environ["AWS_ENDPOINT_URL"])
    system = pyarrow.fs.S3FileSystem(
        access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=endpoint.netloc, scheme=endpoint.scheme, region=os.environ.get("AWS_REGION", "us-east-1"),
    )
    return system, url.netloc + url.path


def needed(table):
    """Every location that the table's state leads to."""
    metadata = table.metadata
    locations = {table.metadata_location} | {entry.metadata_file for entry in metadata.metadata_log}
    for snapshot in metadata.snapshots:
        locations.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            locations.add(manifest.manifest_path)
            entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
            locations.update(entry.data_file.file_path for entry in entries)
    return locations


def faults(table):
    """What is wrong with the files of a table, in words."""
    system, folder = store(table.location())
    held = {file.path for file in system.get_file_info(pyarrow.fs.FileSelector(folder, recursive=True)) if file.is_file}
    wanted = {store(location)[1] for location in needed(table)}
    found = [f"missing: {path}" for path in sorted(wanted - held)]
    found += [f"orphan: {path}" for path in sorted(held - wanted)]
    for snapshot in table.metadata.snapshots:
        rows = table.scan(snapshot_id=snapshot.snapshot_id).to_arrow().num_rows
        told = snapshot.summary.additional_properties
        if told.get("total-position-deletes", "0") == "0" and rows != int(told["total-records"]):
            found.append(f"snapshot {snapshot.snapshot_id} has {rows} rows, its summary says {told['total-records']}")
    return found


def judge(checks, line, held):
    name = line["name"]
    catalog = SqlCatalog(line["catalog"], uri=line["uri"], init_catalog_tables="false", **lake.store_settings())
    for table in lake.tables(catalog):
        wrong = faults(catalog.load_table(table))
        checks.check(f"{name}: files and snapshots of {table}", not wrong, "; ".join(wrong))
    for table, ids in line.get("ids", {}).items():
        rows = sorted(catalog.load_table(table).scan(selected_fields=("id",)).to_arrow()["id"].to_pylist())
        checks.check(f"{name}: rows of {table}", rows == ids, f"{rows} found, {ids} expected")
    if held:
        seen, rows, foreign = count(catalog, held)
        lost = sum(int((times == 0).sum()) for times in seen.values())
        doubled = sum(int((times > 1).sum()) for times in seen.values())
        whole = lost == doubled == foreign == 0 and sum(rows.values()) == sum(end - first for first, end in held.values())
        checks.check(f"{name}: each record once", whole, f"{lost} lost, {doubled} doubled, {foreign} foreign, {rows}")


def main():
    checks = Checks()
    for text in pathlib.Path(sys.argv[1]).read_text().splitlines():
        line = json.loads(text)
        held = held_offsets(line["brokers"], line["topics"]) if "topics" in line else {}
        judge(checks, line, held)
    checks.finish()


if __name__ == "__main__":
    main()
