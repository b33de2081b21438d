//! Events from Kafka to Iceberg tables, against consume + decode + Parquet of the same bytes.
//!
//! Order: produce what is missing, land everything with Sluice into fresh tables, then measure the ceiling.
//! Both read the whole topic from its start, begin the clock with the first message (joining a group is not
//! throughput) and stop it when the last is done: for Sluice when the last commit is there. The ceiling has
//! the same number of threads, but no offsets, no commits, no routing, no guards, no upload.

mod ceiling;
mod many;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::{Value, json};
use sluice_catalog::{Lake, LakeSettings, S3Settings, Secret};
use sluice_ingest::produce::{self, ProduceSettings};
use sluice_ingest::topics::{self, Topic, Topics};
use sluice_ingest::{IngestSettings, KafkaSettings, Progress, Report};
use tokio_util::sync::CancellationToken;

use self::many::Shape;
use crate::usage;

const TOPIC: &str = "user-events";
const TIMEOUT: Duration = Duration::from_secs(10);

/// Whatever stops a benchmark; its text says all there is to say.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Kafka's bootstrap servers
    #[arg(long, env = "KAFKA_BOOTSTRAP", default_value = "127.0.0.1:9092")]
    brokers: String,
    /// One topic into two tables, fifty topics into fifty, or one topic into a thousand
    #[arg(long, value_enum, default_value = "events")]
    shape: Shape,
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
    /// Threads that decode
    #[arg(long)]
    threads: Option<usize>,
    /// Memory budget in MiB
    #[arg(long, default_value_t = 1024)]
    memory: usize,
    /// Seconds between commits
    #[arg(long, default_value_t = 10)]
    commit_interval: u64,
    /// Measure Sluice only
    #[arg(long)]
    no_ceiling: bool,
}

/// What one side took.
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

pub(crate) async fn run(arguments: Arguments) -> Result<Value, Failure> {
    let kafka = KafkaSettings::new(&arguments.brokers);
    let (topics, ingested) = match arguments.shape {
        Shape::Events => {
            let topic = Topics::shop().get(TOPIC).cloned();
            let topics = vec![topic.ok_or("the built-in topics file has no `user-events`")?];
            (topics.clone(), topics)
        }
        shape => many::topics(shape)?,
    };
    let total = fill(&kafka, arguments.shape, &topics, arguments.events).await?;
    let dir = arguments.dir.join(format!("ingest-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let lake = Lake::open(lake_settings(&arguments, &dir)).await?;
    let mut settings = IngestSettings::new(kafka.clone(), ingested);
    settings.group = format!("sluice-bench-{}", std::process::id());
    settings.memory_budget = arguments.memory << 20;
    settings.commit_interval = Duration::from_secs(arguments.commit_interval);
    settings.decode_threads = arguments.threads.unwrap_or(settings.decode_threads);
    let threads = settings.decode_threads;
    let (sluice, report) = land(lake.clone(), settings, total).await?;
    let tables = lake.tables("bronze").await?.len();
    let peak = usage::peak_resident_bytes();
    let mut line = json!({
        "benchmark": "ingest",
        "shape": format!("{:?}", arguments.shape).to_lowercase(),
        "tables": tables,
        "sluice": sluice.json(),
        "landed": report.landed,
        "dead_lettered": report.dead_lettered,
        "commits": report.commits,
        "restarts": report.restarts,
        "decode_threads": threads,
        "memory_budget_bytes": arguments.memory << 20,
        "buffered_peak_bytes": report.buffered_bytes_peak,
        "resident_peak_bytes": peak,
        "store": if arguments.endpoint.is_some() { "s3" } else { "folder" },
    });
    if !arguments.no_ceiling {
        let measure = move || ceiling::measure(&kafka, &topics, total, threads);
        let ceiling = tokio::task::spawn_blocking(measure).await??;
        line["ceiling"] = ceiling.json();
        line["ratio"] = json!(round(sluice.per_second() / ceiling.per_second()));
        line["ratio_per_cpu_second"] = json!(round(sluice.per_cpu_second() / ceiling.per_cpu_second()));
    }
    Ok(line)
}

fn lake_settings(arguments: &Arguments, dir: &std::path::Path) -> LakeSettings {
    let mut settings = LakeSettings::local(dir);
    if let Some(endpoint) = &arguments.endpoint {
        let variable = |name: &str| std::env::var(name).ok();
        settings.warehouse = format!("s3://{}/bench-{}", arguments.bucket, std::process::id());
        settings.s3 = S3Settings {
            endpoint: Some(endpoint.clone()),
            region: variable("AWS_REGION"),
            access_key_id: variable("AWS_ACCESS_KEY_ID"),
            secret_access_key: variable("AWS_SECRET_ACCESS_KEY").map(Secret::new),
        };
    }
    settings
}

/// Creates the topics and produces what they lack; returns how many messages they hold.
async fn fill(kafka: &KafkaSettings, shape: Shape, topics: &[Topic], events: u64) -> Result<u64, Failure> {
    topics::apply(kafka, &Topics { topics: topics.to_vec() }).await?;
    let held = count(kafka, topics).await?;
    if held < events && shape != Shape::Events {
        eprintln!("producing {} events into {} topics", events - held, topics.len());
        let (kafka, topics) = (kafka.clone(), topics.to_vec());
        let produce = move || many::produce(&kafka, &topics, held, events);
        tokio::task::spawn_blocking(produce).await??;
        return Ok(events);
    }
    if held < events {
        eprintln!("producing {} events into `{TOPIC}`", events - held);
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
    }
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
    while progress.consumed() < total && !running.is_finished() {
        if began.is_none() && progress.consumed() > 0 {
            began = Some((Instant::now(), usage::cpu_seconds()));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stop.cancel();
    while progress.committed() < total && !running.is_finished() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (began, cpu) = began.ok_or("nothing was consumed")?;
    let (seconds, cpu_seconds) = (began.elapsed().as_secs_f64(), usage::cpu_seconds() - cpu);
    let report = running.await??;
    let (messages, bytes) = (report.landed + report.dead_lettered, progress.consumed_bytes());
    if messages != total {
        return Err(format!("{total} messages in Kafka, but {messages} were committed").into());
    }
    Ok((Measured { messages, bytes, seconds, cpu_seconds }, report))
}
