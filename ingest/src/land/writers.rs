//! The open files of an epoch: rows wait until they are worth a step of an encoder, and few files are open at once.
//!
//! ```text
//! rows -> parked per table --enough--> TableWriter --too many open files--> least recently used ones are completed
//!              '------------- commit: a few tables at a time -------------'
//! ```
//!
//! A batch of messages may hold a few rows of each of a thousand tables. An encoder costs memory by itself and a step
//! of it a hand-over to another thread, so small parts are gathered first. A table whose rows stay few is written
//! when the commit comes, and then only a few such tables at the same time. Rows in arrays that tables share are left
//! there until they are written, and then taken out of all of them at once.
//!
//! Invariant: never more files are open than [`Desk::open_files_max`]. A table without partitions needs one; one with
//! partitions is given a share, and completes its own files beyond that. Room is made before a file is opened, and a
//! file that makes room is complete in the store before another takes its place.

use std::collections::{BTreeMap, BTreeSet};

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};
use sluice_catalog::{Lake, StagedFiles, TableSnapshot, TableWriter, WriterSettings};
use uuid::Uuid;

use super::part::{Few, Part, gathered};
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
    few: Vec<Few>,
    /// Of what waits: its rows, its share of memory, and the memory of `parked`.
    rows: usize,
    bytes: usize,
    parked_bytes: usize,
    last_use: u64,
}

/// What writers are made from, and how many there may be.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) lake: Lake,
    pub(super) token: Uuid,
    pub(super) settings: WriterSettings,
    /// Files that are open at the same time, over all tables.
    pub(super) open_files_max: usize,
    /// Rows of a table are encoded when they are so many; see [`ROWS_MIN`].
    pub(super) rows_min: usize,
}

impl Desk {
    pub(super) fn new(lake: Lake, token: Uuid, settings: WriterSettings, open_files_max: usize) -> Self {
        Self { lake, token, settings, open_files_max: open_files_max.max(1), rows_min: ROWS_MIN }
    }

    /// How many files a table may open when `tables` are written at the same time.
    fn share(&self, snapshot: &TableSnapshot, tables: usize) -> usize {
        if snapshot.metadata().default_partition_spec().is_unpartitioned() {
            return 1;
        }
        (self.open_files_max / tables.max(1)).clamp(1, self.settings.open_files_max.max(1))
    }
}

impl Writers {
    /// Takes rows of tables; writes those that are worth it, many tables at once.
    pub(super) async fn add(
        &mut self,
        desk: &Desk,
        rows: Vec<(usize, Part)>,
        snapshots: &[TableSnapshot],
    ) -> Result<()> {
        self.clock += 1;
        let mut due = BTreeSet::new();
        for (table, part) in rows {
            let slot = self.slots.entry(table).or_default();
            slot.last_use = self.clock;
            slot.park(part)?;
            if slot.rows >= desk.rows_min || slot.bytes >= BYTES_MIN {
                due.insert(table);
            }
        }
        let due: Vec<usize> = due.into_iter().collect();
        for tables in due.chunks(desk.open_files_max) {
            self.write(desk, tables, snapshots).await?;
        }
        Ok(())
    }

    /// Writes the parked rows of these tables, no more of them than files may be open.
    async fn write(&mut self, desk: &Desk, tables: &[usize], snapshots: &[TableSnapshot]) -> Result<()> {
        let mut slots = Vec::with_capacity(tables.len());
        for &table in tables {
            let Some(slot) = self.slots.remove(&table) else { continue };
            slots.push((table, slot, desk.share(&snapshots[table], tables.len())));
        }
        let crowded = slots.iter_mut().filter(|(_, slot, share)| slot.open_files() > *share);
        try_join_all(crowded.filter_map(|(_, slot, _)| slot.writer.as_mut()).map(TableWriter::rest)).await?;
        let wanted: usize = slots.iter().map(|(_, _, share)| share).sum();
        self.make_room(desk.open_files_max.saturating_sub(wanted)).await?;
        let writes = slots.into_iter().map(|(table, slot, share)| async move {
            Ok::<_, Error>((table, slot.write(desk, &snapshots[table], share).await?))
        });
        let written = try_join_all(writes.collect::<Vec<_>>()).await?;
        self.slots.extend(written);
        debug_assert!(self.open_files() <= desk.open_files_max, "more files are open than may be");
        Ok(())
    }

    /// Completes the files of the least recently used tables until so few are open.
    async fn make_room(&mut self, open_files_max: usize) -> Result<()> {
        let mut open: Vec<&mut Slot> = self.slots.values_mut().filter(|slot| slot.open_files() > 0).collect();
        open.sort_by_key(|slot| slot.last_use);
        let mut files: usize = open.iter().map(|slot| slot.open_files()).sum();
        let mut rests = Vec::new();
        for slot in open {
            if files <= open_files_max {
                break;
            }
            files -= slot.open_files();
            rests.extend(slot.writer.as_mut().map(TableWriter::rest));
        }
        try_join_all(rests).await?;
        Ok(())
    }

    /// Files that take rows now.
    pub(super) fn open_files(&self) -> usize {
        self.slots.values().map(Slot::open_files).sum()
    }

    /// Bytes held in memory, without arrays that tables share.
    pub(super) fn buffered_bytes(&self) -> usize {
        let held =
            |slot: &Slot| slot.parked_bytes + slot.writer.as_ref().map_or(0, TableWriter::buffered_bytes);
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
        let at_once = FINISHED_AT_ONCE.min(desk.open_files_max);
        // Those with open files first, and none gets more: so there is room for the others.
        let (open, parked): (Vec<_>, Vec<_>) =
            self.slots.into_iter().partition(|(_, slot)| slot.open_files() > 0);
        let finish = |(table, slot): (usize, Slot)| async move {
            let snapshot = snapshots.get(&table).ok_or(Error::Broken { part: "the end of an epoch" })?;
            let share = match slot.open_files() {
                0 => desk.share(snapshot, at_once),
                open => open,
            };
            let staged = match slot.write(desk, snapshot, share).await?.writer {
                Some(writer) => Some(writer.finish().await?),
                None => None,
            };
            Ok::<_, Error>(staged.map(|staged| (table, staged)))
        };
        let mut staged = BTreeMap::new();
        for slots in [open, parked] {
            let finished: Vec<_> =
                stream::iter(slots).map(finish).buffer_unordered(at_once).try_collect().await?;
            staged.extend(finished.into_iter().flatten());
        }
        Ok(staged)
    }

    /// Gives everything up.
    pub(super) async fn abort(self) {
        for writer in self.slots.into_values().filter_map(|slot| slot.writer) {
            writer.abort().await;
        }
    }
}

impl Slot {
    fn park(&mut self, part: Part) -> Result<()> {
        let bytes = part.bytes();
        self.rows += part.num_rows();
        self.bytes += bytes;
        match part {
            Part::Few(few) => self.few.push(few),
            Part::Own(batch) => {
                self.parked_bytes += bytes;
                self.parked.push(batch);
            }
        }
        if self.parked.len() >= PARTS_MAX {
            self.parked = together(std::mem::take(&mut self.parked))?;
            let bytes: usize = self.parked.iter().map(RecordBatch::get_array_memory_size).sum();
            self.bytes = self.bytes - self.parked_bytes + bytes;
            self.parked_bytes = bytes;
        }
        Ok(())
    }

    fn open_files(&self) -> usize {
        self.writer.as_ref().map_or(0, TableWriter::open_files)
    }

    /// Hands all parked rows to the table's writer.
    async fn write(mut self, desk: &Desk, snapshot: &TableSnapshot, open_files_max: usize) -> Result<Self> {
        let schema = snapshot.schema();
        let few = std::mem::take(&mut self.few);
        for few in few.chunk_by(|one, next| one.schema() == next.schema()) {
            self.parked.push(gathered(few).map_err(Error::Columns)?);
        }
        drop(few);
        // The table may have grown since the rows were parked.
        let fitted = self.parked.drain(..).map(|batch| match has_columns(&schema, &batch.schema()) {
            true => Ok(batch),
            false => refit(&schema, &batch),
        });
        let parked = together(fitted.collect::<Result<_>>()?)?;
        (self.rows, self.bytes, self.parked_bytes) = (0, 0, 0);
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
        writer.limit_open_files(open_files_max);
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
