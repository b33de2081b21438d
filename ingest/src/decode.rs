//! Messages become columns, and those that cannot become rejects.
//!
//! A format (JSON now) fills the topic's fields as text, one row per good message; `exact` turns text into
//! the declared kinds without loss. Other formats implement [`Decode`] beside JSON.

pub(crate) mod exact;
pub(crate) mod json;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::reject::Reject;
use crate::source::raw::RawBatch;

/// A format of messages.
pub(crate) trait Decode: Send {
    /// Decodes every message of the batch: into a row, or into a reject.
    ///
    /// # Errors
    /// Never because of a message; only when columns cannot be put together.
    fn decode(&mut self, raw: &RawBatch) -> Result<Decoded, ArrowError>;
}

/// What became of a raw batch. Each message is in exactly one of `rows` and `rejects`.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// The topic's fields, all text.
    pub(crate) batch: RecordBatch,
    /// For each row of the batch the index of its message, rising.
    pub(crate) rows: Vec<u32>,
    pub(crate) rejects: Vec<Reject>,
}
