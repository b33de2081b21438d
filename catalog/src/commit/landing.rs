//! The loop that lands a commit: attempt after attempt until an outcome is certain.
//!
//! | the catalog says | what follows |
//! |---|---|
//! | swapped | done; outdated metadata files are deleted |
//! | lost | nothing changed for certain: this attempt's metadata files are deleted, next attempt |
//! | unknown | every file is kept; the table is read until it answers, the token is looked for, next attempt |
//! | error | nothing changed: files deleted; next attempt if it was an outage, else the error is the end |
//!
//! An attempt left in doubt may still arrive late. That is harmless: it and its successors assert the same
//! pointers, so one of them wins, and the next look finds the token.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::future;

use super::observe;
use super::pace::{LIMIT, Pace};
use super::plan::{self, Draft};
use super::stage::{self, Staged};
use super::{Commit, CommitOutcome, Operation, Refused};
use crate::catalogs::{Change, Entry, State, Swap, SwapOutcome};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::name::TableName;
use crate::snapshot::TableSnapshot;
use crate::turns::Turn;

/// The pointers to current metadata: read, and swapped all or none. A lake, or one that loses replies.
#[async_trait]
pub(super) trait Pointers: Send + Sync {
    async fn load(&self, table: &TableName) -> Result<TableSnapshot>;
    async fn swap(&self, swaps: Vec<Swap>) -> Result<SwapOutcome>;
    /// Waits until no other writer of this process commits to these tables; nothing rests on it.
    async fn turn(&self, _commits: &[Commit]) -> Option<Turn> {
        None
    }
}

#[async_trait]
impl Pointers for Lake {
    async fn load(&self, table: &TableName) -> Result<TableSnapshot> {
        Lake::load(self, table).await
    }

    async fn swap(&self, swaps: Vec<Swap>) -> Result<SwapOutcome> {
        self.inner().catalog.swap(&swaps).await
    }

    async fn turn(&self, commits: &[Commit]) -> Option<Turn> {
        Some(self.inner().turns.take(commits.iter().map(|commit| &commit.table)).await)
    }
}

/// How one attempt ended.
enum Attempt {
    Ended(CommitOutcome),
    /// A fence or a conflict; tables before this place have the commit from an earlier attempt.
    Refused(CommitOutcome, usize),
    /// Nothing changed for certain; the reason why the next attempt may do better.
    Rejected(Rejection),
    /// Nobody knows; the states that may be current by now.
    InDoubt(Error, Vec<String>),
}

enum Rejection {
    /// Another writer was first.
    Lost(TableName),
    /// The catalog was busy or away.
    Outage(Error),
}

/// Attempts until the outcome is certain or the time is up; all `commits` carry one token.
pub(super) async fn land(
    pointers: &impl Pointers,
    lake: &Lake,
    commits: &[Commit],
    now: DateTime<Utc>,
    refused: Refused,
) -> Result<CommitOutcome> {
    let Some(first) = commits.first() else { return Ok(CommitOutcome::Committed(Vec::new())) };
    let mut pace = Pace::new(first.token);
    // The reason of the last unknown outcome: once set, no staged file may be deleted any more.
    let mut doubt: Option<Error> = None;
    // Where the states lie whose fate is unknown.
    let mut tried: Vec<String> = Vec::new();
    loop {
        let turn = pointers.turn(commits).await;
        let bases = match load(pointers, commits).await {
            Ok(bases) => bases,
            Err(error) if doubt.is_none() || matches!(error, Error::NoSuchTable { .. }) => return Err(error),
            Err(error) => {
                tracing::warn!(token = %first.token, %error, "a commit is in doubt and the catalog does not answer");
                drop(turn);
                if !pace.wait().await {
                    return Err(Error::Unresolved { token: first.token, cause: Box::new(error) });
                }
                continue;
            }
        };
        let merge = pace.attempts() == 0;
        observe::attempt();
        let ended = attempt(pointers, lake, commits, bases, (now, merge), &tried).await?;
        drop(turn);
        match ended {
            Attempt::Ended(outcome) => return Ok(outcome),
            Attempt::Refused(outcome, landed) => {
                if doubt.is_none() {
                    delete_refused(lake, &commits[landed..], &outcome, refused).await;
                }
                return Ok(outcome);
            }
            Attempt::Rejected(reason) => {
                if !pace.wait().await {
                    return Err(out_of_time(first, reason, &pace, doubt));
                }
            }
            Attempt::InDoubt(error, mut locations) => {
                tried.append(&mut locations);
                observe::in_doubt();
                tracing::warn!(token = %first.token, %error, "the catalog did not say whether a commit landed");
                if !pace.wait().await {
                    return Err(Error::Unresolved { token: first.token, cause: Box::new(error) });
                }
                doubt = Some(error);
            }
        }
    }
}

/// One attempt on `bases`.
async fn attempt(
    pointers: &impl Pointers,
    lake: &Lake,
    commits: &[Commit],
    bases: Vec<TableSnapshot>,
    (now, merge): (DateTime<Utc>, bool),
    tried: &[String],
) -> Result<Attempt> {
    let landed = landed(commits, &bases, tried)?;
    if landed == commits.len() {
        return Ok(Attempt::Ended(CommitOutcome::AlreadyCommitted(bases)));
    }
    // Tables that have the commit stay as they are: an earlier attempt landed them one by one and broke off.
    let (before, bases) = bases.split_at(landed);
    let commits = &commits[landed..];
    let mut drafts = Vec::with_capacity(commits.len());
    for (commit, base) in commits.iter().zip(bases) {
        match plan::plan(commit, base).await? {
            Ok(draft) => drafts.push(draft),
            Err(outcome) => return Ok(Attempt::Refused(outcome, landed)),
        }
    }
    let staged = match stage_all(lake, bases, &drafts, now, merge).await? {
        Ok(staged) => staged,
        Err(outcome) => return Ok(Attempt::Refused(outcome, landed)),
    };
    let swaps = commits.iter().zip(&staged).map(|(commit, staged)| Swap {
        table: commit.table.clone(),
        expected: staged.expected.clone(),
        new: staged.location.clone(),
        change: Change::Table { requirements: staged.requirements.clone(), updates: staged.updates.clone() },
    });
    match pointers.swap(swaps.collect()).await {
        Ok(SwapOutcome::Swapped(states)) => {
            let now_landed = settle(lake, commits, staged, states).await;
            Ok(Attempt::Ended(CommitOutcome::Committed([before, &now_landed].concat())))
        }
        Ok(SwapOutcome::Lost { table }) => {
            tracing::debug!(%table, "lost the race for a table");
            observe::lost_race();
            delete_attempt(lake, &staged).await;
            Ok(Attempt::Rejected(Rejection::Lost(table)))
        }
        Ok(SwapOutcome::Unknown(error)) => {
            let locations = staged.iter().map(|staged| staged.location.clone());
            Ok(Attempt::InDoubt(error, locations.collect()))
        }
        Err(error) => {
            delete_attempt(lake, &staged).await;
            if error.is_transient() { Ok(Attempt::Rejected(Rejection::Outage(error))) } else { Err(error) }
        }
    }
}

/// How many of the commits are in their tables already, counted from the first. Tables are changed together or in
/// their order, so one that shows the token speaks for itself and for those before it. A change of metadata alone
/// leaves a token that the next commit replaces; that it was there is told by the log of a table that has been at one
/// of the states that were `tried`.
pub(super) fn landed(commits: &[Commit], bases: &[TableSnapshot], tried: &[String]) -> Result<usize> {
    for (place, (commit, base)) in commits.iter().zip(bases).enumerate().rev() {
        if plan::landed(commit, base)? || tried.iter().any(|state| base.has_been_at(state)) {
            return Ok(place + 1);
        }
    }
    Ok(0)
}

pub(super) async fn load(pointers: &impl Pointers, commits: &[Commit]) -> Result<Vec<TableSnapshot>> {
    let loads: Vec<_> = commits.iter().map(|commit| pointers.load(&commit.table)).collect();
    future::try_join_all(loads).await
}

/// Stages all tables side by side; if one fails, none leaves files behind.
async fn stage_all(
    lake: &Lake,
    bases: &[TableSnapshot],
    drafts: &[Draft<'_>],
    now: DateTime<Utc>,
    merge: bool,
) -> Result<std::result::Result<Vec<Staged>, CommitOutcome>> {
    let stages: Vec<_> =
        bases.iter().zip(drafts).map(|(base, draft)| stage::stage(lake, base, draft, now, merge)).collect();
    let mut staged = Vec::with_capacity(drafts.len());
    let mut failed = None;
    for (base, result) in bases.iter().zip(future::join_all(stages).await) {
        match result {
            Ok(Ok(table)) => staged.push(table),
            Ok(Err(reason)) => {
                let conflict = CommitOutcome::Conflicted { table: base.name().clone(), reason };
                failed = failed.or(Some(Ok(conflict)));
            }
            Err(error) => failed = failed.or(Some(Err(error))),
        }
    }
    match failed {
        None => Ok(Ok(staged)),
        Some(refused) => {
            delete_attempt(lake, &staged).await;
            refused.map(Err)
        }
    }
}

/// The new states, after the pointers moved.
async fn settle(
    lake: &Lake,
    commits: &[Commit],
    staged: Vec<Staged>,
    states: Vec<Entry>,
) -> Vec<TableSnapshot> {
    let mut snapshots = Vec::with_capacity(staged.len());
    for ((commit, mut staged), current) in commits.iter().zip(staged).zip(states) {
        staged.keep(lake).await;
        tracing::debug!(
            table = %commit.table,
            token = %commit.token,
            requirements = staged.requirements.len(),
            updates = staged.updates.len(),
            location = %staged.location,
            "committed"
        );
        stage::delete(lake, &staged.outdated).await;
        let name = commit.table.clone();
        // A catalog that writes metadata itself says what it made of the change.
        let metadata = match current.state {
            Some(State::Table(metadata)) => metadata,
            _ => staged.metadata,
        };
        snapshots.push(TableSnapshot::new(name, metadata, current.location, lake.clone()));
    }
    snapshots
}

async fn delete_attempt(lake: &Lake, staged: &[Staged]) {
    for table in staged {
        stage::delete(lake, &table.written).await;
    }
}

/// Deletes what no table will ever have of refused commits: all of it when they are over, else the files of those
/// that must be computed again.
pub(super) async fn delete_refused(
    lake: &Lake,
    commits: &[Commit],
    outcome: &CommitOutcome,
    refused: Refused,
) {
    let again = refused == Refused::MayComeAgain && matches!(outcome, CommitOutcome::Conflicted { .. });
    for commit in commits {
        if again && !matches!(commit.operation, Operation::ChangeRows(_)) {
            continue;
        }
        let files = commit.files.iter().flat_map(|files| &files.files);
        let deletes = commit.operation.deletes().into_iter().flat_map(|deletes| deletes.files());
        let files = files.chain(deletes.map(|(_, file)| file));
        let manifests = match &commit.operation {
            Operation::RewriteManifests(staged) => staged.written.as_slice(),
            _ => &[],
        };
        let manifests = manifests.iter().map(|manifest| manifest.manifest_path.clone());
        let locations: Vec<_> = files.map(|file| file.file_path().to_owned()).chain(manifests).collect();
        stage::delete(lake, &locations).await;
    }
}

fn out_of_time(first: &Commit, reason: Rejection, pace: &Pace, doubt: Option<Error>) -> Error {
    match (doubt, reason) {
        (Some(cause), _) => Error::Unresolved { token: first.token, cause: Box::new(cause) },
        (None, Rejection::Outage(error)) => error,
        (None, Rejection::Lost(table)) => {
            Error::Contended { table, attempts: pace.attempts(), seconds: LIMIT.as_secs() }
        }
    }
}
