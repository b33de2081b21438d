//! Messages become columns, and those that cannot become rejects.
//!
//! ```text
//! JSON, text, CSV -> the fields that routes ask for, as text                    one batch
//! Avro, Protobuf  -> all fields that the writer's schema has, in its types      one batch per schema
//! ```
//!
//! `fit` makes columns of the declared types of either, without loss.

pub(crate) mod avro;
pub(crate) mod debezium;
pub(crate) mod exact;
pub(crate) mod fit;
pub(crate) mod framed;
pub(crate) mod json;
pub(crate) mod line;
pub(crate) mod nested;
pub(crate) mod protobuf;

use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::error::{Error, Result};
use crate::plan::TopicPlan;
use crate::registry::Lookup;
use crate::reject::Reject;
use crate::source::raw::RawBatch;
use crate::topics::Format;

/// A format of messages whose fields are known beforehand.
pub(crate) trait Decode: Send {
    /// Decodes every message of the batch: into a row, or into a reject.
    ///
    /// # Errors
    /// Never because of a message; only when columns cannot be put together.
    fn decode(&mut self, raw: &RawBatch) -> Result<Decoded, ArrowError>;
}

/// Messages of one shape. Each message of a raw batch is, over all that it became, in exactly one of `rows`
/// and `rejects`.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// One column a field; text where the format has no types.
    pub(crate) batch: RecordBatch,
    /// For each row of the batch the index of its message, rising.
    pub(crate) rows: Vec<u32>,
    pub(crate) rejects: Vec<Reject>,
}

impl Decoded {
    /// Only rejects.
    pub(crate) fn nothing(rejects: Vec<Reject>) -> Self {
        Self { batch: RecordBatch::new_empty(Arc::new(Schema::empty())), rows: Vec::new(), rejects }
    }
}

/// The decoder of a topic.
pub(crate) enum Decoder {
    /// The schema is the topics file's.
    Known(Box<dyn Decode>),
    /// The schema comes with each message.
    Framed(framed::Framed),
}

impl Decoder {
    /// A decoder for the messages of `topic`; schemas are asked for at `registry`.
    ///
    /// # Errors
    /// [`Error::NoRegistry`] when the format needs one.
    pub(crate) fn new(topic: &TopicPlan, registry: Option<&Arc<Lookup>>) -> Result<Self> {
        let registered = || registry.cloned().ok_or_else(|| Error::NoRegistry { topic: topic.name.clone() });
        Ok(match &topic.format {
            Format::Json => {
                let json = json::Json::new(&topic.fields);
                Self::Known(Box::new(match &topic.others {
                    Some(unshared) => json.with_others(unshared.clone()),
                    None => json,
                }))
            }
            Format::Text => Self::Known(Box::new(line::Text)),
            Format::Csv(csv) => Self::Known(Box::new(line::Csv::new(csv))),
            Format::Avro => Self::Framed(framed::Framed::avro(registered()?)),
            Format::Protobuf => Self::Framed(framed::Framed::protobuf(registered()?)),
        })
    }

    /// Decodes every message of the batch.
    ///
    /// # Errors
    /// When columns cannot be put together, or when the registry does not answer: then no message was judged.
    pub(crate) fn decode(&mut self, raw: &RawBatch) -> Result<Vec<Decoded>> {
        match self {
            Self::Known(format) => Ok(vec![format.decode(raw).map_err(Error::Columns)?]),
            Self::Framed(framed) => framed.decode(raw),
        }
    }
}

#[cfg(test)]
mod tests;
