//! What becomes of an epoch's messages, topic by topic.

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;

use crate::pipeline::Count;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::reject;
use crate::source::Seal;

/// Rows and dead letters by topic number.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<usize, Topic>);

#[derive(Debug, Default)]
struct Topic {
    rows: u64,
    causes: BTreeMap<String, u64>,
    /// The error of one of the dead letters.
    sample: Option<String>,
}

impl Tally {
    /// Rows for a table of theirs.
    pub(super) fn rows(&mut self, topic: usize, rows: usize) {
        self.0.entry(topic).or_default().rows += rows as u64;
    }

    /// Rows for the dead letters.
    pub(super) fn letters(&mut self, topic: usize, letters: &RecordBatch, sample: Option<String>) {
        let topic = self.0.entry(topic).or_default();
        for (cause, count) in reject::causes(letters) {
            *topic.causes.entry(cause).or_default() += count;
        }
        topic.sample = sample.or(topic.sample.take());
    }

    /// Dead letters among the messages of the epoch, by topic.
    pub(super) fn counts(&self, plan: &Plan, seal: &Seal) -> Vec<Count> {
        let of = |(topic, messages): (&usize, &u64)| {
            let tally = self.0.get(topic);
            let dead = tally.map_or(0, |tally| tally.causes.values().sum());
            let last = tally.and_then(|tally| tally.sample.clone()).unwrap_or_default();
            Count { topic: plan.topics[*topic].name.clone(), dead, messages: *messages, last }
        };
        seal.messages.iter().map(of).collect()
    }

    /// Tells what is committed, at a time in microseconds since 1970.
    pub(super) fn tell(&self, plan: &Plan, progress: &Progress, now_micros: i64) {
        for (topic, tally) in &self.0 {
            let causes: Vec<_> = tally.causes.iter().map(|(cause, count)| (cause.as_str(), *count)).collect();
            progress.add_fate(&plan.topics[*topic].name, tally.rows, &causes, now_micros);
        }
    }
}
