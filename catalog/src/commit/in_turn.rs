//! Several tables on a catalog that moves one pointer at a time: table after table, in the order of the commits.
//!
//! ```text
//! load all -> from where on? -> nothing refuses? -> first table -> second -> … -> last
//! ```
//!
//! Each table is exact by itself: its rows, its offsets and its token are one change. What is lost is that all
//! tables move at once: a reader may see the first ones ahead, and a crash leaves them so until the writer goes on
//! from what each table has.
//!
//! Invariants:
//! - A table is changed only when all before it have the commit. So a table that shows the token speaks for
//!   itself and for those before it, and the last one for all ([`super::landing`] keeps the same rule).
//! - What can be known to be refused is refused before the first table changes. Only a race in between ends with
//!   some tables changed and the outcome of the one that was not.
//! - Files of tables that were changed are never deleted; those of tables that were not reached are.

use std::slice;

use chrono::{DateTime, Utc};

use super::landing::{self, Pointers};
use super::{Commit, CommitOutcome, Refused, plan};
use crate::error::Result;
use crate::lake::Lake;

/// Lands the commits one by one; all carry one token.
pub(super) async fn land(
    pointers: &impl Pointers,
    lake: &Lake,
    commits: &[Commit],
    now: DateTime<Utc>,
    refused: Refused,
) -> Result<CommitOutcome> {
    let bases = landing::load(pointers, commits).await?;
    let landed = landing::landed(commits, &bases, &[])?;
    if landed == commits.len() {
        return Ok(CommitOutcome::AlreadyCommitted(bases));
    }
    for (commit, base) in commits.iter().zip(&bases).skip(landed) {
        if let Err(outcome) = plan::plan(commit, base).await? {
            landing::delete_refused(lake, &commits[landed..], &outcome, refused).await;
            return Ok(outcome);
        }
    }
    let mut states = bases;
    states.truncate(landed);
    for place in landed..commits.len() {
        match landing::land(pointers, lake, slice::from_ref(&commits[place]), now, refused).await? {
            CommitOutcome::Committed(mut state) | CommitOutcome::AlreadyCommitted(mut state) => {
                states.append(&mut state);
            }
            outcome => {
                tracing::warn!(
                    changed = place, tables = commits.len(), table = %commits[place].table,
                    "tables before this one have the commit; it is refused here and after"
                );
                landing::delete_refused(lake, &commits[place + 1..], &outcome, refused).await;
                return Ok(outcome);
            }
        }
    }
    Ok(CommitOutcome::Committed(states))
}
