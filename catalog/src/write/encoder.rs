//! The encoding of one file: batches in, bytes of a Parquet file out. Runs on blocking threads.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, ArrowWriter, ArrowWriterOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::writer::SerializedFileWriter;

use super::dictionary;
use super::file::Target;
use super::meter::Meter;
use super::row_group::RowGroup;
use crate::error::{Error, Result};
use crate::snapshot::field_id;

/// The Parquet writer of one file; writes into memory, from where the upload takes it.
#[derive(Debug)]
pub(super) struct Encoder {
    target: Arc<Target>,
    /// Opened by the first rows, which decide how columns are encoded.
    open: Option<Open>,
    location: String,
    meter: Arc<Meter>,
    /// Bytes of this file that the meter knows.
    metered: usize,
    /// Position, field id and NaN values so far of each top-level float column.
    nan_columns: Vec<(usize, i32, u64)>,
}

#[derive(Debug)]
struct Open {
    /// Holds the bytes of closed row groups until they are taken.
    file: SerializedFileWriter<Vec<u8>>,
    groups: ArrowRowGroupWriterFactory,
    group: Option<RowGroup>,
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
            let id = field_id(field);
            if let (DataType::Float32 | DataType::Float64, Some(id)) = (field.data_type(), id) {
                nan_columns.push((position, id, 0));
            }
        }
        let (target, location) = (Arc::clone(target), location.to_owned());
        Self { target, open: None, location, meter, metered: 0, nan_columns }
    }

    pub(super) fn encode(&mut self, rows: &RecordBatch) -> Result<()> {
        for (position, _, count) in &mut self.nan_columns {
            *count += nan_count(rows.column(*position).as_ref());
        }
        let mut open = self.open(rows)?;
        open.encode(rows, self.target.threads).map_err(|cause| not_encoded(&self.location, &cause))?;
        self.open = Some(open);
        self.meter_progress();
        Ok(())
    }

    pub(super) fn cut(&mut self) -> Result<()> {
        if let Some(open) = &mut self.open {
            open.cut(self.target.threads).map_err(|cause| not_encoded(&self.location, &cause))?;
        }
        self.meter_progress();
        Ok(())
    }

    /// Writes the footer.
    pub(super) fn finish(mut self) -> Result<End> {
        let mut open = self.open(&RecordBatch::new_empty(self.target.arrow_schema.clone()))?;
        open.cut(self.target.threads).map_err(|cause| not_encoded(&self.location, &cause))?;
        let footer = open.file.finish().map_err(|cause| not_encoded(&self.location, &cause))?;
        let bytes = open.file.bytes_written() as u64;
        self.open = Some(open);
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
        self.group().map_or(0, RowGroup::memory_bytes)
    }

    pub(super) fn take_bytes(&mut self) -> Vec<u8> {
        self.open.as_mut().map(|open| std::mem::take(open.file.inner_mut())).unwrap_or_default()
    }

    pub(super) fn encoded_bytes(&self) -> usize {
        let closed = self.open.as_ref().map_or(0, |open| open.file.bytes_written());
        closed + self.group().map_or(0, RowGroup::encoded_bytes)
    }

    fn group(&self) -> Option<&RowGroup> {
        self.open.as_ref().and_then(|open| open.group.as_ref())
    }

    /// The file, or a new one that begins with `rows`.
    fn open(&mut self, rows: &RecordBatch) -> Result<Open> {
        if let Some(open) = self.open.take() {
            return Ok(open);
        }
        let failed = |cause: ParquetError| not_encoded(&self.location, &cause);
        let properties =
            dictionary::fitted(&self.target.properties, rows).map_err(|cause| failed(cause.into()))?;
        // Types come from the Iceberg schema; the Arrow schema in the footer would only repeat them.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let schema = self.target.arrow_schema.clone();
        let writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options).map_err(failed)?;
        let (file, groups) = writer.into_serialized_writer().map_err(failed)?;
        Ok(Open { file, groups, group: None })
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

impl Open {
    /// Adds rows, and ends row groups where they are full.
    fn encode(&mut self, rows: &RecordBatch, threads: usize) -> parquet::errors::Result<()> {
        let properties = self.file.properties();
        let rows_max = properties.max_row_group_row_count().unwrap_or(usize::MAX);
        let bytes_max = properties.max_row_group_bytes().unwrap_or(usize::MAX);
        let mut done = 0;
        while done < rows.num_rows() {
            let group = match &mut self.group {
                Some(group) => group,
                none => {
                    let number = self.file.flushed_row_groups().len();
                    none.insert(RowGroup::new(self.groups.create_column_writers(number)?))
                }
            };
            let count = (rows.num_rows() - done).min(rows_max - group.rows());
            group.encode(&rows.slice(done, count), threads)?;
            done += count;
            if group.rows() >= rows_max || group.encoded_bytes() >= bytes_max {
                self.cut(threads)?;
            }
        }
        Ok(())
    }

    /// Ends the row group in progress.
    fn cut(&mut self, threads: usize) -> parquet::errors::Result<()> {
        let Some(group) = self.group.take() else { return Ok(()) };
        let chunks = group.finish(threads)?;
        let bytes: u64 = chunks.iter().map(|chunk| chunk.close().bytes_written).sum();
        // Growing bit by bit would copy all of it several times.
        self.file.inner_mut().reserve(usize::try_from(bytes).unwrap_or(0));
        let mut row_group = self.file.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut row_group)?;
        }
        row_group.close().map(drop)
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
