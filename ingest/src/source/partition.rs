//! One owned partition: its position, the range of the open epoch and the buffer being filled.

use std::ffi::CString;

use sluice_catalog::{Anchor, OffsetRange};

use super::messages::Message;
use super::raw::RawBatch;

#[derive(Debug)]
pub(crate) struct Partition {
    buffer: RawBatch,
    /// The headers that choose tables; none for a name that no header can have.
    headers: Vec<Option<CString>>,
    /// Where the open epoch's range starts: the end of the previous one.
    start: i64,
    /// One past the last message taken.
    position: i64,
    anchor: Option<Anchor>,
    /// Its messages are ignored: the group is taking it away.
    pub(crate) revoked: bool,
}

impl Partition {
    pub(crate) fn new(topic: usize, partition: i32, offset: i64, headers: &[String]) -> Self {
        Self {
            buffer: RawBatch::new(topic, partition).with_headers(headers.len()),
            headers: headers.iter().map(|name| CString::new(name.as_str()).ok()).collect(),
            start: offset,
            position: offset,
            anchor: None,
            revoked: false,
        }
    }

    /// Takes messages until the buffer is full and tells how many; passes over those that were taken already or
    /// that nobody waits for any more.
    pub(super) fn push(&mut self, messages: &[Message]) -> usize {
        for (at, message) in messages.iter().enumerate() {
            if self.revoked || message.offset() < self.position {
                continue;
            }
            if self.buffer.is_full() {
                return at;
            }
            self.buffer.push(message.offset(), message.timestamp(), message.key(), message.payload());
            for (header, name) in self.headers.iter().enumerate() {
                self.buffer.push_header(header, name.as_ref().and_then(|name| message.header(name)));
            }
            self.position = message.offset() + 1;
        }
        messages.len()
    }

    /// Bytes in the buffer.
    pub(super) fn byte_count(&self) -> usize {
        self.buffer.byte_count()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.buffer.is_full()
    }

    pub(crate) fn has_messages(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The buffered messages as a batch of `epoch`.
    pub(crate) fn cut(&mut self, epoch: u64, now_micros: i64) -> Option<RawBatch> {
        if self.buffer.is_empty() {
            return None;
        }
        let fresh = self.buffer.successor();
        let mut raw = std::mem::replace(&mut self.buffer, fresh);
        (raw.epoch, raw.ingested_at) = (epoch, now_micros);
        self.anchor = raw.anchor();
        Some(raw)
    }

    /// Ends the epoch; `None` when it has no message of this partition.
    pub(crate) fn seal(&mut self) -> Option<OffsetRange> {
        let anchor = self.anchor.take()?;
        let range = OffsetRange { start: self.start, end: self.position, anchor: Some(anchor) };
        self.start = self.position;
        Some(range)
    }
}
