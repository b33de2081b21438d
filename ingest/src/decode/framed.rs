//! Messages that name their schema: grouped by it, and decoded group by group.
//!
//! ```text
//! 0 | schema id, 4 bytes big endian | Avro body
//! 0 | schema id, 4 bytes big endian | path of the message type | Protobuf body
//! ```
//!
//! The path is a count and that many indexes, as zigzag varints; the first type of a file may be a single 0.
//!
//! Invariant: a message is judged only by what the registry answered. While it is silent the whole batch fails.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::error::ArrowError;

use super::{Decoded, avro, protobuf};
use crate::error::{Error, Result};
use crate::registry::{Found, Language, Lookup, SchemaText};
use crate::reject::{Cause, Reject};
use crate::source::raw::RawBatch;

/// Magic byte and schema id.
pub(super) const HEADER: usize = 5;
/// A path of message types longer than this is damage.
const PATH_MAX: usize = 64;
/// Shapes that are kept; beyond it all are built anew.
const SHAPES_MAX: usize = 1000;

/// Messages of one schema.
pub(crate) trait Shape: Send {
    /// Decodes some messages of the batch; each has its body at the given position of its payload.
    ///
    /// # Errors
    /// Never because of a message; only when columns cannot be put together.
    fn decode(&mut self, raw: &RawBatch, bodies: &[Body]) -> Result<Decoded, ArrowError>;
}

/// Where a message's body begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body {
    pub(crate) message: u32,
    pub(crate) start: usize,
}

impl Body {
    /// The whole payload.
    pub(crate) fn message_of(self, raw: &RawBatch) -> &[u8] {
        raw.payload(self.message as usize).unwrap_or_default()
    }

    /// The bytes.
    pub(crate) fn of(self, raw: &RawBatch) -> &[u8] {
        let payload = raw.payload(self.message as usize).unwrap_or_default();
        payload.get(self.start..).unwrap_or_default()
    }
}

/// What a schema id, with the path of a message type, came to.
enum Known {
    Shape(Box<dyn Shape>),
    /// Every message with it is a dead letter.
    Bad(Cause, String),
}

/// A schema's id, and which of its message types is meant.
type Key = (u32, Vec<u32>);

/// Makes a shape of a schema, or says why it cannot be used.
type Build = fn(u32, &SchemaText, &[u32]) -> Result<Box<dyn Shape>, String>;

/// The decoder of a topic with registered schemas.
pub(crate) struct Framed {
    schemas: Arc<Lookup>,
    language: Language,
    build: Build,
    shapes: HashMap<Key, Known>,
}

impl Framed {
    pub(crate) fn avro(schemas: Arc<Lookup>) -> Self {
        Self { schemas, language: Language::Avro, build: avro::shape, shapes: HashMap::new() }
    }

    pub(crate) fn protobuf(schemas: Arc<Lookup>) -> Self {
        Self { schemas, language: Language::Protobuf, build: protobuf::shape, shapes: HashMap::new() }
    }

    /// Decodes every message of the batch, one piece a schema.
    pub(crate) fn decode(&mut self, raw: &RawBatch) -> Result<Vec<Decoded>> {
        let mut rejects = Vec::new();
        let mut groups: Vec<(Key, Vec<Body>)> = Vec::new();
        let (mut places, mut last) = (HashMap::<Key, usize>::new(), 0);
        for message in 0..raw.len() as u32 {
            let framed = frame(raw.payload(message as usize), self.language == Language::Protobuf);
            match framed {
                Ok((key, start)) => {
                    // Neighbours mostly share their schema.
                    if !groups.get(last).is_some_and(|(known, _)| same(known, &key)) {
                        last = *places.entry(key.clone()).or_insert(groups.len());
                        if last == groups.len() {
                            groups.push((key, Vec::new()));
                        }
                    }
                    groups[last].1.push(Body { message, start });
                }
                Err((cause, text)) => rejects.push(Reject::new(message, cause, text)),
            }
        }
        let mut pieces = Vec::with_capacity(groups.len());
        for (key, bodies) in groups {
            match self.known(key)? {
                Known::Shape(shape) => pieces.push(shape.decode(raw, &bodies).map_err(Error::Columns)?),
                Known::Bad(cause, text) => {
                    let text = text.as_str();
                    let bad = bodies.iter().map(|body| Reject::new(body.message, *cause, text));
                    rejects.extend(bad);
                }
            }
        }
        if !rejects.is_empty() {
            pieces.push(Decoded::nothing(rejects));
        }
        Ok(pieces)
    }

    fn known(&mut self, key: Key) -> Result<&mut Known> {
        let is_fresh = match self.shapes.get(&key) {
            // The registry may have learnt it since; the lookup says for how long it has not.
            Some(Known::Bad(Cause::UnknownSchema, _)) | None => false,
            Some(_) => true,
        };
        if !is_fresh {
            let known = self.ask(&key)?;
            if self.shapes.len() >= SHAPES_MAX {
                self.shapes.clear();
            }
            self.shapes.insert(key.clone(), known);
        }
        self.shapes.get_mut(&key).ok_or(Error::Broken { part: "the list of schemas" })
    }

    fn ask(&self, (id, path): &Key) -> Result<Known> {
        let language = self.language.name();
        Ok(match self.schemas.schema(*id)? {
            Found::Unknown => {
                Known::Bad(Cause::UnknownSchema, format!("the schema registry has no schema with id {id}"))
            }
            Found::Unusable(fact) => Known::Bad(Cause::Schema, format!("schema {id} cannot be used: {fact}")),
            Found::Schema(schema) if schema.language != self.language => {
                let other = schema.language.name();
                let text = format!("schema {id} is {other}, the topics file says {language}");
                Known::Bad(Cause::Schema, text)
            }
            Found::Schema(schema) => match (self.build)(*id, &schema, path) {
                Ok(shape) => Known::Shape(shape),
                Err(fact) => Known::Bad(Cause::Schema, format!("schema {id} cannot be used: {fact}")),
            },
        })
    }
}

/// Whether two keys are equal. Paths are mostly empty, and the library's comparison of no bytes at an address where
/// no memory is costs some processors more than the rest of a message.
fn same((id, path): &Key, (other_id, other_path): &Key) -> bool {
    id == other_id && path.len() == other_path.len() && path.iter().zip(other_path).all(|(a, b)| a == b)
}

/// The schema that a message names, and where its body begins.
fn frame(payload: Option<&[u8]>, has_path: bool) -> Result<(Key, usize), (Cause, String)> {
    let Some(payload) = payload else {
        let text = "the message has no payload; it should hold a schema id and a body";
        return Err((Cause::Tombstone, text.to_owned()));
    };
    let (first, id) = match payload {
        [] => return Err((Cause::Empty, "the payload is empty; it should hold a schema id".to_owned())),
        [first, a, b, c, d, ..] => (*first, u32::from_be_bytes([*a, *b, *c, *d])),
        [first, ..] => (*first, 0),
    };
    if first != 0 || payload.len() < HEADER {
        let text = "the message does not begin with a zero byte and a schema id of four bytes";
        return Err((Cause::NotFramed, text.to_owned()));
    }
    if !has_path {
        return Ok(((id, Vec::new()), HEADER));
    }
    let damaged = || (Cause::NotFramed, "the path of the message type is damaged".to_owned());
    let mut at = HEADER;
    let mut number = || {
        let (value, used) = zigzag(payload.get(at..)?)?;
        at += used;
        u32::try_from(value).ok()
    };
    let count = number().ok_or_else(damaged)? as usize;
    let path = match count {
        0 => vec![0],
        1..=PATH_MAX => (0..count).map(|_| number()).collect::<Option<_>>().ok_or_else(damaged)?,
        _ => return Err(damaged()),
    };
    Ok(((id, path), at))
}

/// A zigzag varint and the bytes it takes.
fn zigzag(bytes: &[u8]) -> Option<(i64, usize)> {
    let mut value: u64 = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * at as u32)?;
        if byte & 0x80 == 0 {
            return Some(((value >> 1) as i64 ^ -((value & 1) as i64), at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests;
