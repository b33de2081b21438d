//! Positions that are deleted, as compressed bitmaps, and what a reader of the file is told about them.
//!
//! A delete file is read whole, because it may name several data files; what was read is kept in a cache of
//! bounded size, so neither the data files that share it nor the next query read it again.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccess};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use datafusion::parquet::file::metadata::ParquetMetaData;
use futures::StreamExt;
use moka::future::Cache;
use roaring::RoaringTreemap;
use sluice_catalog::{DeleteFile, PositionDeletes};

use super::{Reading, broken, vector};

/// The columns of position delete files, fixed by the format.
const FILE_PATH: (i32, &str) = (2_147_483_546, "file_path");
const POS: (i32, &str) = (2_147_483_545, "pos");

/// Memory for positions that were read.
const CACHE_BYTES: u64 = 64 << 20;

/// The deleted positions by data file.
type Positions = HashMap<String, RoaringTreemap>;

/// What was read of position delete files and deletion vectors, by their place; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct PositionCache {
    read: Cache<(String, i64), Arc<Positions>>,
}

impl PositionCache {
    pub(crate) fn new() -> Self {
        let weight = |key: &(String, i64), positions: &Arc<Positions>| {
            let one = |(path, rows): (&String, &RoaringTreemap)| path.len() + rows.serialized_size() + 128;
            u32::try_from(key.0.len() + positions.iter().map(one).sum::<usize>()).unwrap_or(u32::MAX)
        };
        Self { read: Cache::builder().weigher(weight).max_capacity(CACHE_BYTES).build() }
    }

    /// The deleted positions of the data file at `path`.
    pub(crate) async fn of(
        &self,
        reading: &Reading,
        pool: &Arc<dyn MemoryPool>,
        path: &str,
        deletes: &PositionDeletes,
    ) -> Result<RoaringTreemap> {
        let files = match deletes {
            PositionDeletes::None => return Ok(RoaringTreemap::new()),
            PositionDeletes::Files(files) => files.as_slice(),
            PositionDeletes::Vector(vector) => std::slice::from_ref(vector),
        };
        let mut all = RoaringTreemap::new();
        for file in files {
            let key = (file.data_file.file_path().to_owned(), file.data_file.content_offset().unwrap_or(-1));
            let load = load(reading, pool, file, matches!(deletes, PositionDeletes::Vector(_)));
            let read = self.read.try_get_with(key, load).await.map_err(DataFusionError::Shared)?;
            if let Some(positions) = read.get(path) {
                all |= positions;
            }
        }
        Ok(all)
    }
}

async fn load(
    reading: &Reading,
    pool: &Arc<dyn MemoryPool>,
    file: &DeleteFile,
    is_vector: bool,
) -> Result<Arc<Positions>> {
    let memory = MemoryConsumer::new("positions of deleted rows").register(pool);
    if is_vector {
        return vector::read(reading, file, &memory).await.map(Arc::new);
    }
    let mut positions = Positions::new();
    let mut batches = reading.batches(file, &[FILE_PATH, POS]).await?;
    while let Some(batch) = batches.next().await {
        add(&mut positions, &batch?, &memory).map_err(|error| match error {
            out @ DataFusionError::ResourcesExhausted(_) => out,
            other => broken(file.data_file.file_path(), other.strip_backtrace()),
        })?;
    }
    Ok(Arc::new(positions))
}

/// Adds the rows of one batch, run by run of the same path.
fn add(positions: &mut Positions, batch: &RecordBatch, memory: &MemoryReservation) -> Result<()> {
    memory.try_grow(batch.num_rows().saturating_mul(4))?;
    let paths = cast(batch.column(0), &DataType::Utf8)?;
    let paths = paths.as_string::<i32>();
    let rows = cast(batch.column(1), &DataType::Int64)?;
    let rows = rows.as_primitive::<Int64Type>();
    if paths.null_count() + rows.null_count() > 0 || rows.values().iter().any(|row| *row < 0) {
        return Err(DataFusionError::Execution("a path or position is null or negative".to_owned()));
    }
    let mut start = 0;
    while start < paths.len() {
        let path = paths.value(start);
        let run = (start..paths.len()).take_while(|at| paths.value(*at) == path).count();
        if !positions.contains_key(path) {
            memory.try_grow(path.len() + 256)?;
        }
        let rows = rows.values().iter().skip(start).take(run);
        positions.entry(path.to_owned()).or_default().extend(rows.map(|row| row.cast_unsigned()));
        start += run;
    }
    Ok(())
}

/// Which rows of which row groups are left once `deleted` are not read.
pub(crate) fn access_plan(file: &ParquetMetaData, deleted: &RoaringTreemap) -> ParquetAccessPlan {
    let mut deleted = deleted.iter().peekable();
    let mut start = 0_u64;
    let groups = file.row_groups().iter().map(|group| {
        let end = start.saturating_add(u64::try_from(group.num_rows()).unwrap_or(0));
        let mut selectors: Vec<RowSelector> = Vec::new();
        let (mut at, mut kept) = (start, false);
        while let Some(first) = deleted.next_if(|row| *row < end) {
            let mut after = first + 1;
            while after < end && deleted.next_if_eq(&after).is_some() {
                after += 1;
            }
            if first > at {
                selectors.push(RowSelector::select((first - at) as usize));
                kept = true;
            }
            selectors.push(RowSelector::skip((after - first) as usize));
            at = after;
        }
        let untouched = selectors.is_empty();
        if end > at {
            selectors.push(RowSelector::select((end - at) as usize));
            kept = true;
        }
        start = end;
        match (untouched, kept) {
            (true, _) => RowGroupAccess::Scan,
            (false, false) => RowGroupAccess::Skip,
            (false, true) => RowGroupAccess::Selection(RowSelection::from(selectors)),
        }
    });
    ParquetAccessPlan::new(groups.collect())
}

#[cfg(test)]
mod tests;
