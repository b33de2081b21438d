//! The commit of a whole epoch: its files are finished, rows of tables with a key are looked for, all lands at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::try_join_all;
use sluice_catalog::{Commit, Lake, Operation, SourceRanges, StagedFiles, TableWriter};
use uuid::Uuid;

use super::Outcome;
use crate::error::Error;
use crate::pipeline::{IngestSettings, now};
use crate::plan::Plan;
use crate::upsert::{self, Buffer, Keyed};

/// Finishes all files, then commits them and the ranges to all tables, in the order of their numbers: the dead
/// letters have the first.
pub(super) async fn commit(
    lake: Lake,
    (plan, settings): (Arc<Plan>, Arc<IngestSettings>),
    token: Uuid,
    parts: Vec<(usize, Vec<SourceRanges>)>,
    (writers, keyed): (BTreeMap<usize, TableWriter>, BTreeMap<usize, Buffer>),
) -> Outcome {
    let finish = |(table, writer): (usize, TableWriter)| async move {
        Ok::<_, Error>((table, writer.finish().await?))
    };
    let finishing = writers.into_iter().map(finish);
    let mut staged: BTreeMap<usize, StagedFiles> = try_join_all(finishing).await?.into_iter().collect();
    let of = |(table, files): (&usize, &StagedFiles)| (*table, files.row_count(), files.byte_count());
    let mut rows: Vec<_> = staged.iter().map(of).collect();
    let commits = parts.into_iter().map(|(table, offsets)| Commit {
        table: plan.tables[table].name.clone(),
        operation: Operation::Append,
        files: staged.remove(&table),
        offsets,
        properties: BTreeMap::new(),
        token,
    });
    let commits = commits.collect();
    let keyed = keyed.into_iter().filter(|(_, buffer)| !buffer.is_empty());
    let keyed: Vec<Keyed> = keyed.map(|(table, buffer)| Keyed { table, buffer }).collect();
    if keyed.is_empty() {
        return Ok((lake.commit(commits, now()).await?, rows));
    }
    let (outcome, changed) = upsert::land(&lake, &plan, commits, keyed, &settings.writer).await?;
    rows.extend(changed);
    Ok((outcome, rows))
}
