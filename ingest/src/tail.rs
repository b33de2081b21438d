//! The tail: rows that were read and routed, and that no commit holds yet.
//!
//! ```text
//! route -> rows -+-> files -> commit -> snapshot
//!                '-> tail  ---'  the rows of a commit leave the tail after it landed
//! ```
//!
//! A reader pins the tail of a table first and loads the table's snapshot afterwards. The offsets that the snapshot
//! keeps then decide row by row ([`PinnedTail::beyond`]): what it holds already is left out. So at every moment of
//! a commit each row is seen exactly once:
//!
//! | when the tail was pinned | the rows are in the pinned tail | the snapshot loaded afterwards |
//! |---|---|---|
//! | before the commit landed | yes | has them, and they are left out; or has not, and they are taken |
//! | after it landed, before the tail let go | yes | has them: they are left out |
//! | after the tail let go | no | has them |
//!
//! Rows of a partition may enter the tail a moment out of order, because several threads decode; none enters twice.
//! When a session ends without a commit its rows leave the tail, and come back when they are read again.
//!
//! The tail keeps Arrow batches until their commit: it costs memory, which counts against the budget of ingest, so it
//! is kept only where [`crate::IngestSettings::tail`] asks for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{AsArray, Int64Array};
use arrow::compute::filter_record_batch;
use arrow::compute::kernels::cmp::gt_eq;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use sluice_catalog::{TableName, TableSnapshot};

/// Rows that are not committed yet, of all tables of one process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    tables: Arc<Mutex<BTreeMap<TableName, Vec<TailBatch>>>>,
}

/// Rows of one partition, in the order of their offsets.
#[derive(Clone, Debug)]
pub struct TailBatch {
    /// The topic they came from.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset of the first message of the batch; rows begin there or later.
    pub first_offset: i64,
    /// The rows, with the columns that the table's commit will have, `_src_offset` among them.
    pub rows: RecordBatch,
    /// The commit that they will leave with.
    epoch: u64,
    /// Their share of the memory that arrays take.
    bytes: usize,
}

/// The tail of one table at a moment.
#[derive(Clone, Debug)]
pub struct PinnedTail {
    batches: Vec<TailBatch>,
}

impl Tail {
    /// What the table's tail holds now. Load the table's snapshot after this, never before.
    pub fn pin(&self, table: &TableName) -> PinnedTail {
        PinnedTail { batches: self.lock().get(table).cloned().unwrap_or_default() }
    }

    /// Adds rows of a table, and their share of memory, that will be committed with `epoch`.
    pub(crate) fn add(
        &self,
        table: &TableName,
        epoch: u64,
        (topic, partition, first_offset): (&str, i32, i64),
        (rows, bytes): (RecordBatch, usize),
    ) {
        let batch = TailBatch { topic: topic.to_owned(), partition, first_offset, rows, epoch, bytes };
        self.lock().entry(table.clone()).or_default().push(batch);
    }

    /// Lets go of what was committed with `epoch`.
    pub(crate) fn committed(&self, epoch: u64) {
        self.lock().retain(|_, batches| {
            batches.retain(|batch| batch.epoch != epoch);
            !batches.is_empty()
        });
    }

    /// Lets go of everything: it will be read again.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// Bytes that the batches keep allocated.
    pub(crate) fn memory(&self) -> usize {
        let tables = self.lock();
        tables.values().flatten().map(|batch| batch.bytes).sum()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TableName, Vec<TailBatch>>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PinnedTail {
    /// The rows that `snapshot` does not hold; it was loaded after the tail was pinned.
    ///
    /// # Errors
    /// When the table's record of its offsets cannot be read, or a batch lacks its offsets.
    pub fn beyond(&self, snapshot: &TableSnapshot) -> crate::Result<Vec<RecordBatch>> {
        let mut nexts: BTreeMap<&str, BTreeMap<i32, i64>> = BTreeMap::new();
        let mut beyond = Vec::new();
        for batch in &self.batches {
            let next = match nexts.get(batch.topic.as_str()) {
                Some(next) => next,
                None => {
                    let next =
                        snapshot.offsets(&batch.topic)?.map(|offsets| offsets.next).unwrap_or_default();
                    nexts.entry(&batch.topic).or_insert(next)
                }
            };
            let rows = match next.get(&batch.partition) {
                Some(&next) if next > batch.first_offset => {
                    from_offset(&batch.rows, next).map_err(crate::Error::Columns)?
                }
                _ => batch.rows.clone(),
            };
            if rows.num_rows() > 0 {
                beyond.push(rows);
            }
        }
        Ok(beyond)
    }

    /// All batches, committed meanwhile or not.
    pub fn batches(&self) -> &[TailBatch] {
        &self.batches
    }
}

/// The rows at or after an offset.
pub(crate) fn from_offset(batch: &RecordBatch, floor: i64) -> Result<RecordBatch, ArrowError> {
    let offsets = batch
        .column_by_name("_src_offset")
        .ok_or_else(|| ArrowError::SchemaError("rows of a topic lack `_src_offset`".to_owned()))?;
    let keep = gt_eq(offsets.as_primitive::<Int64Type>(), &Int64Array::new_scalar(floor))?;
    filter_record_batch(batch, &keep)
}

#[cfg(test)]
mod tests;
