//! Rows of data files with their positions, and which rows of the table of dead letters are selected.
//!
//! Reads the store directly: this crate knows no SQL engine. Deletes by position are applied; a file with other deletes
//! is refused, and compaction rids the table of them.

use std::collections::BTreeSet;

use arrow::array::{
    Array, AsArray, BinaryArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use futures::{Stream, StreamExt};
use parquet::arrow::async_reader::ParquetObjectReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use sluice_catalog::{Lake, LiveFile, PositionDeletes};

use super::{Place, Selection};
use crate::error::{Error, Result};

/// Bytes of rows that are decoded at once, by the sizes that the file tells.
const BATCH_BYTES: i64 = 16 << 20;
/// Rows that are decoded at once.
const BATCH_ROWS: i64 = 8192;

/// Some rows of a file, one after the other.
pub(super) struct Stretch {
    /// The position of the first in its file.
    pub(super) first: u64,
    pub(super) rows: RecordBatch,
}

/// All rows of a Parquet file of the lake, deleted ones too; only these columns, of those that it has.
pub(super) async fn stretches(
    lake: &Lake,
    location: &str,
    bytes: u64,
    columns: Option<&[&str]>,
) -> Result<impl Stream<Item = Result<Stretch>> + Unpin + use<>> {
    let path = lake.object_path(location)?;
    let subject = location.to_owned();
    let unreadable = move |cause: &dyn std::fmt::Display| Error::Unreadable {
        subject: subject.clone(),
        fact: cause.to_string(),
    };
    let reader = ParquetObjectReader::new(lake.store(), path).with_file_size(bytes);
    let builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(|error| unreadable(&error))?;
    let groups = builder.metadata().row_groups();
    let wide = groups.iter().map(|group| group.total_byte_size() / group.num_rows().max(1)).max();
    let rows = (BATCH_BYTES / wide.unwrap_or(1).max(1)).clamp(1, BATCH_ROWS);
    let mask = match columns {
        Some(columns) => ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied()),
        None => ProjectionMask::all(),
    };
    let stream = builder.with_projection(mask).with_batch_size(rows as usize).build();
    let mut stream = stream.map_err(|error| unreadable(&error))?;
    let mut next = 0;
    Ok(futures::stream::poll_fn(move |context| {
        stream.poll_next_unpin(context).map(|item| {
            item.map(|rows| {
                let rows = rows.map_err(|error| unreadable(&error))?;
                let first = next;
                next += rows.num_rows() as u64;
                Ok(Stretch { first, rows })
            })
        })
    }))
}

/// The positions of a data file whose rows are deleted.
pub(super) async fn deleted(lake: &Lake, file: &LiveFile) -> Result<BTreeSet<u64>> {
    let (data, deletes) = file.parts();
    let mut positions = BTreeSet::new();
    let files = match &deletes.positions {
        PositionDeletes::None if deletes.equality.is_empty() => return Ok(positions),
        PositionDeletes::Files(files) if deletes.equality.is_empty() => files,
        _ => {
            file.whole()?;
            return Ok(positions);
        }
    };
    for delete in files {
        let delete = &delete.data_file;
        let mut stretches = stretches(lake, delete.file_path(), delete.file_size_in_bytes(), None).await?;
        while let Some(stretch) = stretches.next().await {
            let rows = stretch?.rows;
            let paths: StringArray = column(&rows, "file_path", &DataType::Utf8)?.as_string::<i32>().clone();
            let rows: Int64Array =
                column(&rows, "pos", &DataType::Int64)?.as_primitive::<Int64Type>().clone();
            let own = paths.iter().zip(rows.values()).filter(|(path, _)| *path == Some(data.file_path()));
            positions.extend(own.filter_map(|(_, position)| u64::try_from(*position).ok()));
        }
    }
    Ok(positions)
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
