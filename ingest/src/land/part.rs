//! Rows of one batch for one table, and who answers for their memory.

use std::sync::Arc;

use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::budget::Reservation;
use crate::route::Routed;

/// Rows of one table.
#[derive(Debug)]
pub(super) enum Part {
    /// In arrays of their own.
    Own(RecordBatch),
    /// In arrays that other tables have rows in, too.
    Few(Few),
}

/// Rows of one table in shared arrays.
#[derive(Debug)]
pub(super) struct Few {
    shared: Arc<Shared>,
    start: usize,
    rows: usize,
}

/// Arrays that several tables have rows in; their memory is free when the last of those is written.
#[derive(Debug)]
struct Shared {
    batch: RecordBatch,
    bytes: usize,
    _reservation: Reservation,
}

impl Part {
    pub(super) fn num_rows(&self) -> usize {
        match self {
            Self::Own(batch) => batch.num_rows(),
            Self::Few(few) => few.rows,
        }
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        match self {
            Self::Own(batch) => batch.schema_ref(),
            Self::Few(few) => few.schema(),
        }
    }

    pub(super) fn batch(&self) -> RecordBatch {
        match self {
            Self::Own(batch) => batch.clone(),
            Self::Few(few) => few.batch(),
        }
    }

    /// Its share of the memory that arrays take.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Own(batch) => batch.get_array_memory_size(),
            Self::Few(few) => few.shared.bytes * few.rows / few.shared.batch.num_rows().max(1),
        }
    }
}

impl Few {
    pub(super) fn schema(&self) -> &SchemaRef {
        self.shared.batch.schema_ref()
    }

    pub(super) fn batch(&self) -> RecordBatch {
        self.shared.batch.slice(self.start, self.rows)
    }
}

/// The parts of a landing, by table. What tables share is taken out of the landing's reservation.
pub(super) fn parts(routed: Routed, reservation: &mut Reservation) -> Vec<(usize, Part)> {
    let mut parts: Vec<_> = routed.tables.into_iter().map(|(table, rows)| (table, Part::Own(rows))).collect();
    for shared in routed.few {
        let (batch, bytes) = (shared.batch, shared.bytes);
        let of = Arc::new(Shared { batch, bytes, _reservation: reservation.set_aside(bytes) });
        let mut start = 0;
        for (table, rows) in shared.tables {
            parts.push((table, Part::Few(Few { shared: Arc::clone(&of), start, rows })));
            start += rows;
        }
    }
    parts
}

/// The same rows in arrays of their own; all parts have the same schema.
pub(super) fn gathered(few: &[Few]) -> Result<RecordBatch, ArrowError> {
    let batches: Vec<_> = few.iter().map(|few| &few.shared.batch).collect();
    let rows = few
        .iter()
        .enumerate()
        .flat_map(|(at, few)| (few.start..few.start + few.rows).map(move |row| (at, row)));
    interleave_record_batch(&batches, &rows.collect::<Vec<_>>())
}
