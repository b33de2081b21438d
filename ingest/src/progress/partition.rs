//! Where a partition stands: what was read, committed and is there, in messages and in time.

use std::collections::VecDeque;

/// Where one partition stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The next offset to be read; `None` before the first message of a session.
    pub read: Option<i64>,
    /// The next offset after the last commit; `None` before the first.
    pub committed: Option<i64>,
    /// The end of what Kafka holds for readers, as of the last seconds; `None` until it is known.
    pub end: Option<i64>,
    /// Kafka's time of the last message that is committed, in milliseconds since 1970; `None` before the first.
    pub committed_at: Option<i64>,
    /// Kafka's time of a message that waits for its commit, near the oldest, in milliseconds since 1970; `None` while
    /// none was read.
    pub waiting_since: Option<i64>,
}

impl PartitionProgress {
    /// Messages not yet committed; 0 while unknown.
    pub fn lag(&self) -> u64 {
        behind(self.committed, self.end)
    }

    /// Messages not yet read; 0 while unknown.
    pub fn unread(&self) -> u64 {
        behind(self.read, self.end)
    }

    /// How old the oldest message is that is not committed, in seconds: 0 while there is none. Until it was read, the
    /// age of the last committed message stands for it, and 0 while that is unknown too.
    pub fn lag_seconds(&self, now_millis: i64) -> f64 {
        let since = self.waiting_since.or(self.committed_at).filter(|_| self.lag() > 0);
        since.map_or(0.0, |since| now_millis.saturating_sub(since).max(0) as f64 / 1000.0)
    }
}

fn behind(next: Option<i64>, end: Option<i64>) -> u64 {
    let lag = next.zip(end).map(|(next, end)| end - next);
    lag.and_then(|lag| u64::try_from(lag).ok()).unwrap_or(0)
}

/// A partition, and what was read of it and is not committed: ends of batches with Kafka's time of their last
/// message.
#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) progress: PartitionProgress,
    read: VecDeque<(i64, i64)>,
}

impl Partition {
    /// Reading begins at an offset, perhaps again.
    pub(super) fn start(&mut self, next: i64) {
        (self.progress.read, self.progress.committed) = (Some(next), Some(next));
        // What waits longest still does; the rest is read again.
        self.read.truncate(1);
        self.settle(next);
    }

    /// Messages up to `next` were read; the last has that time of Kafka, in milliseconds.
    pub(super) fn read(&mut self, next: i64, millis: Option<i64>) {
        self.progress.read = Some(next);
        if let Some(millis) = millis {
            self.read.push_back((next, millis));
            self.progress.waiting_since.get_or_insert(millis);
        }
    }

    /// Messages up to `next` are committed.
    pub(super) fn commit(&mut self, next: i64) {
        self.progress.committed = Some(next);
        self.settle(next);
    }

    fn settle(&mut self, next: i64) {
        while let Some((_, millis)) = self.read.pop_front_if(|(end, _)| *end <= next) {
            self.progress.committed_at = Some(millis);
        }
        self.progress.waiting_since = self.read.front().map(|(_, millis)| *millis);
    }
}
