//! Messages of one partition, back to back in one buffer: no allocation per message.

use std::ops::Range;

use sluice_catalog::Anchor;

/// A batch is closed at this many messages, so that a column's offsets stay in the processor's cache.
pub(crate) const ROWS_MAX: usize = 8192;
/// A batch is closed at this many bytes; one larger message is a batch of its own.
pub(crate) const BYTES_MAX: usize = 2 << 20;

/// Messages in the order of their offsets.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawBatch {
    /// Index of the topic in the plan.
    pub(crate) topic: usize,
    /// The partition.
    pub(crate) partition: i32,
    /// The commit these messages belong to.
    pub(crate) epoch: u64,
    /// When they were taken from Kafka, in microseconds since 1970.
    pub(crate) ingested_at: i64,
    bytes: Vec<u8>,
    messages: Vec<Entry>,
    /// Where the values of the headers that choose tables lie, header by header, one a message.
    headers: Vec<Vec<Option<Range<usize>>>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: i64,
    timestamp: Option<i64>,
    start: usize,
    key_end: usize,
    end: usize,
    has_key: bool,
    has_payload: bool,
}

impl RawBatch {
    pub(crate) fn new(topic: usize, partition: i32) -> Self {
        Self { topic, partition, ..Self::default() }
    }

    /// The same batch, with room for the values of so many headers.
    pub(crate) fn with_headers(mut self, headers: usize) -> Self {
        self.headers = vec![Vec::new(); headers];
        self
    }

    /// An empty batch of the same partition, with room for a little more than this one needed, so that it rarely
    /// has to grow.
    pub(crate) fn successor(&self) -> Self {
        let roomy = |needed: usize| needed + needed / 16;
        let bytes = Vec::with_capacity(roomy(self.bytes.len()));
        let messages = Vec::with_capacity(roomy(self.messages.len()).min(ROWS_MAX));
        let fresh = Self::new(self.topic, self.partition).with_headers(self.headers.len());
        Self { bytes, messages, ..fresh }
    }

    /// Appends a message; `timestamp` is Kafka's, in milliseconds.
    pub(crate) fn push(
        &mut self,
        offset: i64,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key.unwrap_or_default());
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(payload.unwrap_or_default());
        let end = self.bytes.len();
        let (has_key, has_payload) = (key.is_some(), payload.is_some());
        self.messages.push(Entry { offset, timestamp, start, key_end, end, has_key, has_payload });
    }

    /// Gives the last message the value of a header; every message needs one of each.
    pub(crate) fn push_header(&mut self, header: usize, value: Option<&[u8]>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.headers[header].push(value.map(|_| start..self.bytes.len()));
    }

    /// Appends a message of another batch, with its headers.
    pub(crate) fn push_from(&mut self, other: &Self, message: usize) {
        let (offset, timestamp) = (other.offset(message), other.timestamp(message));
        self.push(offset, timestamp, other.key(message), other.payload(message));
        for header in 0..self.headers.len() {
            self.push_header(header, other.header(header, message));
        }
    }

    /// Whether another message belongs into the next batch.
    pub(crate) fn is_full(&self) -> bool {
        self.messages.len() >= ROWS_MAX || self.byte_count() >= BYTES_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Number of messages.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Bytes of all keys, payloads and the headers that are kept.
    pub(crate) fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes this batch keeps allocated.
    pub(crate) fn memory(&self) -> usize {
        let headers: usize = self.headers.iter().map(Vec::capacity).sum();
        self.bytes.capacity()
            + self.messages.capacity() * size_of::<Entry>()
            + headers * size_of::<Option<Range<usize>>>()
    }

    /// The offset of the first message.
    pub(crate) fn first_offset(&self) -> Option<i64> {
        self.messages.first().map(|message| message.offset)
    }

    pub(crate) fn offset(&self, index: usize) -> i64 {
        self.messages[index].offset
    }

    /// Kafka's timestamp in milliseconds.
    pub(crate) fn timestamp(&self, index: usize) -> Option<i64> {
        self.messages[index].timestamp
    }

    pub(crate) fn key(&self, index: usize) -> Option<&[u8]> {
        let entry = &self.messages[index];
        entry.has_key.then(|| self.slice(entry.start..entry.key_end))
    }

    /// The payload; `None` for a tombstone.
    pub(crate) fn payload(&self, index: usize) -> Option<&[u8]> {
        let entry = &self.messages[index];
        entry.has_payload.then(|| self.slice(entry.key_end..entry.end))
    }

    /// The value of a header; `None` where the message has none.
    pub(crate) fn header(&self, header: usize, index: usize) -> Option<&[u8]> {
        self.headers.get(header)?.get(index)?.clone().map(|place| self.slice(place))
    }

    /// The last message, in the form that a table remembers.
    pub(crate) fn anchor(&self) -> Option<Anchor> {
        let last = self.messages.last()?;
        Some(Anchor { offset: last.offset, crc32: crc32fast::hash(self.slice(last.start..last.end)) })
    }

    fn slice(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }
}

#[cfg(test)]
mod tests;
