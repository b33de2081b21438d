//! JSON messages that are no event yet: deletes without payload, and Debezium envelopes.
//!
//! Each becomes a flat JSON event with its operation in the field that the plan reads, in place of the message it
//! came from; what cannot be read stays as it is, and is judged by the decoder. Dead letters keep the original.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::decode::Decode;
use crate::decode::debezium::Envelopes;
use crate::decode::json::Json;
use crate::plan::{TemplatePlan, TopicPlan};
use crate::source::raw::RawBatch;
use crate::topics::{Changes, Format, Upsert};

/// Makes the messages of one topic events.
pub(crate) struct Payloads {
    upsert: Upsert,
    keys: Keys,
    envelopes: Option<Envelopes>,
}

/// Reads keys of messages: the key columns as an object, with or without Kafka Connect's schema around it, or the
/// value of the only key column as it is.
struct Keys {
    columns: Vec<String>,
    plain: Json,
    wrapped: Json,
}

impl Payloads {
    /// `None` for topics whose messages are events as they are.
    pub(crate) fn new(topic: &TopicPlan) -> Option<Self> {
        let blueprints = topic.templates.iter().map(TemplatePlan::blueprint);
        let route = topic.routes.iter().chain(blueprints).find(|route| route.upsert.is_some())?;
        let upsert = route.upsert.clone().filter(|_| topic.format == Format::Json)?;
        let columns = route.columns.iter().map(|column| column.name.as_str());
        let envelopes = (upsert.changes == Changes::Debezium).then(|| Envelopes::new(columns));
        Some(Self { keys: Keys::new(&upsert.key), upsert, envelopes })
    }

    /// The messages as flat events, at the same places.
    pub(crate) fn flat<'a>(&mut self, raw: &'a RawBatch) -> Result<Cow<'a, RawBatch>, ArrowError> {
        let mut payloads: Vec<Option<Cow<'a, [u8]>>> =
            (0..raw.len()).map(|message| raw.payload(message).map(Cow::Borrowed)).collect();
        let mut by_key: Vec<usize> = (0..raw.len()).filter(|message| payloads[*message].is_none()).collect();
        if let Some(envelopes) = &mut self.envelopes {
            by_key.extend(envelopes.flatten(raw, &mut payloads)?);
        } else if by_key.is_empty() {
            return Ok(Cow::Borrowed(raw));
        }
        for (message, key) in by_key.iter().zip(self.keys.read(raw, &by_key)?) {
            if let Some(key) = key {
                let event = event(self.upsert.changes, &self.upsert.key, &key);
                payloads[*message] = Some(Cow::Owned(event));
            }
        }
        let mut flat = RawBatch::new(raw.topic, raw.partition);
        (flat.epoch, flat.ingested_at) = (raw.epoch, raw.ingested_at);
        for (message, payload) in payloads.iter().enumerate() {
            flat.push(raw.offset(message), raw.timestamp(message), raw.key(message), payload.as_deref());
        }
        Ok(Cow::Owned(flat))
    }
}

/// The delete of a key as a flat event.
fn event(changes: Changes, names: &[String], values: &[String]) -> Vec<u8> {
    let mut object = serde_json::Map::new();
    for (name, value) in names.iter().zip(values) {
        object.insert(name.clone(), value.as_str().into());
    }
    if let Some(field) = changes.fields().first() {
        object.insert((*field).to_owned(), "d".into());
    }
    serde_json::Value::Object(object).to_string().into_bytes()
}

impl Keys {
    fn new(columns: &[String]) -> Self {
        let texts = || columns.iter().map(|name| Field::new(name, DataType::Utf8, true));
        let nested = Field::new("payload", DataType::Struct(Fields::empty()), true);
        let wrapped: SchemaRef = Arc::new(Schema::new(vec![nested]));
        let plain = Json::new(&Schema::new(texts().collect::<Vec<_>>()));
        Self { columns: columns.to_vec(), plain, wrapped: Json::new(&wrapped) }
    }

    /// The values of the key columns of these messages, as text; `None` where the key does not have them all.
    fn read(&mut self, raw: &RawBatch, messages: &[usize]) -> Result<Vec<Option<Vec<String>>>, ArrowError> {
        let keys: Vec<Option<&[u8]>> = messages.iter().map(|message| raw.key(*message)).collect();
        let mut found = self.values(&keys)?;
        let open: Vec<usize> = (0..keys.len()).filter(|at| found[*at].is_none()).collect();
        if open.is_empty() {
            return Ok(found);
        }
        let decoded = self.wrapped.decode(&batch(open.iter().map(|at| keys[*at])))?;
        let inner = decoded.batch.column(0).as_string::<i32>();
        let texts: Vec<_> =
            (0..inner.len()).map(|row| inner.is_valid(row).then(|| inner.value(row).as_bytes())).collect();
        for (row, values) in decoded.rows.iter().zip(self.values(&texts)?) {
            found[open[*row as usize]] = values;
        }
        for at in open {
            let whole = keys[at].and_then(|key| std::str::from_utf8(key).ok());
            let bare = whole.filter(|text| !text.is_empty() && !text.trim_start().starts_with(['{', '[']));
            if let (None, Some(text), 1) = (&found[at], bare, self.columns.len()) {
                // A JSON text has quotes around it, and a plain one has not.
                found[at] = Some(vec![serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())]);
            }
        }
        Ok(found)
    }

    fn values(&mut self, keys: &[Option<&[u8]>]) -> Result<Vec<Option<Vec<String>>>, ArrowError> {
        let decoded = self.plain.decode(&batch(keys.iter().copied()))?;
        let mut values = vec![None; keys.len()];
        for (row, message) in decoded.rows.iter().enumerate() {
            values[*message as usize] = texts(&decoded.batch, row);
        }
        Ok(values)
    }
}

fn batch<'a>(payloads: impl Iterator<Item = Option<&'a [u8]>>) -> RawBatch {
    let mut raw = RawBatch::new(0, 0);
    for (offset, payload) in (0..).zip(payloads) {
        raw.push(offset, None, None, payload);
    }
    raw
}

/// All values of a row; `None` when one is null.
fn texts(batch: &RecordBatch, row: usize) -> Option<Vec<String>> {
    let text = |column: &Arc<dyn Array>| {
        let texts = column.as_string::<i32>();
        texts.is_valid(row).then(|| texts.value(row).to_owned())
    };
    batch.columns().iter().map(text).collect()
}
