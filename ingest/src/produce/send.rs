//! The sending end: one idempotent producer, every message accounted for by its delivery report.
//!
//! A message is `sent` when all in-sync replicas have it, `failed` when the library gave up on it. A full
//! queue is back-pressure: the sender serves delivery reports until there is room.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use serde::Serialize;

use super::Compression;
use super::error::Error;
use crate::broker::{self, Heard};
use crate::kafka::{KafkaSettings, redact};

/// Counters of a running producer, readable at any time.
#[derive(Debug, Default)]
pub struct Progress {
    sent: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
}

/// What became of the messages of one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TopicCounts {
    /// Acknowledged by the broker; includes the malformed ones.
    pub sent: u64,
    /// Given up on.
    pub failed: u64,
    /// Malformed on purpose, among those sent.
    pub bad: u64,
}

impl Progress {
    /// Messages acknowledged by the broker.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Messages given up on.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Bytes of payload in the messages acknowledged.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    failed: AtomicU64,
    bad: AtomicU64,
}

/// Receives delivery reports. A message's opaque is `2 * topic + bad`.
struct Deliveries {
    heard: Heard,
    progress: Arc<Progress>,
    topics: Vec<Counts>,
    failure: Mutex<Option<String>>,
}

impl Deliveries {
    fn failed(&self, topic: usize, error: &KafkaError) {
        self.topics[topic].failed.fetch_add(1, Ordering::Relaxed);
        self.progress.failed.fetch_add(1, Ordering::Relaxed);
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| error.to_string());
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.heard.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.heard.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let topic = opaque / 2;
        match result {
            Ok(message) => {
                self.topics[topic].sent.fetch_add(1, Ordering::Relaxed);
                self.topics[topic].bad.fetch_add((opaque % 2) as u64, Ordering::Relaxed);
                self.progress.sent.fetch_add(1, Ordering::Relaxed);
                self.progress.bytes.fetch_add(message.payload_len() as u64, Ordering::Relaxed);
            }
            Err((error, _)) => self.failed(topic, error),
        }
    }
}

/// A producer for a fixed list of topics.
pub(crate) struct Sender {
    producer: BaseProducer<Deliveries>,
    topics: Vec<String>,
    /// Sends since delivery reports were last served.
    unserved: u32,
}

/// What a finished sender has to say.
pub(crate) struct Sent {
    pub(crate) by_topic: BTreeMap<String, TopicCounts>,
    pub(crate) first_failure: Option<String>,
}

impl Sender {
    /// Connects and checks that every topic exists; blocks until the cluster has answered.
    pub(crate) fn connect(
        kafka: &KafkaSettings,
        compression: Compression,
        topics: Vec<String>,
        progress: Arc<Progress>,
        remedy: &'static str,
    ) -> Result<Self, Error> {
        let heard = Heard::default();
        let deliveries = Deliveries {
            heard: heard.clone(),
            progress,
            topics: topics.iter().map(|_| Counts::default()).collect(),
            failure: Mutex::default(),
        };
        let producer: Result<BaseProducer<Deliveries>, KafkaError> =
            config(kafka, compression).create_with_context(deliveries);
        let producer = producer.map_err(|error| Error::Options { reason: redact(error).to_string() })?;
        let metadata = broker::metadata(&producer, &heard)
            .map_err(|reason| Error::Unreachable { brokers: kafka.brokers.clone(), reason })?;
        let exists = |name: &str| metadata.topics().iter().any(|topic| topic.name() == name);
        if let Some(topic) = topics.iter().find(|topic| !exists(topic)) {
            return Err(Error::MissingTopic { topic: topic.clone(), brokers: kafka.brokers.clone(), remedy });
        }
        Ok(Self { producer, topics, unserved: 0 })
    }

    /// Hands a message over; waits while the queue is full. A message that the library refuses is counted
    /// as failed.
    pub(crate) fn send(&mut self, topic: usize, bad: bool, key: &[u8], payload: &[u8]) {
        let opaque = 2 * topic + usize::from(bad);
        let mut record = BaseRecord::with_opaque_to(&self.topics[topic], opaque).key(key).payload(payload);
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(Duration::from_millis(2));
                }
                Err((error, _)) => {
                    self.producer.context().failed(topic, &error);
                    break;
                }
            }
        }
        self.unserved += 1;
        if self.unserved >= 256 {
            self.serve(Duration::ZERO);
        }
    }

    /// Serves delivery reports for this long.
    pub(crate) fn serve(&mut self, time: Duration) {
        self.producer.poll(time);
        self.unserved = 0;
    }

    /// Waits until every message is either acknowledged or given up on (at the latest after the library's
    /// `message.timeout.ms`).
    pub(crate) fn finish(self) -> Sent {
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(5));
        }
        let deliveries = self.producer.context();
        let counts = |counts: &Counts| TopicCounts {
            sent: counts.sent.load(Ordering::Relaxed),
            failed: counts.failed.load(Ordering::Relaxed),
            bad: counts.bad.load(Ordering::Relaxed),
        };
        let by_topic = self.topics.iter().cloned().zip(deliveries.topics.iter().map(counts)).collect();
        let first_failure = deliveries.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Sent { by_topic, first_failure }
    }
}

fn config(kafka: &KafkaSettings, compression: Compression) -> rdkafka::ClientConfig {
    let mut config = rdkafka::ClientConfig::new();
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", compression.name())
        // Keys go where Java producers send them.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "20")
        .set("message.timeout.ms", "60000")
        .set("queue.buffering.max.messages", "400000")
        .set("queue.buffering.max.kbytes", "131072");
    // The user's own options come last and win.
    for (key, value) in kafka.client_config().config_map() {
        config.set(key, value);
    }
    config
}
