//! Messages of all owned partitions, many a call.
//!
//! ```text
//! partition's own queue of the library --forwarded--> one queue -- take --> Taken: messages, one after the other
//! ```
//!
//! The safe binding gives one message a call, and makes an event object, takes a lock and reads the clock several
//! times for each; the library's call for many does that once. This is the one module of the crate that calls the
//! library itself.
//!
//! Invariants:
//! - What is said of the group comes from the consumer's own queue, which has to be polled as well. No message
//!   comes from there: its partition is forwarded before it is assigned.
//! - Forwarding stays, except that the library takes it away when it stops to read a partition, at a time of its
//!   own. A partition that is assigned again at that moment would be silent for ever, so whoever owns partitions
//!   forwards them again now and then.
//! - Messages that were overtaken by a new assignment or a pause are left out by the library.
#![expect(unsafe_code, reason = "the binding does not have the library's call for many messages")]

use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{IsError, KafkaError, KafkaResult};
use rdkafka::types::{RDKafkaMessage, RDKafkaQueue};

use super::client::Context;

/// Where the messages of all forwarded partitions come together.
pub(super) struct Messages {
    queue: NonNull<RDKafkaQueue>,
    consumer: Arc<BaseConsumer<Context>>,
}

// SAFETY: the library's queues may be used by any thread.
unsafe impl Send for Messages {}

impl Messages {
    /// A queue of its own beside the consumer's.
    pub(super) fn new(consumer: Arc<BaseConsumer<Context>>) -> KafkaResult<Self> {
        // SAFETY: the client lives as long as the consumer, and that as long as `self`.
        let queue = unsafe { bindings::rd_kafka_queue_new(consumer.client().native_ptr()) };
        match NonNull::new(queue) {
            Some(queue) => Ok(Self { queue, consumer }),
            None => Err(KafkaError::ClientCreation("no queue".to_owned())),
        }
    }

    /// Makes the messages of a partition come here; again is harmless. A name that Kafka cannot have has none.
    pub(super) fn forward(&self, topic: &str, partition: i32) {
        let Ok(topic) = CString::new(topic) else { return };
        // SAFETY: client and queue live as long as `self`; the partition's queue is given back once.
        unsafe {
            let client = self.consumer.client().native_ptr();
            let own = bindings::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition);
            if !own.is_null() {
                bindings::rd_kafka_queue_forward(own, self.queue.as_ptr());
                bindings::rd_kafka_queue_destroy(own);
            }
        }
    }

    /// Takes up to `most` messages. Waits until as many are there, but not longer than this.
    pub(super) fn take(&self, most: usize, wait: Duration) -> Taken {
        let mut messages = Vec::<*mut RDKafkaMessage>::with_capacity(most);
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the library writes up to `most` pointers into the room that is there for them, and says how many.
        unsafe {
            let (queue, room) = (self.queue.as_ptr(), messages.as_mut_ptr());
            let count = bindings::rd_kafka_consume_batch_queue(queue, wait, room, most);
            messages.set_len(usize::try_from(count).unwrap_or(0));
        }
        let messages = messages.into_iter().filter_map(NonNull::new).map(Message).collect();
        Taken { messages, _consumer: Arc::clone(&self.consumer) }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and not given back before.
        unsafe { bindings::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// Messages in the order of their offsets within each partition.
pub(super) struct Taken {
    messages: Vec<Message>,
    /// Messages must not outlive the client.
    _consumer: Arc<BaseConsumer<Context>>,
}

impl Taken {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Messages of one partition that follow each other; a fault stands alone.
    pub(super) fn runs(&self) -> impl Iterator<Item = &[Message]> {
        let sound = |message: &Message| !message.native().err.is_error();
        self.messages.chunk_by(move |one, next| one.source() == next.source() && sound(one) && sound(next))
    }
}

/// A message, or what the library says of a partition instead of one.
#[repr(transparent)]
pub(super) struct Message(NonNull<RDKafkaMessage>);

impl Message {
    fn native(&self) -> &RDKafkaMessage {
        // SAFETY: the library's, until `drop` gives it back.
        unsafe { self.0.as_ref() }
    }

    /// The library's handle of the topic, the same for all messages of it, and the partition.
    pub(super) fn source(&self) -> (usize, i32) {
        (self.native().rkt as usize, self.native().partition)
    }

    pub(super) fn topic(&self) -> String {
        let topic = self.native().rkt;
        if topic.is_null() {
            return String::new();
        }
        // SAFETY: the topic lives as long as the message.
        unsafe { CStr::from_ptr(bindings::rd_kafka_topic_name(topic)) }.to_string_lossy().into_owned()
    }

    /// What is said instead of a message.
    pub(super) fn fault(&self) -> Option<KafkaError> {
        let code = self.native().err;
        code.is_error().then(|| KafkaError::MessageConsumption(code.into()))
    }

    pub(super) fn offset(&self) -> i64 {
        self.native().offset
    }

    /// Kafka's timestamp in milliseconds.
    pub(super) fn timestamp(&self) -> Option<i64> {
        let mut kind = bindings::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: reads the message, writes `kind`.
        let timestamp = unsafe { bindings::rd_kafka_message_timestamp(self.0.as_ptr(), &raw mut kind) };
        let known = kind != bindings::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        (known && timestamp != -1).then_some(timestamp)
    }

    pub(super) fn key(&self) -> Option<&[u8]> {
        // SAFETY: so many bytes of the message.
        unsafe { bytes(self.native().key.cast(), self.native().key_len) }
    }

    /// The payload; `None` for a tombstone.
    pub(super) fn payload(&self) -> Option<&[u8]> {
        // SAFETY: so many bytes of the message.
        unsafe { bytes(self.native().payload.cast(), self.native().len) }
    }

    /// The last value of a header; `None` where it is not there or null.
    pub(super) fn header(&self, name: &CStr) -> Option<&[u8]> {
        let (mut headers, mut value, mut size) = (ptr::null_mut(), ptr::null(), 0);
        // SAFETY: what the library writes points into the message, and is read only after it says that it did.
        unsafe {
            if bindings::rd_kafka_message_headers(self.0.as_ptr(), &raw mut headers).is_error() {
                return None;
            }
            let found =
                bindings::rd_kafka_header_get_last(headers, name.as_ptr(), &raw mut value, &raw mut size);
            if found.is_error() { None } else { bytes(value.cast(), size) }
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: taken from a queue, and not given back before.
        unsafe { bindings::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// # Safety
///
/// A pointer that is not null must be that of so many bytes, which live as long as the message.
unsafe fn bytes<'a>(start: *const u8, length: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start, length) })
}

#[cfg(test)]
mod tests;
