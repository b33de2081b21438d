//! The figures as metrics for Prometheus; `docs/watching.md` says what each means.
//!
//! Labels are names of topics and tables, numbers of partitions and causes of dead letters. Of topics, tables and
//! partitions 1,000 each have series of their own; the others are one series `other`: sums of counts and of lags, the
//! largest age.

use std::collections::BTreeMap;

use metrics::{counter, gauge, histogram};

use super::labels::{Labels, OTHER};
use super::partition::{Partition, PartitionProgress};
use super::{PAUSE_REASONS, PauseReason};

/// Which names have series of their own.
#[derive(Debug, Default)]
pub(super) struct Export {
    topics: Labels,
    tables: Labels,
    partitions: Labels,
}

impl Export {
    /// Tells the limit of the memory, and every figure that has not moved yet.
    pub(super) fn start(&self, budget: usize) {
        gauge!("sluice_ingest_memory_budget_bytes").set(budget as f64);
        for reason in PAUSE_REASONS {
            counter!("sluice_ingest_pauses_total", "reason" => reason.name()).increment(0);
        }
        gauge!("sluice_ingest_memory_paused").increment(0.0);
        counter!("sluice_ingest_restarts_total").increment(0);
        counter!("sluice_ingest_commits_total").increment(0);
    }

    pub(super) fn topic(&self, topic: &str) {
        for reason in PAUSE_REASONS.into_iter().filter(|reason| *reason != PauseReason::Memory) {
            let labels = [("topic", self.topics.of(topic)), ("reason", reason.name().to_owned())];
            gauge!("sluice_ingest_topic_paused", &labels).increment(0.0);
        }
    }

    pub(super) fn consumed(&self, topic: &str, messages: usize, bytes: usize) {
        let topic = self.topics.of(topic);
        counter!("sluice_ingest_consumed_messages_total", "topic" => topic.clone())
            .increment(messages as u64);
        counter!("sluice_ingest_consumed_bytes_total", "topic" => topic).increment(bytes as u64);
    }

    pub(super) fn batch(&self, seconds: f64) {
        histogram!("sluice_ingest_batch_seconds").record(seconds);
    }

    pub(super) fn rows(&self, table: &str, (rows, bytes): (u64, u64), now_micros: i64) {
        let table = self.tables.of(table);
        counter!("sluice_ingest_landed_rows_total", "table" => table.clone()).increment(rows);
        counter!("sluice_ingest_landed_bytes_total", "table" => table.clone()).increment(bytes);
        let seconds = now_micros as f64 / 1e6;
        gauge!("sluice_ingest_table_committed_timestamp_seconds", "table" => table).set(seconds);
    }

    pub(super) fn dead_letters(&self, topic: &str, cause: &str, letters: u64) {
        let labels = [("topic", self.topics.of(topic)), ("cause", cause.to_owned())];
        counter!("sluice_ingest_dead_letters_total", &labels).increment(letters);
    }

    pub(super) fn commit(&self, seconds: f64) {
        counter!("sluice_ingest_commits_total").increment(1);
        histogram!("sluice_ingest_commit_seconds").record(seconds);
    }

    pub(super) fn restart(&self) {
        counter!("sluice_ingest_restarts_total").increment(1);
    }

    pub(super) fn buffered(&self, bytes: usize, peak: u64) {
        gauge!("sluice_ingest_buffered_bytes").set(bytes as f64);
        gauge!("sluice_ingest_buffered_peak_bytes").set(peak as f64);
    }

    pub(super) fn memory_paused(&self, paused: bool) {
        gauge!("sluice_ingest_memory_paused").set(f64::from(u8::from(paused)));
        self.pauses(PauseReason::Memory, paused);
    }

    /// A topic's pause began or ended.
    pub(super) fn topic_paused(&self, topic: &str, reason: PauseReason, paused: bool) {
        let labels = [("topic", self.topics.of(topic)), ("reason", reason.name().to_owned())];
        gauge!("sluice_ingest_topic_paused", &labels).increment(if paused { 1.0 } else { -1.0 });
        self.pauses(reason, paused);
    }

    fn pauses(&self, reason: PauseReason, paused: bool) {
        counter!("sluice_ingest_pauses_total", "reason" => reason.name()).increment(u64::from(paused));
    }

    /// Tells where all partitions stand.
    pub(super) fn partitions(&self, partitions: &BTreeMap<(String, i32), Partition>, now_millis: i64) {
        let mut others: Option<(u64, f64)> = None;
        for ((topic, number), partition) in partitions {
            let (lag, seconds) = (partition.progress.lag(), partition.progress.lag_seconds(now_millis));
            if self.partitions.has(&format!("{topic}/{number}")) {
                tell((topic, number.to_string()), (lag, seconds), &partition.progress);
            } else {
                let (lags, oldest) = others.get_or_insert_default();
                (*lags, *oldest) = (*lags + lag, oldest.max(seconds));
            }
        }
        if let Some(figures) = others {
            tell((OTHER, String::new()), figures, &PartitionProgress::default());
        }
    }

    /// A partition is another worker's now, and that one tells where it stands.
    pub(super) fn forget(&self, topic: &str, partition: i32) {
        if self.partitions.has(&format!("{topic}/{partition}")) {
            tell((topic, partition.to_string()), (0, 0.0), &PartitionProgress::default());
        }
    }
}

fn tell((topic, partition): (&str, String), (lag, seconds): (u64, f64), progress: &PartitionProgress) {
    let labels = [("topic", topic.to_owned()), ("partition", partition)];
    gauge!("sluice_ingest_lag_messages", &labels).set(lag as f64);
    gauge!("sluice_ingest_lag_seconds", &labels).set(seconds);
    if let Some(next) = progress.committed {
        gauge!("sluice_ingest_committed_offset", &labels).set(next as f64);
    }
    if let Some(millis) = progress.committed_at {
        gauge!("sluice_ingest_committed_timestamp_seconds", &labels).set(millis as f64 / 1000.0);
    }
}
