//! Commits: staged files and progress become the next state of a table, or of several at once.
//!
//! ```text
//! Commit -> load bases -> token there? -> fence, conflicts -> stage files -> swap pointers -> CommitOutcome
//!           (landing)     already done    (plan)              (stage)       (catalogs)
//!              ^                                                                 |
//!              +---------- lost race: delete the attempt's files, wait ----------+
//!              +---------- no answer: keep every file, look again ---------------+
//! ```
//!
//! Invariants:
//! - A state is staged on exactly the bases that were checked; the swap asserts them all, in one transaction.
//!   Where a catalog has no such transaction, tables land one after the other ([`in_turn`]).
//! - Before each attempt the token is looked for, so a commit lands once at most, however often it is tried.
//! - Metadata files are deleted only when the catalog said for certain that no pointer leads to them;
//!   staged data files only when the commit is refused and no attempt was left in doubt. Everything else
//!   is left to the removal of orphans.

mod conflicts;
mod in_turn;
mod landing;
mod manifests;
mod merge;
mod misfit;
mod observe;
mod older;
mod operation;
mod pace;
mod plan;
mod removal;
mod restate;
mod stage;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use self::operation::{FileTest, Operation, Partitions, Rewrite, RowChanges, Scope, StagedManifests};
pub(crate) use self::plan::TOKEN;
pub(crate) use self::restate::restate;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::name::TableName;
use crate::offsets::SourceRanges;
use crate::snapshot::TableSnapshot;
use crate::write::StagedFiles;

/// One table's part of a commit.
#[derive(Debug)]
#[must_use]
pub struct Commit {
    /// The table.
    pub table: TableName,
    /// What happens to the live files.
    pub operation: Operation,
    /// Files to add; none makes a commit of progress and properties without a snapshot. (Files without
    /// rows are not none: an overwrite with them empties the table.)
    pub files: Option<StagedFiles>,
    /// Progress, checked against the base it lands on.
    pub offsets: Vec<SourceRanges>,
    /// Properties to set on the table in the same change.
    pub properties: BTreeMap<String, String>,
    /// Names this commit for ever: after an unknown outcome it is looked for, so that nothing lands twice.
    /// Tables that are committed together carry the same token.
    pub token: Uuid,
}

impl Commit {
    /// A commit without files, progress and properties; set the fields that it shall have.
    pub fn new(table: TableName, operation: Operation, token: Uuid) -> Self {
        Self { table, operation, files: None, offsets: Vec::new(), properties: BTreeMap::new(), token }
    }
}

/// How a commit ended. A lost race is retried inside and is not seen here.
#[derive(Debug)]
#[must_use]
pub enum CommitOutcome {
    /// All tables are at their new state, in the order of the commits; earlier attempts may have brought some there.
    Committed(Vec<TableSnapshot>),
    /// An earlier attempt of this token had landed.
    AlreadyCommitted(Vec<TableSnapshot>),
    /// The base's progress is not where this commit starts: drop the batch and resume from the table.
    Fenced {
        /// The table that refused.
        table: TableName,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where this commit's range starts.
        start: i64,
        /// The table's next offset.
        next: i64,
    },
    /// The table changed in a way that the operation does not survive: read again and decide.
    Conflicted {
        /// The table.
        table: TableName,
        /// What changed.
        reason: String,
    },
}

/// What becomes of the files of a commit that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// They are deleted.
    Over,
    /// After a conflict only those of changes of rows are deleted, which the caller computes anew; what other
    /// tables of the commit get stays.
    MayComeAgain,
}

/// Commits to one or several tables; see [`Lake::commit`] and [`Lake::try_commit`].
pub(crate) async fn commit(
    lake: &Lake,
    commits: &[Commit],
    now: DateTime<Utc>,
    refused: Refused,
) -> Result<CommitOutcome> {
    check(commits)?;
    let began = Instant::now();
    let outcome = match commits.len() == 1 || lake.inner().catalog.swaps_together() {
        true => landing::land(lake, lake, commits, now, refused).await,
        false => in_turn::land(lake, lake, commits, now, refused).await,
    };
    observe::ended(&outcome, began.elapsed());
    outcome
}

/// Refuses what no base would take.
fn check(commits: &[Commit]) -> Result<()> {
    let refuse = |subject: String, fact: &str| Err(Error::InvalidCommit { subject, fact: fact.to_owned() });
    let Some(first) = commits.first() else {
        return refuse("commit".to_owned(), "it names no table");
    };
    let mut tables = BTreeSet::new();
    for commit in commits {
        if !tables.insert(&commit.table) {
            return refuse(commit.table.to_string(), "the table is named twice in one commit");
        }
        if commit.token != first.token {
            return refuse(commit.table.to_string(), "its token differs from the first table's");
        }
        let topics: BTreeSet<_> = commit.offsets.iter().map(|offsets| &offsets.source.topic).collect();
        if topics.len() != commit.offsets.len() {
            return refuse(commit.table.to_string(), "a topic has two sets of offsets");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
