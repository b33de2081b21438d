//! The encoding of one file: batches in, bytes of a Parquet file out. Runs on blocking threads.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::record_batch::RecordBatch;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::dictionary;
use super::file::Target;
use super::meter::Meter;
use crate::error::{Error, Result};

/// The Parquet writer of one file; writes into memory, from where the upload takes it.
#[derive(Debug)]
pub(super) struct Encoder {
    target: Arc<Target>,
    /// Opened by the first rows, which decide how columns are encoded.
    writer: Option<ArrowWriter<Vec<u8>>>,
    location: String,
    meter: Arc<Meter>,
    /// Bytes of this file that the meter knows.
    metered: usize,
    /// Position, field id and NaN values so far of each top-level float column.
    nan_columns: Vec<(usize, i32, u64)>,
}

/// A file whose footer is written.
pub(super) struct End {
    pub(super) footer: ParquetMetaData,
    /// The bytes not taken before.
    pub(super) rest: Vec<u8>,
    /// Bytes of the whole file.
    pub(super) bytes: u64,
    /// Not-a-number values by field id.
    pub(super) nan_counts: HashMap<i32, u64>,
}

impl Encoder {
    pub(super) fn new(target: &Arc<Target>, meter: Arc<Meter>, location: &str) -> Self {
        let mut nan_columns = Vec::new();
        for (position, field) in target.arrow_schema.fields().iter().enumerate() {
            let id = field.metadata().get(PARQUET_FIELD_ID_META_KEY).and_then(|id| id.parse().ok());
            if let (DataType::Float32 | DataType::Float64, Some(id)) = (field.data_type(), id) {
                nan_columns.push((position, id, 0));
            }
        }
        let (target, location) = (Arc::clone(target), location.to_owned());
        Self { target, writer: None, location, meter, metered: 0, nan_columns }
    }

    pub(super) fn encode(&mut self, rows: &RecordBatch) -> Result<()> {
        for (position, _, count) in &mut self.nan_columns {
            *count += nan_count(rows.column(*position).as_ref());
        }
        let mut writer = self.open(rows)?;
        writer.write(rows).map_err(|cause| not_encoded(&self.location, &cause))?;
        self.writer = Some(writer);
        self.meter_progress();
        Ok(())
    }

    pub(super) fn cut(&mut self) -> Result<()> {
        if let Some(writer) = &mut self.writer {
            writer.flush().map_err(|cause| not_encoded(&self.location, &cause))?;
        }
        self.meter_progress();
        Ok(())
    }

    /// Writes the footer.
    pub(super) fn finish(mut self) -> Result<End> {
        let mut writer = self.open(&RecordBatch::new_empty(self.target.arrow_schema.clone()))?;
        let footer = writer.finish().map_err(|cause| not_encoded(&self.location, &cause))?;
        let writer = self.writer.insert(writer);
        let bytes = writer.bytes_written() as u64;
        self.meter_progress();
        Ok(End {
            bytes,
            rest: self.take_bytes(),
            nan_counts: self.nan_columns.iter().map(|(_, id, count)| (*id, *count)).collect(),
            footer,
        })
    }

    /// Memory of the row group in progress.
    pub(super) fn memory_bytes(&self) -> usize {
        self.writer.as_ref().map_or(0, ArrowWriter::memory_size)
    }

    pub(super) fn take_bytes(&mut self) -> Vec<u8> {
        self.writer.as_mut().map(|writer| std::mem::take(writer.inner_mut())).unwrap_or_default()
    }

    pub(super) fn encoded_bytes(&self) -> usize {
        self.writer.as_ref().map_or(0, |writer| writer.bytes_written() + writer.in_progress_size())
    }

    /// The writer, or a new one for a file that begins with `rows`.
    fn open(&mut self, rows: &RecordBatch) -> Result<ArrowWriter<Vec<u8>>> {
        if let Some(writer) = self.writer.take() {
            return Ok(writer);
        }
        let failed = |cause: ParquetError| not_encoded(&self.location, &cause);
        let properties =
            dictionary::fitted(&self.target.properties, rows).map_err(|cause| failed(cause.into()))?;
        // Types come from the Iceberg schema; the Arrow schema in the footer would only repeat them.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let schema = self.target.arrow_schema.clone();
        ArrowWriter::try_new_with_options(Vec::new(), schema, options).map_err(failed)
    }

    /// The estimate of a row group may exceed what it becomes; the meter never runs backwards.
    fn meter_progress(&mut self) {
        let encoded = self.encoded_bytes();
        if encoded > self.metered {
            self.meter.add_written(encoded - self.metered);
            self.metered = encoded;
        }
    }
}

fn not_encoded(location: &str, cause: &ParquetError) -> Error {
    Error::File {
        subject: location.to_owned(),
        fact: format!("rows cannot be encoded as Parquet: {cause}"),
        remedy: "check the column types; nothing of this file is in a table",
    }
}

fn nan_count(column: &dyn Array) -> u64 {
    let count = match column.data_type() {
        DataType::Float32 => {
            column.as_primitive::<Float32Type>().iter().flatten().filter(|value| value.is_nan()).count()
        }
        DataType::Float64 => {
            column.as_primitive::<Float64Type>().iter().flatten().filter(|value| value.is_nan()).count()
        }
        _ => 0,
    };
    count as u64
}
