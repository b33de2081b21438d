//! Topics that are not what they were: with more partitions, with holes, recreated, or emptied before they were read.

use serde_json::json;

use crate::judge::judge;
use crate::parts::parts;
use crate::sluice::{Lake, Run, unique};

/// A topic of one partition, landed in `bronze.sales`.
struct Topic {
    lake: Lake,
    name: String,
    file: String,
}

impl Topic {
    fn new() -> Self {
        let (lake, name) = (Lake::on_disk().with_kafka(), unique("changing"));
        let text = format!(
            "topics:
  - name: {name}
    partitions: 1
    routes:
      - table: bronze.sales
        columns: {{id: string, event_type: string}}
"
        );
        let file = lake.file("topics.yaml", text).to_str().unwrap().to_owned();
        lake.succeed(&["topics", "apply", "--topics", &file]);
        Self { lake, name, file }
    }

    fn send(&self, count: usize) {
        let event =
            |number| json!({"text": json!({"id": format!("{number}"), "event_type": "sale"}).to_string()});
        let lines: Vec<_> = (0..count).map(|number| event(number).to_string()).collect();
        let file = self.lake.file("events.ndjson", lines.join("\n"));
        judge("send.py", &self.lake, &[parts().brokers(), &self.name, file.to_str().unwrap()]);
    }

    fn meets(&self, fault: &str, number: usize) {
        judge("topic_faults.py", &self.lake, &[parts().brokers(), &self.name, fault, &number.to_string()]);
    }

    /// A start in a group of its own.
    fn ingest(&self) -> Run {
        self.lake.run(&["ingest", "--topics", &self.file, "--until-caught-up", "--group", &unique("start")])
    }

    /// Rows and different ids among them.
    fn rows(&self) -> (u64, u64) {
        let sql = "select count(*) as n, count(distinct id) as ids from bronze.sales";
        let found = self.lake.succeed(&["sql", sql, "--json"]).json();
        (found["n"].as_u64().unwrap(), found["ids"].as_u64().unwrap())
    }

    fn lands(&self, rows: u64) {
        let run = self.ingest();
        assert!(run.status.success(), "{run}");
        assert_eq!(self.rows(), (rows, rows));
    }

    fn refuses(&self, fact: &str) {
        let before = self.rows();
        let run = self.ingest();
        assert!(run.status.code() == Some(1) && run.stderr.contains(fact), "`{fact}` was not said: {run}");
        assert_eq!(self.rows(), before, "nothing lands");
    }
}

#[test]
fn new_partitions_are_read_from_their_start_and_aborted_records_are_not_read() {
    let topic = Topic::new();
    topic.send(20);
    topic.lands(20);
    topic.meets("grow", 3);
    topic.lands(40);
    topic.meets("abort", 7);
    topic.lands(43);
    topic.lands(43);
}

#[test]
fn a_topic_that_was_created_again_is_refused() {
    let topic = Topic::new();
    topic.send(20);
    topic.lands(20);
    // Shorter than what was landed, then longer: other records stand where the last landed one stood.
    topic.meets("recreate", 5);
    topic.refuses("is not the one that");
    topic.meets("recreate", 30);
    topic.refuses("is not the one that");
}

#[test]
fn records_that_expired_unread_are_counted_and_nothing_is_skipped_silently() {
    let topic = Topic::new();
    topic.send(10);
    topic.lands(10);
    topic.send(10);
    topic.meets("expire", 15);
    topic.refuses("5 messages expired before they were read");
}
