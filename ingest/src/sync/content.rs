//! What rows hold, as fingerprints: of one row, and of all rows whatever their order.
//!
//! A row's fingerprint is the SHA-256 of its values in Arrow's row format. That of a set of rows is the sum of
//! theirs, so two readings of a table are alike when they bring the same rows in another order.

use std::fmt::Write;

use arrow::array::ArrayRef;
use arrow::datatypes::{Fields, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use sha2::{Digest, Sha256};

/// Fingerprints of rows by some columns.
pub(super) struct Rows {
    fields: Fields,
    converter: RowConverter,
}

/// The sum over all rows.
pub(super) struct Content {
    rows: Rows,
    columns: String,
    sum: [u64; 4],
    count: u64,
}

impl Rows {
    pub(super) fn new(fields: &Fields) -> Result<Self, ArrowError> {
        let sorted = fields.iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Self { fields: fields.clone(), converter: RowConverter::new(sorted)? })
    }

    /// The columns that are told apart.
    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// One fingerprint a row.
    pub(super) fn fingerprints(&mut self, columns: &[ArrayRef]) -> Result<Vec<u128>, ArrowError> {
        let rows = self.converter.convert_columns(columns)?;
        Ok(rows.iter().map(|row| half(&Sha256::digest(row.as_ref()))).collect())
    }
}

impl Content {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self, ArrowError> {
        let mut columns = String::new();
        for field in schema.fields() {
            let _ = writeln!(columns, "{:?} {}", field.name(), field.data_type());
        }
        Ok(Self { rows: Rows::new(schema.fields())?, columns, sum: [0; 4], count: 0 })
    }

    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let rows = self.rows.converter.convert_columns(batch.columns())?;
        for row in &rows {
            let digest = Sha256::digest(row.as_ref());
            for (lane, bytes) in self.sum.iter_mut().zip(digest.chunks_exact(8)) {
                *lane = lane.wrapping_add(u64::from_be_bytes(bytes.try_into().unwrap_or_default()));
            }
        }
        self.count += batch.num_rows() as u64;
        Ok(())
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The fingerprint of columns and rows, in hex.
    pub(super) fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(&self.columns);
        self.sum.iter().for_each(|lane| digest.update(lane.to_be_bytes()));
        digest.update(self.count.to_be_bytes());
        format!("{:x}", digest.finalize())
    }
}

/// SHA-256 of a text, in hex.
pub(super) fn of_text(text: &str) -> String {
    format!("{:x}", Sha256::digest(text.as_bytes()))
}

fn half(digest: &[u8]) -> u128 {
    digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}
