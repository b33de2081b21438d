//! Avro and Protobuf of foreign producers, their schemas in a schema registry, into tables that grow with them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::judge::{exactly_once, judge};
use crate::parts::{parts, root};
use crate::sluice::{Lake, unique};

const TABLE: &str = "bronze.registered";
const ROWS: u64 = 300;
/// Rows are there some seconds after they were sent; this is for a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn avro_of_a_foreign_producer_lands_and_its_new_fields_become_columns() {
    evolves("avro");
}

#[test]
fn protobuf_of_a_foreign_producer_lands_and_its_new_fields_become_columns() {
    evolves("protobuf");
}

/// Two schemas of one producer, with bad messages between, while one process ingests.
fn evolves(format: &str) {
    let registry = parts().get("SCHEMA_REGISTRY_URL");
    let lake = Lake::on_s3().with_kafka().with("SLUICE_INGEST_REGISTRY_URL", registry);
    let topic = unique(format);
    let yaml = format!(
        "topics:\n  - name: {topic}\n    format: {format}\n    routes:\n      - table: {TABLE}\n        schema: \
         evolve\n        columns: {{}}\n"
    );
    let topics = lake.file("topics.yaml", yaml);
    let topics = topics.to_str().unwrap();
    lake.succeed(&["topics", "apply", "--topics", topics]);
    let folder = lake.dir().to_str().unwrap();
    let produce = |part: &str| {
        judge("registered.py", &lake, &["produce", parts().brokers(), registry, &topic, format, part]);
    };
    let ingest = lake.start(&["ingest", "--topics", topics, "--commit-interval", "1s"]);
    produce("first");
    wait(&lake, TABLE, ROWS);
    judge("registered.py", &lake, &["judge", folder, TABLE, "first"]);

    send(&lake, &topic);
    wait(&lake, "bronze.dead_letters", 3);
    produce("second");
    wait(&lake, TABLE, 2 * ROWS);
    let stopped = ingest.stop();
    assert!(stopped.status.success(), "{stopped}");
    judge("registered.py", &lake, &["judge", folder, TABLE, "second"]);
    let landing = exactly_once(&lake, &[&topic]);
    assert_eq!((landing.rows(TABLE), landing.get("dead_letters")), (2 * ROWS, 3));
    let causes = "select cause from bronze.dead_letters order by _src_offset";
    let causes = lake.succeed(&["sql", causes, "--json"]).json_lines();
    assert_eq!(
        causes,
        [json!({"cause": "unknown_schema"}), json!({"cause": "not_framed"}), json!({"cause": "empty"})]
    );
}

#[test]
fn a_schema_is_checked_before_its_producer_uses_it() {
    let registry = parts().get("SCHEMA_REGISTRY_URL");
    let lake = Lake::on_disk().with_kafka().with("SLUICE_INGEST_REGISTRY_URL", registry);
    let topic = unique("checked");
    let yaml = format!(
        "topics:\n  - name: {topic}\n    format: avro\n    routes:\n      - table: {TABLE}\n        schema: \
         evolve\n        columns: {{id: string, number: int}}\n        required: [id]\n"
    );
    let topics = lake.file("topics.yaml", yaml);
    let topics = topics.to_str().unwrap();
    lake.succeed(&["topics", "apply", "--topics", topics]);
    let args = ["produce", parts().brokers(), registry, &topic, "avro", "first"];
    judge("registered.py", &lake, &args);
    let check = |fields: &str| {
        let schema = format!(r#"{{"type":"record","name":"Event","namespace":"shop","fields":[{fields}]}}"#);
        let schema = lake.file("new.avsc", schema);
        let run = lake.run(&[
            "schemas",
            "check",
            schema.to_str().unwrap(),
            "--topic",
            &topic,
            "--topics",
            topics,
            "--json",
        ]);
        let found = run.json();
        let fields: Vec<String> = found["tables"]
            .as_array()
            .unwrap()
            .iter()
            .map(|effect| {
                format!("{} {}", effect["field"].as_str().unwrap(), effect["what"].as_str().unwrap())
            })
            .collect();
        (run.status.success(), found["registry"].as_bool(), fields)
    };
    let id = r#"{"name":"id","type":"string"}"#;
    let wider = format!(
        r#"{id},{{"name":"number","type":"long"}},{{"name":"more","type":["null","int"],"default":null}}"#
    );
    let expected = vec!["number widened".to_owned(), "more added".to_owned()];
    assert_eq!(check(&wider), (true, Some(true), expected));
    let (safe, taken, _) = check(&format!(r#"{id},{{"name":"must","type":"int"}}"#));
    assert_eq!(
        (safe, taken),
        (false, Some(false)),
        "a new field without a default cannot be read from old events"
    );
    let (safe, taken, fields) = check(r#"{"name":"number","type":"int"}"#);
    assert_eq!((safe, taken), (false, Some(true)));
    assert!(fields.contains(&"id rejected".to_owned()), "{fields:?}");
}

/// Waits until a table has so many rows; that it gets no more is judged afterwards.
fn wait(lake: &Lake, table: &str, rows: u64) {
    let begun = Instant::now();
    let count = format!("select count(*) as n from {table}");
    loop {
        let run = lake.run(&["sql", &count, "--json"]);
        let found = if run.status.success() { run.json()["n"].as_u64() } else { None };
        if found.is_some_and(|found| found >= rows) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{table} has {found:?} rows, not {rows}: {run}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// A schema id that the registry does not know, a message without a header, an empty one.
fn send(lake: &Lake, topic: &str) {
    let lines = [json!({"hex": "007fffffff0000"}), json!({"text": "hello"}), json!({"text": ""})];
    let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
    let file = lake.file("bad.ndjson", lines.join("\n"));
    let script = root().join("tests/clients/send.py");
    let run = std::process::Command::new(parts().get("PYTHON"))
        .args([script.to_str().unwrap(), parts().brokers(), topic, file.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
