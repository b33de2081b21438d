//! Sixty tables that messages name, by topic, header and field, with few open files and a kill in between: PyIceberg
//! and DuckDB find in each exactly the messages that name it.

use std::time::{Duration, Instant};

use crate::judge::judge;
use crate::parts::parts;
use crate::sluice::{Lake, unique};

/// For a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn each_table_that_messages_name_gets_its_messages_once_through_a_kill() {
    let prefix = unique("route");
    let lake = Lake::on_s3()
        .with_kafka()
        .with("SLUICE_INGEST_OPEN_FILES", "8")
        .with("SLUICE_INGEST_DISCOVER_EVERY", "500ms");
    let topics = topics_file(&lake, &prefix);
    lake.succeed(&["topics", "apply", "--topics", &topics]);
    let send = |part: &str, count: &str, late: &[&str]| {
        judge("routing.py", &lake, &[&["send", parts().brokers(), &prefix, part, count], late].concat());
    };
    send("1", "60000", &[]);
    let ingest = ["ingest", "--topics", &topics, "--commit-interval", "1s", "--group"];
    let started = lake.start(&[&ingest[..], &[&unique("routed")]].concat());
    until_there(&lake, &format!("{prefix}-shop-a"));
    send("2", "6000", &["late"]);
    until_there(&lake, &format!("{prefix}-shop-late"));
    started.kill();
    send("3", "20000", &["late"]);
    // Progress is in the tables: another group goes on where they stand, without waiting for the dead member.
    lake.succeed(&[&ingest[..], &[&unique("routed"), "--until-caught-up"]].concat());
    judge("routing.py", &lake, &["judge", lake.dir().to_str().unwrap(), parts().brokers(), &prefix]);
}

/// Waits for the table of a topic.
fn until_there(lake: &Lake, topic: &str) {
    let table = format!("bronze.{}", topic.replace('-', "_"));
    let began = Instant::now();
    while !lake.succeed(&["tables", "--json"]).stdout.contains(&table) {
        assert!(began.elapsed() < PATIENCE, "there is no `{table}`");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn topics_file(lake: &Lake, prefix: &str) -> String {
    let text = format!(
        "topics:
  - pattern: '{prefix}-shop-[a-z]+'
    routes:
      - table: bronze.{{topic}}
        columns: {{id: string, n: long}}
  - name: {prefix}-sales
    partitions: 3
    type_from: header:type
    routes:
      - table: bronze.sales_{{header:tenant}}
        columns: {{id: string, n: long}}
        partition_by: ['bucket(4, id)']
        sort_by: [n desc]
        properties: {{owner: shop}}
      - table: bronze.refunds
        event_types: [refund]
        columns: {{id: string, n: long}}
  - name: {prefix}-events
    partitions: 3
    routes:
      - table: bronze.of_{{field:kind}}
        max_tables: 20
        columns: {{id: string, n: long}}
"
    );
    lake.file("topics.yaml", &text).to_str().unwrap().to_owned()
}
