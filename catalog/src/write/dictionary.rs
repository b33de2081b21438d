//! Which columns of a file get a dictionary, judged by its first rows.
//!
//! A dictionary makes a file small where values repeat. Where none repeats, such as in ids, offsets and times,
//! every value is hashed and kept only to learn that in the end: a quarter of the work of encoding events. So
//! columns whose first values are nearly all different get none. Whole numbers that are nearly all different, and
//! often ascend, or that stay the same are written as differences instead: for the latter a dictionary would be as
//! small, but each value would be looked up in it.
//!
//! The judgement is cautious: at most one value in two hundred of a few thousand rows may come twice, which takes
//! hundreds of thousands of different values. With so many a dictionary would be given up by itself.

use std::collections::HashSet;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use parquet::basic::Encoding;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

/// Fewer rows say too little.
const ROWS_MIN: usize = 1024;
/// More rows say no more.
const ROWS_MAX: usize = 4096;
/// One repeated value among so many is too few for a dictionary.
const ROWS_PER_REPEAT: usize = 200;

/// The properties of a file that begins with `rows`.
///
/// # Errors
/// When values cannot be compared; the same rows could not be encoded either.
pub(super) fn fitted(
    properties: &WriterProperties,
    rows: &RecordBatch,
) -> Result<WriterProperties, ArrowError> {
    let mut builder = properties.clone().into_builder();
    if rows.num_rows() < ROWS_MIN {
        return Ok(builder.build());
    }
    let sample = rows.slice(0, rows.num_rows().min(ROWS_MAX));
    for (field, column) in sample.schema_ref().fields().iter().zip(sample.columns()) {
        if field.data_type().is_nested() || *field.data_type() == DataType::Boolean {
            continue;
        }
        let is_whole =
            matches!(field.data_type(), DataType::Int32 | DataType::Int64 | DataType::Timestamp(..));
        let values = Values::of(column)?;
        let path = ColumnPath::from(field.name().as_str());
        if is_whole && values != Values::Repeated {
            builder = builder.set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED);
        }
        if values == Values::Different || (is_whole && values == Values::Same) {
            builder = builder.set_column_dictionary_enabled(path, false);
        }
    }
    Ok(builder.build())
}

/// The first values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Values {
    /// All are one value.
    Same,
    /// Some come again and again.
    Repeated,
    /// Hardly any comes twice.
    Different,
}

impl Values {
    fn of(column: &ArrayRef) -> Result<Self, ArrowError> {
        let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(column))?;
        let allowed = column.len() / ROWS_PER_REPEAT;
        let (mut seen, mut repeats) = (HashSet::with_capacity(column.len()), 0);
        for row in &rows {
            repeats += usize::from(!seen.insert(row.data()));
            if repeats > allowed && seen.len() > 1 {
                return Ok(Self::Repeated);
            }
        }
        Ok(if repeats > allowed { Self::Same } else { Self::Different })
    }
}

#[cfg(test)]
mod tests;
