//! The events of one commit for one table: of each key those that still matter.
//!
//! Batches stay as they came; a map says which rows of them matter. When most do not, the batches are cut down to
//! those that do.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use sluice_catalog::{TableSnapshot, WriterSettings};

use super::keys::{Bytes, KeyColumns};
use super::latest::{Event, Latest};
use crate::error::{Error, Result};
use crate::topics::Upsert;

/// Batches are cut down when they have this many rows more than twice the events that matter.
const OUTDATED_ROWS: usize = 1 << 14;
/// What an entry of the map takes beside its key, with the room that a map keeps free and with what the look for its
/// row takes for a moment.
const ENTRY_BYTES: usize = 160;

/// The events that matter, by key.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(super) columns: KeyColumns,
    pub(super) batches: Vec<RecordBatch>,
    pub(super) latest: HashMap<Bytes, Latest>,
    /// Rows of all batches, and how many of them matter.
    rows: usize,
    events: usize,
    /// Bytes of the batches, and of the map.
    batch_bytes: usize,
    map_bytes: usize,
}

impl Buffer {
    /// An empty buffer for a table.
    pub(crate) fn new(table: &TableSnapshot, upsert: &Upsert) -> Result<Self> {
        let columns = KeyColumns::new(&table.schema(), upsert).map_err(Error::Columns)?;
        let (batches, latest) = (Vec::new(), HashMap::new());
        Ok(Self { columns, batches, latest, rows: 0, events: 0, batch_bytes: 0, map_bytes: 0 })
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
            let place = (topic as u32, partition, offsets.value(row));
            let event = Event { batch: number, row: row as u32, deletes: deletes.value(row), place };
            let orders = orders.as_ref().filter(|_| columns[self.columns.key_width].is_valid(row));
            let order = orders.map(|orders| orders.row(row));
            let key = keys.row(row);
            if !self.latest.contains_key(key.data()) {
                self.map_bytes += ENTRY_BYTES + key.data().len() * 2;
                self.latest.insert(key.data().into(), Latest::default());
            }
            let Some(latest) = self.latest.get_mut(key.data()) else { continue };
            self.events -= latest.events().count();
            self.map_bytes -= latest.heap_bytes();
            latest.add(event, order.as_ref().map(|order| order.data()));
            self.events += latest.events().count();
            self.map_bytes += latest.heap_bytes();
        }
        self.rows += batch.num_rows();
        self.batch_bytes += batch.get_array_memory_size();
        self.batches.push(batch);
        if self.rows > self.events * 2 + OUTDATED_ROWS {
            self.cut_down()?;
        }
        Ok(true)
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.batch_bytes + self.map_bytes
    }

    /// Bytes held while the rows are committed: encoders hold some of them once more.
    pub(crate) fn memory_of_commit(&self, writer: &WriterSettings) -> usize {
        self.memory() + self.batch_bytes.min(writer.buffered_bytes_max)
    }

    /// Whether no event was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    /// For each batch which rows shall be written: the winners of their keys, but for deletes and those that
    /// `outdone` says the table is ahead of.
    pub(super) fn written(&self, outdone: impl Fn(&Bytes) -> bool) -> Vec<BooleanArray> {
        let winners = self.latest.iter().filter_map(|(key, latest)| Some((key, latest.winner()?)));
        let written = winners.filter(|(key, winner)| !winner.deletes && !outdone(key));
        self.masks(written.map(|(_, winner)| winner))
    }

    fn masks<'a>(&self, kept: impl Iterator<Item = &'a Event>) -> Vec<BooleanArray> {
        let mut masks: Vec<Vec<bool>> =
            self.batches.iter().map(|batch| vec![false; batch.num_rows()]).collect();
        for event in kept {
            masks[event.batch as usize][event.row as usize] = true;
        }
        masks.into_iter().map(BooleanArray::from).collect()
    }

    /// Drops the rows that do not matter.
    fn cut_down(&mut self) -> Result<(), ArrowError> {
        let masks = self.masks(self.latest.values().flat_map(Latest::events));
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
        for event in self.latest.values_mut().flat_map(Latest::events_mut) {
            event.row = moved[event.batch as usize][event.row as usize];
            event.batch = numbers[event.batch as usize];
        }
        self.rows = self.batches.iter().map(RecordBatch::num_rows).sum();
        self.batch_bytes = self.batches.iter().map(RecordBatch::get_array_memory_size).sum();
        Ok(())
    }
}

fn offsets(batch: &RecordBatch) -> Result<Int64Array, ArrowError> {
    let column: Option<&ArrayRef> = batch.column_by_name("_src_offset");
    let column = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
    column.cloned().ok_or_else(|| ArrowError::SchemaError("rows of a topic lack `_src_offset`".to_owned()))
}
