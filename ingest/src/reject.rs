//! Dead letters: messages that cannot land keep their bytes, their place in Kafka and the cause.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, StringBuilder, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::decode::exact::MILLIS;
use crate::plan::{source_fields, timestamp};
use crate::route::source_columns;
use crate::source::raw::RawBatch;

/// The longest error text that is kept, in bytes.
pub(crate) const TEXT_MAX: usize = 4096;

/// The classes of bad messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Tombstone,
    Empty,
    InvalidUtf8,
    NotAnObject,
    TooDeep,
    Malformed,
    SeveralValues,
    WrongType,
    MissingField,
    UnknownEventType,
    NotFramed,
    UnknownSchema,
    Schema,
    UnknownField,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tombstone => "tombstone",
            Self::Empty => "empty",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::NotAnObject => "not_an_object",
            Self::TooDeep => "too_deep",
            Self::Malformed => "malformed",
            Self::SeveralValues => "several_values",
            Self::WrongType => "wrong_type",
            Self::MissingField => "missing_field",
            Self::UnknownEventType => "unknown_event_type",
            Self::NotFramed => "not_framed",
            Self::UnknownSchema => "unknown_schema",
            Self::Schema => "schema",
            Self::UnknownField => "unknown_field",
        })
    }
}

/// A bad message.
#[derive(Clone, Debug)]
pub(crate) struct Reject {
    /// Its index in the raw batch.
    pub(crate) message: u32,
    pub(crate) cause: Cause,
    pub(crate) text: String,
}

impl Reject {
    pub(crate) fn new(message: u32, cause: Cause, text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        Self { message, cause, text }
    }
}

/// The columns of the table of dead letters.
pub(crate) fn schema() -> SchemaRef {
    let own = [
        Field::new("cause", DataType::Utf8, false),
        Field::new("error", DataType::Utf8, false),
        Field::new("kafka_timestamp", timestamp(), true),
        Field::new("key", DataType::Binary, true),
        Field::new("payload", DataType::Binary, true),
    ];
    Arc::new(Schema::new(own.into_iter().chain(source_fields()).collect::<Vec<_>>()))
}

/// The rejected messages of a batch as rows, in the order of their offsets.
pub(crate) fn batch(
    topic: &str,
    raw: &RawBatch,
    mut rejects: Vec<Reject>,
) -> Result<RecordBatch, ArrowError> {
    rejects.sort_unstable_by_key(|reject| reject.message);
    let (mut causes, mut errors) = (StringBuilder::new(), StringBuilder::new());
    let (mut keys, mut payloads) = (BinaryBuilder::new(), BinaryBuilder::new());
    let mut times = Vec::with_capacity(rejects.len());
    for reject in &rejects {
        let message = reject.message as usize;
        causes.append_value(reject.cause.to_string());
        errors.append_value(&reject.text);
        keys.append_option(raw.key(message));
        payloads.append_option(raw.payload(message));
        times.push(
            raw.timestamp(message).filter(|millis| MILLIS.contains(millis)).map(|millis| millis * 1000),
        );
    }
    let rows: Vec<u32> = rejects.iter().map(|reject| reject.message).collect();
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(causes.finish()),
        Arc::new(errors.finish()),
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
        Arc::new(keys.finish()),
        Arc::new(payloads.finish()),
    ];
    columns.extend(source_columns(topic, raw, &rows));
    RecordBatch::try_new(schema(), columns)
}
