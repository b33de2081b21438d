//! Live figures of a running ingest: atomics for the process itself, counters for Prometheus.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Figures since the start; readable at any moment from any thread.
#[derive(Debug, Default)]
pub struct Progress {
    consumed: AtomicU64,
    consumed_bytes: AtomicU64,
    landed: AtomicU64,
    dead_lettered: AtomicU64,
    commits: AtomicU64,
    restarts: AtomicU64,
    buffered: AtomicU64,
    buffered_peak: AtomicU64,
    partitions: Mutex<BTreeMap<(String, i32), PartitionProgress>>,
}

/// Where one partition stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The next offset to be read; `None` before the first message of a session.
    pub read: Option<i64>,
    /// The next offset after the last commit; `None` before the first.
    pub committed: Option<i64>,
    /// The end of what Kafka holds for readers, as of the last second; `None` until it is known.
    pub end: Option<i64>,
}

impl PartitionProgress {
    /// Messages not yet committed; 0 while unknown.
    pub fn lag(&self) -> u64 {
        match (self.committed, self.end) {
            (Some(committed), Some(end)) => u64::try_from(end - committed).unwrap_or(0),
            _ => 0,
        }
    }
}

impl Progress {
    /// Messages taken from Kafka; those read again after a restart are counted again.
    pub fn consumed(&self) -> u64 {
        self.consumed.load(Relaxed)
    }

    /// Bytes of their keys and payloads.
    pub fn consumed_bytes(&self) -> u64 {
        self.consumed_bytes.load(Relaxed)
    }

    /// Rows committed to tables, without dead letters.
    pub fn landed(&self) -> u64 {
        self.landed.load(Relaxed)
    }

    /// Rows committed to the dead letters.
    pub fn dead_lettered(&self) -> u64 {
        self.dead_lettered.load(Relaxed)
    }

    /// Messages whose fate is committed: landed or dead-lettered.
    pub fn committed(&self) -> u64 {
        self.landed() + self.dead_lettered()
    }

    /// Commits made.
    pub fn commits(&self) -> u64 {
        self.commits.load(Relaxed)
    }

    /// Times that reading began anew from the tables after an outage or a fence.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Relaxed)
    }

    /// Bytes held now in raw messages, decoded batches and open files.
    pub fn buffered_bytes(&self) -> u64 {
        self.buffered.load(Relaxed)
    }

    /// The most that was ever held.
    pub fn buffered_bytes_peak(&self) -> u64 {
        self.buffered_peak.load(Relaxed)
    }

    /// Messages in Kafka that are not yet committed, over the partitions this process owns or owned.
    pub fn lag(&self) -> u64 {
        self.lock().values().map(PartitionProgress::lag).sum()
    }

    /// Where each partition stands.
    pub fn partitions(&self) -> BTreeMap<(String, i32), PartitionProgress> {
        self.lock().clone()
    }

    pub(crate) fn add_consumed(&self, topic: &str, messages: usize, bytes: usize) {
        self.consumed.fetch_add(messages as u64, Relaxed);
        self.consumed_bytes.fetch_add(bytes as u64, Relaxed);
        metrics::counter!("sluice_ingest_consumed_total", "topic" => topic.to_owned())
            .increment(messages as u64);
        metrics::counter!("sluice_ingest_consumed_bytes_total", "topic" => topic.to_owned())
            .increment(bytes as u64);
    }

    pub(crate) fn add_rows(&self, table: &str, rows: u64, dead: bool) {
        let (counter, name) = if dead {
            (&self.dead_lettered, "sluice_ingest_dead_lettered_total")
        } else {
            (&self.landed, "sluice_ingest_landed_total")
        };
        counter.fetch_add(rows, Relaxed);
        metrics::counter!(name, "table" => table.to_owned()).increment(rows);
    }

    pub(crate) fn add_commit(&self, seconds: f64) {
        self.commits.fetch_add(1, Relaxed);
        metrics::counter!("sluice_ingest_commits_total").increment(1);
        metrics::histogram!("sluice_ingest_commit_seconds").record(seconds);
    }

    pub(crate) fn add_restart(&self) {
        self.restarts.fetch_add(1, Relaxed);
        metrics::counter!("sluice_ingest_restarts_total").increment(1);
    }

    pub(crate) fn set_buffered(&self, bytes: usize, peak: usize) {
        self.buffered.store(bytes as u64, Relaxed);
        self.buffered_peak.fetch_max(peak as u64, Relaxed);
        metrics::gauge!("sluice_ingest_buffered_bytes").set(bytes as f64);
    }

    pub(crate) fn set_read(&self, topic: &str, partition: i32, next: i64) {
        self.lock().entry((topic.to_owned(), partition)).or_default().read = Some(next);
    }

    pub(crate) fn set_committed(&self, topic: &str, partition: i32, next: i64) {
        self.lock().entry((topic.to_owned(), partition)).or_default().committed = Some(next);
    }

    /// Notes the end of a partition that this process owns; others are ignored.
    pub(crate) fn set_end(&self, topic: &str, partition: i32, end: i64) {
        let mut partitions = self.lock();
        let Some(entry) = partitions.get_mut(&(topic.to_owned(), partition)) else { return };
        entry.end = Some(end);
        let labels = [("topic", topic.to_owned()), ("partition", partition.to_string())];
        metrics::gauge!("sluice_ingest_lag", &labels).set(entry.lag() as f64);
    }

    /// Forgets partitions that another worker owns now.
    pub(crate) fn forget(&self, topic: &str, partition: i32) {
        self.lock().remove(&(topic.to_owned(), partition));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, i32), PartitionProgress>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
