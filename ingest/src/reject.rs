//! Dead letters: messages that cannot land keep their bytes, their place in Kafka and the cause.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryBuilder, StringBuilder, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::decode::exact::MILLIS;
use crate::plan::{Plan, source_fields, timestamp};
use crate::route::{Routed, source_columns};
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
    TooLarge,
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
            Self::TooLarge => "too_large",
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

/// Takes the messages of more than `bytes_max` bytes out of a batch: gives the others and the rejects, whose numbers
/// are those of the whole batch; `None` when no message is too large.
pub(crate) fn split_large(raw: &RawBatch, bytes_max: usize) -> Option<(RawBatch, Vec<Reject>)> {
    if raw.byte_count() <= bytes_max {
        return None;
    }
    let mut rest = RawBatch::new(raw.topic, raw.partition);
    (rest.epoch, rest.ingested_at) = (raw.epoch, raw.ingested_at);
    let mut rejects = Vec::new();
    for message in 0..raw.len() {
        let (key, payload) = (raw.key(message), raw.payload(message));
        let bytes = payload.map_or(0, <[u8]>::len);
        if bytes <= bytes_max {
            rest.push(raw.offset(message), raw.timestamp(message), key, payload);
        } else {
            let text = format!("the message has {bytes} bytes, at most {bytes_max} are decoded");
            rejects.push(Reject::new(message as u32, Cause::TooLarge, text));
        }
    }
    (!rejects.is_empty()).then_some((rest, rejects))
}

/// Adds rejects of a batch to what became of the rest of it.
pub(crate) fn add(
    routed: &mut Routed,
    plan: &Plan,
    raw: &RawBatch,
    rejects: Vec<Reject>,
) -> Result<(), ArrowError> {
    let Some(first) = rejects.first() else { return Ok(()) };
    routed.sample.get_or_insert_with(|| format!("{}: {}", first.cause, first.text));
    routed.rejected += rejects.len() as u64;
    let letters = batch(&plan.topics[raw.topic].name, raw, rejects)?;
    match routed.tables.iter_mut().find(|(table, _)| *table == plan.dead_letters) {
        Some((_, known)) => *known = concat_batches(&schema(), [&*known, &letters])?,
        None => routed.tables.push((plan.dead_letters, letters)),
    }
    Ok(())
}

/// How many dead letters of a batch of them have which cause.
pub(crate) fn causes(letters: &RecordBatch) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let causes = letters.column_by_name("cause").and_then(|column| column.as_string_opt::<i32>());
    for cause in causes.into_iter().flatten().flatten() {
        match counts.get_mut(cause) {
            Some(count) => *count += 1,
            None => drop(counts.insert(cause.to_owned(), 1)),
        }
    }
    counts
}
