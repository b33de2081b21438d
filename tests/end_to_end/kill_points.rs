//! SIGKILL at every arrow of a commit, of compaction, of expiry and of the removal of orphans.
//!
//! Each point kills one command in a lake of its own, or on a table of its own. The command is given again and must
//! finish; maintenance clears away what the dead one left; and PyIceberg finds every record once, every snapshot
//! readable, and no file that is missing or that nothing leads to.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use serde_json::{Value, json};

use crate::clients::Server;
use crate::judge::judge;
use crate::parts::parts;
use crate::places::{on_postgres, twin};
use crate::sluice::{Lake, unique};
use crate::wire::Moment::{After, Before};
use crate::wire::{Moment, Point, Speech, Wire};

/// Commands that run at the same time.
const AT_ONCE: usize = 3;

/// Where the wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Store,
    Postgres,
    Rest,
}

/// Tables of the topic: those of its two kinds of events, and the dead letters.
const TABLES: usize = 3;

/// The arrows of a landing. The first three metadata files are those of the new tables.
const LANDING: [(&str, To, Moment, usize, &str); 16] = [
    ("a table is described, and not in the catalog", To::Store, After, 1, "PUT *.metadata.json"),
    ("no file is written", To::Store, Before, 1, "PUT *.parquet"),
    ("one data file is written", To::Store, After, 1, "PUT *.parquet"),
    ("all data files are written", To::Store, After, TABLES, "PUT *.parquet"),
    ("one manifest is written", To::Store, After, 1, "PUT *-m0.avro"),
    ("all manifests are written", To::Store, After, TABLES, "PUT *-m0.avro"),
    ("one manifest list is written", To::Store, After, 1, "PUT */snap-"),
    ("all manifest lists are written", To::Store, After, TABLES, "PUT */snap-"),
    ("one metadata file is written", To::Store, After, TABLES + 1, "PUT *.metadata.json"),
    ("everything is written, nothing swapped", To::Store, After, 2 * TABLES, "PUT *.metadata.json"),
    ("the swap is not asked for", To::Postgres, Before, 1, "UPDATE pointers"),
    ("the swap is asked for", To::Postgres, After, 1, "UPDATE pointers"),
    ("the swap is not committed", To::Postgres, Before, 1, "COMMIT pointers"),
    ("the swap is committed, and nobody knows", To::Postgres, After, 1, "COMMIT pointers"),
    ("the REST catalog is not asked", To::Rest, Before, 1, "POST */transactions/commit"),
    ("the REST catalog has swapped, and nobody knows", To::Rest, After, 1, "POST */transactions/commit"),
];

/// The arrows of maintenance: compaction, expiry, removal of orphans.
const MAINTENANCE: [(&str, Moment, usize, &str); 11] = [
    ("files are read, none is rewritten", Before, 1, "PUT *.parquet"),
    ("files are rewritten", After, 1, "PUT *.parquet"),
    ("the rewrite has its list", After, 1, "PUT */snap-"),
    ("the rewrite is not swapped", After, 1, "PUT *.metadata.json"),
    ("the rewrite is swapped", Before, 2, "PUT *.metadata.json"),
    ("the expiry is not swapped", After, 2, "PUT *.metadata.json"),
    ("the expiry is swapped, nothing is deleted", Before, 1, "DELETE *"),
    ("one file is deleted", After, 1, "DELETE *"),
    ("some files are deleted", After, 7, "DELETE *"),
    ("orphans are found, none is deleted", Before, 1, "DELETE */left-"),
    ("orphans are deleted", After, 1, "DELETE */left-"),
];

/// Statements, and the ids that they leave of 0, 1, 3, 4, 5.
const STATEMENTS: [(&str, Moment, usize, &str, &[i64]); 3] = [
    ("insert into bronze.TABLE values (6)", After, 1, "PUT *.parquet", &[0, 1, 3, 4, 5, 6]),
    ("delete from bronze.TABLE where id = 4", After, 1, "PUT */snap-", &[0, 1, 3, 5]),
    ("update bronze.TABLE set id = id + 10 where id = 5", After, 1, "PUT *.metadata.json", &[0, 1, 3, 4, 15]),
];

#[test]
fn a_landing_that_is_killed_anywhere_loses_and_doubles_nothing() {
    let topic = Topic::new(&Lake::on_s3().with_kafka());
    let lakes = at_once(&LANDING, |&(name, to, moment, number, request)| {
        let (lake, catalog) = match to {
            To::Postgres => on_postgres(Lake::on_s3().with_kafka()),
            To::Store | To::Rest => (Lake::on_s3().with_kafka(), "sluice".to_owned()),
        };
        let point = Point { moment, number, request };
        let server = (to == To::Rest).then(|| Server::start(twin(&lake)));
        let (wire, variable, value) = match (&server, to) {
            (Some(server), _) => {
                let wire = Wire::new(Speech::Http, &server.http, Some(point));
                let value = format!("http://{}/iceberg", wire.address);
                (wire, "SLUICE_LAKE_CATALOG", value)
            }
            (None, To::Postgres) => {
                let (scheme, address, database) = postgres();
                let wire = Wire::new(Speech::Postgres, address, Some(point));
                let value = format!("{scheme}{}/{database}?sslmode=disable", wire.address);
                (wire, "SLUICE_LAKE_CATALOG", value)
            }
            (None, _) => store(Some(point)),
        };
        let ingest = |group: &str| topic.ingest(&lake, group);
        let arguments = ingest(&unique("killed"));
        wire.kills(lake.start_with(&words(&arguments), &[(variable, value)]), name);
        lake.succeed(&words(&ingest(&unique("survivor"))));
        let cleared = clear_away(&lake);
        // A process that had written a file and was killed before the swap leaves it behind.
        let leaves = to == To::Store && moment == After;
        assert!(cleared > 0 || !leaves, "{name}: nothing was left behind");
        (name, lake, catalog)
    });
    topic.judge(&lakes);
}

/// On SQLite nobody sees the swap from outside. What follows it is seen: metadata files that fall out of the log are
/// deleted. Kafka's group is told later still.
#[test]
fn a_landing_that_is_killed_after_the_swap_is_whole() {
    let lake = Lake::on_s3().with_kafka();
    let topic = Topic::new(&lake);
    lake.succeed(&words(&topic.ingest(&lake, &unique("first"))));
    for table in ["sales", "returns", "dead_letters"] {
        let short = "'write.metadata.previous-versions-max' = '1'";
        lake.succeed(&["sql", &format!("alter table bronze.{table} set tblproperties ({short})")]);
    }
    topic.send(&lake);
    let (wire, variable, value) =
        store(Some(Point { moment: Before, number: 1, request: "DELETE *.metadata.json" }));
    let arguments = topic.ingest(&lake, &unique("killed"));
    wire.kills(lake.start_with(&words(&arguments), &[(variable, value)]), "the swap is done");
    let again =
        lake.succeed(&words(&[topic.ingest(&lake, &unique("survivor")), vec!["--json".to_owned()]].concat()));
    assert_eq!(again.json()["commits"], 0, "everything had landed: {again}");
    clear_away(&lake);
    topic.judge(&[("after the swap", lake, "sluice".to_owned())]);
}

#[test]
fn maintenance_and_statements_that_are_killed_anywhere_change_no_row() {
    let lake = Lake::on_s3();
    lake.succeed(&["tables"]);
    let (data, warehouse) = (lake.dir().to_str().unwrap(), variable(&lake, "SLUICE_LAKE_WAREHOUSE"));
    let count = MAINTENANCE.len() + STATEMENTS.len();
    judge("small_tables.py", &lake, &[data, warehouse, &count.to_string()]);

    let maintained = MAINTENANCE.iter().enumerate().map(|(number, &(name, moment, nth, request))| {
        let table = format!("bronze.t{number}");
        (
            name,
            vec!["maintain".to_owned(), table.clone()],
            Point { moment, number: nth, request },
            table,
            &[0, 1, 3, 4, 5][..],
        )
    });
    let changed = STATEMENTS.iter().enumerate().map(|(number, &(sql, moment, nth, request, ids))| {
        let table = format!("t{}", MAINTENANCE.len() + number);
        let command = vec!["sql".to_owned(), sql.replace("TABLE", &table)];
        (sql, command, Point { moment, number: nth, request }, format!("bronze.{table}"), ids)
    });
    let all: Vec<_> = maintained.chain(changed).collect();
    at_once(&all, |(name, command, point, _, _)| {
        let (wire, variable, value) = store(Some(*point));
        wire.kills(lake.start_with(&words(command), &[(variable, value)]), name);
        lake.succeed(&words(command));
    });
    clear_away(&lake);
    let ids: BTreeMap<&String, &[i64]> = all.iter().map(|(_, _, _, table, ids)| (table, *ids)).collect();
    let line = json!({"name": "killed", "uri": uri(&lake), "catalog": "sluice", "ids": ids});
    survivors(&lake, &[line]);
}

/// A file of several parts is no object before the last of them.
#[test]
fn a_load_that_is_killed_within_an_upload_adds_no_row() {
    let lake = Lake::on_s3();
    let mut state = 7_u64;
    let mut rows = "id,noise\n".to_owned();
    for id in 0..1_400 {
        rows.push_str(&format!("{id},"));
        for _ in 0..1_000 {
            // Noise that no encoding makes smaller than the parts of an upload.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            rows.push_str(&format!("{:016x}", state ^ (state >> 29)));
        }
        rows.push('\n');
    }
    lake.file("noise.csv", rows);
    let load = ["load", "csv", "noise.csv", "--table", "bronze.noise"];
    let (wire, variable, value) =
        store(Some(Point { moment: After, number: 1, request: "PUT *partNumber=1" }));
    wire.kills(lake.start_with(&load, &[(variable, value)]), "one part is uploaded");
    lake.succeed(&load);
    clear_away(&lake);
    let ids: Vec<_> = (0..1_400).collect();
    let line =
        json!({"name": "one part", "uri": uri(&lake), "catalog": "sluice", "ids": {"bronze.noise": ids}});
    survivors(&lake, &[line]);
}

/// Whoever reads the lakes of one topic.
struct Topic {
    name: String,
}

impl Topic {
    fn new(lake: &Lake) -> Self {
        let topic = Self { name: unique("killed") };
        lake.succeed(&["topics", "apply", "--topics", &topic.file(lake)]);
        topic.send(lake);
        topic
    }

    /// Sales and returns in turns, and every tenth no event at all.
    fn send(&self, lake: &Lake) {
        let line = |number: usize| match number % 10 {
            9 => json!({"text": "no event"}).to_string(),
            _ => {
                let kind = if number.is_multiple_of(2) { "sale" } else { "return" };
                json!({"text": json!({"id": number.to_string(), "event_type": kind}).to_string()}).to_string()
            }
        };
        let lines: Vec<_> = (0..60).map(line).collect();
        let file = lake.file("events.ndjson", lines.join("\n"));
        judge("send.py", lake, &[parts().brokers(), &self.name, file.to_str().unwrap()]);
    }

    /// The topics file, in the folder of the lake.
    fn file(&self, lake: &Lake) -> String {
        let route = |table: &str, kind: &str| {
            format!(
                "      - table: bronze.{table}
        event_types: [{kind}]
        columns:
          id: string
          event_type: string
        required: [id, event_type]
"
            )
        };
        let text = format!(
            "topics:\n  - name: {}\n    partitions: 1\n    routes:\n{}{}",
            self.name,
            route("sales", "sale"),
            route("returns", "return")
        );
        lake.file("topics.yaml", text).to_str().unwrap().to_owned()
    }

    /// A group that died would hold its partitions for a while; the tables say where to go on, not the group.
    fn ingest(&self, lake: &Lake, group: &str) -> Vec<String> {
        let file = self.file(lake);
        ["ingest", "--topics", &file, "--until-caught-up", "--group", group].map(str::to_owned).to_vec()
    }

    fn judge(&self, lakes: &[(&str, Lake, String)]) {
        let line = |(name, lake, catalog): &(&str, Lake, String)| {
            let topics = [&self.name];
            json!({"name": name, "uri": uri(lake), "catalog": catalog, "brokers": parts().brokers(), "topics": topics})
        };
        // One that knows every server.
        let (reader, _) = on_postgres(Lake::on_s3());
        survivors(&reader, &lakes.iter().map(line).collect::<Vec<_>>());
    }
}

fn survivors(lake: &Lake, lines: &[Value]) {
    let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
    let file = lake.file("survivors.ndjson", lines.join("\n"));
    judge("survivors.py", lake, &[file.to_str().unwrap()]);
}

/// Removes the orphans of a lake, whose files seem a year old; how many there were.
fn clear_away(lake: &Lake) -> u64 {
    let (_wire, variable, value) = store(None);
    let maintain = lake.start_with(&["maintain", "--all", "--json"], &[(variable, value)]);
    let ended = maintain.process.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let said = String::from_utf8(ended.stdout).unwrap();
    let reports = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    reports.map(|report| report["orphans_removed"].as_u64().unwrap()).sum()
}

/// A wire to the store, and the variable by which the binary takes it.
pub(crate) fn store(point: Option<Point>) -> (Wire, &'static str, String) {
    let server = parts().get("AWS_ENDPOINT_URL").trim_start_matches("http://");
    let wire = Wire::new(Speech::Http, server, point);
    let value = format!("http://{}", wire.address);
    (wire, "AWS_ENDPOINT_URL", value)
}

/// Where PostgreSQL is: scheme with the user, address, database.
fn postgres() -> (String, &'static str, &'static str) {
    let (user, place) = parts().get("POSTGRES_URL").split_once('@').unwrap();
    let (address, database) = place.split_once('/').unwrap();
    (format!("{user}@"), address, database)
}

/// How PyIceberg opens the catalog of a lake.
fn uri(lake: &Lake) -> String {
    match lake.environment().iter().find(|(name, _)| name == "SLUICE_LAKE_CATALOG") {
        Some((_, url)) => url.replace("postgresql://", "postgresql+psycopg2://"),
        None => format!("sqlite:///{}/catalog.db", lake.dir().display()),
    }
}

fn variable<'a>(lake: &'a Lake, name: &str) -> &'a str {
    &lake.environment().iter().find(|(known, _)| known == name).unwrap().1
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// Does the work on all items, a few at once; the results in order.
fn at_once<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = Mutex::new(0);
    let results = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = {
                        let mut next = next.lock().unwrap();
                        *next += 1;
                        *next - 1
                    };
                    let Some(item) = items.get(number) else { return };
                    let result = work(item);
                    results.lock().unwrap().insert(number, result);
                }
            });
        }
    });
    results.into_inner().unwrap().into_values().collect()
}
