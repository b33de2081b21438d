//! Live figures of a running ingest: for the process itself, and as metrics for Prometheus.

mod export;
mod labels;
mod partition;
mod topic;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::export::Export;
use self::partition::Partition;
pub use self::partition::PartitionProgress;
pub use self::topic::TopicProgress;

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
    /// Whether nothing is read because the memory budget is used up.
    memory_paused: AtomicBool,
    partitions: Mutex<BTreeMap<(String, i32), Partition>>,
    topics: Mutex<BTreeMap<String, TopicProgress>>,
    export: Export,
}

/// Why nothing is read for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseReason {
    /// Too large a share of a topic's messages is bad.
    DeadLetterShare,
    /// A topic's dead letters come too fast.
    DeadLetterRate,
    /// The memory budget is used up: of all topics.
    Memory,
}

const PAUSE_REASONS: [PauseReason; 3] =
    [PauseReason::DeadLetterShare, PauseReason::DeadLetterRate, PauseReason::Memory];

impl PauseReason {
    /// As metrics and people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeadLetterShare => "dead_letter_share",
            Self::DeadLetterRate => "dead_letter_rate",
            Self::Memory => "memory",
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

    /// Times that reading began anew from the tables after an outage, a fence or a flood of dead letters.
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
        lock(&self.partitions).values().map(|partition| partition.progress.lag()).sum()
    }

    /// Where each partition stands.
    pub fn partitions(&self) -> BTreeMap<(String, i32), PartitionProgress> {
        lock(&self.partitions).iter().map(|(name, partition)| (name.clone(), partition.progress)).collect()
    }

    /// What became of each topic's messages.
    pub fn topics(&self) -> BTreeMap<String, TopicProgress> {
        lock(&self.topics).clone()
    }

    /// Whether nothing is read because the memory budget is used up.
    pub fn is_memory_paused(&self) -> bool {
        self.memory_paused.load(Relaxed)
    }

    /// Tells the limit of the memory and the topics, before anything moves.
    pub(crate) fn start<'a>(&self, budget: usize, topics: impl IntoIterator<Item = &'a str>) {
        self.export.start(budget);
        for topic in topics {
            self.topic(topic, |_| {});
            self.export.topic(topic);
        }
    }

    pub(crate) fn set_memory_paused(&self, paused: bool) {
        if self.memory_paused.swap(paused, Relaxed) != paused {
            self.export.memory_paused(paused);
        }
    }

    /// Notes that a topic pauses for a reason, or does so no more.
    pub(crate) fn set_topic_paused(&self, topic: &str, paused: Option<PauseReason>) {
        let before = self.topic(topic, |figures| std::mem::replace(&mut figures.paused, paused));
        if before != paused {
            before.into_iter().for_each(|reason| self.export.topic_paused(topic, reason, false));
            paused.into_iter().for_each(|reason| self.export.topic_paused(topic, reason, true));
        }
    }

    pub(crate) fn add_consumed(&self, topic: &str, messages: usize, bytes: usize) {
        self.consumed.fetch_add(messages as u64, Relaxed);
        self.consumed_bytes.fetch_add(bytes as u64, Relaxed);
        self.topic(topic, |figures| figures.consumed += messages as u64);
        self.export.consumed(topic, messages, bytes);
    }

    /// A raw batch was decoded and routed.
    pub(crate) fn add_batch(&self, seconds: f64) {
        self.export.batch(seconds);
    }

    /// Rows and the bytes of their files were committed to a table, at a time in microseconds since 1970.
    pub(crate) fn add_rows(&self, table: &str, (rows, bytes): (u64, u64), dead: bool, now_micros: i64) {
        if dead { &self.dead_lettered } else { &self.landed }.fetch_add(rows, Relaxed);
        self.export.rows(table, (rows, bytes), now_micros);
    }

    /// Rows and dead letters (by cause) of a topic were committed, at a time in microseconds since 1970.
    pub(crate) fn add_fate(&self, topic: &str, rows: u64, dead: &[(&str, u64)], now_micros: i64) {
        self.topic(topic, |figures| {
            figures.landed += rows;
            figures.dead_lettered += dead.iter().map(|(_, letters)| letters).sum::<u64>();
            figures.committed_at = Some(now_micros);
        });
        for (cause, letters) in dead {
            self.export.dead_letters(topic, cause, *letters);
        }
    }

    pub(crate) fn add_commit(&self, seconds: f64) {
        self.commits.fetch_add(1, Relaxed);
        self.export.commit(seconds);
    }

    pub(crate) fn add_restart(&self) {
        self.restarts.fetch_add(1, Relaxed);
        self.export.restart();
    }

    pub(crate) fn set_buffered(&self, bytes: usize, peak: usize) {
        self.buffered.store(bytes as u64, Relaxed);
        let peak = self.buffered_peak.fetch_max(peak as u64, Relaxed).max(peak as u64);
        self.export.buffered(bytes, peak);
    }

    /// Notes where reading of a partition begins, perhaps again.
    pub(crate) fn set_start(&self, topic: &str, partition: i32, next: i64) {
        lock(&self.partitions).entry((topic.to_owned(), partition)).or_default().start(next);
    }

    /// Notes that nothing is read any more: what was read and not committed will be read again.
    pub(crate) fn stop_reading(&self) {
        lock(&self.partitions).values_mut().for_each(|partition| partition.progress.read = None);
    }

    /// Notes the position of a reader, and Kafka's time of the last message before it in milliseconds.
    pub(crate) fn set_read(&self, topic: &str, partition: i32, next: i64, millis: Option<i64>) {
        lock(&self.partitions).entry((topic.to_owned(), partition)).or_default().read(next, millis);
    }

    pub(crate) fn set_committed(&self, topic: &str, partition: i32, next: i64) {
        lock(&self.partitions).entry((topic.to_owned(), partition)).or_default().commit(next);
    }

    /// Notes the end of a partition that this process owns; others are ignored, and so is an end that is further
    /// back: whoever says so asked earlier, as the client does of a partition that pauses.
    pub(crate) fn set_end(&self, topic: &str, partition: i32, end: i64) {
        if let Some(known) = lock(&self.partitions).get_mut(&(topic.to_owned(), partition)) {
            known.progress.end = known.progress.end.max(Some(end));
        }
    }

    /// Tells the metrics where all partitions stand, at a time in milliseconds since 1970.
    pub(crate) fn tell_partitions(&self, now_millis: i64) {
        self.export.partitions(&lock(&self.partitions), now_millis);
    }

    /// Forgets a partition that another worker owns now; that one tells its lag.
    pub(crate) fn forget(&self, topic: &str, partition: i32) {
        lock(&self.partitions).remove(&(topic.to_owned(), partition));
        self.export.forget(topic, partition);
    }

    fn topic<T>(&self, topic: &str, change: impl FnOnce(&mut TopicProgress) -> T) -> T {
        let mut topics = lock(&self.topics);
        match topics.get_mut(topic) {
            Some(known) => change(known),
            None => change(topics.entry(topic.to_owned()).or_default()),
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
