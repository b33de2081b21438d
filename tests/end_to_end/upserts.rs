//! Tables with a key: changes from Kafka land in MinIO through kills and compactions, and PyIceberg and DuckDB see
//! what a map over the messages says.

use std::thread::sleep;
use std::time::Duration;

use crate::judge::judge;
use crate::kill_points::store;
use crate::parts::parts;
use crate::sluice::{Lake, unique};
use crate::wire::Moment::{After, Before};
use crate::wire::{Moment, Point};

/// Where a landing is killed. There are three tables: those of the two topics, and the dead letters.
const KILLS: [(&str, Moment, usize, &str); 4] = [
    ("rows are written, their predecessors are not deleted", Before, 1, "PUT *-deletes-"),
    ("one delete file is written", After, 1, "PUT *-deletes-"),
    ("some manifest lists are written", After, 2, "PUT */snap-"),
    ("one state is written, nothing swapped", After, 1, "PUT *.metadata.json"),
];

/// A moment after the start at which ingest has landed a part of what is there; the fault happens by the clock.
const A_WHILE: Duration = Duration::from_millis(1500);

#[test]
fn changes_by_key_are_those_of_a_map_through_kills_and_compactions() {
    let lake = Lake::on_s3().with_kafka();
    let (events, envelopes) = (unique("ops"), unique("dbz"));
    let topics = topics_file(&lake, &events, &envelopes);
    lake.succeed(&["topics", "apply", "--topics", &topics]);
    let send = |seed: usize, count: &str| {
        let arguments = ["send", parts().brokers(), &events, &envelopes, &seed.to_string(), count];
        judge("upserts.py", &lake, &arguments);
    };
    let ingest = |group: &str, last: &[&str]| {
        let group = unique(group);
        let arguments = [&["ingest", "--topics", &topics, "--group", &group], last].concat();
        arguments.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let catch_up = || lake.succeed(&words(&ingest("survivor", &["--until-caught-up"])));
    send(1, "2000");
    catch_up();
    for (seed, (name, moment, number, request)) in (2..).zip(KILLS) {
        send(seed, "400");
        let (wire, variable, value) = store(Some(Point { moment, number, request }));
        let killed = ingest("killed", &["--until-caught-up"]);
        wire.kills(lake.start_with(&words(&killed), &[(variable, value)]), name);
    }
    send(7, "1500");
    let killed = lake.start(&words(&ingest("killed", &["--commit-interval", "200ms"])));
    sleep(A_WHILE);
    lake.succeed(&["maintain", "--all"]);
    killed.kill();
    catch_up();
    let maintained = lake.succeed(&["maintain", "--all", "--json"]);
    assert!(maintained.stdout.contains("bronze."), "{maintained}");
    send(8, "500");
    catch_up();
    let folder = lake.dir().to_str().unwrap();
    judge("upserts.py", &lake, &["judge", folder, parts().brokers(), &events, &envelopes]);
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
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
