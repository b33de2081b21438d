//! The open files of an epoch: rows wait until they are worth a step of an encoder, and few tables are open at once.
//!
//! ```text
//! rows -> parked per table --enough--> TableWriter --too many open files--> least recently used one rests
//!              '------------- commit: a few tables at a time -------------'
//! ```
//!
//! A batch of messages may hold a few rows of each of a thousand tables. An encoder costs memory by itself and a step
//! of it a hand-over to another thread, so small parts are gathered first. A table whose rows stay few is written
//! when the commit comes, and then only a few such tables at the same time.

use std::collections::BTreeMap;

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};
use sluice_catalog::{Lake, StagedFiles, TableSnapshot, TableWriter, WriterSettings};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::evolve::{has_columns, refit};

/// Rows of a table are encoded when they are so many, or take so many bytes.
const ROWS_MIN: usize = 4096;
const BYTES_MIN: usize = 1 << 20;
/// Parts of a table that are put together into one, so that small arrays do not pile up.
const PARTS_MAX: usize = 64;
/// Tables that are finished at the same time.
const FINISHED_AT_ONCE: usize = 16;

/// The rows of one epoch by table.
#[derive(Debug, Default)]
pub(super) struct Writers {
    slots: BTreeMap<usize, Slot>,
    clock: u64,
}

#[derive(Debug, Default)]
struct Slot {
    writer: Option<TableWriter>,
    parked: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    last_use: u64,
}

/// What writers are made from.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) lake: Lake,
    pub(super) token: Uuid,
    pub(super) settings: WriterSettings,
}

impl Writers {
    /// Takes rows of tables; writes those that are worth it, all tables at once.
    pub(super) async fn add(
        &mut self,
        desk: &Desk,
        rows: Vec<(usize, RecordBatch)>,
        snapshots: &[TableSnapshot],
        open_files_max: usize,
    ) -> Result<()> {
        self.clock += 1;
        let mut due = Vec::new();
        for (table, batch) in rows {
            let slot = self.slots.entry(table).or_default();
            slot.last_use = self.clock;
            slot.park(batch)?;
            if slot.rows >= ROWS_MIN || slot.bytes >= BYTES_MIN {
                due.push(table);
            }
        }
        let mut writes = Vec::with_capacity(due.len());
        for table in due {
            let Some(slot) = self.slots.remove(&table) else { continue };
            let snapshot = &snapshots[table];
            writes.push(async move { slot.write(desk, snapshot).await.map(|slot| (table, slot)) });
        }
        self.slots.extend(try_join_all(writes).await?);
        self.close_some(open_files_max).await
    }

    /// Closes the files of the least recently used tables until there are few enough.
    async fn close_some(&mut self, open_files_max: usize) -> Result<()> {
        while self.open_files() > open_files_max {
            let open = self.slots.values_mut().filter(|slot| slot.open_files() > 0);
            let Some(oldest) = open.min_by_key(|slot| slot.last_use) else { return Ok(()) };
            if let Some(writer) = &mut oldest.writer {
                writer.rest().await?;
            }
        }
        Ok(())
    }

    /// Files that take rows now.
    pub(super) fn open_files(&self) -> usize {
        self.slots.values().map(Slot::open_files).sum()
    }

    /// Bytes held in memory.
    pub(super) fn buffered_bytes(&self) -> usize {
        let held = |slot: &Slot| slot.bytes + slot.writer.as_ref().map_or(0, TableWriter::buffered_bytes);
        self.slots.values().map(held).sum()
    }

    /// The tables that have rows.
    pub(super) fn tables(&self) -> impl Iterator<Item = usize> {
        self.slots.keys().copied()
    }

    /// Writes what is left and completes all files. `snapshots` has the tables that have rows.
    pub(super) async fn finish(
        self,
        desk: &Desk,
        snapshots: &BTreeMap<usize, TableSnapshot>,
    ) -> Result<BTreeMap<usize, StagedFiles>> {
        let finish = |(table, slot): (usize, Slot)| async move {
            let snapshot = snapshots.get(&table).ok_or(Error::Broken { part: "the end of an epoch" })?;
            let staged = match slot.write(desk, snapshot).await?.writer {
                Some(writer) => Some(writer.finish().await?),
                None => None,
            };
            Ok::<_, Error>(staged.map(|staged| (table, staged)))
        };
        let staged = stream::iter(self.slots).map(finish).buffer_unordered(FINISHED_AT_ONCE);
        staged.try_filter_map(|staged| async move { Ok(staged) }).try_collect().await
    }

    /// Gives everything up.
    pub(super) async fn abort(self) {
        for writer in self.slots.into_values().filter_map(|slot| slot.writer) {
            writer.abort().await;
        }
    }
}

impl Slot {
    fn park(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        self.bytes += batch.get_array_memory_size();
        self.parked.push(batch);
        if self.parked.len() >= PARTS_MAX {
            self.parked = together(std::mem::take(&mut self.parked))?;
            self.bytes = self.parked.iter().map(RecordBatch::get_array_memory_size).sum();
        }
        Ok(())
    }

    fn open_files(&self) -> usize {
        self.writer.as_ref().map_or(0, TableWriter::open_files)
    }

    /// Hands all parked rows to the table's writer.
    async fn write(mut self, desk: &Desk, snapshot: &TableSnapshot) -> Result<Self> {
        let schema = snapshot.schema();
        // The table may have grown since the rows were parked.
        let fitted = self.parked.drain(..).map(|batch| match has_columns(&schema, &batch.schema()) {
            true => Ok(batch),
            false => refit(&schema, &batch),
        });
        let parked = together(fitted.collect::<Result<_>>()?)?;
        (self.rows, self.bytes) = (0, 0);
        if parked.is_empty() {
            return Ok(self);
        }
        let mut writer = match self.writer.take() {
            Some(mut writer) => match writer.follow(snapshot).await? {
                true => writer,
                false => return Err(Error::Grow { table: snapshot.name().clone() }),
            },
            None => TableWriter::new(&desk.lake, snapshot, desk.token, desk.settings.clone())?,
        };
        for batch in parked {
            writer.write(batch).await?;
        }
        self.writer = Some(writer);
        Ok(self)
    }
}

/// As few batches as their columns allow, in the same order.
fn together(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let alike = batches.chunk_by(|one, next| one.schema_ref() == next.schema_ref());
    let joined = alike.map(|some| match some {
        [only] => Ok(only.clone()),
        some => concat_batches(some[0].schema_ref(), some).map_err(Error::Columns),
    });
    joined.collect()
}

#[cfg(test)]
mod tests;
