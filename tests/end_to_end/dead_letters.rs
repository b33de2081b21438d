//! Dead letters that land after all, killed on the way; a flood of them that pauses ingest; and the figures of both.

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::judge::{Landing, exactly_once, judge};
use crate::parts::{parts, root};
use crate::sluice::{Lake, Started, unique};
use crate::wire::Moment::{After, Before};
use crate::wire::{Moment, Point, Speech, Wire};

/// For a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

const SALE: &str = r#"{"id":"s","event_type":"sale"}"#;
const GIFT: &str = r#"{"id":"g","event_type":"gift"}"#;
const BAD: &str = "{";

/// The arrows of a replay. In the first file of letters some stay, so it gets deletes; of the second all go.
const ARROWS: [(&str, Moment, usize, &str); 6] = [
    ("nothing is written", Before, 1, "PUT *.parquet"),
    ("the rows are written", After, 1, "PUT *.parquet"),
    ("the deletes are written", After, 2, "PUT *.parquet"),
    ("a manifest list is written", After, 1, "PUT */snap-"),
    ("one table is described", After, 1, "PUT *.metadata.json"),
    ("both tables are described, nothing swapped", After, 2, "PUT *.metadata.json"),
];

#[test]
fn a_replay_that_is_killed_anywhere_loses_and_doubles_nothing() {
    let lake = Lake::on_s3().with_kafka();
    let topic = unique("replayed");
    let topics = topics_file(&lake, &topic, "sale");
    lake.succeed(&["topics", "apply", "--topics", &topics]);
    for events in [[SALE, BAD, GIFT, GIFT], [SALE, GIFT, GIFT, SALE]] {
        send(&lake, &topic, &events);
        lake.succeed(&["ingest", "--topics", &topics, "--until-caught-up"]);
    }
    let figures = |landing: &Landing| (landing.rows("bronze.sales"), landing.get("dead_letters"));
    assert_eq!(figures(&exactly_once(&lake, &[&topic])), (3, 5));
    let listed = lake.succeed(&["dead-letters", "list", "--json"]).json_lines();
    let counts: Vec<_> = listed.iter().map(|line| (line["cause"].clone(), line["letters"].clone())).collect();
    assert_eq!(counts, [(json!("malformed"), json!(1)), (json!("unknown_event_type"), json!(4))]);
    let id = format!("{topic}/0/2");
    let each = lake.succeed(&["dead-letters", "list", "--each", "--topic", &topic, "--json"]).json_lines();
    assert!(each.iter().any(|line| line["id"] == id && line["bytes"] == GIFT.len()), "{each:?}");
    let shown = lake.succeed(&["dead-letters", "show", &id, "--json"]).json();
    assert_eq!((&shown["payload"]["text"], &shown["cause"]), (&json!(GIFT), &json!("unknown_event_type")));

    topics_file(&lake, &topic, "sale, gift");
    let replay = ["dead-letters", "replay", "--topics", &topics, "--topic", &topic, "--json"];
    let dry = lake.succeed(&[&replay[..], &["--dry-run"]].concat()).json();
    assert_eq!((&dry["landed"], &dry["bad"]), (&json!(4), &json!(1)));
    for (name, moment, number, request) in ARROWS {
        killed(&lake, &replay, name, Point { moment, number, request });
        assert_eq!(figures(&exactly_once(&lake, &[&topic])), (3, 5), "{name}");
    }
    // The swap itself cannot be seen on SQLite; what follows it can.
    for table in ["sales", "dead_letters"] {
        let short = "'write.metadata.previous-versions-max' = '1'";
        lake.succeed(&["sql", &format!("alter table bronze.{table} set tblproperties ({short})")]);
    }
    let swapped = Point { moment: Before, number: 1, request: "DELETE *.metadata.json" };
    killed(&lake, &replay, "both tables are swapped", swapped);
    assert_eq!(figures(&exactly_once(&lake, &[&topic])), (7, 1), "the bad one stays");
    let again = lake.succeed(&replay).json();
    assert_eq!((&again["landed"], &again["bad"]), (&json!(0), &json!(1)));

    send(&lake, &topic, &[GIFT, BAD]);
    lake.succeed(&["ingest", "--topics", &topics, "--until-caught-up"]);
    assert_eq!(figures(&exactly_once(&lake, &[&topic])), (8, 2), "ingest goes on where it was");
}

#[test]
fn a_flooded_topic_pauses_the_others_go_on_and_every_metric_is_there() {
    let lake = Lake::on_s3().with_kafka();
    let (flood, calm) = (unique("flood"), unique("calm"));
    let topics = two_topics_file(&lake, &flood, &calm, "sale");
    let lake = lake
        .with("SLUICE_KAFKA_TOPICS", &topics)
        .with("SLUICE_KAFKA_GROUP", &unique("flooded"))
        .with("SLUICE_INGEST_COMMIT_INTERVAL", "1s")
        .with("SLUICE_INGEST_DEAD_LETTERS_MIN_MESSAGES", "10")
        .with("SLUICE_INGEST_DEAD_LETTERS_PAUSE", "1h")
        .with("SLUICE_MAINTAIN_EVERY", "1s")
        .with("SLUICE_MODELS_EVERY", "1h");
    lake.succeed(&["topics", "apply"]);
    send(&lake, &flood, &[GIFT; 50]);
    send(&lake, &calm, &[SALE; 20]);
    let running = Running::start(&lake);
    let paused = |now: &str| {
        format!(r#"sluice_ingest_topic_paused{{topic="{flood}",reason="dead_letter_share"}} {now}"#)
    };
    let rows =
        |table: &str, rows: u64| format!(r#"sluice_ingest_landed_rows_total{{table="{table}"}} {rows}"#);
    let lag = |lag: u64| format!(r#"sluice_ingest_lag_messages{{topic="{flood}",partition="0"}} {lag}"#);
    running.until("the topic pauses", |metrics| metrics.contains(&paused("1")));
    running.until("the other goes on", |metrics| metrics.contains(&rows("bronze.calm", 20)));
    assert!(running.said().contains("50 of the last 50 messages"), "{}", running.said());
    send(&lake, &flood, &[GIFT; 5]);
    send(&lake, &calm, &[SALE, BAD]);
    running.until("the other goes on and on", |metrics| metrics.contains(&rows("bronze.calm", 21)));
    running.until("its lag is true", |metrics| metrics.contains(&lag(55)));
    let nothing = counted(&lake, &flood);
    assert_eq!((nothing["landed"].as_u64(), nothing["dead_letters"].as_u64()), (Some(0), Some(0)));
    assert_eq!(exactly_once(&lake, &[&calm]).get("dead_letters"), 1);

    two_topics_file(&lake, &flood, &calm, "sale, gift");
    running.until("landing goes on", |metrics| metrics.contains(&paused("0")));
    send(&lake, &flood, &[SALE, BAD]);
    let letter = format!(r#"sluice_ingest_dead_letters_total{{topic="{flood}",cause="malformed"}} 1"#);
    running.until("everything has landed", |metrics| {
        metrics.contains(&letter) && metrics.contains(&rows("bronze.sales", 56)) && metrics.contains(&lag(0))
    });
    running.ask("select count(*) from bronze.sales");
    let documented = documented();
    assert!(documented.len() > 35, "{documented:?}");
    for name in documented {
        let is_of = |line: &str| {
            let rest = line.strip_prefix(&name).unwrap_or_default();
            ["{", " ", "_bucket{"].iter().any(|end| rest.starts_with(end))
        };
        running.until(&name, |metrics| metrics.lines().any(is_of));
    }
    running.process.stop();
    let landing = exactly_once(&lake, &[&flood, &calm]);
    assert_eq!((landing.rows("bronze.sales"), landing.rows("bronze.calm")), (56, 21));
    assert_eq!(landing.get("dead_letters"), 2);
}

#[test]
fn catching_up_lands_the_other_topics_and_ends_with_an_error() {
    let lake = Lake::on_s3().with_kafka();
    let (flood, calm) = (unique("flood"), unique("calm"));
    let topics = two_topics_file(&lake, &flood, &calm, "sale");
    let lake = lake.with("SLUICE_INGEST_DEAD_LETTERS_MIN_MESSAGES", "10");
    assert!(lake.succeed(&["dead-letters", "list"]).stdout.contains("no dead letters"));
    let none = lake.run(&["dead-letters", "show", &format!("{flood}/0/0")]);
    assert!(none.stderr.contains("there is no dead letter"), "{none}");
    lake.succeed(&["topics", "apply", "--topics", &topics]);
    send(&lake, &flood, &[GIFT; 50]);
    send(&lake, &calm, &[SALE; 20]);
    let ingest = ["ingest", "--topics", &topics, "--until-caught-up"];
    let failed = lake.run(&ingest);
    assert!(!failed.status.success(), "{failed}");
    assert!(failed.stderr.contains(&format!("50 of the last 50 messages of topic `{flood}`")), "{failed}");
    assert_eq!(exactly_once(&lake, &[&calm]).rows("bronze.calm"), 20);
    assert_eq!(counted(&lake, &flood)["dead_letters"].as_u64(), Some(0));
    let lake = lake.with("SLUICE_INGEST_DEAD_LETTERS_MAX_SHARE", "1");
    lake.succeed(&ingest);
    assert_eq!(exactly_once(&lake, &[&flood, &calm]).get("dead_letters"), 50);
}

/// What the judge counts, though records are still waiting.
fn counted(lake: &Lake, topic: &str) -> Value {
    let run = Command::new(parts().get("PYTHON"))
        .arg(root().join("tests/clients/exactly_once.py"))
        .args([lake.dir().to_str().unwrap(), parts().brokers(), topic])
        .envs(lake.environment().iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let said = String::from_utf8(run.stdout).unwrap();
    serde_json::from_str(said.lines().last().unwrap_or_default()).unwrap()
}

/// The metrics that the page on watching names.
fn documented() -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs/watching.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| row.split_once(" |").unwrap().0.trim_end_matches('`').to_owned());
    cells.flat_map(|cell| cell.split("`, `").map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// `sluice run`, and what it says on standard error.
struct Running {
    process: Started,
    flight: String,
    http: String,
    said: Arc<Mutex<String>>,
}

impl Running {
    fn start(lake: &Lake) -> Self {
        let mut process = lake.start(&["run", "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        let mut lines = BufReader::new(process.process.stderr.take().unwrap()).lines();
        let mut address = |scheme: &str| {
            let found = lines.find_map(|line| Some(line.unwrap().split_once(scheme)?.1.trim().to_owned()));
            found.unwrap_or_else(|| panic!("it ended without naming its {scheme} address"))
        };
        let (flight, http) = (address("grpc://"), address("http://"));
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                heard.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { process, flight, http, said }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// A statement through Flight SQL.
    fn ask(&self, sql: &str) {
        let script = "import sys, adbc_driver_flightsql.dbapi as flight
with flight.connect('grpc://' + sys.argv[1]) as c, c.cursor() as q:
    q.execute(sys.argv[2]); print(q.fetchall())";
        let run =
            Command::new(parts().get("PYTHON")).args(["-c", script, &self.flight, sql]).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    }

    /// Waits until the metrics are as wished.
    fn until(&self, what: &str, wished: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        loop {
            let url = format!("http://{}/metrics", self.http);
            let output = Command::new("curl").args(["-sS", "--max-time", "20", &url]).output();
            let metrics = String::from_utf8(output.expect("the tests need curl").stdout).unwrap();
            if wished(&metrics) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: not seen\n{metrics}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

/// Runs a command with a wire to the store that kills it at a point.
fn killed(lake: &Lake, arguments: &[&str], name: &str, point: Point) {
    let server = parts().get("AWS_ENDPOINT_URL").trim_start_matches("http://");
    let wire = Wire::new(Speech::Http, server, Some(point));
    let endpoint = ("AWS_ENDPOINT_URL", format!("http://{}", wire.address));
    wire.kills(lake.start_with(arguments, &[endpoint]), name);
}

/// A topics file whose one table takes these types of events; written again, it is another.
fn topics_file(lake: &Lake, topic: &str, types: &str) -> String {
    let text = format!("topics:\n{}", declared(topic, "bronze.sales", types));
    lake.file("topics.yaml", &text).to_str().unwrap().to_owned()
}

/// The same, with a topic beside it that takes sales only.
fn two_topics_file(lake: &Lake, topic: &str, other: &str, types: &str) -> String {
    let (one, two) = (declared(topic, "bronze.sales", types), declared(other, "bronze.calm", "sale"));
    lake.file("topics.yaml", format!("topics:\n{one}{two}")).to_str().unwrap().to_owned()
}

fn declared(topic: &str, table: &str, types: &str) -> String {
    format!(
        "  - name: {topic}
    partitions: 1
    routes:
      - table: {table}
        event_types: [{types}]
        columns: {{id: string, event_type: string}}
        required: [id]
"
    )
}

fn send(lake: &Lake, topic: &str, events: &[&str]) {
    let lines: String = events.iter().map(|event| json!({ "text": event }).to_string() + "\n").collect();
    let file = lake.file("events.ndjson", lines);
    judge("send.py", lake, &[parts().brokers(), topic, file.to_str().unwrap()]);
}
