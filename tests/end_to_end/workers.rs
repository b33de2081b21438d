//! Several processes of one group that come and go: partitions move every two seconds, and every record lands once.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::judge::exactly_once;
use crate::parts::{parts, root};
use crate::places::on_postgres;
use crate::sluice::{Lake, Started, unique};

/// How long workers come and go, unless `SLUICE_TEST_REBALANCE_SECONDS` says otherwise.
const SECONDS: u64 = 180;
const EVERY: Duration = Duration::from_secs(2);
const WORKERS: usize = 3;
const PARTITIONS: usize = 6;
const RATE: usize = 1500;
const PATIENCE: Duration = Duration::from_secs(60);

/// A topic of its own, and the topics file that lands it in two tables.
pub(crate) struct Stream {
    pub(crate) topic: String,
    file: String,
}

impl Stream {
    /// Makes the topic and its tables. A member of the group that dies is missed after six seconds.
    pub(crate) fn new(lake: &Lake, name: &str) -> Self {
        let topic = unique(name);
        let route = |table: &str, kind: &str| {
            format!(
                "      - table: bronze.{table}
        event_types: [{kind}]
        columns: {{id: string, event_type: string}}
        required: [id, event_type]
"
            )
        };
        let text = format!(
            "topics:\n  - name: {topic}\n    partitions: {PARTITIONS}\n    routes:\n{}{}",
            route("sales", "sale"),
            route("returns", "return")
        );
        let file = lake.file("topics.yaml", text).to_str().unwrap().to_owned();
        let options =
            "[kafka.options]\n\"session.timeout.ms\" = \"6000\"\n\"heartbeat.interval.ms\" = \"500\"\n";
        lake.file("sluice.toml", options);
        lake.succeed(&["topics", "apply", "--topics", &file]);
        let stream = Self { topic, file };
        stream.catch_up(lake);
        stream
    }

    /// Events at a steady pace.
    pub(crate) fn send(&self, seconds: u64) -> Child {
        Command::new(parts().get("PYTHON"))
            .arg(root().join("tests/clients/steady.py"))
            .args([parts().brokers(), &self.topic])
            .args([PARTITIONS.to_string(), RATE.to_string(), seconds.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Lands what the topic holds, in a group of its own: one that died would hold partitions for a while.
    pub(crate) fn catch_up(&self, lake: &Lake) {
        lake.succeed(&["ingest", "--topics", &self.file, "--until-caught-up", "--group", &unique("calm")]);
    }
}

struct Worker {
    started: Started,
    reader: JoinHandle<()>,
    log: PathBuf,
}

/// Workers of one group, each with what it said in a file.
pub(crate) struct Crew<'a> {
    lake: &'a Lake,
    stream: &'a Stream,
    group: String,
    running: Vec<Option<Worker>>,
    logs: Vec<PathBuf>,
}

impl<'a> Crew<'a> {
    pub(crate) fn new(lake: &'a Lake, stream: &'a Stream) -> Self {
        let running = (0..WORKERS).map(|_| None).collect();
        Self { lake, stream, group: unique("crew"), running, logs: Vec::new() }
    }

    /// Starts the worker of a place, with other values of some variables.
    pub(crate) fn start(&mut self, place: usize, interval: &str, variables: &[(&str, String)]) {
        let arguments =
            ["ingest", "--topics", &self.stream.file, "--commit-interval", interval, "--group", &self.group];
        let log = ("SLUICE_LOG", "info,sluice_catalog=debug,sluice_ingest=debug".to_owned());
        let mut started = self.lake.start_with(&arguments, &[variables, &[log]].concat());
        let path = self.lake.dir().join(format!("worker-{}.log", self.logs.len()));
        let (mut said, mut file) = (started.process.stderr.take().unwrap(), File::create(&path).unwrap());
        let reader = std::thread::spawn(move || {
            std::io::copy(&mut said, &mut file).unwrap();
        });
        self.logs.push(path.clone());
        self.running[place] = Some(Worker { started, reader, log: path });
    }

    /// SIGKILL, or a polite stop.
    fn end(&mut self, place: usize, polite: bool) {
        let Some(worker) = self.running[place].take() else { return };
        if polite {
            drop(worker.started.stop())
        } else {
            worker.started.kill()
        }
        worker.reader.join().unwrap();
    }

    /// Fails with what a worker said if it has ended.
    pub(crate) fn must_run(&mut self, place: usize) {
        let worker = self.running[place].as_mut().unwrap();
        if let Some(status) = worker.started.process.try_wait().unwrap() {
            let said = std::fs::read_to_string(&worker.log).unwrap();
            panic!("the worker of place {place} ended with {status}:\n{said}");
        }
    }

    fn signal(&self, place: usize, name: &str) {
        let process = self.running[place].as_ref().unwrap().started.process.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &process]).status().unwrap().success());
    }

    /// Polite stops.
    pub(crate) fn stop_all(&mut self) {
        (0..WORKERS).for_each(|place| self.end(place, true));
    }

    /// In how many lines the workers said this.
    pub(crate) fn said(&self, what: &str) -> usize {
        (0..self.logs.len()).map(|number| self.said_by(number, what)).sum()
    }

    /// The same of the one that was started as the `number`th.
    fn said_by(&self, number: usize, what: &str) -> usize {
        let said = std::fs::read_to_string(&self.logs[number]).unwrap();
        said.lines().filter(|line| line.contains(what)).count()
    }

    /// Waits until that one says it.
    fn until_said_by(&self, number: usize, what: &str) {
        let began = Instant::now();
        while self.said_by(number, what) == 0 {
            let said = || std::fs::read_to_string(&self.logs[number]).unwrap();
            assert!(began.elapsed() < PATIENCE, "worker {number} never said `{what}`:\n{}", said());
            sleep(Duration::from_millis(100));
        }
    }

    /// What the one that was started as the `number`th answers to a request for this path.
    fn answer(&self, number: usize, path: &str) -> String {
        let said = std::fs::read_to_string(&self.logs[number]).unwrap();
        let (_, address) = said.split_once("/readyz address=").expect("it says where it answers");
        let url = format!("http://{}{path}", address.split_whitespace().next().unwrap());
        let output = Command::new("curl").args(["-sS", "--max-time", "20", &url]).output();
        String::from_utf8(output.expect("the tests need curl").stdout).unwrap()
    }
}

/// A third of the workers has a name in the group and comes back under it; the others join anew.
#[test]
fn workers_that_come_and_go_lose_and_double_nothing() {
    let (lake, _) = on_postgres(Lake::on_s3().with_kafka());
    let stream = Stream::new(&lake, "crew");
    let seconds = std::env::var("SLUICE_TEST_REBALANCE_SECONDS").ok().and_then(|text| text.parse().ok());
    let seconds = seconds.unwrap_or(SECONDS);
    let mut events = stream.send(seconds);
    let mut crew = Crew::new(&lake, &stream);
    let name = |place: usize| -> Vec<(&str, String)> {
        let named = place == WORKERS - 1;
        if named { vec![("SLUICE_KAFKA_INSTANCE_ID", format!("worker-{place}"))] } else { Vec::new() }
    };
    (0..WORKERS).for_each(|place| crew.start(place, "300ms", &name(place)));
    let (began, mut changes) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        // The fault happens at a moment, not at an event.
        sleep(EVERY);
        let place = changes % WORKERS;
        crew.end(place, changes / WORKERS % 2 == 1);
        crew.start(place, "300ms", &name(place));
        changes += 1;
    }
    assert!(events.wait().unwrap().success(), "not all events were sent");
    // Whoever was started last shall have begun to listen to signals.
    sleep(EVERY);
    (0..WORKERS).for_each(|place| crew.must_run(place));
    crew.stop_all();
    stream.catch_up(&lake);
    let landing = exactly_once(&lake, &[&stream.topic]);
    let (commits, lost) = (crew.said(": committed"), crew.said("lost the race for a table"));
    println!(
        "{changes} workers ended, {} assignments, {commits} commits, {lost} lost races, {} fenced, {landing:?}",
        crew.said(" assigned "),
        crew.said("reading again from the tables"),
    );
    assert!(commits >= WORKERS, "the workers hardly landed anything: {commits} commits");
    assert!(lost < commits, "{commits} commits took {lost} attempts more: the writers live off conflicts");
    assert!(
        landing.get("dead_letters") > 0 && landing.get("records") > seconds * RATE as u64 / 2,
        "{landing:?}"
    );
}

/// One worker sleeps for longer than the group waits; the other takes its partitions over and lands them. What the
/// first one had read when it fell asleep is fenced. The other is watched over HTTP.
#[test]
fn a_worker_that_wakes_up_after_another_took_over_lands_nothing_twice() {
    let (lake, _) = on_postgres(Lake::on_s3().with_kafka());
    let stream = Stream::new(&lake, "asleep");
    let mut events = stream.send(18);
    let mut crew = Crew::new(&lake, &stream);
    crew.start(0, "1s", &[]);
    crew.until_said_by(0, ": committed");
    // It has read for up to a second when it falls asleep, and commits when it wakes up.
    sleep(Duration::from_millis(1500));
    crew.signal(0, "STOP");
    crew.start(1, "300ms", &[("SLUICE_INGEST_HTTP", "127.0.0.1:0".to_owned())]);
    crew.until_said_by(1, ": committed");
    crew.signal(0, "CONT");
    assert!(events.wait().unwrap().success(), "not all events were sent");
    (0..2).for_each(|place| crew.must_run(place));
    assert_eq!(crew.answer(1, "/healthz"), "ok\n");
    assert_eq!(crew.answer(1, "/readyz"), r#"{"ready":true,"catalog":"ok","store":"ok"}"#);
    let consumed = format!("sluice_ingest_consumed_messages_total{{topic=\"{}\"}} ", stream.topic);
    let metrics = crew.answer(1, "/metrics");
    assert!(metrics.contains(&consumed) && metrics.contains("sluice_commits_total{"), "{metrics}");
    assert!(crew.answer(1, "/api/tables").is_empty(), "nothing else is answered");
    crew.stop_all();
    assert!(crew.said_by(0, "reading again from the tables") > 0, "the one that slept noticed nothing");
    stream.catch_up(&lake);
    exactly_once(&lake, &[&stream.topic]);
}
