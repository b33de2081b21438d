"""The long run: full_run.py SLUICE [EVENTS] [KILLS].

Five million events (or EVENTS) go through Kafka to MinIO while ingest is killed with SIGKILL at ten (or KILLS)
random moments; then PyIceberg counts every record exactly once. The same events are then landed once more in a
lake of their own without any fault, which gives the rate. The peak memory is the largest of all ingest processes.
SLUICE_TEST_SEED replays the moments. Prints the figures, and one JSON object on the last line but one.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from checks import Checks

TOPICS = ["user-events", "payments", "orders", "inventory"]
BUDGET_MIB = 1024
HERE = pathlib.Path(__file__).parent


def environment(folder, warehouse):
    wanted = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
    return wanted | {
        "SLUICE_DATA": str(folder),
        "SLUICE_KAFKA_BROKERS": os.environ["KAFKA_BOOTSTRAP"],
        "SLUICE_LAKE_WAREHOUSE": f"s3://{os.environ['MINIO_BUCKET']}/{warehouse}",
    }


class Ingest:
    """One ingest process; its peak memory is known once it has ended."""

    peak_mib = 0

    def __init__(self, program, lake, *arguments):
        command = [program, "ingest", "--memory", f"{BUDGET_MIB}MiB", *arguments]
        self.process = subprocess.Popen(command, env=lake, stdout=subprocess.PIPE, text=True)

    def end(self):
        """Waits for the end; gives its exit code and its last line."""
        said = self.process.stdout.read().strip().splitlines()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        Ingest.peak_mib = max(Ingest.peak_mib, usage.ru_maxrss // 1024)
        return self.process.returncode, said[-1] if said else ""


def judged(lake):
    command = [sys.executable, str(HERE / "exactly_once.py"), lake["SLUICE_DATA"], lake["SLUICE_KAFKA_BROKERS"], *TOPICS]
    run = subprocess.run(command, env=lake, capture_output=True, text=True, check=False)
    if not run.stdout:
        raise SystemExit(f"the judge failed:\n{run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


def killed_run(checks, program, lake, events, kills, draw):
    """Produces while ingest is killed again and again, then lets it finish."""
    produce = [program, "produce", "--events", str(events), "--bad", "0.001", "--seed", "42"]
    producer = subprocess.Popen(produce, env=lake, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for number in range(kills):
        ingest = Ingest(program, lake, "--commit-interval", "500ms")
        moment = draw.uniform(0.2, 4.0)
        time.sleep(moment)
        ingest.process.kill()
        code, _ = ingest.end()
        checks.check(f"kill {number + 1} after {moment:.2f} s", code == -9, f"ingest had ended by itself with {code}")
    _, complaints = producer.communicate()
    checks.check(f"{events} events produced", producer.returncode == 0, complaints)
    code, said = Ingest(program, lake, "--until-caught-up", "--json").end()
    checks.check("the last ingest catches up", code == 0, said)


def main():
    program = sys.argv[1]
    events = int(sys.argv[2]) if len(sys.argv) > 2 else 5_000_000
    kills = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    seed = int(os.environ.get("SLUICE_TEST_SEED", "20261121"))
    print(f"SLUICE_TEST_SEED={seed}")
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="sluice-full-") as folder:
        killed, calm = (environment(pathlib.Path(folder) / name, f"full-{os.getpid()}-{name}") for name in ("killed", "calm"))
        subprocess.run([program, "topics", "apply"], env=killed, check=True, stdout=subprocess.DEVNULL)
        killed_run(checks, program, killed, events, kills, random.Random(seed))
        found = judged(killed)
        checks.check("nothing lost", found["lost"] == 0, found)
        checks.check("nothing doubled", found["doubled"] == found["foreign"] == 0, found)
        checks.check("consumed = landed + dead letters",
                     found["records"] == found["landed"] + found["dead_letters"] >= events, found)

        begun = time.monotonic()
        code, said = Ingest(program, calm, "--until-caught-up", "--json").end()
        seconds = time.monotonic() - begun
        checks.check("a run without faults ends well", code == 0, said)
        again = judged(calm)
        checks.check("and lands the same", [again[name] for name in ("landed", "dead_letters", "lost", "doubled")]
                     == [found[name] for name in ("landed", "dead_letters", "lost", "doubled")], again)
    checks.check(f"peak memory stays under {BUDGET_MIB} MiB", 0 < Ingest.peak_mib <= BUDGET_MIB, f"{Ingest.peak_mib} MiB")
    print(json.dumps({
        "consumed": found["records"], "landed": found["landed"], "dead_letters": found["dead_letters"],
        "lost": found["lost"], "doubled": found["doubled"], "kills": kills,
        "events_per_second": round(found["records"] / seconds), "seconds": round(seconds, 1),
        "peak_rss_mib": Ingest.peak_mib, "budget_mib": BUDGET_MIB,
    }))
    checks.finish()


if __name__ == "__main__":
    main()
