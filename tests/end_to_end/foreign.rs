//! Another engine writes to the very table that Sluice ingests into and compacts: it appends, deletes, expires,
//! branches and rolls back, and every row is there as often as all of them together say.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use crate::judge::judge;
use crate::parts::parts;
use crate::sluice::{Lake, unique};

/// How long the storm lasts; `tests/run --full` lets it last longer.
const SECONDS: &str = "10";

#[test]
fn a_storm_of_foreign_writers_neither_loses_nor_doubles() {
    let lake = Lake::on_s3().with_kafka();
    let lake = lake.with("SLUICE_MAINTAIN_MAX_SNAPSHOT_AGE", "5s").with("SLUICE_MAINTAIN_READER_GRACE", "2s");
    let seconds = std::env::var("SLUICE_TEST_STORM_SECONDS").unwrap_or_else(|_| SECONDS.to_owned());
    let topic = unique("stormy");
    let topics = topics_file(&lake, &topic);
    lake.succeed(&["topics", "apply", "--topics", &topics]);
    // The first run makes the tables.
    lake.succeed(&["ingest", "--topics", &topics, "--until-caught-up", "--group", &unique("calm")]);
    let ingest = ["ingest", "--topics", &topics, "--commit-interval", "200ms", "--group", &unique("stormy")];
    let mut landing = lake.start(&ingest);
    let mut said = landing.process.stderr.take().unwrap();
    let log = lake.dir().join("ingest.log");
    // Keeps the pipe empty, so that ingest never waits for a reader.
    let reader = thread::spawn(move || std::io::copy(&mut said, &mut std::fs::File::create(log).unwrap()));
    let over = AtomicBool::new(false);
    let (data, result) = (lake.dir().to_str().unwrap(), lake.dir().join("expected.json"));
    let result = result.to_str().unwrap();
    thread::scope(|scope| {
        let maintenance = scope.spawn(|| {
            let mut rewritten = 0;
            while !over.load(SeqCst) {
                let run = lake.succeed(&["maintain", "bronze.sales", "--json"]);
                rewritten += run.json()["files_rewritten"].as_u64().unwrap();
            }
            rewritten
        });
        // Ends the loop of maintenance when the storm fails, too.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, SeqCst);
            }
        }
        let ended = Over(&over);
        let storm =
            judge("storm.py", &lake, &[data, "bronze.sales", parts().brokers(), &topic, &seconds, result]);
        drop(ended);
        println!("{storm}");
        let storm: serde_json::Value = serde_json::from_str(storm.lines().last().unwrap()).unwrap();
        for kind in ["append", "delete", "rollback", "branch"] {
            assert!(storm[kind].as_u64() > Some(0), "no {kind} in {storm}");
        }
        assert!(maintenance.join().unwrap() > 0, "nothing was compacted");
    });
    let report = landing.stop();
    reader.join().unwrap().unwrap();
    println!("{}", report.stdout);
    lake.succeed(&["ingest", "--topics", &topics, "--until-caught-up", "--group", &unique("calm")]);
    judge("storm_verdict.py", &lake, &[data, "bronze.sales", result]);
}

fn topics_file(lake: &Lake, topic: &str) -> String {
    let text = format!(
        "topics:
  - name: {topic}
    partitions: 2
    routes:
      - table: bronze.sales
        event_types: [sale]
        columns:
          id: string
          event_type: string
        required: [id, event_type]
"
    );
    lake.file("topics.yaml", text).to_str().unwrap().to_owned()
}
