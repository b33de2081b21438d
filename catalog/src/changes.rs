//! Changes that other programs ask for in the terms of the Iceberg REST protocol: requirements and updates.
//!
//! ```text
//! TableChange -> load base -> requirements hold? -> guard -> apply -> write metadata -> swap -> ChangeOutcome
//!                   ^               no: landed already?                                  |
//!                   +------------------------- lost race: the requirements decide anew --+
//! ```
//!
//! Invariants:
//! - Requirements are checked on the very base the updates are applied to, and the swap asserts that base.
//! - Several tables change in one swap, all or none.
//! - A change that was answered by silence and is sent again is found and reported as applied: by its snapshots,
//!   and one without snapshots by what it makes of the state before.
//! - Nothing that a stranger names leads outside the warehouse, and progress of an ingest never goes back
//!   ([`guard`]).

mod apply;
mod create;
mod guard;
mod views;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future;
use iceberg::{TableRequirement, TableUpdate};
use serde::Deserialize;

use crate::catalogs::{Change, State, Swap, SwapOutcome};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::name::TableName;
use crate::snapshot::TableSnapshot;

pub use create::{Requested, TableRequest};
pub(crate) use guard::PATHS;
pub use views::{ViewChange, ViewRequest, ViewState};

/// How often a lost race is run again; the requirements decide each time whether that is right.
const ATTEMPTS_MAX: u32 = 12;
const FIRST_WAIT: Duration = Duration::from_millis(10);
/// How often is looked whether a change in doubt holds: for two and a half seconds in all.
const LOOKS_MAX: u32 = 8;

/// What shall hold on a table, and what shall be done to it; read from the JSON of the REST protocol.
#[derive(Clone, Debug, Deserialize)]
pub struct TableChange {
    #[serde(default)]
    requirements: Vec<TableRequirement>,
    #[serde(default)]
    updates: Vec<TableUpdate>,
    /// The metadata location that the change was computed from, if any other is a conflict.
    #[serde(skip)]
    base: Option<String>,
}

impl TableChange {
    /// A change that was computed from `base` and is right on no other state.
    pub(crate) fn on(
        base: &TableSnapshot,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> Self {
        Self { requirements, updates, base: Some(base.metadata_location().to_owned()) }
    }

    /// Whether the table shall be created by this change.
    pub fn creates(&self) -> bool {
        self.requirements.contains(&TableRequirement::NotExist)
    }
}

/// How a change ended; all tables or none.
#[derive(Debug)]
#[must_use]
pub enum ChangeOutcome {
    /// All tables are at their new state, in the order of the changes.
    Applied(Vec<TableSnapshot>),
    /// A requirement does not hold (or no longer): nothing was changed; load the table and decide again.
    Conflict {
        /// What does not hold.
        reason: String,
    },
    /// The updates make no valid table, or one that may not be: nothing was changed.
    Refused {
        /// What is wrong with them.
        reason: String,
    },
    /// There is no such table; nothing was changed.
    Missing {
        /// The table.
        table: TableName,
    },
    /// The catalog did not say whether the change holds: keep every file, and look.
    Unknown(Error),
}

/// One attempt's result, or the reason why there is nothing to attempt.
enum Staged {
    Next {
        swap: Swap,
        state: State,
    },
    /// The change is in the table already.
    Landed(TableSnapshot),
    Ended(ChangeOutcome),
}

impl Lake {
    /// Applies changes to one or several tables, all or none, at `now`.
    ///
    /// # Errors
    /// When the store or the catalog failed before anything was changed.
    pub async fn change(
        &self,
        changes: Vec<(TableName, TableChange)>,
        now: DateTime<Utc>,
    ) -> Result<ChangeOutcome> {
        let mut tables = BTreeSet::new();
        for (table, change) in &changes {
            if !tables.insert(table) {
                return Ok(refused(format!("table {table} is named twice in one transaction")));
            }
            if change.creates() && changes.len() > 1 {
                let reason = "a table cannot be created in a transaction over several tables";
                return Ok(refused(reason.to_owned()));
            }
        }
        if let [(table, change)] = changes.as_slice()
            && change.creates()
        {
            return create::commit(self, table, change, now).await;
        }
        let mut wait = FIRST_WAIT;
        for _ in 0..ATTEMPTS_MAX {
            let turn = self.inner().turns.take(changes.iter().map(|(table, _)| table)).await;
            if let Some(outcome) = attempt(self, &changes, now).await? {
                return Ok(outcome);
            }
            drop(turn);
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(1));
        }
        Ok(ChangeOutcome::Conflict { reason: "other writers won every race; try again later".to_owned() })
    }
}

/// One attempt; `None` when another writer was faster.
async fn attempt(
    lake: &Lake,
    changes: &[(TableName, TableChange)],
    now: DateTime<Utc>,
) -> Result<Option<ChangeOutcome>> {
    let stages = changes.iter().map(|(table, change)| stage(lake, table, change, now));
    let mut written = Vec::new();
    let (mut swaps, mut states, mut landed, mut ended) = (Vec::new(), Vec::new(), Vec::new(), None);
    for staged in future::join_all(stages).await {
        match staged {
            Ok(Staged::Next { swap, state }) => {
                written.push(swap.new.clone());
                swaps.push(swap);
                states.push(state);
            }
            Ok(Staged::Landed(table)) => landed.push(table),
            Ok(Staged::Ended(outcome)) => ended = ended.or(Some(Ok(Some(outcome)))),
            Err(error) => ended = ended.or(Some(Err(error))),
        }
    }
    if ended.is_none() && swaps.is_empty() {
        return Ok(Some(ChangeOutcome::Applied(landed)));
    }
    if ended.is_none() && !landed.is_empty() {
        // Tables change together, so one that has the change and one that lacks it were not changed by it.
        let reason = "a part of this transaction is in a table already".to_owned();
        ended = Some(Ok(Some(ChangeOutcome::Conflict { reason })));
    }
    if let Some(ended) = ended {
        delete(lake, &written).await;
        return ended;
    }
    match lake.inner().catalog.swap(&swaps).await {
        Ok(SwapOutcome::Swapped(entries)) => {
            let mut tables = Vec::with_capacity(entries.len());
            for ((swap, mut entry), state) in swaps.into_iter().zip(entries).zip(states) {
                entry.state = entry.state.or(Some(state));
                tables.push(lake.pin(&swap.table, entry).await?);
            }
            Ok(Some(ChangeOutcome::Applied(tables)))
        }
        Ok(SwapOutcome::Lost { .. }) => {
            delete(lake, &written).await;
            Ok(None)
        }
        Ok(SwapOutcome::Unknown(error)) => settle(lake, &swaps, states, error).await,
        Err(error) => {
            delete(lake, &written).await;
            Err(error)
        }
    }
}

/// After an unknown outcome: looks until the pointers tell. The new locations are new in the world, so one that is
/// found, now or in a table's log, means applied. A table that went on without it was not changed, and cannot be any
/// more; then no table was. `None` in that case.
async fn settle(
    lake: &Lake,
    swaps: &[Swap],
    states: Vec<State>,
    error: Error,
) -> Result<Option<ChangeOutcome>> {
    let mut wait = FIRST_WAIT;
    for _ in 0..LOOKS_MAX {
        for (swap, state) in swaps.iter().zip(&states) {
            let Ok(Some(mut entry)) = lake.inner().catalog.table(&swap.table).await else { break };
            if entry.location == swap.expected {
                continue;
            }
            if entry.location == swap.new {
                entry.state = Some(state.clone());
            }
            let Ok(table) = lake.pin(&swap.table, entry).await else { break };
            if !table.has_been_at(&swap.new) {
                return Ok(None);
            }
            return applied(lake, swaps).await.map(Some);
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
    // That the old states are there still proves nothing: the COMMIT may be under way.
    Ok(Some(ChangeOutcome::Unknown(error)))
}

/// The tables of a change that is known to hold.
async fn applied(lake: &Lake, swaps: &[Swap]) -> Result<ChangeOutcome> {
    let mut tables = Vec::with_capacity(swaps.len());
    for swap in swaps {
        tables.push(lake.load(&swap.table).await?);
    }
    Ok(ChangeOutcome::Applied(tables))
}

/// The next state of one table, written but not pointed to.
async fn stage(lake: &Lake, table: &TableName, change: &TableChange, now: DateTime<Utc>) -> Result<Staged> {
    let Some(base) = lake.find(table).await? else {
        return Ok(Staged::Ended(ChangeOutcome::Missing { table: table.clone() }));
    };
    if change.base.as_ref().is_some_and(|location| location != base.metadata_location()) {
        let reason = "the table changed since the change was computed".to_owned();
        return Ok(Staged::Ended(ChangeOutcome::Conflict { reason }));
    }
    for requirement in &change.requirements {
        if let Err(unmet) = requirement.check(Some(base.metadata())) {
            if apply::landed(base.metadata(), &change.updates) || apply::repeats(lake, &base, change).await {
                return Ok(Staged::Landed(base));
            }
            return Ok(Staged::Ended(ChangeOutcome::Conflict { reason: words(&unmet) }));
        }
    }
    match guard::check(lake, &base, &change.updates)? {
        Ok(()) => {}
        Err(outcome) => return Ok(Staged::Ended(outcome)),
    }
    let next = match apply::apply(base.metadata(), base.metadata_location(), &change.updates, now) {
        Ok(next) => next,
        Err(outcome) => return Ok(Staged::Ended(outcome)),
    };
    let location = apply::next_location(&base, &next);
    let next = Arc::new(next);
    if !lake.inner().catalog.writes_metadata() {
        lake.write_metadata(&next, &location).await?;
    }
    let swap = Swap {
        table: table.clone(),
        expected: base.metadata_location().to_owned(),
        new: location.to_string(),
        change: Change::Table { requirements: change.requirements.clone(), updates: change.updates.clone() },
    };
    Ok(Staged::Next { swap, state: State::Table(next) })
}

/// Deletes metadata files of an attempt that changed nothing for certain.
async fn delete(lake: &Lake, written: &[String]) {
    for location in written {
        if let Err(cause) = lake.inner().file_io.delete(location).await {
            tracing::warn!(%location, %cause, "cannot delete a file that no table uses; it stays as an orphan");
        }
    }
}

fn refused(reason: String) -> ChangeOutcome {
    ChangeOutcome::Refused { reason }
}

/// The library's message in one line, without its backtrace.
fn words(error: &iceberg::Error) -> String {
    error.message().to_owned()
}

#[cfg(test)]
mod tests;
