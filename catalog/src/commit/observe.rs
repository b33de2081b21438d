//! What commits tell the metrics of the process: how many, how they ended, how long they took.

use std::time::Duration;

use super::CommitOutcome;
use crate::error::Result;

/// An attempt begins.
pub(super) fn attempt() {
    metrics::counter!("sluice_commit_attempts_total").increment(1);
}

/// An attempt changed nothing, because another writer was first.
pub(super) fn lost_race() {
    metrics::counter!("sluice_commit_lost_races_total").increment(1);
}

/// The catalog did not say how an attempt ended.
pub(super) fn in_doubt() {
    metrics::counter!("sluice_commit_unknown_total").increment(1);
}

/// A commit is over, with all its attempts.
pub(super) fn ended(outcome: &Result<CommitOutcome>, took: Duration) {
    let outcome = match outcome {
        Ok(CommitOutcome::Committed(_)) => "committed",
        Ok(CommitOutcome::AlreadyCommitted(_)) => "already_committed",
        Ok(CommitOutcome::Fenced { .. }) => "fenced",
        Ok(CommitOutcome::Conflicted { .. }) => "conflicted",
        Err(_) => "failed",
    };
    metrics::counter!("sluice_commits_total", "outcome" => outcome).increment(1);
    metrics::histogram!("sluice_commit_seconds").record(took.as_secs_f64());
}
