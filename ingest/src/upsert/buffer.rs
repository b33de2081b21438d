//! The events of one commit for one table: the last one of each key.
//!
//! Batches stay as they came; a map says which row of which batch is the last of its key. When most rows are outdated
//! the batches are cut down to those that are not.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use sluice_catalog::TableSnapshot;

use super::keys::{Bytes, KeyColumns};
use crate::error::{Error, Result};
use crate::topics::Upsert;

/// Batches are cut down when there are this many rows more than twice the number of keys.
const OUTDATED_ROWS: usize = 1 << 14;
/// What an entry of the map takes beside its bytes.
const ENTRY_BYTES: usize = 96;

/// The last event of each key.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(super) columns: KeyColumns,
    pub(super) batches: Vec<RecordBatch>,
    pub(super) latest: HashMap<Bytes, Event>,
    rows: usize,
    bytes: usize,
}

/// An event in the buffer.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) batch: u32,
    pub(super) row: u32,
    /// Whether it deletes the row of its key.
    pub(super) deletes: bool,
    pub(super) rank: Rank,
}

/// Which of two events is the later one.
#[derive(Debug)]
pub(super) struct Rank {
    /// The value of the ordering column; `None` without one, or where it is null.
    pub(super) order: Option<Bytes>,
    /// Topic, partition, offset. Between partitions this order is fixed and means nothing.
    place: (usize, i32, i64),
}

impl Rank {
    /// Where one of the two has no value to compare, as a message without payload has none, the place decides.
    fn is_after(&self, other: &Self) -> bool {
        match (&self.order, &other.order) {
            (Some(own), Some(others)) => (own, self.place) > (others, other.place),
            _ => self.place > other.place,
        }
    }
}

impl Buffer {
    /// An empty buffer for a table.
    pub(crate) fn new(table: &TableSnapshot, upsert: &Upsert) -> Result<Self> {
        let columns = KeyColumns::new(&table.schema(), upsert).map_err(Error::Columns)?;
        Ok(Self { columns, batches: Vec::new(), latest: HashMap::new(), rows: 0, bytes: 0 })
    }

    /// Takes the events of a batch; `deletes` says which of them delete. `false` when a key column is of another type
    /// by now: nothing was taken then.
    pub(crate) fn add(
        &mut self,
        (topic, partition): (usize, i32),
        batch: RecordBatch,
        deletes: &BooleanArray,
    ) -> Result<bool, ArrowError> {
        let Some(columns) = self.columns.of(&batch) else { return Ok(false) };
        let keys = self.columns.keys(&columns)?;
        let orders = self.columns.orders(&columns)?;
        let offsets = offsets(&batch)?;
        let number = self.batches.len() as u32;
        for row in 0..batch.num_rows() {
            let order = orders.as_ref().filter(|_| columns[self.columns.key_width].is_valid(row));
            let order = order.map(|orders| orders.row(row).as_ref().into());
            let rank = Rank { order, place: (topic, partition, offsets.value(row)) };
            let key = keys.row(row);
            let event = Event { batch: number, row: row as u32, deletes: deletes.value(row), rank };
            match self.latest.get_mut(key.as_ref()) {
                Some(known) if known.rank.is_after(&event.rank) => {}
                Some(known) => *known = event,
                None => {
                    let order = event.rank.order.as_ref().map_or(0, |order| order.len());
                    self.bytes += ENTRY_BYTES + key.as_ref().len() + order;
                    self.latest.insert(key.as_ref().into(), event);
                }
            }
        }
        self.rows += batch.num_rows();
        self.batches.push(batch);
        if self.rows > self.latest.len() * 2 + OUTDATED_ROWS {
            self.cut_down()?;
        }
        Ok(true)
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.bytes + self.batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>()
    }

    /// Whether no event was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    /// For each batch which rows shall be written: the last events of their keys, but for deletes and those that
    /// `outdone` says the table is ahead of.
    pub(super) fn written(&self, outdone: impl Fn(&Bytes) -> bool) -> Vec<BooleanArray> {
        self.masks(|key, event| !event.deletes && !outdone(key))
    }

    fn masks(&self, kept: impl Fn(&Bytes, &Event) -> bool) -> Vec<BooleanArray> {
        let mut masks: Vec<Vec<bool>> =
            self.batches.iter().map(|batch| vec![false; batch.num_rows()]).collect();
        for (key, event) in &self.latest {
            masks[event.batch as usize][event.row as usize] = kept(key, event);
        }
        masks.into_iter().map(BooleanArray::from).collect()
    }

    /// Drops outdated rows.
    fn cut_down(&mut self) -> Result<(), ArrowError> {
        let masks = self.masks(|_, _| true);
        let mut moved: Vec<Vec<u32>> = Vec::with_capacity(masks.len());
        for (batch, mask) in self.batches.iter_mut().zip(&masks) {
            let mut next = 0;
            let place = |kept: Option<bool>| {
                let place = next;
                next += u32::from(kept == Some(true));
                place
            };
            moved.push(mask.iter().map(place).collect());
            *batch = filter_record_batch(batch, mask)?;
        }
        // Emptied batches go, so that their number stays small too.
        let mut numbers = Vec::with_capacity(masks.len());
        let mut next = 0;
        for batch in &self.batches {
            numbers.push(next);
            next += u32::from(batch.num_rows() > 0);
        }
        self.batches.retain(|batch| batch.num_rows() > 0);
        for event in self.latest.values_mut() {
            event.row = moved[event.batch as usize][event.row as usize];
            event.batch = numbers[event.batch as usize];
        }
        self.rows = self.latest.len();
        Ok(())
    }
}

fn offsets(batch: &RecordBatch) -> Result<arrow::array::Int64Array, ArrowError> {
    let column: Option<&ArrayRef> = batch.column_by_name("_src_offset");
    let column = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
    column.cloned().ok_or_else(|| ArrowError::SchemaError("rows of a topic lack `_src_offset`".to_owned()))
}
