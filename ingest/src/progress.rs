//! Live figures of a running ingest: atomics for the process itself, counters for Prometheus.
//!
//! What each metric means stands in `docs/watching.md`. Labels are names of topics and tables, numbers of partitions
//! and causes of dead letters; how many names there are is bounded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use metrics::{counter, gauge, histogram};

/// Names of topics and tables that are labels; further ones are counted together.
const LABELS_MAX: usize = 1000;
/// What stands for further names.
const OTHER: &str = "other";

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
    /// The reasons that hold, as bits.
    paused: AtomicU8,
    partitions: Mutex<BTreeMap<(String, i32), Partition>>,
    labels: Labels,
}

/// A partition, and what was read of it and is not committed: ends of batches with Kafka's time of their last message.
#[derive(Debug, Default)]
struct Partition {
    progress: PartitionProgress,
    read: VecDeque<(i64, i64)>,
}

/// Why nothing is read or landed for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseReason {
    /// Too large a share of the messages is bad.
    DeadLetterShare,
    /// Dead letters come too fast.
    DeadLetterRate,
    /// The memory budget is used up.
    Memory,
}

impl PauseReason {
    /// As metrics and people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeadLetterShare => "dead_letter_share",
            Self::DeadLetterRate => "dead_letter_rate",
            Self::Memory => "memory",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
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
    /// Kafka's time of the last message that is committed, in milliseconds since 1970; `None` before the first.
    pub committed_at: Option<i64>,
}

impl PartitionProgress {
    /// Messages not yet committed; 0 while unknown.
    pub fn lag(&self) -> u64 {
        match (self.committed, self.end) {
            (Some(committed), Some(end)) => u64::try_from(end - committed).unwrap_or(0),
            _ => 0,
        }
    }

    /// How old the last committed message is while others wait; 0 while none does or it is unknown.
    fn lag_seconds(&self, now_millis: i64) -> f64 {
        match self.committed_at.filter(|_| self.lag() > 0) {
            Some(at) => now_millis.saturating_sub(at).max(0) as f64 / 1000.0,
            None => 0.0,
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
        self.lock().values().map(|partition| partition.progress.lag()).sum()
    }

    /// Where each partition stands.
    pub fn partitions(&self) -> BTreeMap<(String, i32), PartitionProgress> {
        self.lock().iter().map(|(name, partition)| (name.clone(), partition.progress)).collect()
    }

    /// Why landing is paused at the moment, if it is.
    pub fn paused(&self) -> Option<PauseReason> {
        let reasons = [PauseReason::DeadLetterShare, PauseReason::DeadLetterRate, PauseReason::Memory];
        reasons.into_iter().find(|reason| self.paused.load(Relaxed) & reason.bit() != 0)
    }

    /// Notes that landing pauses for a reason, or does so no more.
    pub(crate) fn set_paused(&self, reason: PauseReason, paused: bool) {
        let before = match paused {
            true => self.paused.fetch_or(reason.bit(), Relaxed),
            false => self.paused.fetch_and(!reason.bit(), Relaxed),
        };
        if paused && before & reason.bit() == 0 {
            counter!("sluice_ingest_pauses_total", "reason" => reason.name()).increment(1);
        }
        gauge!("sluice_ingest_paused", "reason" => reason.name()).set(f64::from(u8::from(paused)));
    }

    /// Tells the limit of the memory, and every figure that has not moved yet.
    pub(crate) fn set_budget(&self, bytes: usize) {
        gauge!("sluice_ingest_memory_budget_bytes").set(bytes as f64);
        for reason in [PauseReason::DeadLetterShare, PauseReason::DeadLetterRate, PauseReason::Memory] {
            counter!("sluice_ingest_pauses_total", "reason" => reason.name()).increment(0);
            gauge!("sluice_ingest_paused", "reason" => reason.name()).increment(0.0);
        }
        counter!("sluice_ingest_restarts_total").increment(0);
        counter!("sluice_ingest_commits_total").increment(0);
    }

    pub(crate) fn add_consumed(&self, topic: &str, messages: usize, bytes: usize) {
        self.consumed.fetch_add(messages as u64, Relaxed);
        self.consumed_bytes.fetch_add(bytes as u64, Relaxed);
        let topic = self.labels.of(topic);
        counter!("sluice_ingest_consumed_total", "topic" => topic.clone()).increment(messages as u64);
        counter!("sluice_ingest_consumed_bytes_total", "topic" => topic).increment(bytes as u64);
    }

    /// A raw batch was decoded and routed.
    pub(crate) fn add_batch(&self, seconds: f64) {
        histogram!("sluice_ingest_batch_seconds").record(seconds);
    }

    /// Rows and the bytes of their files were committed to a table, at a time in microseconds since 1970.
    pub(crate) fn add_rows(&self, table: &str, (rows, bytes): (u64, u64), dead: bool, now_micros: i64) {
        if dead { &self.dead_lettered } else { &self.landed }.fetch_add(rows, Relaxed);
        let table = self.labels.of(table);
        counter!("sluice_ingest_landed_total", "table" => table.clone()).increment(rows);
        counter!("sluice_ingest_landed_bytes_total", "table" => table.clone()).increment(bytes);
        let seconds = now_micros as f64 / 1e6;
        gauge!("sluice_ingest_table_committed_timestamp_seconds", "table" => table).set(seconds);
    }

    /// Dead letters of a topic were committed.
    pub(crate) fn add_dead_letters(&self, topic: &str, cause: &str, letters: u64) {
        let labels = [("topic", self.labels.of(topic)), ("cause", cause.to_owned())];
        counter!("sluice_ingest_dead_letters_total", &labels).increment(letters);
    }

    pub(crate) fn add_commit(&self, seconds: f64) {
        self.commits.fetch_add(1, Relaxed);
        counter!("sluice_ingest_commits_total").increment(1);
        histogram!("sluice_ingest_commit_seconds").record(seconds);
    }

    pub(crate) fn add_restart(&self) {
        self.restarts.fetch_add(1, Relaxed);
        counter!("sluice_ingest_restarts_total").increment(1);
    }

    pub(crate) fn set_buffered(&self, bytes: usize, peak: usize) {
        self.buffered.store(bytes as u64, Relaxed);
        let peak = self.buffered_peak.fetch_max(peak as u64, Relaxed).max(peak as u64);
        gauge!("sluice_ingest_buffered_bytes").set(bytes as f64);
        gauge!("sluice_ingest_buffered_bytes_peak").set(peak as f64);
    }

    /// Notes the position of a reader, and Kafka's time of the last message before it in milliseconds.
    pub(crate) fn set_read(&self, topic: &str, partition: i32, next: i64, millis: Option<i64>) {
        let mut partitions = self.lock();
        let entry = partitions.entry((topic.to_owned(), partition)).or_default();
        entry.progress.read = Some(next);
        if let Some(millis) = millis {
            entry.read.push_back((next, millis));
        }
    }

    pub(crate) fn set_committed(&self, topic: &str, partition: i32, next: i64) {
        let mut partitions = self.lock();
        let entry = partitions.entry((topic.to_owned(), partition)).or_default();
        entry.progress.committed = Some(next);
        while let Some((_, millis)) = entry.read.pop_front_if(|(end, _)| *end <= next) {
            entry.progress.committed_at = Some(millis);
        }
        if let Some(millis) = entry.progress.committed_at {
            let labels = self.labels_of(topic, partition);
            gauge!("sluice_ingest_committed_timestamp_seconds", &labels).set(millis as f64 / 1000.0);
        }
    }

    /// Notes the end of a partition that this process owns, as of a time in milliseconds since 1970; others are ignored.
    pub(crate) fn set_end(&self, topic: &str, partition: i32, end: i64, now_millis: i64) {
        let mut partitions = self.lock();
        let Some(entry) = partitions.get_mut(&(topic.to_owned(), partition)) else { return };
        entry.progress.end = Some(end);
        let labels = self.labels_of(topic, partition);
        gauge!("sluice_ingest_lag", &labels).set(entry.progress.lag() as f64);
        gauge!("sluice_ingest_lag_seconds", &labels).set(entry.progress.lag_seconds(now_millis));
    }

    /// Forgets partitions that another worker owns now; it tells their lag.
    pub(crate) fn forget(&self, topic: &str, partition: i32) {
        let mut partitions = self.lock();
        partitions.remove(&(topic.to_owned(), partition));
        let labels = self.labels_of(topic, partition);
        gauge!("sluice_ingest_lag", &labels).set(0.0);
        gauge!("sluice_ingest_lag_seconds", &labels).set(0.0);
    }

    fn labels_of(&self, topic: &str, partition: i32) -> [(&'static str, String); 2] {
        match self.labels.of(topic) {
            other if other != topic => [("topic", other), ("partition", String::new())],
            topic => [("topic", topic), ("partition", partition.to_string())],
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, i32), Partition>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names of topics and tables as labels: so many, and no more, however many tables a topic's events make.
#[derive(Debug, Default)]
struct Labels(Mutex<BTreeSet<String>>);

impl Labels {
    /// The name, or `other` once there are too many.
    fn of(&self, name: &str) -> String {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(name) {
            return name.to_owned();
        }
        if known.len() >= LABELS_MAX {
            return OTHER.to_owned();
        }
        known.insert(name.to_owned());
        name.to_owned()
    }
}

#[cfg(test)]
mod tests;
