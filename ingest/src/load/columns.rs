//! Rows of text become columns: texts are gathered per column and cast at once, the source columns are added.
//!
//! Values are checked before they come here (`infer.rs`), so a cast cannot fail for the sake of a value.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryBuilder, Int32Array, Int64Array, StringArray, StringBuilder};
use arrow::array::{TimestampMicrosecondArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use csv::ByteRecord;

use super::records::Fault;
use crate::{plan, reject};

/// A batch is cut when it has so many rows or bytes of text.
const ROWS_MAX: usize = 16_384;
const BYTES_MAX: usize = 8 << 20;

/// What every row of a load shares.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) file: String,
    pub(super) ingested_at: DateTime<Utc>,
}

impl Origin {
    /// The source columns of rows that begin on these lines.
    fn columns(&self, lines: Vec<i64>) -> [ArrayRef; 4] {
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
pub(super) fn table_schema(columns: &[(String, DataType)]) -> SchemaRef {
    let fields = columns.iter().map(|(name, data_type)| Field::new(name, data_type.clone(), true));
    Arc::new(Schema::new(fields.chain(plan::source_fields()).collect::<Vec<_>>()))
}

/// Gathers good rows.
pub(super) struct Rows {
    origin: Origin,
    schema: SchemaRef,
    texts: Vec<StringBuilder>,
    lines: Vec<i64>,
    bytes: usize,
}

impl Rows {
    pub(super) fn new(columns: &[(String, DataType)], origin: Origin) -> Self {
        let texts = columns.iter().map(|_| StringBuilder::new()).collect();
        Self { origin, schema: table_schema(columns), texts, lines: Vec::new(), bytes: 0 }
    }

    /// Adds a record whose fields are valid UTF-8; an empty field is null.
    pub(super) fn push(&mut self, line: u64, record: &ByteRecord) {
        for (text, field) in self.texts.iter_mut().zip(record) {
            text.append_option(std::str::from_utf8(field).ok().filter(|field| !field.is_empty()));
        }
        self.lines.push(line as i64);
        self.bytes += record.as_slice().len();
    }

    pub(super) fn is_full(&self) -> bool {
        self.lines.len() >= ROWS_MAX || self.bytes >= BYTES_MAX
    }

    /// The rows gathered so far; `None` when there are none.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        if self.lines.is_empty() {
            return Ok(None);
        }
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let texts = self.texts.iter_mut().map(StringBuilder::finish).zip(self.schema.fields());
        let mut columns = texts
            .map(|(text, field)| match field.data_type() {
                DataType::Utf8 => Ok(Arc::new(text) as ArrayRef),
                other if text.null_count() == text.len() => Ok(new_null_array(other, text.len())),
                other => cast_with_options(&text, other, &options),
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.bytes = 0;
        columns.extend(self.origin.columns(std::mem::take(&mut self.lines)));
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map(Some)
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
}

impl Rejects {
    pub(super) fn new(origin: Origin) -> Self {
        let (causes, texts, raw) = (StringBuilder::new(), StringBuilder::new(), BinaryBuilder::new());
        Self { origin, causes, texts, raw, lines: Vec::new(), bytes: 0 }
    }

    pub(super) fn push(&mut self, line: u64, fault: &Fault, raw: &[u8]) {
        self.causes.append_value(fault.cause);
        self.texts.append_value(&fault.text[..fault.text.floor_char_boundary(reject::TEXT_MAX)]);
        self.raw.append_value(raw);
        self.lines.push(line as i64);
        self.bytes += raw.len();
    }

    pub(super) fn is_full(&self) -> bool {
        self.lines.len() >= ROWS_MAX || self.bytes >= BYTES_MAX
    }

    /// The records gathered so far; `None` when there are none.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        if self.lines.is_empty() {
            return Ok(None);
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
        RecordBatch::try_new(schema, columns).map(Some)
    }
}
