//! JSON objects, one per message: only the wanted fields are kept, straight from the bytes into text columns.
//!
//! 1. A message is looked at as a whole: present, not blank, UTF-8, an object by its first byte.
//! 2. `scan` walks through it once and checks all of it by RFC 8259, wanted or not. `keys` says which column a key
//!    belongs to, and `columns` takes the value: texts without their escapes, numbers and booleans by their own
//!    spelling, so that nothing is rounded here. A list or an object that a nested type wants is taken as it is
//!    spelled, and unfolded later ([`super::nested`]).
//! 3. What is no JSON, or holds a list or an object where a text belongs, is taken back out of the columns and
//!    becomes a reject. Its neighbours do not notice.
//!
//! Of a field that occurs twice the last value counts; fields that nobody asked for are ignored. No message
//! allocates, and none is looked at twice.

mod columns;
mod keys;
mod scan;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use self::columns::TextColumns;
use self::keys::Keys;
use self::scan::{Fault, Scan, Value};
use super::{Decode, Decoded};
use crate::reject::{Cause, Reject};
use crate::source::raw::RawBatch;
use crate::topics::REST_COLUMN;

/// Decodes the messages of one topic.
#[derive(Debug)]
pub(crate) struct Json {
    fields: SchemaRef,
    wants: Vec<Wants>,
    /// Which fields some table does not know, when what is unknown is collected.
    others: Option<Vec<bool>>,
    /// The unknown members of the message under way.
    unknown: Vec<u8>,
    keys: Keys,
    /// A text with escapes is put together here.
    scratch: Vec<u8>,
}

impl Decode for Json {
    fn decode(&mut self, raw: &RawBatch) -> Result<Decoded, ArrowError> {
        let mut columns = TextColumns::new(self.fields.fields().len(), raw.len());
        let (mut rows, mut rejects) = (Vec::with_capacity(raw.len()), Vec::new());
        for message in 0..raw.len() as u32 {
            match self.message(raw.payload(message as usize), &mut columns) {
                Ok(()) => {
                    columns.end_row();
                    rows.push(message);
                }
                Err((cause, text)) => {
                    columns.take_back();
                    rejects.push(Reject::new(message, cause, text));
                }
            }
        }
        Ok(Decoded { batch: columns.finish(&self.fields)?, rows, rejects })
    }
}

impl Json {
    /// A decoder for `fields`: text columns, those of nested types with their JSON.
    pub(crate) fn new(fields: &Schema) -> Self {
        let keys = Keys::new(fields.fields().iter().map(|field| field.name().as_str()));
        let wants = fields.fields().iter().map(|field| match field.data_type() {
            DataType::Null => Wants::Any,
            nested if nested.is_nested() => Wants::Nested,
            _ => Wants::Value,
        });
        let wants = wants.collect();
        let texts = fields.fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true));
        let fields = Arc::new(Schema::new(texts.collect::<Vec<_>>()));
        Self { fields, wants, others: None, keys, unknown: Vec::new(), scratch: Vec::new() }
    }

    /// Also collects the members that are no fields, or that `unshared` says some table does not know: as one JSON
    /// object a message, in a last column. Members that are null are left out.
    pub(crate) fn with_others(mut self, unshared: Vec<bool>) -> Self {
        let mut fields = self.fields.fields().to_vec();
        fields.push(Arc::new(Field::new(REST_COLUMN, DataType::Utf8, true)));
        (self.fields, self.others) = (Arc::new(Schema::new(fields)), Some(unshared));
        self
    }

    /// Puts the wanted fields of one message into the columns, or says what is wrong with it.
    fn message(&mut self, payload: Option<&[u8]>, columns: &mut TextColumns) -> Result<(), (Cause, String)> {
        let payload = screen(payload)?;
        let mut scan = Scan::new(payload, &mut self.scratch);
        let mut unfit = None;
        let mut place = 0;
        self.unknown.clear();
        let read = scan.document(|scan| {
            let key = scan.at();
            let column = self.keys.read(scan, place)?;
            let key = scan.since(key);
            place += 1;
            scan.colon()?;
            let begin = scan.at();
            let value = scan.value(1)?;
            if let Some(unshared) = &self.others
                && value != Value::Null
                && column.is_none_or(|column| unshared[column])
            {
                self.unknown.push(if self.unknown.is_empty() { b'{' } else { b',' });
                self.unknown.extend([key, b":", scan.since(begin)].concat());
            }
            match (column, value) {
                (None, _) => {}
                (Some(column), Value::Null) => columns.set(column, None),
                (Some(column), Value::List | Value::Object) if self.wants[column] != Wants::Value => {
                    columns.set(column, Some(scan.since(begin)));
                }
                (Some(column), value) if self.wants[column] == Wants::Nested => unfit = Some((column, value)),
                (Some(column), Value::Plain(text)) => columns.set(column, Some(text)),
                (Some(column), Value::Unescaped) => columns.set(column, Some(scan.unescaped())),
                (Some(column), Value::List | Value::Object) => unfit = Some((column, value)),
            }
            Ok(())
        });
        read.map_err(Fault::told)?;
        if !self.unknown.is_empty() {
            self.unknown.push(b'}');
            columns.set(self.fields.fields().len() - 1, Some(&self.unknown));
        }
        match unfit {
            None => Ok(()),
            Some((column, value)) => {
                let fault = match value {
                    Value::List => "a list where a single value belongs",
                    Value::Object => "an object where a single value belongs",
                    _ => "a single value where a list or an object belongs",
                };
                Err((Cause::WrongType, format!("field `{}`: {fault}", self.fields.field(column).name())))
            }
        }
    }
}

/// What a field takes. Where routes do not agree, each makes of it what fits its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Value,
    Nested,
    Any,
}

/// What can be said of a message before it is read.
fn screen(payload: Option<&[u8]>) -> Result<&[u8], (Cause, String)> {
    let stop = |cause, text: &str| Err((cause, text.to_owned()));
    let Some(payload) = payload else {
        return stop(Cause::Tombstone, "the message has no payload; an event is a JSON object");
    };
    let Some(first) = payload.iter().find(|byte| !byte.is_ascii_whitespace()) else {
        return stop(Cause::Empty, "the payload is empty; an event is a JSON object");
    };
    if let Err(error) = std::str::from_utf8(payload) {
        return Err((Cause::InvalidUtf8, format!("invalid UTF-8 at byte {}", error.valid_up_to())));
    }
    if *first != b'{' {
        return stop(Cause::NotAnObject, "an event is a JSON object and begins with `{`");
    }
    Ok(payload)
}

#[cfg(test)]
mod tests;
