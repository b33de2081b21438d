//! JSON objects, one per message, through arrow-json's push decoder, with the guards it needs.
//!
//! The decoder tokenises message after message into one tape and builds columns when it is flushed. It
//! does not know where a message ends and checks types only then, so:
//! 1. every message is screened first: present, UTF-8, an object by its first byte, not nested too deep
//!    (the decoder's error path recurses, which a hostile message could turn into a stack overflow);
//! 2. after every message the tape must have grown by exactly one whole row;
//! 3. when that fails, the decoder is thrown away, the bad messages are found one by one with small
//!    decoders, and only the good ones are decoded again;
//! 4. when a flush fails (a list or an object where a value belongs), the batch is halved until the
//!    messages at fault stand alone.
//!
//! All fields are read as text, numbers and booleans by their own spelling, so nothing is rounded here.
//! Of a field that occurs twice the last value counts; fields that nobody asked for are ignored.

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;
use arrow::record_batch::RecordBatch;

use super::{Decode, Decoded};
use crate::reject::{Cause, Reject};
use crate::source::raw::{ROWS_MAX, RawBatch};

/// Nesting beyond this is rejected.
const DEPTH_MAX: usize = 128;
/// Messages per decoder while looking for bad ones.
const BLOCK: usize = 256;
/// A decoder that held more than this is not kept, so that one huge message does not stay in memory.
const KEEP_BYTES_MAX: usize = 8 << 20;

/// Decodes the messages of one topic.
#[derive(Debug)]
pub(crate) struct Json {
    fields: SchemaRef,
    /// Empty and ready, or absent after a failure.
    decoder: Option<Decoder>,
}

/// Why a run of messages gave no batch.
#[derive(Debug)]
struct Stop {
    cause: Cause,
    text: String,
}

/// The good messages decoded so far, in pieces.
#[derive(Debug, Default)]
struct Pieces {
    batches: Vec<RecordBatch>,
    rows: Vec<u32>,
}

impl Decode for Json {
    fn decode(&mut self, raw: &RawBatch) -> Result<Decoded, ArrowError> {
        let mut rejects = Vec::new();
        let mut rows = Vec::with_capacity(raw.len());
        for message in 0..raw.len() as u32 {
            match screen(raw.payload(message as usize)) {
                Ok(()) => rows.push(message),
                Err(stop) => rejects.push(Reject::new(message, stop.cause, stop.text)),
            }
        }
        if let Ok(batch) = self.run(raw, &rows)? {
            return Ok(Decoded { batch, rows, rejects });
        }
        let mut pieces = Pieces::default();
        for block in self.sift(raw, &rows, &mut rejects)?.chunks(BLOCK) {
            self.halve(raw, block, &mut pieces, &mut rejects)?;
        }
        let batch = concat_batches(&self.fields, &pieces.batches)?;
        Ok(Decoded { batch, rows: pieces.rows, rejects })
    }
}

impl Json {
    /// A decoder for text columns `fields`.
    pub(crate) fn new(fields: SchemaRef) -> Self {
        Self { fields, decoder: None }
    }

    fn build(&self, rows: usize) -> Result<Decoder, ArrowError> {
        ReaderBuilder::new(SchemaRef::clone(&self.fields))
            .with_coerce_primitive(true)
            .with_batch_size(rows)
            .build_decoder()
    }

    /// Decodes the given messages as one batch, or says why that cannot be.
    fn run(&mut self, raw: &RawBatch, messages: &[u32]) -> Result<Result<RecordBatch, Stop>, ArrowError> {
        let small = messages.len() <= BLOCK;
        let ready = if small { None } else { self.decoder.take() };
        let mut decoder = match ready {
            Some(decoder) => decoder,
            None => self.build(if small { messages.len() + 1 } else { ROWS_MAX + 1 })?,
        };
        let mut bytes = 0;
        for &message in messages {
            let payload = raw.payload(message as usize).unwrap_or_default();
            bytes += payload.len();
            if let Err(stop) = feed(&mut decoder, payload) {
                return Ok(Err(stop));
            }
        }
        let batch = match decoder.flush() {
            Ok(Some(batch)) => batch,
            Ok(None) => RecordBatch::new_empty(SchemaRef::clone(&self.fields)),
            Err(error) => return Ok(Err(Stop { cause: Cause::WrongType, text: error.to_string() })),
        };
        if !small && bytes <= KEEP_BYTES_MAX {
            self.decoder = Some(decoder);
        }
        Ok(Ok(batch))
    }

    /// Keeps the messages that are one whole object, rejects the others.
    fn sift(
        &self,
        raw: &RawBatch,
        messages: &[u32],
        rejects: &mut Vec<Reject>,
    ) -> Result<Vec<u32>, ArrowError> {
        let mut good = Vec::with_capacity(messages.len());
        let mut decoder = self.build(BLOCK)?;
        for &message in messages {
            if decoder.len() >= BLOCK - 1 {
                decoder = self.build(BLOCK)?;
            }
            match feed(&mut decoder, raw.payload(message as usize).unwrap_or_default()) {
                Ok(()) => good.push(message),
                Err(stop) => {
                    rejects.push(Reject::new(message, stop.cause, stop.text));
                    decoder = self.build(BLOCK)?;
                }
            }
        }
        Ok(good)
    }

    /// Decodes the messages, halving until those that do not decode stand alone.
    fn halve(
        &mut self,
        raw: &RawBatch,
        messages: &[u32],
        pieces: &mut Pieces,
        rejects: &mut Vec<Reject>,
    ) -> Result<(), ArrowError> {
        match (self.run(raw, messages)?, messages) {
            (Ok(batch), _) => {
                pieces.batches.push(batch);
                pieces.rows.extend_from_slice(messages);
                Ok(())
            }
            (Err(stop), [message]) => {
                rejects.push(Reject::new(*message, stop.cause, stop.text));
                Ok(())
            }
            (Err(_), _) => {
                let (left, right) = messages.split_at(messages.len() / 2);
                self.halve(raw, left, pieces, rejects)?;
                self.halve(raw, right, pieces, rejects)
            }
        }
    }
}

/// Tokenises one message; the decoder is of no more use after an error.
fn feed(decoder: &mut Decoder, payload: &[u8]) -> Result<(), Stop> {
    let before = decoder.len();
    let several = || Stop {
        cause: Cause::SeveralValues,
        text: "more than one JSON value in one message; send one object per message".to_owned(),
    };
    match decoder.decode(payload) {
        Err(error) => {
            let after = decoder.len() > before + 1;
            let place = if after { " after the first object" } else { "" };
            Err(Stop { cause: Cause::Malformed, text: format!("{error}{place}") })
        }
        Ok(used) if used < payload.len() => Err(several()),
        Ok(_) if decoder.len() > before + 1 => Err(several()),
        Ok(_) if decoder.has_partial_record() || decoder.len() != before + 1 => Err(Stop {
            cause: Cause::Malformed,
            text: "the message ends before its JSON object does".to_owned(),
        }),
        Ok(_) => Ok(()),
    }
}

/// What can be said of a message without a decoder.
fn screen(payload: Option<&[u8]>) -> Result<(), Stop> {
    let stop = |cause, text: &str| Err(Stop { cause, text: text.to_owned() });
    let Some(payload) = payload else {
        return stop(Cause::Tombstone, "the message has no payload; an event is a JSON object");
    };
    let Some(first) = payload.iter().find(|byte| !byte.is_ascii_whitespace()) else {
        return stop(Cause::Empty, "the payload is empty; an event is a JSON object");
    };
    if let Err(error) = std::str::from_utf8(payload) {
        let place = error.valid_up_to();
        return Err(Stop { cause: Cause::InvalidUtf8, text: format!("invalid UTF-8 at byte {place}") });
    }
    if *first != b'{' {
        return stop(Cause::NotAnObject, "an event is a JSON object and begins with `{`");
    }
    if is_deep(payload) {
        return Err(Stop { cause: Cause::TooDeep, text: format!("nested deeper than {DEPTH_MAX} levels") });
    }
    Ok(())
}

fn is_deep(payload: &[u8]) -> bool {
    let brackets = payload.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if brackets <= DEPTH_MAX {
        return false;
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in payload {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
