//! Text columns under construction, row by row, with a way back out of a row that turns out bad.
//!
//! A column's row exists as soon as a value is set in it. `end_row` makes the row exist in all columns, with null
//! where nothing was set; `take_back` makes it exist in none. In between, a second value of the same row replaces
//! the first.

use std::sync::Arc;

use arrow::array::{ArrayRef, NullBufferBuilder, RecordBatchOptions, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

/// Columns of one batch.
#[derive(Debug)]
pub(super) struct TextColumns {
    columns: Vec<TextColumn>,
    rows: usize,
}

#[derive(Debug)]
struct TextColumn {
    values: Vec<u8>,
    /// Zero, then where each row ends in `values`; right only while that holds less than 2 GiB, which `finish` sees to.
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

impl TextColumns {
    /// So many empty columns, with room for `rows`.
    pub(super) fn new(columns: usize, rows: usize) -> Self {
        let empty = || {
            let mut offsets = Vec::with_capacity(rows + 1);
            offsets.push(0);
            let valid = NullBufferBuilder::new(rows);
            TextColumn { values: Vec::with_capacity(rows * 8), offsets, valid }
        };
        Self { columns: std::iter::repeat_with(empty).take(columns).collect(), rows: 0 }
    }

    /// Sets a value of the row under way; the text is UTF-8.
    pub(super) fn set(&mut self, column: usize, text: Option<&[u8]>) {
        let column = &mut self.columns[column];
        column.shrink_to(self.rows);
        column.push(text);
    }

    /// The row under way is complete.
    pub(super) fn end_row(&mut self) {
        self.rows += 1;
        for column in &mut self.columns {
            if column.rows() < self.rows {
                column.push(None);
            }
        }
    }

    /// The row under way never was.
    pub(super) fn take_back(&mut self) {
        for column in &mut self.columns {
            column.shrink_to(self.rows);
        }
    }

    /// The complete rows, as nullable text columns in the order of `fields`.
    ///
    /// # Errors
    /// When a column holds more than 2 GiB.
    pub(super) fn finish(self, fields: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let arrays: Result<Vec<ArrayRef>, ArrowError> =
            self.columns.into_iter().map(TextColumn::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(Arc::clone(fields), arrays?, &options)
    }
}

impl TextColumn {
    fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    #[inline]
    fn push(&mut self, text: Option<&[u8]>) {
        self.values.extend_from_slice(text.unwrap_or_default());
        self.offsets.push(self.values.len() as i32);
        self.valid.append(text.is_some());
    }

    /// Forgets a row after `rows`; there is one at most.
    #[inline]
    fn shrink_to(&mut self, rows: usize) {
        if self.rows() > rows {
            self.offsets.truncate(rows + 1);
            self.valid.truncate(rows);
            self.values.truncate(self.offsets[rows] as usize);
        }
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        let bytes = self.values.len();
        i32::try_from(bytes).map_err(|_| ArrowError::OffsetOverflowError(bytes))?;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let nulls = self.valid.build().filter(|nulls| nulls.null_count() > 0);
        Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(self.values), nulls)?))
    }
}
