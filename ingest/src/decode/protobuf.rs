//! Protobuf bodies, from the wire straight into columns.
//!
//! ```text
//! schema text -> descriptors (schema) -> columns (message, leaf) <- occurrences of fields (wire) <- body
//! ```
//!
//! All fields of the writer's message type are decoded. Fields that its schema does not know are skipped, as every
//! reader of Protobuf does: nobody can say what they are.

mod leaf;
mod message;
mod schema;
mod wire;

use std::sync::Arc;

use arrow::array::RecordBatchOptions;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use self::message::Message;
use super::Decoded;
use super::framed::{Body, Shape};
use crate::registry::SchemaText;
use crate::reject::{Cause, Reject};
use crate::source::raw::RawBatch;

/// A message that unpacks to more values than this is rejected.
const VALUES_MAX: u64 = 4_000_000;

/// Messages of one message type of one schema.
struct Protobuf {
    message: Message,
    fields: SchemaRef,
}

/// A decoder for a schema from the registry, and the message type at `path` in it.
pub(super) fn shape(_: u32, text: &SchemaText, path: &[u32]) -> Result<Box<dyn Shape>, String> {
    let pool = schema::compile(text)?;
    let message = schema::columns(&schema::message_at(&pool, path)?)?;
    let fields = Arc::new(Schema::new(message.arrow_fields()));
    Ok(Box::new(Protobuf { message, fields }))
}

/// The columns of the message type at `path`.
pub(crate) fn fields(text: &SchemaText, path: &[u32]) -> Result<Schema, String> {
    let pool = schema::compile(text)?;
    Ok(Schema::new(schema::columns(&schema::message_at(&pool, path)?)?.arrow_fields()))
}

impl Shape for Protobuf {
    fn decode(&mut self, raw: &RawBatch, bodies: &[Body]) -> Result<Decoded, ArrowError> {
        let (mut rows, mut rejects) = (Vec::with_capacity(bodies.len()), Vec::new());
        for body in bodies {
            let before = self.message.len;
            match self.message.push(&[body.of(raw)], &mut VALUES_MAX.clone()) {
                Ok(()) => rows.push(body.message),
                Err(fault) => {
                    self.message.truncate(before);
                    rejects.push(Reject::new(body.message, Cause::Malformed, fault));
                }
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let columns = self.message.finish()?;
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.fields), columns, &options)?;
        Ok(Decoded { batch, rows, rejects })
    }
}

#[cfg(test)]
mod tests;
