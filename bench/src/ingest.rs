//! Events from Kafka to Iceberg tables, against consume + decode + Parquet of the same bytes.
//!
//! Order: produce what is missing, land everything with Sluice into fresh tables, then measure the ceiling.
//! Both read the whole topic from its start, begin the clock with the first message (joining a group is not
//! throughput) and stop it when the last is done: for Sluice when the last commit is there. The ceiling has
//! the same number of threads, but no offsets, no commits, no routing, no guards, no upload. What the store takes for
//! the objects of the run alone is measured beside it.
//!
//! With `--minutes` and `--kill` events come at a fixed rate and never end, and something else than speed is
//! measured.

mod ceiling;
mod child;
mod objects;
mod registry;
mod shape;
mod steady;
mod workers;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use clap::Args;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::{Value, json};
use sluice_catalog::{Lake, LakeSettings, S3Settings, Secret};
use sluice_ingest::produce::{self, ProduceSettings};
use sluice_ingest::registry::{Credential, RegistrySettings};
use sluice_ingest::topics::{self, Topic, Topics};
use sluice_ingest::{IngestSettings, KafkaSettings, Progress, Report};
use tokio_util::sync::CancellationToken;

use self::child::Role;
use self::shape::{Format, Layout, Shape};
use crate::usage;

const TOPIC: &str = "user-events";
const TIMEOUT: Duration = Duration::from_secs(10);

/// Whatever stops a benchmark; its text says all there is to say.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Args, Clone)]
pub(crate) struct Arguments {
    /// Kafka's bootstrap servers
    #[arg(long, env = "KAFKA_BOOTSTRAP", default_value = "127.0.0.1:9092")]
    brokers: String,
    /// So many topics by a pattern, each into a table of its own, instead of the shop's one topic into two tables
    #[arg(long, conflicts_with = "tables", value_parser = clap::value_parser!(u64).range(1..))]
    topics: Option<u64>,
    /// One topic into so many tables by a field, with a skewed share
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    tables: Option<u64>,
    /// How messages are written
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
    /// Processes of one consumer group
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Memory over so many minutes, instead of speed
    #[arg(long, conflicts_with_all = ["kill", "workers"])]
    minutes: Option<f64>,
    /// The time from `kill -9` to the first new commit, so many times, instead of speed
    #[arg(long, num_args = 0..=1, default_missing_value = "3", conflicts_with = "workers")]
    kill: Option<usize>,
    /// Give the worker a name in its group, so that the group need not wait for the one that was killed
    #[arg(long, requires = "kill")]
    named: bool,
    /// Events a second, with --minutes and --kill
    #[arg(long, default_value_t = 20_000.0)]
    rate: f64,
    /// The topics hold at least this many events; what is missing is produced
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// S3 endpoint, such as MinIO's; without one the tables go to a folder
    #[arg(long, env = "AWS_ENDPOINT_URL")]
    endpoint: Option<String>,
    /// The bucket on that endpoint
    #[arg(long, env = "MINIO_BUCKET", default_value = "lakehouse")]
    bucket: String,
    /// The folder of the catalog, and of the tables without an endpoint; a fresh one is made in it
    #[arg(long, default_value = "./sluice-bench")]
    dir: PathBuf,
    /// Threads that decode, in each process
    #[arg(long)]
    threads: Option<usize>,
    /// Memory budget in MiB, of each process
    #[arg(long, default_value_t = 1024)]
    memory: usize,
    /// Seconds between commits
    #[arg(long, default_value_t = 10)]
    commit_interval: u64,
    /// Measure Sluice only
    #[arg(long)]
    no_ceiling: bool,
    /// What this process does for another one
    #[arg(long, value_enum, hide = true)]
    child: Option<Role>,
    /// Names the run to its processes
    #[arg(long, hide = true, default_value_t = std::process::id().to_string())]
    run: String,
}

/// What one side took.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
}

impl Measured {
    pub(crate) fn per_second(&self) -> f64 {
        self.messages as f64 / self.seconds
    }

    fn per_cpu_second(&self) -> f64 {
        self.messages as f64 / self.cpu_seconds
    }

    fn json(&self) -> Value {
        json!({
            "events": self.messages,
            "bytes": self.bytes,
            "seconds": round(self.seconds),
            "cpu_seconds": round(self.cpu_seconds),
            "events_per_second": self.per_second().round(),
            "mb_per_second": round(self.bytes as f64 / self.seconds / 1e6),
            "events_per_cpu_second": self.per_cpu_second().round(),
        })
    }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Arguments {
    fn kafka(&self) -> KafkaSettings {
        KafkaSettings::new(&self.brokers)
    }

    fn shape(&self) -> Shape {
        let endless = self.minutes.is_some() || self.kill.is_some();
        let layout = match (self.topics, self.tables) {
            (Some(topics), _) => Layout::Topics(topics),
            (None, Some(tables)) => Layout::Tables(tables),
            (None, None) if self.format == Format::Json && !endless => Layout::Shop,
            (None, None) => Layout::One,
        };
        // Who begins with topics that others filled would measure how long it catches up.
        let suffix = if endless { format!("-{}", self.run) } else { String::new() };
        Shape { layout, format: self.format, suffix }
    }

    /// The lake of this run, made by whoever asks first.
    async fn lake(&self) -> Result<Lake, Failure> {
        let dir = self.dir.join(format!("ingest-{}", self.run));
        std::fs::create_dir_all(&dir)?;
        let mut settings = LakeSettings::local(&dir);
        if let Some(endpoint) = &self.endpoint {
            let variable = |name: &str| std::env::var(name).ok();
            settings.warehouse = format!("s3://{}/bench-{}", self.bucket, self.run);
            settings.s3 = S3Settings {
                endpoint: Some(endpoint.clone()),
                region: variable("AWS_REGION"),
                access_key_id: variable("AWS_ACCESS_KEY_ID"),
                secret_access_key: variable("AWS_SECRET_ACCESS_KEY").map(Secret::new),
            };
        }
        Ok(Lake::open(settings).await?)
    }

    /// How this run ingests; an Avro run gets a registry of its own.
    async fn settings(&self) -> Result<IngestSettings, Failure> {
        let (_, ingested) = self.shape().topics()?;
        let mut settings = IngestSettings::new(self.kafka(), ingested);
        settings.group = format!("sluice-bench-{}", self.run);
        settings.instance_id = self.named.then(|| "sluice-bench".to_owned());
        settings.memory_budget = self.memory << 20;
        settings.commit_interval = Duration::from_secs(self.commit_interval);
        settings.decode_threads = self.threads.unwrap_or(settings.decode_threads);
        if self.format == Format::Avro {
            let url = registry::start().await?;
            settings.registry = Some(RegistrySettings { url, credential: Credential::None });
        }
        Ok(settings)
    }
}

/// One line of JSON; none from a process that works for another one.
pub(crate) async fn run(arguments: Arguments) -> Result<Option<Value>, Failure> {
    if let Some(role) = arguments.child {
        return child::run(arguments, role).await.map(|()| None);
    }
    let shape = arguments.shape();
    let (topics, _) = shape.topics()?;
    topics::apply(&arguments.kafka(), &Topics { topics: topics.clone() }).await?;
    let mut line = if let Some(minutes) = arguments.minutes {
        steady::memory(&arguments, minutes).await?
    } else if let Some(kills) = arguments.kill {
        let arguments = arguments.clone();
        tokio::task::spawn_blocking(move || steady::kills(&arguments, kills)).await??
    } else {
        speed(&arguments, &shape, topics).await?
    };
    line["benchmark"] = json!("ingest");
    line["layout"] = json!(format!("{:?}", shape.layout).to_lowercase());
    line["format"] = json!(arguments.format.name());
    line["tables"] = json!(arguments.lake().await?.tables("bronze").await?.len());
    line["store"] = json!(if arguments.endpoint.is_some() { "s3" } else { "folder" });
    Ok(Some(line))
}

/// Sluice and the ceiling, one after the other.
async fn speed(arguments: &Arguments, shape: &Shape, topics: Vec<Topic>) -> Result<Value, Failure> {
    let kafka = arguments.kafka();
    let total = fill(&kafka, shape, &topics, arguments.events).await?;
    let settings = arguments.settings().await?;
    let (threads, workers) = (settings.decode_threads, arguments.workers);
    let (sluice, mut line) = if workers > 1 {
        let arguments = arguments.clone();
        let land = move || workers::land(&arguments, total);
        let (sluice, each) = tokio::task::spawn_blocking(land).await??;
        (sluice, json!({ "workers": each }))
    } else {
        let (sluice, report) = land(arguments.lake().await?, settings, total).await?;
        let line = json!({
            "landed": report.landed,
            "dead_lettered": report.dead_lettered,
            "commits": report.commits,
            "restarts": report.restarts,
            "buffered_peak_bytes": report.buffered_bytes_peak,
            "resident_peak_bytes": usage::peak_resident_bytes(),
        });
        (sluice, line)
    };
    line["sluice"] = sluice.json();
    line["decode_threads"] = json!(threads);
    line["memory_budget_bytes"] = json!(arguments.memory << 20);
    if !arguments.no_ceiling {
        let format = shape.format;
        let measure = move || ceiling::measure(&kafka, &topics, format, (workers, threads));
        let ceiling = tokio::task::spawn_blocking(measure).await??;
        line["ceiling"] = ceiling.json();
        let (objects, store) = objects::measure(&arguments.lake().await?).await?;
        line["store_alone"] = objects;
        line["ratio_with_store"] = json!(round((ceiling.seconds + store) / sluice.seconds));
        line["ratio"] = json!(round(sluice.per_second() / ceiling.per_second()));
        line["ratio_per_cpu_second"] = json!(round(sluice.per_cpu_second() / ceiling.per_cpu_second()));
    }
    Ok(line)
}

/// Produces what the topics lack; returns how many messages they hold.
async fn fill(kafka: &KafkaSettings, shape: &Shape, topics: &[Topic], events: u64) -> Result<u64, Failure> {
    let held = count(kafka, topics).await?;
    if held >= events {
        return Ok(held);
    }
    eprintln!("producing {} events into {} topics", events - held, topics.len());
    if shape.layout != Layout::Shop {
        let (brokers, shape) = (kafka.clone(), shape.clone());
        let produce = move || shape.produce(&brokers, held..events, None, &AtomicBool::new(false));
        tokio::task::spawn_blocking(produce).await??;
        return count(kafka, topics).await;
    }
    // Another seed for what is added, so that ids stay unique.
    let mut settings = ProduceSettings::new(kafka.clone(), held, chrono::DateTime::UNIX_EPOCH);
    settings.start += chrono::Duration::days(20_000);
    settings.topics = vec![TOPIC.to_owned()];
    settings.events = Some(events - held);
    let report = produce::produce(settings, Arc::default(), CancellationToken::new()).await?;
    if report.failed > 0 {
        return Err(format!("{} messages could not be produced", report.failed).into());
    }
    eprintln!("produced {:.0} events/s", report.per_second);
    count(kafka, topics).await
}

async fn count(kafka: &KafkaSettings, topics: &[Topic]) -> Result<u64, Failure> {
    let (config, topics) = (kafka.client_config(), topics.to_vec());
    let count = move || -> Result<u64, Failure> {
        let consumer: BaseConsumer = config.create()?;
        let mut held = 0;
        for topic in &topics {
            for partition in 0..topic.partitions {
                let (low, high) = watermarks(&consumer, &topic.name, partition)?;
                held += u64::try_from(high - low)?;
            }
        }
        Ok(held)
    };
    tokio::task::spawn_blocking(count).await?
}

/// Asks again for a while: a topic just created has no leaders yet.
fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<(i64, i64), Failure> {
    let until = Instant::now() + TIMEOUT;
    loop {
        match consumer.fetch_watermarks(topic, partition, TIMEOUT) {
            Ok(watermarks) => return Ok(watermarks),
            Err(error) if Instant::now() > until => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

async fn land(lake: Lake, settings: IngestSettings, total: u64) -> Result<(Measured, Report), Failure> {
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let running = tokio::spawn(sluice_ingest::run(lake, settings, Arc::clone(&progress), stop.clone()));
    let mut began = None;
    loop {
        if began.is_none() && progress.consumed() > 0 {
            began = Some((Instant::now(), usage::cpu_seconds()));
        }
        if progress.consumed() >= total || running.is_finished() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stop.cancel();
    while progress.committed() < total && !running.is_finished() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (ended, cpu_ended) = (Instant::now(), usage::cpu_seconds());
    let report = running.await??;
    let (began, cpu) = began.ok_or("nothing was consumed")?;
    let (seconds, cpu_seconds) = ((ended - began).as_secs_f64(), cpu_ended - cpu);
    let (messages, bytes) = (report.landed + report.dead_lettered, progress.consumed_bytes());
    if messages != total {
        return Err(format!("{total} messages in Kafka, but {messages} were committed").into());
    }
    Ok((Measured { messages, bytes, seconds, cpu_seconds }, report))
}
