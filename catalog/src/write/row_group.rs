//! The row group in progress: an encoder for each leaf column, which threads take one after the other.
//!
//! Columns are encoded apart from each other, so one file can use as many threads as it has columns, and comes out
//! the same byte for byte. A file with one wide column gains nothing.

use std::sync::{Mutex, PoisonError};

use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, compute_leaves};
use parquet::errors::{ParquetError, Result};

#[derive(Debug)]
pub(super) struct RowGroup {
    columns: Vec<ArrowColumnWriter>,
    rows: usize,
}

impl RowGroup {
    /// An empty one with the encoders of its leaf columns.
    pub(super) fn new(columns: Vec<ArrowColumnWriter>) -> Self {
        Self { columns, rows: 0 }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Memory that it takes now.
    pub(super) fn memory_bytes(&self) -> usize {
        self.columns.iter().map(ArrowColumnWriter::memory_size).sum()
    }

    /// What it will be in the file, as far as that is known.
    pub(super) fn encoded_bytes(&self) -> usize {
        self.columns.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum()
    }

    pub(super) fn encode(&mut self, rows: &RecordBatch, threads: usize) -> Result<()> {
        let mut leaves = Vec::with_capacity(self.columns.len());
        for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
            leaves.extend(compute_leaves(field, column)?);
        }
        if leaves.len() != self.columns.len() {
            let fact = format!("{} leaf columns for {} encoders", leaves.len(), self.columns.len());
            return Err(ParquetError::General(fact));
        }
        shared(threads, self.columns.iter_mut().zip(&leaves), |(column, leaf)| column.write(leaf))?;
        self.rows += rows.num_rows();
        Ok(())
    }

    /// Its columns, complete and compressed.
    pub(super) fn finish(self, threads: usize) -> Result<Vec<ArrowColumnChunk>> {
        let mut chunks: Vec<_> = self.columns.iter().map(|_| None).collect();
        shared(threads, self.columns.into_iter().zip(&mut chunks), |(column, chunk)| {
            *chunk = Some(column.close()?);
            Ok(())
        })?;
        Ok(chunks.into_iter().flatten().collect())
    }
}

/// Does the work of all items on this thread and `threads - 1` more; the first error ends it.
fn shared<T: Send>(
    threads: usize,
    items: impl ExactSizeIterator<Item = T> + Send,
    work: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    let threads = threads.min(items.len());
    let items = Mutex::new(items);
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let all = || {
        while let Some(item) = next() {
            work(item)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(all)).collect();
        let mut done = all();
        for other in others {
            done = done.and(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    })
}
