//! Tables with a key: their events wait for the commit.

use arrow::record_batch::RecordBatch;

use super::part::Part;
use super::{Epoch, Lander};
use crate::error::{Error, Result};
use crate::resume;
use crate::tail::from_offset;
use crate::upsert::{self, Buffer};

impl Lander {
    /// Keeps events of a table with a key until the commit of their epoch.
    pub(super) async fn buffer(
        &mut self,
        (topic, partition): (usize, i32),
        (table, batch): (usize, RecordBatch),
        (epoch, first_offset): (u64, i64),
    ) -> Result<()> {
        let Some(upsert) = self.plan.tables[table].upsert.clone() else { return Ok(()) };
        let next = self.floor(table, topic, partition);
        let batch = match resume::floor(next, first_offset) {
            Some(floor) => from_offset(&batch, floor).map_err(Error::Columns)?,
            None => batch,
        };
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let (batch, deletes) = upsert::split(batch).map_err(Error::Columns)?;
        let batch = self.as_table(table, Part::Own(batch)).await?.batch();
        let is_named = self.is_of_template(table);
        let open = self.epochs.entry(epoch).or_insert_with(Epoch::new);
        open.tally.rows(topic, batch.num_rows());
        if is_named {
            open.brought.insert((table, topic, partition));
        }
        let mut buffer = match open.keyed.remove(&table) {
            Some(buffer) => buffer,
            None => Buffer::new(&self.snapshots[table], &upsert)?,
        };
        if !buffer.add((topic, partition), batch, &deletes).map_err(Error::Columns)? {
            return Err(Error::Grow { table: self.plan.tables[table].name.clone() });
        }
        open.keyed.insert(table, buffer);
        Ok(())
    }
}
