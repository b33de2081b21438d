//! What a table remembers of the sync that fills it: property `sluice.sync`, in the same commit as the rows.
//!
//! The runs are counted as offsets are (`sluice.offsets.sync:NAME`): run *n* lands only on a table that has seen
//! *n* runs. What is remembered holds only while the count says the same, and where it is about all rows, only
//! while the last commit that changed rows is the one that it names: after a rollback, or when somebody else wrote,
//! the source is compared with the table itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sluice_catalog::{
    Commit, CommitOutcome, Created, Lake, OffsetRange, Operation, SourceId, SourceRanges, StagedFiles,
    TableSnapshot, TableSpec,
};
use uuid::Uuid;

use super::error::{Error, Result};
use super::{Attempt, SyncJob, SyncReport};
use crate::pipeline::now;

const PROPERTY: &str = "sluice.sync";
const CLUSTER: &str = "sync";
const PARTITION: i32 = 0;

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// The sync that made the table.
    pub(super) name: String,
    /// Fingerprint of the configuration.
    pub(super) shape: String,
    /// Runs that landed.
    pub(super) runs: i64,
    /// The commit of the last one.
    pub(super) token: String,
    /// Fingerprint of all rows of the last answer.
    pub(super) content: Option<String>,
    /// The largest cursor, as a whole number of its type.
    pub(super) cursor: Option<i64>,
    /// The source's columns at that time.
    pub(super) columns: Vec<String>,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

/// The table as it is found: made by this sync, or not there.
pub(super) struct Found {
    pub(super) table: Option<TableSnapshot>,
    /// What holds of what is remembered.
    pub(super) state: Option<State>,
    /// The rows are those of the last run.
    pub(super) untouched: bool,
}

/// A table to write to.
pub(super) struct Target {
    pub(super) table: TableSnapshot,
    /// It was made just now and goes again if nothing lands.
    created: bool,
}

pub(super) async fn find(lake: &Lake, job: &SyncJob) -> Result<Found> {
    let Some(table) = lake.find(&job.table).await? else {
        return Ok(Found { table: None, state: None, untouched: false });
    };
    let property = table.metadata().properties().get(PROPERTY);
    let state = property.and_then(|text| serde_json::from_str::<State>(text).ok());
    let Some(state) = state.filter(|state| state.name == job.name) else {
        let fact = "exists and was not made by this sync; it is left alone";
        return Err(Error::table(&job.name, &job.table, fact, "name another table, or drop it yourself"));
    };
    let holds = state.runs > 0 && state.runs == runs(&table, job)? && state.shape == job.shape();
    let untouched = holds && last_change(&table).is_none_or(|token| token == state.token);
    Ok(Found { table: Some(table), state: holds.then_some(state), untouched })
}

/// The token of the last commit that changed rows; an empty text when it is not known, `None` when there is none.
fn last_change(table: &TableSnapshot) -> Option<String> {
    let history = table.history();
    let change = history.iter().find(|snapshot| snapshot.operation != "replace");
    match (change, table.snapshot_id()) {
        (Some(change), _) => Some(change.token().unwrap_or_default().to_owned()),
        (None, Some(_)) => Some(String::new()),
        (None, None) => None,
    }
}

fn source(job: &SyncJob) -> SourceId {
    SourceId { cluster: CLUSTER.to_owned(), topic: format!("sync:{}", job.name) }
}

fn runs(table: &TableSnapshot, job: &SyncJob) -> Result<i64> {
    let offsets = table.offsets(&source(job).topic)?;
    Ok(offsets.and_then(|offsets| offsets.next.get(&PARTITION).copied()).unwrap_or(0))
}

/// The table found, or one of `spec`.
pub(super) async fn target(
    lake: &Lake,
    job: &SyncJob,
    found: &Found,
    mut spec: TableSpec,
) -> Result<Option<Target>> {
    if let Some(table) = &found.table {
        return Ok(Some(Target { table: table.clone(), created: false }));
    }
    let state = State { name: job.name.clone(), ..State::default() };
    spec.properties.insert(PROPERTY.to_owned(), json(&state));
    Ok(match lake.create(&job.table, spec).await? {
        Created::New(table) => Some(Target { table, created: true }),
        Created::Existed(_) => None,
    })
}

impl Target {
    /// Removes a table that got no rows.
    pub(super) async fn take_back(&self, lake: &Lake, job: &SyncJob) {
        if !self.created {
            return;
        }
        let empty = matches!(lake.find(&job.table).await, Ok(Some(table)) if table.snapshot_id().is_none());
        if empty && let Err(cause) = lake.drop_table(&job.table).await {
            tracing::warn!(table = %job.table, %cause, "the table that got no rows stays");
        }
    }
}

/// Commits rows and what is remembered, if no other run was first.
pub(super) async fn commit(
    lake: &Lake,
    job: &SyncJob,
    table: &TableSnapshot,
    (operation, files, token): (Operation, Option<StagedFiles>, Uuid),
    state: State,
    report: SyncReport,
) -> Result<Attempt> {
    let seen = runs(table, job)?;
    let (name, shape) = (job.name.clone(), job.shape());
    let state = State { name, shape, runs: seen + 1, token: token.to_string(), ..state };
    let range = OffsetRange { start: seen, end: seen + 1, anchor: None };
    let commit = Commit {
        files,
        offsets: vec![SourceRanges { source: source(job), ranges: BTreeMap::from([(PARTITION, range)]) }],
        properties: BTreeMap::from([(PROPERTY.to_owned(), json(&state))]),
        ..Commit::new(job.table.clone(), operation, token)
    };
    Ok(match lake.commit(vec![commit], now()).await? {
        CommitOutcome::Committed(_) | CommitOutcome::AlreadyCommitted(_) => Attempt::Done(report),
        CommitOutcome::Conflicted { reason, .. } => Attempt::Moved(reason),
        CommitOutcome::Fenced { next, .. } => Attempt::Moved(format!("run {next} landed meanwhile")),
    })
}

fn json(state: &State) -> String {
    serde_json::to_string(state).unwrap_or_default()
}
