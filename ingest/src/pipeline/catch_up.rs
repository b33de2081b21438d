//! Landing what the topics hold now, and no longer.
//!
//! ```text
//! ask Kafka for the last record of each partition -> run, watched -> every table has them? -> done
//!                                                      ^                    | no: another
//!                                                      +--------------------+ writer was faster
//! ```
//!
//! Invariant: the tables decide, never the reader's position. What was read may still be fenced, and a partition
//! may belong to another worker of the group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sluice_catalog::Lake;
use tokio_util::sync::CancellationToken;

use super::{IngestSettings, Limits, Report, run_limited};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::source::probe::Probe;

/// How often the reader's positions are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often the tables are looked at for partitions that this process does not read.
const LOOK_AT_TABLES: Duration = Duration::from_secs(1);

/// For each topic number and partition: one past the last record that must be landed.
type Targets = BTreeMap<(usize, i32), i64>;

/// Lands every record that the topics hold at the start, then commits, leaves the group and returns; earlier
/// when `stop` is cancelled. Partitions that other workers of the group read are waited for.
///
/// # Errors
/// As [`run`](super::run); and [`Error::TooManyDeadLetters`] when a topic paused for that: the others have landed.
pub async fn catch_up(
    lake: Lake,
    settings: IngestSettings,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<Report> {
    let plan = Arc::new(Plan::new(&settings.topics, settings.dead_letters.clone())?);
    let targets = targets(Arc::clone(&plan), settings.clone()).await?;
    let limits = Limits::new(settings.dead_letter_limit, Arc::clone(&progress)).for_good();
    let limits = Arc::new(limits);
    loop {
        let (enough, ended) = (stop.child_token(), CancellationToken::new());
        let landing = async {
            let (progress, limits) = (Arc::clone(&progress), Arc::clone(&limits));
            let report = run_limited(lake.clone(), settings.clone(), progress, enough.clone(), limits).await;
            ended.cancel();
            report
        };
        let watch = async {
            tokio::select! {
                () = caught_up(&lake, &plan, (&targets, &limits), &progress) => enough.cancel(),
                () = ended.cancelled() => {}
            }
        };
        let (report, ()) = tokio::join!(landing, watch);
        let report = report?;
        let left = without(&targets, &plan, &limits);
        if stop.is_cancelled() || missing(&lake, &plan, &left).await?.is_empty() {
            return limits.flood().map_or(Ok(report), Err);
        }
        tracing::info!("another writer was faster; landing what the tables still lack");
    }
}

/// Asks Kafka for the last record of every partition.
async fn targets(plan: Arc<Plan>, settings: IngestSettings) -> Result<Targets> {
    let ask = move || {
        let probe = Probe::new(&settings.kafka, &settings.group)?;
        let mut targets = Targets::new();
        for (number, topic) in plan.topics.iter().enumerate() {
            for partition in 0..probe.partitions(&topic.name)? {
                let (low, high) = probe.watermarks(&topic.name, partition)?;
                if let Some(last) = probe.last_record(&topic.name, partition, low, high)? {
                    targets.insert((number, partition), last + 1);
                }
            }
        }
        Ok(targets)
    };
    let asked = tokio::task::spawn_blocking(ask).await;
    asked.map_err(|_| Error::Broken { part: "the question how much there is to land" })?
}

/// The targets without those of topics that are not read any more.
fn without(targets: &Targets, plan: &Plan, limits: &Limits) -> Targets {
    let given_up = limits.given_up();
    let mut left = targets.clone();
    left.retain(|(topic, _), _| !given_up.contains(&plan.topics[*topic].name));
    left
}

/// Returns when every target is read by this process or landed by another.
async fn caught_up(lake: &Lake, plan: &Plan, (targets, limits): (&Targets, &Limits), progress: &Progress) {
    let mut since_tables = Duration::ZERO;
    loop {
        let read = progress.partitions();
        let is_read = |(&(topic, partition), &target): (&(usize, i32), &i64)| {
            let known = read.get(&(plan.topics[topic].name.clone(), partition));
            known.and_then(|known| known.read).is_some_and(|next| next >= target)
        };
        let mut unread = without(targets, plan, limits);
        unread.retain(|key, target| !is_read((key, target)));
        if unread.is_empty() {
            return;
        }
        if since_tables >= LOOK_AT_TABLES {
            since_tables = Duration::ZERO;
            match missing(lake, plan, &unread).await {
                Ok(missing) if missing.is_empty() => return,
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "cannot look at the tables; looking again"),
            }
        }
        tokio::time::sleep(LOOK).await;
        since_tables += LOOK;
    }
}

/// The targets that some table of the topic has not reached.
async fn missing(lake: &Lake, plan: &Plan, targets: &Targets) -> Result<Targets> {
    let mut missing = Targets::new();
    for (number, topic) in plan.topics.iter().enumerate() {
        for &table in &topic.tables {
            let offsets = lake.load(&plan.tables[table].name).await?.offsets(&topic.name)?;
            let next = |partition| offsets.as_ref().and_then(|known| known.next.get(&partition)).copied();
            let open = targets.iter().filter(|((of, partition), target)| {
                *of == number && next(*partition).is_none_or(|next| next < **target)
            });
            missing.extend(open.map(|(key, target)| (*key, *target)));
        }
    }
    Ok(missing)
}
