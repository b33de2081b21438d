//! Questions to Kafka that do not belong to the group: does a topic exist, what does a partition hold,
//! is the record that a table remembers still the one in the log.
//!
//! All calls block; they run on threads for blocking work, while a partition is being assigned.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use sluice_catalog::Anchor;

use super::client::{Quiet, list};
use crate::error::{Error, Result};
use crate::kafka::{KafkaSettings, redact};

const TIMEOUT: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(200);
const QUEUE_KBYTES: usize = 4096;

/// A client for questions.
pub(crate) struct Probe {
    consumer: BaseConsumer<Quiet>,
    brokers: String,
}

impl Probe {
    pub(crate) fn new(settings: &KafkaSettings, group: &str) -> Result<Self> {
        let mut config = settings.consumer_config(group, QUEUE_KBYTES);
        config.set("enable.partition.eof", "true").set("statistics.interval.ms", "0");
        let consumer =
            BaseConsumer::from_config_and_context(&config, Quiet).map_err(|source| Error::Kafka {
                action: "set up a Kafka client".to_owned(),
                brokers: settings.brokers.clone(),
                source: Box::new(redact(source)),
                remedy: "check the Kafka options against librdkafka's list of configuration properties",
            })?;
        Ok(Self { consumer, brokers: settings.brokers.clone() })
    }

    /// The cluster's id; `unknown` when the broker has none.
    pub(crate) fn cluster_id(&self) -> String {
        self.consumer.client().fetch_cluster_id(TIMEOUT).unwrap_or_else(|| "unknown".to_owned())
    }

    /// The names of all topics that can be read.
    pub(crate) fn topics(&self) -> Result<Vec<String>> {
        let metadata = self.consumer.fetch_metadata(None, TIMEOUT);
        let metadata = metadata.map_err(|source| self.error("list the topics".to_owned(), source))?;
        let usable =
            metadata.topics().iter().filter(|it| it.error().is_none() && !it.partitions().is_empty());
        Ok(usable.map(|topic| topic.name().to_owned()).collect())
    }

    /// How many partitions the topic has.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`] when Kafka answers that there is no such topic.
    pub(crate) fn partitions(&self, topic: &str) -> Result<i32> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(topic), TIMEOUT)
            .map_err(|source| self.error(format!("read the metadata of topic `{topic}`"), source))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let error = found.and_then(|found| found.error()).map(RDKafkaErrorCode::from);
        match (found, error) {
            (Some(found), None) if !found.partitions().is_empty() => {
                Ok(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX))
            }
            (None, _) | (_, None | Some(RDKafkaErrorCode::UnknownTopicOrPartition)) => {
                Err(Error::UnknownTopic { topic: topic.to_owned(), brokers: self.brokers.clone() })
            }
            (_, Some(code)) => {
                let source = KafkaError::MetadataFetch(code);
                Err(self.error(format!("read the metadata of topic `{topic}`"), source))
            }
        }
    }

    /// The first offset and the end of what readers may see. A partition without a leader, as one of a
    /// topic just created, is asked again for a while.
    pub(crate) fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64)> {
        let until = Instant::now() + TIMEOUT;
        loop {
            match self.consumer.fetch_watermarks(topic, partition, TIMEOUT) {
                Ok(watermarks) => return Ok(watermarks),
                Err(error)
                    if error.rdkafka_error_code().is_some_and(is_passing) && Instant::now() < until =>
                {
                    std::thread::sleep(RETRY);
                }
                Err(source) => {
                    return Err(
                        self.error(format!("read the offsets of `{topic}` partition {partition}"), source)
                    );
                }
            }
        }
    }

    /// The offset of the last record that a reader gets; `None` for an empty partition. Usually the one before the
    /// end; after transactions and compaction there are holes, so the search goes further back step by step.
    pub(crate) fn last_record(
        &self,
        topic: &str,
        partition: i32,
        low: i64,
        high: i64,
    ) -> Result<Option<i64>> {
        let (mut from, mut until) = (high - 1, high);
        while until > low {
            from = from.max(low);
            let mut last = None;
            let mut next = from;
            // Each step reads forward from `from`; there is seldom more than one record to see.
            while next < until {
                let found = self.records(topic, &BTreeMap::from([(partition, next)]))?;
                match found.get(&partition) {
                    Some(record) if record.offset < until => {
                        last = Some(record.offset);
                        next = record.offset + 1;
                    }
                    _ => break,
                }
            }
            if last.is_some() {
                return Ok(last);
            }
            (from, until) = (from - (high - from) * 4, from);
        }
        Ok(None)
    }

    /// For each partition the first record at or after the offset; absent when there is none.
    pub(crate) fn records(&self, topic: &str, wanted: &BTreeMap<i32, i64>) -> Result<BTreeMap<i32, Anchor>> {
        let action = || format!("read back the last landed records of `{topic}`");
        self.read(topic, wanted, Instant::now() + TIMEOUT).map_err(|source| self.error(action(), source))
    }

    fn read(
        &self,
        topic: &str,
        wanted: &BTreeMap<i32, i64>,
        until: Instant,
    ) -> KafkaResult<BTreeMap<i32, Anchor>> {
        let offsets = wanted.iter().map(|(partition, offset)| (topic, *partition, Offset::Offset(*offset)));
        self.consumer.assign(&list(offsets)?)?;
        let mut found = BTreeMap::new();
        let mut open: Vec<i32> = wanted.keys().copied().collect();
        while !open.is_empty() {
            if Instant::now() > until {
                return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
            }
            match self.consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(message)) => {
                    let partition = message.partition();
                    if open.contains(&partition) {
                        let mut crc = crc32fast::Hasher::new();
                        crc.update(message.key().unwrap_or_default());
                        crc.update(message.payload().unwrap_or_default());
                        found.insert(partition, Anchor { offset: message.offset(), crc32: crc.finalize() });
                        open.retain(|other| *other != partition);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => open.retain(|other| *other != partition),
                Some(Err(KafkaError::MessageConsumption(code))) if is_passing(code) => {}
                Some(Err(error)) => return Err(error),
            }
        }
        self.consumer.unassign()?;
        Ok(found)
    }

    fn error(&self, action: String, source: KafkaError) -> Error {
        let (brokers, remedy) =
            (self.brokers.clone(), "check that Kafka runs there and that this address is right");
        Error::Kafka { action, brokers, source: Box::new(source), remedy }
    }
}

/// Errors that the client library recovers from by itself.
pub(crate) fn is_passing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::CoordinatorLoadInProgress
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::RebalanceInProgress
            | RDKafkaErrorCode::NoOffset
    )
}
