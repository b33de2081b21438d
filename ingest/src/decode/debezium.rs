//! Debezium envelopes become flat JSON events.
//!
//! ```text
//! {"before": {..}, "after": {"id": 7, ..}, "source": {"lsn": 9, ..}, "op": "u", "ts_ms": 5}
//!     -> {"id": 7, .., "__op": "u", "__ts_ms": "5", "__source_lsn": "9"}
//! ```
//!
//! The members are those of `after`, of a delete those of `before`. Of the envelope `op` is taken, and what the
//! table has a column for: `__ts_ms`, `__ts_us`, `__ts_ns`, and the plain members of `source` as `__source_` and
//! their name. An envelope may be inside of Kafka Connect's `{"schema": .., "payload": ..}`.

use std::borrow::Cow;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::Decode;
use super::json::Json;
use crate::source::raw::RawBatch;
use crate::topics::FLAT_OP;

/// What a member of `source` is called in a flat event, before its name.
const SOURCE: &str = "__source_";
const TIMES: [&str; 3] = ["ts_ms", "ts_us", "ts_ns"];

/// Reads the envelopes of one topic.
#[derive(Debug)]
pub(crate) struct Envelopes {
    outer: Json,
    source: Json,
    /// Members of `source` that the table has a column for.
    members: Vec<String>,
    /// Times of the envelope that it has a column for.
    times: Vec<&'static str>,
}

impl Envelopes {
    /// A reader for a table with these columns.
    pub(crate) fn new<'a>(columns: impl Iterator<Item = &'a str>) -> Self {
        let columns: Vec<&str> = columns.collect();
        let members: Vec<String> =
            columns.iter().filter_map(|column| column.strip_prefix(SOURCE)).map(str::to_owned).collect();
        let asked = |time: &&str| columns.iter().any(|column| column.strip_prefix("__") == Some(*time));
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let object = |name: &str| Field::new(name, DataType::Struct(Fields::empty()), true);
        let mut outer =
            vec![object("before"), object("after"), object("source"), object("payload"), text("op")];
        outer.extend(TIMES.map(text));
        // A decoder needs a column to count rows by.
        let source = members.iter().map(|name| text(name)).chain(members.is_empty().then(|| text("lsn")));
        Self {
            outer: Json::new(&Schema::new(outer)),
            source: Json::new(&Schema::new(source.collect::<Vec<_>>())),
            members,
            times: TIMES.into_iter().filter(asked).collect(),
        }
    }

    /// Puts flat events in the place of envelopes. Returns the deletes that do not say of what: their messages'
    /// keys do.
    pub(crate) fn flatten(
        &mut self,
        raw: &RawBatch,
        payloads: &mut [Option<Cow<'_, [u8]>>],
    ) -> Result<Vec<usize>, ArrowError> {
        let decoded = self.outer.decode(raw)?;
        let mut wrapped = RawBatch::new(raw.topic, raw.partition);
        let mut places = Vec::new();
        for (row, message) in decoded.rows.iter().enumerate() {
            if let (None, Some(inner)) =
                (text(&decoded.batch, "op", row), text(&decoded.batch, "payload", row))
            {
                wrapped.push(places.len() as i64, None, None, Some(inner.as_bytes()));
                places.push(*message);
            }
        }
        let mut by_key = self.each(&decoded.batch, &decoded.rows, payloads)?;
        if !places.is_empty() {
            let inner = self.outer.decode(&wrapped)?;
            let messages: Vec<u32> = inner.rows.iter().map(|row| places[*row as usize]).collect();
            by_key.extend(self.each(&inner.batch, &messages, payloads)?);
        }
        Ok(by_key)
    }

    fn each(
        &mut self,
        batch: &RecordBatch,
        messages: &[u32],
        payloads: &mut [Option<Cow<'_, [u8]>>],
    ) -> Result<Vec<usize>, ArrowError> {
        let mut sources = RawBatch::new(0, 0);
        for row in 0..batch.num_rows() {
            sources.push(row as i64, None, None, text(batch, "source", row).map(str::as_bytes));
        }
        let decoded = if self.members.is_empty() { None } else { Some(self.source.decode(&sources)?) };
        let mut source_rows = vec![None; batch.num_rows()];
        for (at, row) in decoded.iter().flat_map(|decoded| decoded.rows.iter().enumerate()) {
            source_rows[*row as usize] = Some(at);
        }
        let mut by_key = Vec::new();
        for (row, message) in messages.iter().enumerate() {
            let Some(op) = text(batch, "op", row) else { continue };
            let deletes = op == "d";
            let image = text(batch, if deletes { "before" } else { "after" }, row);
            if deletes && image.is_none() {
                by_key.push(*message as usize);
                continue;
            }
            let mut said = vec![(FLAT_OP.to_owned(), op)];
            for time in &self.times {
                said.extend(text(batch, time, row).map(|value| (format!("__{time}"), value)));
            }
            if let (Some(decoded), Some(at)) = (&decoded, source_rows[row]) {
                for name in &self.members {
                    said.extend(
                        text(&decoded.batch, name, at).map(|value| (format!("{SOURCE}{name}"), value)),
                    );
                }
            }
            payloads[*message as usize] = Some(Cow::Owned(flat(image, &said)));
        }
        Ok(by_key)
    }
}

/// The members of an object and some more; the later of two with one name counts, so ours do.
fn flat(image: Option<&str>, said: &[(String, &str)]) -> Vec<u8> {
    let members = image.and_then(|text| text.trim().strip_prefix('{')?.strip_suffix('}')).unwrap_or_default();
    let mut event = String::with_capacity(members.len() + 64);
    event.push('{');
    event.push_str(members);
    let mut first = members.trim().is_empty();
    for (name, value) in said {
        if !std::mem::replace(&mut first, false) {
            event.push(',');
        }
        event.push_str(&serde_json::Value::from(name.as_str()).to_string());
        event.push(':');
        event.push_str(&serde_json::Value::from(*value).to_string());
    }
    event.push('}');
    event.into_bytes()
}

fn text<'a>(batch: &'a RecordBatch, column: &str, row: usize) -> Option<&'a str> {
    let texts = batch.column_by_name(column)?.as_string_opt::<i32>()?;
    texts.is_valid(row).then(|| texts.value(row))
}
