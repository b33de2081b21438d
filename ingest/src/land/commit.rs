//! The commit of a whole epoch: its files are finished, rows of tables with a key are looked for, all lands at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_catalog::{Commit, Operation, SourceRanges, StagedFiles, TableSnapshot};

use super::Outcome;
use super::writers::{Desk, Writers};
use crate::error::Error;
use crate::pipeline::now;
use crate::plan::Plan;
use crate::upsert::{self, Buffer, Keyed};

/// Finishes all files, then commits them and the ranges to all tables, in the order of `parts`. `snapshots` has the
/// tables of `writers`.
pub(super) async fn commit(
    desk: Desk,
    plan: Arc<Plan>,
    parts: Vec<(usize, Vec<SourceRanges>)>,
    (writers, keyed): (Writers, BTreeMap<usize, Buffer>),
    snapshots: BTreeMap<usize, TableSnapshot>,
) -> Outcome {
    let mut staged = writers.finish(&desk, &snapshots).await?;
    let of = |(table, files): (&usize, &StagedFiles)| (*table, files.row_count(), files.byte_count());
    let mut rows: Vec<_> = staged.iter().map(of).collect();
    let commits = parts.into_iter().map(|(table, offsets)| Commit {
        table: plan.tables[table].name.clone(),
        operation: Operation::Append,
        files: staged.remove(&table),
        offsets,
        properties: BTreeMap::new(),
        token: desk.token,
    });
    let commits = commits.collect();
    if !staged.is_empty() {
        // Rows without a range would be forgotten by the next run.
        return Err(Error::Broken { part: "a commit" });
    }
    let keyed = keyed.into_iter().filter(|(_, buffer)| !buffer.is_empty());
    let keyed: Vec<Keyed> = keyed.map(|(table, buffer)| Keyed { table, buffer }).collect();
    if keyed.is_empty() {
        return Ok((desk.lake.commit(commits, now()).await?, rows));
    }
    let (outcome, changed) = upsert::land(&desk.lake, &plan, commits, keyed, &desk.settings).await?;
    rows.extend(changed);
    Ok((outcome, rows))
}
