//! Avro bodies, through arrow-avro's push decoder, with the guards it needs.
//!
//! After an error the decoder holds half a row, and it takes what follows a body for the next message. So:
//! 1. the schema is made harmless first ([`schema`]), and a body that would unpack beyond reason is not unpacked
//!    ([`weigh`]);
//! 2. every message must make exactly one row and use all of its bytes;
//! 3. after a message that does not, the decoder is thrown away; the messages before it, which are known to be
//!    good, are decoded again without it, so that each message is decoded twice at most;
//! 4. text is checked when rows become columns: if that fails, the run is halved until the messages at fault
//!    stand alone.
//!
//! All fields of the writer's schema are decoded, in its types.

mod schema;
mod weigh;

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow_avro::errors::AvroError;
use arrow_avro::reader::{Decoder, ReaderBuilder};
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};

use super::Decoded;
use super::framed::{Body, HEADER, Shape};
use crate::registry::SchemaText;
use crate::reject::{Cause, Reject};
use crate::source::raw::{ROWS_MAX, RawBatch};

/// What is wrong with a message that goes on behind its record.
const FOLLOWED: &str = "bytes follow the record";

/// Messages of one writer's schema.
struct Avro {
    id: u32,
    text: String,
    scales: weigh::Scales,
    fields: SchemaRef,
    /// Empty and ready, or absent after a failure.
    decoder: Option<Decoder>,
}

/// A decoder for a schema from the registry.
pub(super) fn shape(id: u32, schema: &SchemaText, _: &[u32]) -> Result<Box<dyn Shape>, String> {
    let text = schema::expand(&schema.text, &schema.references)?;
    let decoder = build(id, &text).map_err(|error| error.to_string())?;
    let fields = decoder.schema();
    let scales = weigh::Scales::new(&text)?;
    Ok(Box::new(Avro { id, text, scales, fields, decoder: Some(decoder) }))
}

/// The columns of a schema.
pub(crate) fn fields(schema: &SchemaText) -> Result<Schema, String> {
    let text = schema::expand(&schema.text, &schema.references)?;
    let decoder = build(0, &text).map_err(|error| error.to_string())?;
    Ok(decoder.schema().as_ref().clone())
}

/// A decoder of messages that are framed with `id`.
fn build(id: u32, text: &str) -> Result<Decoder, ArrowError> {
    let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    store.set(Fingerprint::Id(id), AvroSchema::new(text.to_owned()))?;
    ReaderBuilder::new().with_writer_schema_store(store).with_batch_size(ROWS_MAX + 1).build_decoder()
}

impl Shape for Avro {
    fn decode(&mut self, raw: &RawBatch, bodies: &[Body]) -> Result<Decoded, ArrowError> {
        let mut pieces = Pieces::default();
        let mut rest = bodies;
        while !rest.is_empty() {
            let mut decoder = self.ready()?;
            let bad = rest.iter().enumerate().find_map(|(at, body)| {
                let fed = self.scales.check(body.of(raw));
                let fed = fed.and_then(|()| feed(&mut decoder, body.message_of(raw)));
                let fed = fed.and_then(|()| self.ends(body.message_of(raw)));
                fed.err().map(|fault| (at, fault))
            });
            let Some((at, fault)) = bad else {
                self.finish(raw, rest, decoder, &mut pieces)?;
                break;
            };
            pieces.rejects.push(Reject::new(rest[at].message, Cause::Malformed, fault));
            self.again(raw, &rest[..at], &mut pieces)?;
            rest = &rest[at + 1..];
        }
        let batch = concat_batches(&self.fields, &pieces.batches)?;
        Ok(Decoded { batch, rows: pieces.rows, rejects: pieces.rejects })
    }
}

/// What became of messages so far.
#[derive(Default)]
struct Pieces {
    batches: Vec<RecordBatch>,
    rows: Vec<u32>,
    rejects: Vec<Reject>,
}

impl Avro {
    fn ready(&mut self) -> Result<Decoder, ArrowError> {
        match self.decoder.take() {
            Some(decoder) => Ok(decoder),
            None => build(self.id, &self.text),
        }
    }

    /// Refuses a message whose record is followed by its own header. The decoder takes that for the begin of the next
    /// message and says nothing; the next one would then be read as what follows.
    fn ends(&self, message: &[u8]) -> Result<(), String> {
        match message.split_last_chunk::<HEADER>() {
            Some((record, tail)) if record.starts_with(tail) => {
                let mut decoder = build(self.id, &self.text).map_err(|error| error.to_string())?;
                feed(&mut decoder, record).map_or(Ok(()), |()| Err(FOLLOWED.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Makes columns of messages that were fed; text that is none is found by halving.
    fn finish(
        &mut self,
        raw: &RawBatch,
        bodies: &[Body],
        mut decoder: Decoder,
        pieces: &mut Pieces,
    ) -> Result<(), ArrowError> {
        let flushed = catch_unwind(AssertUnwindSafe(|| decoder.flush()));
        let damage = || AvroError::ParseError("a value in the message is out of range".to_owned());
        match flushed.unwrap_or_else(|_| Err(damage())) {
            Ok(Some(batch)) => {
                self.decoder = Some(decoder);
                pieces.batches.push(batch);
                pieces.rows.extend(bodies.iter().map(|body| body.message));
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => match bodies {
                [body] => {
                    let text = error.to_string();
                    let cause = if text.contains("UTF-8") { Cause::InvalidUtf8 } else { Cause::Malformed };
                    pieces.rejects.push(Reject::new(body.message, cause, text));
                    Ok(())
                }
                _ => {
                    let (left, right) = bodies.split_at(bodies.len() / 2);
                    self.again(raw, left, pieces)?;
                    self.again(raw, right, pieces)
                }
            },
        }
    }

    /// Decodes messages that are known to be whole records.
    fn again(&mut self, raw: &RawBatch, bodies: &[Body], pieces: &mut Pieces) -> Result<(), ArrowError> {
        if bodies.is_empty() {
            return Ok(());
        }
        let mut decoder = self.ready()?;
        for body in bodies {
            feed(&mut decoder, body.message_of(raw)).map_err(ArrowError::ParseError)?;
        }
        self.finish(raw, bodies, decoder, pieces)
    }
}

/// Decodes one message; the decoder is of no more use after an error.
fn feed(decoder: &mut Decoder, message: &[u8]) -> Result<(), String> {
    let room = decoder.capacity();
    // A damaged count can make the decoder panic where overflows are checked; it is thrown away then.
    let fed = catch_unwind(AssertUnwindSafe(|| decoder.decode(message)));
    let short = || "the message ends before its record does".to_owned();
    match fed.map_err(|_| "a count in the message is out of range".to_owned())? {
        Err(error) if decoder.capacity() + 1 == room => Err(format!("{FOLLOWED} ({error})")),
        Err(error) => Err(error.to_string()),
        Ok(_) if decoder.capacity() == room => Err(short()),
        Ok(used) if used == message.len() && decoder.capacity() + 1 == room => Ok(()),
        Ok(_) => Err(FOLLOWED.to_owned()),
    }
}

#[cfg(test)]
mod tests;
