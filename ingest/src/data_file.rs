//! Data files of a table, read where rows of it are looked for: some columns, with the position of each row.
//!
//! ```text
//! open -> Columns::find (by field id) -> row groups of the caller's choice -> Parts -> Columns::of
//! deleted -> the positions that are gone
//! ```
//!
//! This reads the store directly: this crate knows no SQL engine. What a file lacks of a table's columns is null. A
//! file that is not what the table says of it is refused, and never taken for one without the rows.

mod deleted;

use std::iter::Flatten;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::{
    ParquetObjectReader, ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder,
};
use parquet::errors::ParquetError;
use parquet::schema::types::SchemaDescriptor;
use sluice_catalog::{Error, Lake, Result, field_id};

pub(crate) use self::deleted::{Deleted, deleted};

/// A Parquet file whose footer was read.
pub(crate) type Reader = ParquetRecordBatchStreamBuilder<ParquetObjectReader>;

/// Opens a Parquet file of the lake, of a size that its table knows.
///
/// # Errors
/// When the store does not give it, or it is no such file.
pub(crate) async fn open(lake: &Lake, location: &str, size: u64) -> Result<Reader> {
    let reader = ParquetObjectReader::new(lake.store(), lake.object_path(location)?).with_file_size(size);
    ParquetRecordBatchStreamBuilder::new(reader).await.map_err(|error| unreadable(location, &error))
}

/// Why a file of the table cannot be read: the store, or the file.
pub(crate) fn unreadable(location: &str, error: &ParquetError) -> Error {
    let ParquetError::External(cause) = error else { return damaged(location, &error.to_string()) };
    Error::Store {
        action: "read",
        location: location.to_owned(),
        cause: cause.to_string(),
        remedy: "this is tried again; see whether the store is there and has the file",
        transient: true,
    }
}

/// A file that is not what it should be.
pub(crate) fn damaged(location: &str, fact: &str) -> Error {
    Error::File {
        subject: location.to_owned(),
        fact: format!("its columns cannot be read: {fact}"),
        remedy: "restore the file from a backup, or roll the table back to a snapshot before it",
    }
}

/// The positions of the rows of each row group.
pub(crate) fn positions(reader: &Reader) -> Vec<Range<u64>> {
    let mut start = 0;
    let range = |rows: i64| {
        let end = start + rows.max(0).cast_unsigned();
        std::mem::replace(&mut start, end)..end
    };
    reader.metadata().row_groups().iter().map(|group| group.num_rows()).map(range).collect()
}

/// A column that is asked for: its name and field id in the table, and the type to be worked with.
pub(crate) type Wanted<'a> = (&'a str, Option<i32>, &'a DataType);

/// Where a file has some columns of its table, and what they become.
pub(crate) struct Columns {
    /// For each its place in the file, if it is there.
    pub(crate) places: Vec<Option<usize>>,
    types: Vec<DataType>,
    /// The places in ascending order: the columns of a batch that is read.
    roots: Vec<usize>,
}

impl Columns {
    /// Columns in a file of this schema: by their field ids; by their names where the file or the table has none.
    pub(crate) fn find<'a>(file: &Schema, wanted: impl IntoIterator<Item = Wanted<'a>>) -> Self {
        let ids: Vec<_> = file.fields().iter().map(|field| field_id(field)).collect();
        let nameless = ids.iter().all(Option::is_none);
        let (mut places, mut types) = (Vec::new(), Vec::new());
        for (name, id, data_type) in wanted {
            places.push(match (nameless, id) {
                (false, Some(id)) => ids.iter().position(|known| *known == Some(id)),
                _ => file.index_of(name).ok(),
            });
            types.push(data_type.clone());
        }
        let mut roots: Vec<usize> = places.iter().flatten().copied().collect();
        roots.sort_unstable();
        roots.dedup();
        Self { places, types, roots }
    }

    /// What is read of the file.
    pub(crate) fn mask(&self, file: &SchemaDescriptor) -> ProjectionMask {
        ProjectionMask::roots(file, self.roots.iter().copied())
    }

    /// The columns in rows that were read with the mask.
    pub(crate) fn of(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
        let column = |(place, data_type): (&Option<usize>, &DataType)| {
            let at = place.and_then(|place| self.roots.binary_search(&place).ok());
            match at.map(|at| rows.column(at)) {
                None => Ok(new_null_array(data_type, rows.num_rows())),
                Some(column) if column.data_type().equals_datatype(data_type) => Ok(Arc::clone(column)),
                Some(column) => cast(column, data_type),
            }
        };
        self.places.iter().zip(&self.types).map(column).collect()
    }
}

/// The rows of a file, deleted ones too, some at a time.
pub(crate) struct Parts {
    location: String,
    stream: ParquetRecordBatchStream<ParquetObjectReader>,
    positions: Flatten<std::vec::IntoIter<Range<u64>>>,
}

/// Some rows of a file.
pub(crate) struct Part {
    /// Where each row is in the file.
    pub(crate) positions: Vec<u64>,
    pub(crate) rows: RecordBatch,
}

impl Parts {
    /// What `reader` is set to read; `positions` are those of its row groups.
    pub(crate) fn new(location: &str, reader: Reader, positions: Vec<Range<u64>>) -> Result<Self> {
        let stream = reader.build().map_err(|error| unreadable(location, &error))?;
        Ok(Self { location: location.to_owned(), stream, positions: positions.into_iter().flatten() })
    }

    /// The next rows; `None` after the last ones.
    pub(crate) async fn next(&mut self) -> Result<Option<Part>> {
        let rows = self.stream.try_next().await.map_err(|error| unreadable(&self.location, &error))?;
        Ok(rows.map(|rows| {
            let positions = self.positions.by_ref().take(rows.num_rows()).collect();
            Part { positions, rows }
        }))
    }
}

#[cfg(test)]
mod tests;
