//! The whole flow: settings, tables, and sessions one after the other until it is told to stop.
//!
//! A session joins the consumer group, reads, lands and commits. It ends when it is told to, when another
//! writer moved a table on (fenced), or when something failed. What was not committed is then dropped and
//! the next session goes on from the tables: that is the one way back from every fault, so it is always
//! the same. During an outage of the store or the catalog sessions are retried with growing pauses.

mod catch_up;
mod limit;
mod pauses;
mod session;
pub(crate) mod tables;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sluice_catalog::{Lake, TableName, WriterSettings};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::catch_up::catch_up;
pub use self::limit::DeadLetterLimit;
pub(crate) use self::limit::{Count, Limits};
pub use self::pauses::run_with_settings;
use self::session::End;
use crate::budget::Budget;
use crate::dead_letters;
use crate::decode::Decoder;
use crate::error::{Error, Result};
use crate::kafka::KafkaSettings;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::registry::{Lookup, Patience, Registry, RegistrySettings};
use crate::source::probe::Probe;
use crate::tail::Tail;
use crate::topics::Topic;

const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How events are landed.
#[derive(Clone, Debug)]
pub struct IngestSettings {
    /// Where Kafka is.
    pub kafka: KafkaSettings,
    /// The consumer group; workers of one group share the partitions.
    pub group: String,
    /// Who this worker is, unlike any other of its group. One that comes back under the same name within the
    /// session's time-out gets its partitions back, and nobody else's are moved. Without one a worker that leaves
    /// is missed at once.
    pub instance_id: Option<String>,
    /// The topics to land; those without routes are ignored.
    pub topics: Vec<Topic>,
    /// The table of dead letters (default `bronze.dead_letters`).
    pub dead_letters: TableName,
    /// A commit is made this long after the first message that it holds (default 10 s).
    pub commit_interval: Duration,
    /// A commit is made when this many bytes of messages were read (default 1 GiB).
    pub commit_bytes: usize,
    /// Bytes of messages, decoded batches and open files held at most (default 1 GiB).
    pub memory_budget: usize,
    /// A commit is made early enough that messages are no older than this when they land, by Kafka's timestamps and
    /// the time that the last commit took; where they come older, the interval alone counts (default: no target).
    pub target_lag: Option<Duration>,
    /// Files that take rows at the same time, over all tables; beyond it those of the least recently used table are
    /// closed (default 256).
    pub open_files_max: usize,
    /// How often topics are looked for that match a pattern (default 10 s).
    pub discover_interval: Duration,
    /// How files are cut and encoded.
    pub writer: WriterSettings,
    /// Threads that decode (default: as many as there are cores).
    pub decode_threads: usize,
    /// Where the schemas of Avro and Protobuf topics are.
    pub registry: Option<RegistrySettings>,
    /// Larger messages are dead letters (default 16 MiB).
    pub max_message_bytes: usize,
    /// When a topic pauses rather than be drained into the dead letters; `None` for never.
    pub dead_letter_limit: Option<DeadLetterLimit>,
    /// Where rows stay readable until their commit (default: nowhere).
    pub tail: Option<Tail>,
}

impl IngestSettings {
    /// The defaults, in the consumer group `sluice`.
    pub fn new(kafka: KafkaSettings, topics: Vec<Topic>) -> Self {
        Self {
            kafka,
            group: "sluice".to_owned(),
            instance_id: None,
            topics,
            dead_letters: dead_letters::table(),
            commit_interval: Duration::from_secs(10),
            commit_bytes: 1 << 30,
            target_lag: None,
            open_files_max: 256,
            discover_interval: Duration::from_secs(10),
            memory_budget: 1 << 30,
            writer: WriterSettings::default(),
            decode_threads: std::thread::available_parallelism().map_or(1, usize::from),
            registry: None,
            max_message_bytes: 16 << 20,
            dead_letter_limit: Some(DeadLetterLimit::default()),
            tail: None,
        }
    }
}

/// What a finished run did. Rows read again after a restart are landed once and consumed twice.
#[derive(Clone, Debug)]
pub struct Report {
    /// Messages taken from Kafka.
    pub consumed: u64,
    /// Rows committed to tables.
    pub landed: u64,
    /// Rows committed to the dead letters.
    pub dead_lettered: u64,
    /// Commits made.
    pub commits: u64,
    /// Times that reading began anew.
    pub restarts: u64,
    /// The most bytes that were held at a time.
    pub buffered_bytes_peak: u64,
    /// From start to stop.
    pub elapsed: Duration,
}

/// What all sessions of a run share.
struct Shared {
    lake: Lake,
    plan: Arc<Plan>,
    settings: Arc<IngestSettings>,
    progress: Arc<Progress>,
    probe: Arc<Probe>,
    cluster: String,
    limits: Arc<Limits>,
    /// Schemas outlive sessions.
    schemas: Option<Arc<Lookup>>,
}

/// Lands the events of all topics until `stop` is cancelled; then commits what was read, leaves the group
/// and returns. A topic with too many dead letters pauses, and the others go on.
///
/// # Errors
/// What waiting does not cure, and anything that fails before the first session runs. Nothing is lost
/// then: what was not committed is read again by the next run.
pub async fn run(
    lake: Lake,
    settings: IngestSettings,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<Report> {
    let limits = Arc::new(Limits::new(settings.dead_letter_limit, Arc::clone(&progress)));
    run_limited(lake, settings, progress, stop, limits).await
}

/// The same with limits that the caller can look at.
async fn run_limited(
    lake: Lake,
    settings: IngestSettings,
    progress: Arc<Progress>,
    stop: CancellationToken,
    limits: Arc<Limits>,
) -> Result<Report> {
    let began = Instant::now();
    let plan = Arc::new(Plan::new(&settings.topics, settings.dead_letters.clone())?);
    let schemas = match &settings.registry {
        Some(registry) => Some(Arc::new(Lookup::new(Registry::new(registry)?, Patience::default()))),
        None => None,
    };
    for topic in &plan.topics {
        Decoder::new(topic, schemas.as_ref())?; // Says before anything is read that a registry is missing.
    }
    let settings = Arc::new(settings);
    let (probe, cluster) = ask_kafka(Arc::clone(&plan), Arc::clone(&settings)).await?;
    tables::create(&lake, &plan).await?;
    progress.start(settings.memory_budget, plan.topics.iter().map(|topic| topic.name.as_str()));
    let shared = Shared { lake, plan, settings, progress, probe, cluster, limits, schemas };
    let mut pause = PAUSE_MIN;
    loop {
        let commits = shared.progress.commits();
        let budget = Budget::new(shared.settings.memory_budget);
        let end = session::run(&shared, budget, &stop).await;
        if shared.progress.commits() > commits {
            pause = PAUSE_MIN;
        }
        match end {
            Ok(End::Stopped) => break,
            // The topic pauses: the next session goes on with the others.
            Err(Error::TooManyDeadLetters { .. }) if stop.is_cancelled() => break,
            Err(Error::TooManyDeadLetters { .. }) => {
                shared.progress.add_restart();
                continue;
            }
            Ok(End::Fenced(reason)) => {
                tracing::warn!(reason, "another writer moved a table on; reading again from the tables");
            }
            Err(error) if error.is_transient() && !stop.is_cancelled() => {
                tracing::warn!(%error, ?pause, "landing is interrupted; trying again");
            }
            Err(error) => return Err(error),
        }
        shared.progress.add_restart();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => break,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
    shared.limits.close();
    Ok(Report::of(&shared.progress, began))
}

impl Report {
    fn of(progress: &Progress, began: Instant) -> Self {
        Self {
            consumed: progress.consumed(),
            landed: progress.landed(),
            dead_lettered: progress.dead_lettered(),
            commits: progress.commits(),
            restarts: progress.restarts(),
            buffered_bytes_peak: progress.buffered_bytes_peak(),
            elapsed: began.elapsed(),
        }
    }
}

/// A client for questions and the cluster's id, after every topic was found.
async fn ask_kafka(plan: Arc<Plan>, settings: Arc<IngestSettings>) -> Result<(Arc<Probe>, String)> {
    let ask = move || {
        let probe = Probe::new(&settings.kafka, &settings.group)?;
        for topic in &plan.topics {
            probe.partitions(&topic.name)?;
        }
        let cluster = probe.cluster_id();
        Ok((Arc::new(probe), cluster))
    };
    tokio::task::spawn_blocking(ask)
        .await
        .map_err(|_| Error::Broken { part: "the first question to Kafka" })?
}

/// The time of a commit.
#[expect(clippy::disallowed_methods, reason = "the loops of this stage read the clock here")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// The time a message was taken, in microseconds since 1970.
pub(crate) fn now_micros() -> i64 {
    now().timestamp_micros()
}

/// The name of a new commit.
#[expect(clippy::disallowed_methods, reason = "a token is drawn where an epoch begins")]
pub(crate) fn new_token() -> Uuid {
    Uuid::now_v7()
}

#[cfg(test)]
mod tests;
