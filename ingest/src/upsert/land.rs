//! The commit of an epoch in which rows of tables change by key.
//!
//! Rows are looked for on the state that is there when the commit begins. A table that changed meanwhile in a way
//! that matters (its files were compacted, another worker wrote rows of the same keys) makes the commit a conflict;
//! then all such tables are looked at again, and what other tables of the commit get stays as it is. After a few
//! times the session begins again from the tables: correct too, and the events are only read once more.

use std::sync::Arc;

use sluice_catalog::{Commit, CommitOutcome, Lake, Operation, WriterSettings};

use super::buffer::Buffer;
use super::stage::stage;
use super::wanted::Wanted;
use crate::error::{Error, Result};
use crate::pipeline::{new_token, now};
use crate::plan::Plan;

/// How often a commit is tried on states that it was computed for.
const LOOKS: usize = 5;

/// The events of one table.
pub(crate) struct Keyed {
    pub(crate) table: usize,
    pub(crate) buffer: Buffer,
}

/// Lands the commits together with the events of tables that have a key; those tables' commits have no files yet.
/// Also returns how many rows and bytes each such table got.
pub(crate) async fn land(
    lake: &Lake,
    plan: &Plan,
    mut commits: Vec<Commit>,
    keyed: Vec<Keyed>,
    writer: &WriterSettings,
) -> Result<(CommitOutcome, Vec<(usize, u64, u64)>)> {
    let mut changes = Vec::with_capacity(keyed.len());
    for keyed in keyed {
        changes.push((keyed.table, Arc::new(Wanted::new(keyed.buffer).map_err(Error::Columns)?)));
    }
    for look in 1..=LOOKS {
        let mut rows = Vec::with_capacity(changes.len());
        for (table, wanted) in &changes {
            let name = &plan.tables[*table].name;
            let Some(commit) = commits.iter_mut().find(|commit| commit.table == *name) else { continue };
            let state = lake.load(name).await?;
            // Names of files are used once, so each look has one of its own.
            let change = stage(lake, &state, wanted, writer, new_token()).await?;
            (commit.operation, commit.files) = change.unwrap_or((Operation::Append, None));
            let size = commit.files.as_ref().map_or((0, 0), |files| (files.row_count(), files.byte_count()));
            rows.push((*table, size.0, size.1));
        }
        if look == LOOKS {
            return Ok((lake.commit(commits, now()).await?, rows));
        }
        match lake.try_commit(&commits, now()).await? {
            CommitOutcome::Conflicted { table, reason } => {
                if !changes.iter().any(|(keyed, _)| plan.tables[*keyed].name == table) {
                    // Files of the others are left to the removal of orphans: an attempt may still be in doubt.
                    return Ok((CommitOutcome::Conflicted { table, reason }, rows));
                }
                tracing::info!(%table, reason, look, "rows are looked for again");
            }
            outcome => return Ok((outcome, rows)),
        }
    }
    Err(Error::Broken { part: "the commit of rows with keys" })
}
