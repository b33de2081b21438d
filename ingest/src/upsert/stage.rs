//! The events of a commit on one state of the table: files to be added, and rows of others that go.

use std::sync::Arc;

use arrow::compute::filter_record_batch;
use sluice_catalog::{
    Bounds, DeleteWriter, Lake, Operation, RowChanges, Scope, StagedFiles, TableSnapshot, TableWriter,
    WriterSettings,
};
use uuid::Uuid;

use super::find::{Found, Wanted, find};
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
    let mut deletes = DeleteWriter::new(lake, table, name);
    for (file, positions) in &found.positions {
        deletes.delete(file, positions.iter().copied())?;
    }
    let files = write(lake, table, wanted, &found, writer, name).await?;
    if files.is_none() && found.positions.is_empty() && found.whole.is_empty() {
        return Ok(None);
    }
    let deletes = match found.positions.is_empty() {
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
        deleted = deletes.as_ref().map_or(0, sluice_catalog::StagedDeletes::row_count),
        files_gone = found.whole.len(),
        "rows change by key"
    );
    let concerned = Arc::clone(wanted);
    let changes = RowChanges {
        read_snapshot: table.snapshot_id(),
        replaced: found.whole,
        deletes,
        scope: Scope::matching(move |file, _| concerned.may_be_in(|id| Bounds::of(file, id))),
    };
    Ok(Some((Operation::ChangeRows(changes), files)))
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
