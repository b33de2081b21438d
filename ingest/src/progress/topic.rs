//! What became of a topic's messages.

use super::PauseReason;

/// What became of a topic's messages since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicProgress {
    /// Messages taken from Kafka; those read again after a restart are counted again.
    pub consumed: u64,
    /// Rows committed to its tables.
    pub landed: u64,
    /// Rows committed to the dead letters.
    pub dead_lettered: u64,
    /// When the last commit with messages of it ended, in microseconds since 1970; `None` before the first.
    pub committed_at: Option<i64>,
    /// Why nothing of it is read for a while.
    pub paused: Option<PauseReason>,
}
