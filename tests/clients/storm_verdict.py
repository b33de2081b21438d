"""What a storm left: storm_verdict.py DATA TABLE RESULT. The table holds exactly the ids of RESULT, each once."""

import collections
import json
import pathlib
import sys

import lake
from checks import Checks

data, name, result = sys.argv[1:]
expected = set(json.loads(pathlib.Path(result).read_text()))
table = lake.open_catalog(data).load_table(name)
found = collections.Counter(table.scan(selected_fields=("id",)).to_arrow()["id"].to_pylist())
checks = Checks()
lost, extra = sorted(expected - set(found)), sorted(set(found) - expected)
doubled = sorted(one for one, times in found.items() if times > 1)
checks.check("no row is lost", not lost, f"{len(lost)}: {lost[:20]}")
checks.check("no row is there that was deleted or taken back", not extra, f"{len(extra)}: {extra[:20]}")
checks.check("no row is doubled", not doubled, f"{len(doubled)}: {doubled[:20]}")
for snapshot in table.metadata.snapshots:
    rows = table.scan(snapshot_id=snapshot.snapshot_id).to_arrow().num_rows
    checks.check(f"snapshot {snapshot.snapshot_id} is readable", rows >= 0)
checks.finish()
