//! Faults on several workers of one group, for as long as asked, then the verdict of a foreign judge.
//!
//! ```text
//! events at a steady pace -> Kafka -> workers (the binary) -> wires that lose messages -> MinIO, PostgreSQL
//!                                        ^ SIGKILL, SIGSTOP, polite restarts, more and fewer of them
//! the faults end -> one worker lands the rest -> PyIceberg counts: injected, lost, doubled
//! ```
//!
//! The seed draws the faults and their moments; what each of them meets depends on the machine. Servers and the
//! judge's Python are reached as `tests/services/services.sh env` says.

mod crew;
mod events;
mod wire;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use sluice_ingest::KafkaSettings;
use sluice_ingest::topics::{self, Topics};

use self::crew::{Crew, Place};
use self::wire::Wire;
use crate::ingest::Failure;

#[derive(Args)]
pub(crate) struct Arguments {
    /// How long faults go on
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Draws the faults and their moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The program under test; the one beside this one unless given
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Workers at the start
    #[arg(long, default_value_t = 3)]
    workers: usize,
    /// Events per second
    #[arg(long, default_value_t = 2000)]
    rate: u64,
    /// Share of the requests to the store whose answer is lost; of commits ten times as many
    #[arg(long, default_value_t = 0.02)]
    lose: f64,
    /// Share of them that never arrives
    #[arg(long, default_value_t = 0.01)]
    cut: f64,
    /// Kafka's bootstrap servers
    #[arg(long, env = "KAFKA_BOOTSTRAP")]
    brokers: String,
    /// S3 endpoint, such as MinIO's
    #[arg(long, env = "AWS_ENDPOINT_URL")]
    endpoint: String,
    /// The bucket on that endpoint
    #[arg(long, env = "MINIO_BUCKET", default_value = "lake")]
    bucket: String,
    /// The catalog's database; its password is PostgreSQL's usual variable
    #[arg(long, env = "POSTGRES_URL")]
    catalog: String,
    /// The Python of the judge and of the wires
    #[arg(long, env = "PYTHON", default_value = "python3")]
    python: PathBuf,
    /// The folder of the judge and of the wires
    #[arg(long, default_value = "tests/clients")]
    clients: PathBuf,
    /// Logs of the workers; a fresh folder is made in it
    #[arg(long, default_value = "./sluice-bench")]
    dir: PathBuf,
}

/// Numbers from the seed (SplitMix64), the same on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<Value, Failure> {
    let id = std::process::id();
    let dir = std::path::absolute(arguments.dir.join(format!("chaos-{id}")))?;
    std::fs::create_dir_all(&dir)?;
    let (topic, name) = (format!("chaos-{id}"), format!("chaos-{id}"));
    let declared = topics_file(&topic);
    std::fs::write(dir.join("topics.yaml"), &declared)?;
    topics::apply(&KafkaSettings::new(&arguments.brokers), &Topics::parse(&declared)?).await?;
    let place = Place::new(&arguments, &dir, &name)?;
    let work = move || chaos(&arguments, &place, &topic, &name);
    tokio::task::spawn_blocking(work).await?
}

/// Blocks until the verdict.
fn chaos(arguments: &Arguments, place: &Place, topic: &str, name: &str) -> Result<Value, Failure> {
    place.catch_up("create")?;
    let (store, catalog) = wires(arguments)?;
    let mut injected: BTreeMap<&str, u64> = BTreeMap::new();
    let mut crew = Crew::new(place.through(&store, &catalog)?, arguments.workers)?;
    let over = Arc::new(AtomicBool::new(false));
    let events = events::send(&arguments.brokers, topic, arguments.rate, Arc::clone(&over))?;
    let (began, length) = (Instant::now(), Duration::from_secs_f64(arguments.minutes * 60.0));
    let mut dice = Dice(arguments.seed);
    while began.elapsed() < length {
        std::thread::sleep(Duration::from_millis(500 + dice.below(2500)));
        crew.replace_dead()?;
        let fault = match dice.below(100) {
            0..35 => crew.kill(&mut dice)?,
            35..50 => crew.restart(&mut dice)?,
            50..65 => crew.pause(&mut dice)?,
            65..75 => crew.add()?,
            75..85 => crew.remove(&mut dice)?,
            85..93 => store.down(1 + dice.below(6))?,
            _ => catalog.down(1 + dice.below(6))?,
        };
        *injected.entry(fault).or_default() += 1;
        eprintln!("{:6.1} s: {fault}", began.elapsed().as_secs_f64());
    }
    over.store(true, SeqCst);
    let sent = events.join().map_err(|_| "the sender of events panicked")??;
    store.calm()?;
    catalog.calm()?;
    let ended = crew.end()?;
    place.catch_up("rest")?;
    for fault in ["reply lost", "request lost"] {
        injected.insert(fault, store.count(fault) + catalog.count(fault));
    }
    let verdict = judge(arguments, place, topic, name)?;
    if verdict["lost"] != 0 || verdict["doubled"] != 0 || verdict["foreign"] != 0 {
        return Err(format!("the judge found: {verdict}; injected: {injected:?}").into());
    }
    let said = |what| place.said(what);
    let commits = said(": committed")?;
    Ok(json!({
        "benchmark": "chaos",
        "minutes": arguments.minutes,
        "seed": arguments.seed,
        "injected": injected,
        "lost": verdict["lost"],
        "doubled": verdict["doubled"],
        "foreign": verdict["foreign"],
        "sent": sent,
        "records": verdict["records"],
        "landed": verdict["landed"],
        "dead_letters": verdict["dead_letters"],
        "commits": commits,
        "lost_races": said("lost the race for a table")?,
        "fenced": said("reading again from the tables")?,
        "workers_started": ended.started,
        "workers_ended_by_themselves": ended.by_themselves,
    }))
}

fn topics_file(topic: &str) -> String {
    let route = |table: &str, kind: &str| {
        format!(
            "      - table: bronze.{table}\n        event_types: [{kind}]\n        \
             columns: {{id: string, event_type: string}}\n        required: [id, event_type]\n"
        )
    };
    let routes = [route("sales", "sale"), route("returns", "return")].concat();
    format!("topics:\n  - name: {topic}\n    partitions: {}\n    routes:\n{routes}", events::PARTITIONS)
}

/// Wires to the store and to the catalog.
fn wires(arguments: &Arguments) -> Result<(Wire, Wire), Failure> {
    let store = arguments.endpoint.strip_prefix("http://").ok_or("the endpoint must begin with http://")?;
    let (_, _, address, _) = crew::parts_of(&arguments.catalog)?;
    let shares = [arguments.lose, arguments.cut];
    // Of the catalog's only commits, and more of them: there are few beside all other requests.
    let more = shares.map(|share| (share * 10.0).min(0.4));
    Ok((
        Wire::start(arguments, store, "HTTP/1.1", shares, arguments.seed)?,
        Wire::start(arguments, address, "COMMIT", more, arguments.seed ^ 1)?,
    ))
}

/// What PyIceberg finds.
fn judge(arguments: &Arguments, place: &Place, topic: &str, name: &str) -> Result<Value, Failure> {
    let uri = arguments.catalog.replacen("postgresql://", "postgresql+psycopg2://", 1);
    let run = Command::new(&arguments.python)
        .arg(arguments.clients.join("exactly_once.py"))
        .args([format!("{uri}#{name}"), arguments.brokers.clone(), topic.to_owned()])
        .envs(place.password())
        .output()?;
    let said = String::from_utf8_lossy(&run.stdout);
    let complained = String::from_utf8_lossy(&run.stderr);
    let line = said.lines().last().ok_or_else(|| format!("the judge said nothing: {complained}"))?;
    Ok(serde_json::from_str(line)?)
}
