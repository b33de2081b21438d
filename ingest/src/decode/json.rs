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

/// Decodes the messages of one topic.
#[derive(Debug)]
pub(crate) struct Json {
    fields: SchemaRef,
    /// Which fields want lists or objects, and nothing else.
    nested: Vec<bool>,
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
        let nested = fields.fields().iter().map(|field| field.data_type().is_nested()).collect();
        let texts = fields.fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true));
        let fields = Arc::new(Schema::new(texts.collect::<Vec<_>>()));
        Self { fields, nested, keys, scratch: Vec::new() }
    }

    /// Puts the wanted fields of one message into the columns, or says what is wrong with it.
    fn message(&mut self, payload: Option<&[u8]>, columns: &mut TextColumns) -> Result<(), (Cause, String)> {
        let payload = screen(payload)?;
        let mut scan = Scan::new(payload, &mut self.scratch);
        let mut unfit = None;
        let mut place = 0;
        let read = scan.document(|scan| {
            let column = self.keys.read(scan, place)?;
            place += 1;
            scan.colon()?;
            let begin = scan.at();
            let value = scan.value(1)?;
            match (column, value) {
                (None, _) => {}
                (Some(column), Value::Null) => columns.set(column, None),
                (Some(column), value) if self.nested[column] => match value {
                    Value::List | Value::Object => columns.set(column, Some(scan.since(begin))),
                    _ => unfit = Some((column, value)),
                },
                (Some(column), Value::Plain(text)) => columns.set(column, Some(text)),
                (Some(column), Value::Unescaped) => columns.set(column, Some(scan.unescaped())),
                (Some(column), Value::List | Value::Object) => unfit = Some((column, value)),
            }
            Ok(())
        });
        read.map_err(Fault::told)?;
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
