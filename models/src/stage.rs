//! Stage: a stream of batches becomes data files that no snapshot knows yet.
//!
//! Batches go from the engine into the writer one by one, cast to the table's types: the engine counts in
//! unsigned 64 bits and cuts time into nanoseconds, Iceberg does neither. A value that does not fit is an
//! error, never a null.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use futures::StreamExt;
use sluice_catalog::{Lake, StagedFiles, TableSnapshot, TableWriter, WriterSettings};
use sluice_sql::SendableRecordBatchStream;
use uuid::Uuid;

/// Why nothing was staged.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The query failed while it ran.
    Query(sluice_sql::Error),
    /// A result does not fit into the table.
    Cast(ArrowError),
    /// The store refused.
    Catalog(sluice_catalog::Error),
}

/// Writes all of `stream` for `table`; on an error, what was written is taken back.
pub(crate) async fn stage(
    lake: &Lake,
    table: &TableSnapshot,
    stream: SendableRecordBatchStream,
    token: Uuid,
    settings: WriterSettings,
) -> Result<StagedFiles, Failed> {
    let mut writer = TableWriter::new(lake, table, token, settings).map_err(Failed::Catalog)?;
    match drain(stream, &table.schema(), &mut writer).await {
        Ok(()) => writer.finish().await.map_err(Failed::Catalog),
        Err(failed) => {
            writer.abort().await;
            Err(failed)
        }
    }
}

async fn drain(
    mut stream: SendableRecordBatchStream,
    wanted: &SchemaRef,
    writer: &mut TableWriter,
) -> Result<(), Failed> {
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|error| Failed::Query(error.into()))?;
        if batch.num_rows() > 0 {
            let batch = fit(&batch, wanted).map_err(Failed::Cast)?;
            writer.write(batch).await.map_err(Failed::Catalog)?;
        }
    }
    Ok(())
}

/// The batch's columns in the order and types of the table.
fn fit(batch: &RecordBatch, wanted: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for field in wanted.fields() {
        let Some(column) = batch.column_by_name(field.name()) else { continue };
        let column = cast_with_options(column, field.data_type(), &strict)
            .map_err(|error| ArrowError::CastError(format!("column `{}`: {error}", field.name())))?;
        fields.push(field.clone());
        columns.push(column);
    }
    let schema = Schema::new(fields);
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.into(), columns, &options)
}
