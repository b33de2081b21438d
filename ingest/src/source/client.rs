//! The consumer's callbacks: rebalances are noted as events, figures and log lines are passed on.
//!
//! A rebalance is not answered here: the pipeline first commits or looks where to start, then answers
//! with an assignment of its own. Only when the consumer is being closed is a revocation answered at once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use crate::pipeline::now_micros;
use crate::progress::Progress;

/// A topic's name and a partition.
pub(crate) type Named = (String, i32);

/// What the group's coordinator decided.
#[derive(Debug)]
pub(crate) enum Rebalance {
    Assign(Vec<Named>),
    Revoke {
        partitions: Vec<Named>,
        /// Another worker may already own them: too late to commit.
        lost: bool,
    },
}

/// The context of the group's consumer.
#[derive(Debug)]
pub(crate) struct Context {
    progress: Arc<Progress>,
    rebalances: Mutex<VecDeque<Rebalance>>,
    closing: AtomicBool,
}

impl Context {
    pub(crate) fn new(progress: Arc<Progress>) -> Self {
        Self { progress, rebalances: Mutex::default(), closing: AtomicBool::new(false) }
    }

    /// The oldest rebalance that was not yet looked at.
    pub(crate) fn next_rebalance(&self) -> Option<Rebalance> {
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// From now on revocations are answered at once: nothing will be committed any more.
    pub(crate) fn close(&self) {
        self.closing.store(true, SeqCst);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "Kafka client");
    }

    fn stats(&self, statistics: Statistics) {
        for (name, topic) in &statistics.topics {
            for (partition, figures) in topic.partitions.iter().filter(|(number, _)| **number >= 0) {
                let end = if figures.ls_offset >= 0 { figures.ls_offset } else { figures.hi_offset };
                if end >= 0 {
                    self.progress.set_end(name, *partition, end);
                }
            }
        }
        self.progress.tell_partitions(now_micros() / 1000);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<Named> =
            list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect();
        let assign = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(SeqCst) {
            let answer = if assign { take(consumer, list) } else { give_back(consumer, &partitions) };
            if let Err(error) = answer {
                tracing::debug!(%error, "rebalance while closing");
            }
            return;
        }
        let event = if assign {
            Rebalance::Assign(partitions)
        } else {
            Rebalance::Revoke { partitions, lost: consumer.assignment_lost() }
        };
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }
}

/// The context of clients that only ask questions.
#[derive(Debug)]
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client");
    }
}

impl ConsumerContext for Quiet {}

fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::warn!(facility, message, "Kafka client"),
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
            tracing::info!(facility, message, "Kafka client");
        }
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!(facility, message, "Kafka client");
        }
    }
}

/// Answers an assignment: reading starts at the offsets of the list.
pub(crate) fn take<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    list: &TopicPartitionList,
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
    }
}

/// Answers a revocation.
pub(crate) fn give_back<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[Named],
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer
            .incremental_unassign(&list(partitions.iter().map(|(t, p)| (t.as_str(), *p, Offset::Invalid)))?),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    }
}

/// A list of partitions with offsets, as the client library wants it.
pub(crate) fn list<'a>(
    partitions: impl IntoIterator<Item = (&'a str, i32, Offset)>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in partitions {
        list.add_partition_offset(topic, partition, offset)?;
    }
    Ok(list)
}
