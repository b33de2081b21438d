//! How many dead letters are too many.
//!
//! | limit | of | when it is exceeded |
//! |---|---|---|
//! | share | the messages of one commit, from a number of dead letters on | nothing of the commit lands; the session ends |
//! | rate | dead letters a minute | the commit waits until it is due, and reading waits with it |
//!
//! The rate is that of a bucket which holds the letters of one minute and is filled evenly. A commit with more letters
//! than are left takes them all when the bucket is full or holds enough, and what follows waits for the debt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::progress::{PauseReason, Progress};

/// What is taken for a broken producer or a wrong topics file rather than for single bad messages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeadLetterLimit {
    /// From how many dead letters of a commit on its share counts (default 1,000).
    pub messages: u64,
    /// The share of a commit's messages, 0 to 1 (default 0.5).
    pub share: f64,
    /// Dead letters that may land within a minute; `None` for any number (the default).
    pub per_minute: Option<u64>,
    /// How long landing pauses before the same messages are tried again (default 30 s).
    pub pause: Duration,
}

impl Default for DeadLetterLimit {
    fn default() -> Self {
        Self { messages: 1000, share: 0.5, per_minute: None, pause: Duration::from_secs(30) }
    }
}

impl DeadLetterLimit {
    /// Whether a commit has too large a share of dead letters.
    pub(crate) fn is_exceeded(&self, dead: u64, messages: u64) -> bool {
        dead > self.messages && dead as f64 > self.share * messages as f64
    }
}

/// Lets commits pass as fast as the limit allows, and tells when one has to wait.
#[derive(Debug)]
pub(crate) struct Gate {
    rate: Rate,
    /// Whether a commit waits.
    held: bool,
    progress: Arc<Progress>,
}

impl Gate {
    pub(crate) fn new(limit: Option<DeadLetterLimit>, progress: Arc<Progress>, now: Instant) -> Self {
        Self { rate: Rate::new(limit.and_then(|limit| limit.per_minute), now), held: false, progress }
    }

    /// Whether a commit with so many dead letters may land now. One that may not waits, and reading waits by itself:
    /// no further epoch is cut until it has landed.
    pub(crate) fn admits(&mut self, dead: u64, now: Instant) -> bool {
        if self.rate.admits(dead, now) {
            self.release();
            return true;
        }
        if !std::mem::replace(&mut self.held, true) {
            self.progress.set_paused(PauseReason::DeadLetterRate, true);
            tracing::warn!(
                dead,
                "landing pauses: dead letters come faster than ingest.dead_letters.max_per_minute; it goes on by itself"
            );
        }
        false
    }

    /// When the commit that waits is to be tried again; `None` when none waits.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.held.then(|| self.rate.admits_at())
    }

    /// No commit waits any more.
    pub(crate) fn release(&mut self) {
        if std::mem::take(&mut self.held) {
            self.progress.set_paused(PauseReason::DeadLetterRate, false);
            tracing::info!("landing goes on");
        }
    }
}

/// The letters that may land now.
#[derive(Debug)]
struct Rate {
    per_minute: Option<f64>,
    /// Negative while letters landed ahead of their time.
    left: f64,
    as_of: Instant,
}

impl Rate {
    fn new(per_minute: Option<u64>, now: Instant) -> Self {
        let per_minute = per_minute.map(|letters| letters.max(1) as f64);
        Self { per_minute, left: per_minute.unwrap_or(0.0), as_of: now }
    }

    /// Takes so many letters when they may land now; otherwise [`Rate::admits_at`] says when to ask again.
    fn admits(&mut self, letters: u64, now: Instant) -> bool {
        let Some(per_minute) = self.per_minute.filter(|_| letters > 0) else { return true };
        let passed = now.saturating_duration_since(self.as_of).as_secs_f64();
        self.left = (self.left + passed * per_minute / 60.0).min(per_minute);
        self.as_of = now;
        // Of more than a minute's letters the rest is a debt.
        if self.left < (letters as f64).min(per_minute) {
            return false;
        }
        self.left -= letters as f64;
        true
    }

    /// When letters that were refused are to be asked for again: within a second.
    fn admits_at(&self) -> Instant {
        self.as_of + Duration::from_secs(1)
    }
}

#[cfg(test)]
mod tests;
