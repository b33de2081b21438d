//! What a finished file tells its readers: counts, sizes and bounds of each column, by field id.
//!
//! A bound must hold for every row of the file or be left out. So one row group without statistics takes
//! the bounds away, and long texts are cut to 16 characters: down for the lower, up for the upper bound.
//! Columns inside lists and maps have counts and sizes but no bounds.

use std::collections::HashMap;

use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, PrimitiveType, Schema, Struct, Type,
};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;

use crate::error::{Error, Result};

/// Characters of a text, or bytes of a binary, that a bound keeps.
const BOUND_LENGTH: usize = 16;

/// A closed file, before it is described.
pub(super) struct ClosedFile {
    pub(super) location: String,
    pub(super) bytes: u64,
    pub(super) partition: Struct,
    pub(super) spec_id: i32,
    /// Not-a-number values by field id.
    pub(super) nan_counts: HashMap<i32, u64>,
    pub(super) content: Content,
}

/// What a file holds.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Rows,
    /// Positions of rows that are deleted; of this data file only, if one is given. Their bounds are kept
    /// whole, so that readers can tell which data files they name.
    PositionDeletes(Option<String>),
}

#[derive(Default)]
struct Column {
    bytes: u64,
    values: u64,
    /// `None` once a row group did not say.
    nulls: Option<u64>,
    lower: Bound,
    upper: Bound,
}

#[derive(Default)]
enum Bound {
    #[default]
    NoValueYet,
    Known(Datum),
    Unknown,
}

/// Describes a file by the footer it was closed with.
pub(super) fn data_file(schema: &Schema, footer: &ParquetMetaData, file: ClosedFile) -> Result<DataFile> {
    let mut columns: HashMap<i32, Column> = HashMap::new();
    for chunk in footer.row_groups().iter().flat_map(|group| group.columns()) {
        let leaf = chunk.column_descr().self_type().get_basic_info();
        if leaf.has_id() {
            let column =
                columns.entry(leaf.id()).or_insert_with(|| Column { nulls: Some(0), ..Column::default() });
            column.add(chunk, bounded_type(schema, leaf.id(), chunk));
        }
    }
    let mut builder = DataFileBuilder::default();
    let offsets = footer.row_groups().iter().filter_map(|group| group.file_offset()).collect();
    let by_id = |count: fn(&Column) -> Option<u64>| {
        columns.iter().filter_map(|(id, column)| Some((*id, count(column)?))).collect::<HashMap<_, _>>()
    };
    let whole_bounds = matches!(file.content, Content::PositionDeletes(_));
    let (content, referenced) = match file.content {
        Content::Rows => (DataContentType::Data, None),
        Content::PositionDeletes(referenced) => (DataContentType::PositionDeletes, referenced),
    };
    builder
        .content(content)
        .referenced_data_file(referenced)
        .file_path(file.location.clone())
        .file_format(DataFileFormat::Parquet)
        .partition(file.partition)
        .partition_spec_id(file.spec_id)
        .record_count(footer.file_metadata().num_rows().unsigned_abs())
        .file_size_in_bytes(file.bytes)
        .column_sizes(by_id(|column| Some(column.bytes)))
        .value_counts(by_id(|column| Some(column.values)))
        .null_value_counts(by_id(|column| column.nulls))
        .nan_value_counts(file.nan_counts)
        .split_offsets(Some(offsets));
    let mut lower = HashMap::new();
    let mut upper = HashMap::new();
    for (id, column) in columns {
        let (least, greatest) = (column.lower.known(), column.upper.known());
        let cut = |bound: Option<Datum>, cut: fn(Datum) -> Option<Datum>| {
            if whole_bounds { bound } else { bound.and_then(cut) }
        };
        lower.extend(cut(least, cut_down).map(|datum| (id, datum)));
        upper.extend(cut(greatest, cut_up).map(|datum| (id, datum)));
    }
    builder.lower_bounds(lower).upper_bounds(upper);
    builder.build().map_err(|cause| Error::File {
        subject: file.location,
        fact: format!("cannot be described: {cause}"),
        remedy: "report this with the table's schema",
    })
}

/// The type of a column that gets bounds.
fn bounded_type(schema: &Schema, id: i32, chunk: &ColumnChunkMetaData) -> Option<PrimitiveType> {
    if chunk.column_descr().max_rep_level() > 0 {
        return None;
    }
    match schema.field_by_id(id)?.field_type.as_ref() {
        Type::Primitive(primitive) => Some(primitive.clone()),
        _ => None,
    }
}

impl Column {
    fn add(&mut self, chunk: &ColumnChunkMetaData, primitive: Option<PrimitiveType>) {
        let values = chunk.num_values().unsigned_abs();
        self.bytes += chunk.compressed_size().unsigned_abs();
        self.values += values;
        let statistics = chunk.statistics();
        let nulls = statistics.and_then(Statistics::null_count_opt);
        self.nulls = self.nulls.zip(nulls).map(|(sum, nulls)| sum + nulls);
        let (Some(primitive), Some(statistics)) = (primitive, statistics) else {
            self.lower = Bound::Unknown;
            self.upper = Bound::Unknown;
            return;
        };
        // Statistics leave out null and NaN, and so do bounds: a row group of nothing else bounds nothing.
        let float = matches!(primitive, PrimitiveType::Float | PrimitiveType::Double);
        let empty = statistics.min_bytes_opt().is_none() && (float || nulls == Some(values));
        if !empty {
            let least = statistics.min_bytes_opt().and_then(|bytes| datum(bytes, statistics, &primitive));
            let greatest = statistics.max_bytes_opt().and_then(|bytes| datum(bytes, statistics, &primitive));
            self.lower.add(least, |new, old| new < old);
            self.upper.add(greatest, |new, old| new > old);
        }
    }
}

impl Bound {
    fn add(&mut self, value: Option<Datum>, beyond: fn(&Datum, &Datum) -> bool) {
        match (&*self, value) {
            (Bound::Unknown, _) => {}
            (_, None) => *self = Bound::Unknown,
            (Bound::NoValueYet, Some(value)) => *self = Bound::Known(value),
            (Bound::Known(old), Some(value)) => {
                if beyond(&value, old) {
                    *self = Bound::Known(value);
                }
            }
        }
    }

    fn known(self) -> Option<Datum> {
        match self {
            Bound::Known(datum) => Some(datum),
            Bound::NoValueYet | Bound::Unknown => None,
        }
    }
}

/// A statistic's bytes as a value. Both formats use the same bytes but for decimals, which Parquet may keep
/// as little-endian integers.
fn datum(bytes: &[u8], statistics: &Statistics, primitive: &PrimitiveType) -> Option<Datum> {
    let integer = matches!(statistics, Statistics::Int32(_) | Statistics::Int64(_));
    if integer && matches!(primitive, PrimitiveType::Decimal { .. }) {
        let big_endian: Vec<u8> = bytes.iter().rev().copied().collect();
        return Datum::try_from_bytes(&big_endian, primitive.clone()).ok();
    }
    Datum::try_from_bytes(bytes, primitive.clone()).ok()
}

/// A value at or below `datum`, short enough to keep.
fn cut_down(datum: Datum) -> Option<Datum> {
    let bytes = match long_bytes(&datum) {
        None => return Some(datum),
        Some(bytes) => bytes,
    };
    match datum.data_type() {
        PrimitiveType::String => {
            let text = std::str::from_utf8(&bytes).ok()?;
            Some(Datum::string(text.chars().take(BOUND_LENGTH).collect::<String>()))
        }
        _ => Some(Datum::binary(bytes.into_iter().take(BOUND_LENGTH))),
    }
}

/// A value at or above `datum`, short enough to keep; none when there is no such value.
fn cut_up(datum: Datum) -> Option<Datum> {
    let bytes = match long_bytes(&datum) {
        None => return Some(datum),
        Some(bytes) => bytes,
    };
    match datum.data_type() {
        PrimitiveType::String => {
            let text = std::str::from_utf8(&bytes).ok()?;
            if text.chars().count() <= BOUND_LENGTH {
                return Some(datum);
            }
            let mut kept: Vec<char> = text.chars().take(BOUND_LENGTH).collect();
            while let Some(last) = kept.pop() {
                if let Some(next) = next_char(last) {
                    kept.push(next);
                    return Some(Datum::string(kept.into_iter().collect::<String>()));
                }
            }
            None
        }
        _ => {
            let mut kept: Vec<u8> = bytes.into_iter().take(BOUND_LENGTH).collect();
            while let Some(last) = kept.pop() {
                if let Some(next) = last.checked_add(1) {
                    kept.push(next);
                    return Some(Datum::binary(kept));
                }
            }
            None
        }
    }
}

/// The bytes of a text or binary that may be too long.
fn long_bytes(datum: &Datum) -> Option<Vec<u8>> {
    let cut = matches!(datum.data_type(), PrimitiveType::String | PrimitiveType::Binary);
    let bytes = if cut { datum.to_bytes().ok()?.into_vec() } else { return None };
    (bytes.len() > BOUND_LENGTH).then_some(bytes)
}

/// The character after `c` in code point order, which is the order of UTF-8 bytes too.
fn next_char(c: char) -> Option<char> {
    match c {
        '\u{D7FF}' => Some('\u{E000}'),
        char::MAX => None,
        c => char::from_u32(u32::from(c) + 1),
    }
}

#[cfg(test)]
mod tests;
