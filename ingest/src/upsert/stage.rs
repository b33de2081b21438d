//! The events of a commit on one state of the table: files to be added, and rows of others that go.
//!
//! A data file has one delete file of its own at most: the next one holds what it held and takes its place. So
//! readers open few delete files, however many commits there were. Deletes that other writers put into files of
//! several data files stay beside it.

use std::sync::Arc;

use arrow::compute::filter_record_batch;
use sluice_catalog::{
    Bounds, DeleteWriter, Lake, LiveFile, Operation, PositionDeletes, RowChanges, Scope, StagedFiles,
    TableSnapshot, TableWriter, WriterSettings,
};
use uuid::Uuid;

use super::find::{Found, find};
use super::wanted::Wanted;
use crate::error::{Error, Result};
use crate::evolve::{has_columns, refit};

/// What the change is on `table`, with its files in the store; `None` when nothing changes. `name` is in the names of
/// the files, and of no others.
pub(super) async fn stage(
    lake: &Lake,
    table: &TableSnapshot,
    wanted: &Arc<Wanted>,
    writer: &WriterSettings,
    name: Uuid,
) -> Result<Option<(Operation, Option<StagedFiles>)>> {
    if !wanted.buffer.columns.fit(&table.schema()) {
        return Err(Error::Grow { table: table.name().clone() });
    }
    let found = find(lake, table, wanted).await?;
    let mut deletes = DeleteWriter::new(lake, table, name).by_file();
    let mut replaced = found.whole.clone();
    for target in &found.targets {
        deletes.delete(&target.file, &target.positions)?;
        replaced.extend(own_deletes(&target.file));
    }
    let files = write(lake, table, wanted, &found, writer, name).await?;
    if files.is_none() && found.targets.is_empty() && found.whole.is_empty() {
        return Ok(None);
    }
    let deletes = match found.targets.is_empty() {
        true => None,
        false => match deletes.finish().await {
            Ok(deletes) => Some(deletes),
            Err(error) => {
                if let Some(files) = files {
                    files.discard(lake).await;
                }
                return Err(error.into());
            }
        },
    };
    tracing::debug!(
        table = %table.name(),
        keys = wanted.buffer.latest.len(),
        added = files.as_ref().map_or(0, StagedFiles::row_count),
        files_with_deletes = found.targets.len(),
        files_gone = found.whole.len(),
        "rows change by key"
    );
    let concerned = Arc::clone(wanted);
    let changes = RowChanges {
        read_snapshot: table.snapshot_id(),
        replaced,
        deletes,
        scope: Scope::matching(move |file, _| concerned.may_be_in(|id| Bounds::of(file, id))),
    };
    Ok(Some((Operation::ChangeRows(changes), files)))
}

/// The delete files that name this data file alone.
fn own_deletes(file: &LiveFile) -> Vec<LiveFile> {
    let (data, deletes) = file.parts();
    let PositionDeletes::Files(files) = &deletes.positions else { return Vec::new() };
    let own = files.iter().filter(|it| it.only_target().as_deref() == Some(data.file_path()));
    let own = own.map(|it| LiveFile::new(it.data_file.clone(), it.partition_spec_id, it.sequence_number));
    own.collect()
}

/// Writes the rows that the events leave; `None` when there are none.
async fn write(
    lake: &Lake,
    table: &TableSnapshot,
    wanted: &Wanted,
    found: &Found,
    settings: &WriterSettings,
    name: Uuid,
) -> Result<Option<StagedFiles>> {
    let masks = wanted.buffer.written(|key| found.outdone.contains(key));
    let schema = table.schema();
    let mut writer: Option<TableWriter> = None;
    for (batch, mask) in wanted.buffer.batches.iter().zip(&masks) {
        if mask.true_count() == 0 {
            continue;
        }
        let rows = filter_record_batch(batch, mask).map_err(Error::Columns)?;
        let rows = if has_columns(&schema, &rows.schema()) { rows } else { refit(&schema, &rows)? };
        let mut open = match writer.take() {
            Some(open) => open,
            None => TableWriter::new(lake, table, name, settings.clone())?,
        };
        if let Err(error) = open.write(rows).await {
            open.abort().await;
            return Err(error.into());
        }
        writer = Some(open);
    }
    match writer {
        Some(writer) => Ok(Some(writer.finish().await?)),
        None => Ok(None),
    }
}
