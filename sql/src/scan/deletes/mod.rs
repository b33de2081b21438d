//! Deleted rows are left out while a file is read.
//!
//! ```text
//! position delete files ─┐                      ┌─> access plan of the file: those rows are not decoded
//! deletion vectors ──────┴─> positions (cached) ┘
//! equality delete files ────> keys, once a scan ──> each batch is probed, rows that are found are dropped
//! ```
//!
//! Nothing is read before a file that has deletes is opened, and nothing at all where there are none.

pub(crate) mod keys;
pub(crate) mod positions;
pub(crate) mod vector;

use std::panic::AssertUnwindSafe;

use datafusion::arrow::datatypes::Schema;
use datafusion::object_store::ObjectMeta;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use sluice_catalog::{DeleteFile, Lake, field_id};

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};

use crate::error::{Complaint, Error};
use crate::scan::reader::Files;

/// What reading a delete file takes.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) lake: Lake,
    pub(crate) files: Files,
}

impl Reading {
    /// Where a file lies.
    pub(crate) fn place(&self, path: &str, size: u64) -> Result<ObjectMeta> {
        let location = self.lake.object_path(path).map_err(Error::from)?;
        // Files never change, so one time does for all; it is part of the footer cache's key.
        let last_modified = chrono::DateTime::UNIX_EPOCH;
        Ok(ObjectMeta { location, last_modified, size, e_tag: None, version: None })
    }

    /// The batches of a Parquet delete file, its columns in the order of `columns` (field id, and the name in
    /// files without ids).
    async fn batches(
        &self,
        file: &DeleteFile,
        columns: &[(i32, &str)],
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let path = file.data_file.file_path().to_owned();
        let place = self.place(&path, file.data_file.file_size_in_bytes())?;
        let opening = ParquetRecordBatchStreamBuilder::new(self.files.open(place));
        // The library asserts some of what it takes for granted; the error must name this file, not the data file.
        let builder = AssertUnwindSafe(opening).catch_unwind().await.map_err(|_| stopped(&path))?;
        let builder = builder.map_err(|error| broken(&path, error))?;
        let roots = columns
            .iter()
            .map(|(id, name)| {
                let found = root(builder.schema(), *id, name);
                found.ok_or_else(|| broken(&path, format!("it has no column `{name}` (field {id})")))
            })
            .collect::<Result<Vec<usize>>>()?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
        // The stream has the columns in the order of the file.
        let order = roots.iter().map(|root| roots.iter().filter(|other| *other < root).count());
        let order: Vec<usize> = order.collect();
        let stream = builder.with_projection(mask).build().map_err(|error| broken(&path, error))?;
        let batches = AssertUnwindSafe(stream).catch_unwind().map(move |batch| {
            let batch = batch.map_err(|_| stopped(&path))?.map_err(|error| broken(&path, error))?;
            Ok(batch.project(&order)?)
        });
        Ok(batches.boxed())
    }
}

/// The top-level column with a field id; by its name when the file has no ids.
fn root(schema: &Schema, id: i32, name: &str) -> Option<usize> {
    let ids = |index: &usize| field_id(schema.field(*index));
    let indices = || 0..schema.fields().len();
    if indices().all(|index| ids(&index).is_none()) {
        return schema.index_of(name).ok();
    }
    indices().find(|index| ids(index) == Some(id))
}

/// A delete file at which the decoder panicked.
fn stopped(path: &str) -> DataFusionError {
    broken(path, "the decoder stopped at it")
}

/// A delete file that cannot be applied.
pub(crate) fn broken(path: &str, fact: impl std::fmt::Display) -> DataFusionError {
    let message = format!("the delete file {path} cannot be applied: {fact}");
    let remedy = "restore the file, or let the engine that wrote it compact the table";
    Error::Lake(Complaint::new(message).remedy(remedy)).into()
}
