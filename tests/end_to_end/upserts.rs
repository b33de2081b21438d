//! Tables with a key: changes from Kafka land in MinIO through kills and compactions, and PyIceberg and DuckDB see what
//! a map over the messages says.

use std::thread::sleep;
use std::time::Duration;

use crate::judge::judge;
use crate::parts::parts;
use crate::sluice::{Lake, unique};

#[test]
fn changes_by_key_are_those_of_a_map_through_kills_and_compactions() {
    let lake = Lake::on_s3().with_kafka();
    let (events, envelopes) = (unique("ops"), unique("dbz"));
    let topics = topics_file(&lake, &events, &envelopes);
    lake.succeed(&["topics", "apply", "--topics", &topics]);
    let send = |seed: &str, count: &str| {
        judge("upserts.py", &lake, &["send", parts().brokers(), &events, &envelopes, seed, count]);
    };
    let catch_up = || lake.succeed(&["ingest", "--topics", &topics, "--until-caught-up"]);
    send("1", "2000");
    catch_up();
    for (seed, millis) in [("2", 900), ("3", 1600)] {
        send(seed, "1500");
        let ingest = lake.start(&["ingest", "--topics", &topics, "--commit-interval", "200ms"]);
        // The fault happens at a moment, not at an event.
        sleep(Duration::from_millis(millis));
        ingest.kill();
    }
    catch_up();
    lake.succeed(&["maintain", "--all"]);
    send("4", "500");
    catch_up();
    judge(
        "upserts.py",
        &lake,
        &["judge", lake.dir().to_str().unwrap(), parts().brokers(), &events, &envelopes],
    );
}

fn topics_file(lake: &Lake, events: &str, envelopes: &str) -> String {
    let topic = |name: &str, changes: &str, more: &str| {
        format!(
            "  - name: {name}
    partitions: 3
    routes:
      - table: bronze.{}
        key: [id]
        changes: {changes}
        columns:
          id: long
          v: long
          note: string
{more}",
            name.replace('-', "_")
        )
    };
    let ordered = "          __source_lsn: long\n        order_by: __source_lsn\n";
    let text = format!("topics:\n{}{}", topic(events, "op", ""), topic(envelopes, "debezium", ordered));
    lake.file("topics.yaml", &text).to_str().unwrap().to_owned()
}
