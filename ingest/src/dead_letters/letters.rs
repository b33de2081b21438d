//! Rows of data files with their positions, and which rows of the table of dead letters are selected.
//!
//! Deletes by position are applied; a file with other deletes is refused, and compaction rids the table of them.

use arrow::array::{
    Array, AsArray, BinaryArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use sluice_catalog::{Lake, LiveFile};

use super::{Place, Selection};
use crate::data_file::{Deleted, Parts, deleted, open, positions};
use crate::error::{Error, Result};

/// Bytes of rows that are decoded at once, by the sizes that the file tells.
const BATCH_BYTES: i64 = 16 << 20;
/// Rows that are decoded at once.
const BATCH_ROWS: i64 = 8192;

/// All rows of a data file, deleted ones too; only these columns, of those that it has.
pub(super) async fn parts(lake: &Lake, file: &LiveFile, columns: Option<&[&str]>) -> Result<Parts> {
    let data = file.parts().0;
    let reader = open(lake, data.file_path(), data.file_size_in_bytes()).await?;
    let groups = reader.metadata().row_groups();
    let wide = groups.iter().map(|group| group.total_byte_size() / group.num_rows().max(1)).max();
    let rows = (BATCH_BYTES / wide.unwrap_or(1).max(1)).clamp(1, BATCH_ROWS);
    let mask = match columns {
        Some(columns) => ProjectionMask::columns(reader.parquet_schema(), columns.iter().copied()),
        None => ProjectionMask::all(),
    };
    let positions = positions(&reader);
    let reader = reader.with_projection(mask).with_batch_size(rows as usize);
    Ok(Parts::new(data.file_path(), reader, positions)?)
}

/// The positions of data files whose rows are deleted.
pub(super) async fn gone(lake: &Lake, files: &[LiveFile]) -> Result<Deleted> {
    for file in files.iter().filter(|file| !file.parts().1.equality.is_empty()) {
        file.whole()?;
    }
    Ok(deleted(lake, files).await?)
}

/// The columns of dead letters that a selection looks at.
pub(super) const KEYS: [&str; 5] = ["cause", "_src_topic", "_src_partition", "_src_offset", "_ingested_at"];

/// Dead letters as columns.
pub(super) struct Letters {
    causes: StringArray,
    topics: StringArray,
    partitions: Int32Array,
    offsets: Int64Array,
    ingested: TimestampMicrosecondArray,
}

impl Letters {
    pub(super) fn of(rows: &RecordBatch) -> Result<Self> {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        Ok(Self {
            causes: column(rows, "cause", &DataType::Utf8)?.as_string().clone(),
            topics: column(rows, "_src_topic", &DataType::Utf8)?.as_string().clone(),
            partitions: column(rows, "_src_partition", &DataType::Int32)?.as_primitive::<Int32Type>().clone(),
            offsets: column(rows, "_src_offset", &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
            ingested: column(rows, "_ingested_at", &micros)?
                .as_primitive::<TimestampMicrosecondType>()
                .clone(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.topics.len()
    }

    pub(super) fn topic(&self, row: usize) -> &str {
        self.topics.value(row)
    }

    pub(super) fn partition(&self, row: usize) -> i32 {
        self.partitions.value(row)
    }

    pub(super) fn offset(&self, row: usize) -> i64 {
        self.offsets.value(row)
    }
}

impl Selection {
    /// Whether a letter is selected.
    pub(super) fn takes(&self, letters: &Letters, row: usize) -> bool {
        let (topic, cause) = (letters.topic(row), letters.causes.value(row));
        let at = letters.ingested.value(row);
        let from_here = |place: &Place| {
            place.offset == letters.offset(row)
                && place.partition == letters.partition(row)
                && place.topic == topic
        };
        (self.topics.is_empty() || self.topics.iter().any(|wanted| wanted == topic))
            && (self.causes.is_empty() || self.causes.iter().any(|wanted| wanted == cause))
            && self.since.is_none_or(|since| at >= since.timestamp_micros())
            && self.until.is_none_or(|until| at < until.timestamp_micros())
            && (self.places.is_empty() || self.places.iter().any(from_here))
    }
}

/// What a message was: its time in Kafka in milliseconds, its key and its payload.
pub(super) struct Messages {
    times: TimestampMicrosecondArray,
    keys: BinaryArray,
    payloads: BinaryArray,
}

impl Messages {
    pub(super) fn of(rows: &RecordBatch) -> Result<Self> {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        Ok(Self {
            times: column(rows, "kafka_timestamp", &micros)?
                .as_primitive::<TimestampMicrosecondType>()
                .clone(),
            keys: column(rows, "key", &DataType::Binary)?.as_binary().clone(),
            payloads: column(rows, "payload", &DataType::Binary)?.as_binary().clone(),
        })
    }

    pub(super) fn at(&self, row: usize) -> (Option<i64>, Option<&[u8]>, Option<&[u8]>) {
        let time = self.times.is_valid(row).then(|| self.times.value(row) / 1000);
        let bytes = |array: &BinaryArray| array.is_valid(row);
        let key = bytes(&self.keys).then(|| self.keys.value(row));
        (time, key, bytes(&self.payloads).then(|| self.payloads.value(row)))
    }
}

/// A column by its name, in the type that is worked with.
pub(super) fn column(rows: &RecordBatch, name: &str, data_type: &DataType) -> Result<arrow::array::ArrayRef> {
    let missing = || ArrowError::SchemaError(format!("the file has no column `{name}`"));
    let column = rows.column_by_name(name).ok_or_else(missing).map_err(Error::Columns)?;
    cast(column, data_type).map_err(Error::Columns)
}
