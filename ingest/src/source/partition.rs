//! One owned partition: its position, the range of the open epoch and the buffer being filled.

use std::sync::Arc;

use rdkafka::message::{BorrowedMessage, Headers, Message};
use sluice_catalog::{Anchor, OffsetRange};

use super::raw::RawBatch;

#[derive(Debug)]
pub(crate) struct Partition {
    buffer: RawBatch,
    /// The headers that choose tables.
    headers: Arc<[String]>,
    /// Where the open epoch's range starts: the end of the previous one.
    start: i64,
    /// One past the last message taken.
    position: i64,
    anchor: Option<Anchor>,
    /// Its messages are ignored: the group is taking it away.
    pub(crate) revoked: bool,
}

impl Partition {
    pub(crate) fn new(topic: usize, partition: i32, offset: i64, headers: Arc<[String]>) -> Self {
        Self {
            buffer: RawBatch::new(topic, partition).with_headers(headers.len()),
            headers,
            start: offset,
            position: offset,
            anchor: None,
            revoked: false,
        }
    }

    /// Takes a message and tells its bytes; refuses one that was taken already or that nobody waits for any more.
    pub(crate) fn push(&mut self, message: &BorrowedMessage<'_>) -> Option<usize> {
        if self.revoked || message.offset() < self.position {
            return None;
        }
        let before = self.buffer.byte_count();
        let timestamp = message.timestamp().to_millis();
        self.buffer.push(message.offset(), timestamp, message.key(), message.payload());
        for (header, name) in self.headers.iter().enumerate() {
            let found =
                message.headers().and_then(|headers| headers.iter().filter(|it| it.key == name).last());
            self.buffer.push_header(header, found.and_then(|found| found.value));
        }
        self.position = message.offset() + 1;
        Some(self.buffer.byte_count() - before)
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
