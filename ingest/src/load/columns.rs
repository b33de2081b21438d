//! Text becomes columns: values are checked against the types, gathered per column and cast at once.
//!
//! Rows carry the source columns: `_src_topic` (the file), `_src_partition` (0), `_src_offset` (the line),
//! `_ingested_at`. A record that does not become a row becomes a dead letter with the same columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryBuilder, Int32Array, Int64Array, Int64Builder, StringArray};
use arrow::array::{StringBuilder, TimestampMicrosecondArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};

use super::csv::{Fault, Fields};
use super::infer;
use crate::{plan, reject};

/// Dead letters are handed on when they have so many rows or bytes.
const REJECTS_MAX: usize = 16_384;
const REJECT_BYTES_MAX: usize = 8 << 20;

/// A column of the data: what a file says, or what a table has for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) data_type: DataType,
    pub(super) spelling: Spelling,
}

/// How a file writes the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// As inference knows them.
    Plain,
    /// Times as milliseconds since 1970.
    Millis,
    /// Whole numbers that may begin with zeros.
    Padded,
}

impl Column {
    pub(super) fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, spelling: Spelling::Plain }
    }

    pub(super) fn fits(&self, text: &str) -> bool {
        match self.spelling {
            Spelling::Plain => infer::fits(text, &self.data_type),
            Spelling::Millis => infer::fits(text, &DataType::Int64) && micros(text).is_some(),
            Spelling::Padded => {
                let digits = text.trim_start_matches('0');
                infer::fits(if digits.is_empty() { "0" } else { digits }, &self.data_type)
            }
        }
    }

    pub(super) fn type_name(&self) -> String {
        match self.spelling {
            Spelling::Millis => "number of milliseconds".to_owned(),
            _ => infer::type_name(&self.data_type),
        }
    }
}

/// Microseconds of a number of milliseconds.
fn micros(text: &str) -> Option<i64> {
    text.parse::<i64>().ok()?.checked_mul(1000)
}

/// What every row of a part shares.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) file: String,
    pub(super) ingested_at: DateTime<Utc>,
}

impl Origin {
    /// The source columns of rows that begin on these lines.
    pub(super) fn columns(&self, lines: Vec<i64>) -> [ArrayRef; 4] {
        let rows = lines.len();
        [
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&self.file, rows))),
            Arc::new(Int32Array::from_value(0, rows)),
            Arc::new(Int64Array::from(lines)),
            Arc::new(
                TimestampMicrosecondArray::from_value(self.ingested_at.timestamp_micros(), rows)
                    .with_timezone("UTC"),
            ),
        ]
    }
}

/// The schema of a table for these columns.
pub(super) fn table_schema(columns: &[Column]) -> SchemaRef {
    let fields = columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true));
    Arc::new(Schema::new(fields.chain(plan::source_fields()).collect::<Vec<_>>()))
}

/// The first value of a record that its column cannot hold. An empty field is null and fits.
pub(super) fn misfit(fields: Fields<'_>, columns: &[Column]) -> Option<Fault> {
    columns.iter().zip(fields.iter()).find_map(|(column, field)| {
        let text = std::str::from_utf8(field).unwrap_or_default();
        (!text.is_empty() && !column.fits(text)).then(|| wrong_type(column, text))
    })
}

pub(super) fn wrong_type(column: &Column, text: &str) -> Fault {
    let shown = &text[..text.floor_char_boundary(64)];
    Fault::new("wrong_type", format!("column `{}`: `{shown}` is not a {}", column.name, column.type_name()))
}

/// A column of texts that all fit, as its type.
pub(super) fn cast(texts: &StringArray, column: &Column) -> Result<ArrayRef, ArrowError> {
    let to = &column.data_type;
    if texts.null_count() == texts.len() {
        return Ok(new_null_array(to, texts.len()));
    }
    if column.spelling == Spelling::Millis {
        let micros = TimestampMicrosecondArray::from_iter(texts.iter().map(|text| text.and_then(micros)));
        return Ok(Arc::new(micros.with_timezone("UTC")));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    match to {
        DataType::Utf8 => Ok(Arc::new(texts.clone())),
        other => cast_with_options(texts, other, &options),
    }
}

/// Gathers good records of CSV.
pub(super) struct Rows {
    origin: Origin,
    schema: SchemaRef,
    columns: Vec<(Column, Gathered)>,
    lines: Vec<i64>,
}

enum Gathered {
    Texts(StringBuilder),
    Longs(Int64Builder),
}

impl Rows {
    pub(super) fn new(columns: &[Column], origin: Origin) -> Self {
        let gathered = |column: &Column| match column.data_type {
            DataType::Int64 => (column.clone(), Gathered::Longs(Int64Builder::new())),
            _ => (column.clone(), Gathered::Texts(StringBuilder::new())),
        };
        let schema = table_schema(columns);
        Self { origin, schema, columns: columns.iter().map(gathered).collect(), lines: Vec::new() }
    }

    /// Adds a record that fits the columns; an empty field is null.
    pub(super) fn push(&mut self, line: u64, fields: Fields<'_>) {
        for ((_, gathered), field) in self.columns.iter_mut().zip(fields.iter()) {
            let text = std::str::from_utf8(field).ok().filter(|text| !text.is_empty());
            match gathered {
                Gathered::Texts(texts) => texts.append_option(text),
                Gathered::Longs(longs) => longs.append_option(text.and_then(|text| text.parse().ok())),
            }
        }
        self.lines.push(line as i64);
    }

    /// The rows gathered; `None` when there are none.
    pub(super) fn finish(self) -> Result<Option<RecordBatch>, ArrowError> {
        if self.lines.is_empty() {
            return Ok(None);
        }
        let columns = self.columns.into_iter().map(|(column, gathered)| match gathered {
            Gathered::Longs(mut longs) => Ok(Arc::new(longs.finish()) as ArrayRef),
            Gathered::Texts(mut texts) => cast(&texts.finish(), &column),
        });
        let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
        columns.extend(self.origin.columns(self.lines));
        RecordBatch::try_new(self.schema, columns).map(Some)
    }
}

/// Gathers bad records as rows of the dead letters.
pub(super) struct Rejects {
    origin: Origin,
    causes: StringBuilder,
    texts: StringBuilder,
    raw: BinaryBuilder,
    lines: Vec<i64>,
    bytes: usize,
    /// What is full already.
    batches: Vec<RecordBatch>,
    /// The line and text of the first.
    pub(super) first: Option<(u64, String)>,
    pub(super) count: u64,
}

impl Rejects {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            causes: StringBuilder::new(),
            texts: StringBuilder::new(),
            raw: BinaryBuilder::new(),
            lines: Vec::new(),
            bytes: 0,
            batches: Vec::new(),
            first: None,
            count: 0,
        }
    }

    pub(super) fn push(&mut self, line: u64, fault: &Fault, raw: &[u8]) -> Result<(), ArrowError> {
        let text = &fault.text[..fault.text.floor_char_boundary(reject::TEXT_MAX)];
        self.first.get_or_insert_with(|| (line, text.to_owned()));
        self.count += 1;
        self.causes.append_value(&fault.cause);
        self.texts.append_value(text);
        self.raw.append_value(raw);
        self.lines.push(line as i64);
        self.bytes += raw.len();
        if self.lines.len() >= REJECTS_MAX || self.bytes >= REJECT_BYTES_MAX {
            self.cut()?;
        }
        Ok(())
    }

    /// The dead letters gathered.
    pub(super) fn finish(mut self) -> Result<Vec<RecordBatch>, ArrowError> {
        self.cut()?;
        Ok(self.batches)
    }

    fn cut(&mut self) -> Result<(), ArrowError> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let (schema, rows) = (reject::schema(), self.lines.len());
        let null =
            |name: &str| schema.field_with_name(name).map(|field| new_null_array(field.data_type(), rows));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.causes.finish()),
            Arc::new(self.texts.finish()),
            null("kafka_timestamp")?,
            null("key")?,
            Arc::new(self.raw.finish()),
        ];
        self.bytes = 0;
        columns.extend(self.origin.columns(std::mem::take(&mut self.lines)));
        self.batches.push(RecordBatch::try_new(schema, columns)?);
        Ok(())
    }
}
