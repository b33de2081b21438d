//! The polling thread's dealings with the consumer group.
//!
//! A decision of the group is passed on at once and answered later: an assignment when it is known where to
//! start, a revocation when everything read is committed. Until then the group waits, as its protocol allows.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Named, Rebalance, give_back, list, take};
use super::partition::Partition;
use super::ports::Event;
use super::start::Start;
use super::{Owed, Source};
use crate::error::{Error, Result};
use crate::kafka::redact;

/// How often partitions are forwarded again.
const FORWARD_EVERY: Duration = Duration::from_secs(1);

impl Source {
    /// Hears what the group and the library have to say beside messages.
    pub(super) fn serve(&mut self) -> Result<()> {
        if self.forwarded_at.elapsed() > FORWARD_EVERY {
            for (topic, partition) in self.partitions.keys() {
                self.messages.forward(&self.plan.topics[*topic].name, *partition);
            }
            self.forwarded_at = Instant::now();
        }
        match self.consumer.poll(Duration::ZERO) {
            None => Ok(()),
            Some(Err(error)) => self.fault(error),
            // Its neighbours are in the other queue, so the order is lost; the tables tell the next start where to go on.
            Some(Ok(_)) => {
                Err(self.group_error(KafkaError::MessageConsumption(RDKafkaErrorCode::BadMessage)))
            }
        }
    }

    /// Reads the plan's topics, by now.
    pub(super) fn subscribe(&mut self) -> Result<()> {
        self.plan = self.plans.current();
        let topics: Vec<&str> = self.plan.topics.iter().map(|topic| topic.name.as_str()).collect();
        if topics.is_empty() {
            return Ok(()); // No topic matches a pattern yet.
        }
        self.consumer.subscribe(&topics).map_err(|source| self.group_error(redact(source)))
    }

    /// Passes a decision of the group on to the pipeline, which answers it.
    pub(super) fn rebalance(&mut self, rebalance: Rebalance) -> Result<()> {
        match rebalance {
            Rebalance::Assign(partitions) => {
                let keys = self.keys(&partitions);
                tracing::info!(?partitions, "assigned");
                self.owed = Some(Owed::Assign(partitions));
                let _ = self.ports.events.send(Event::Assigned(keys));
            }
            Rebalance::Revoke { partitions, lost } => {
                let keys = self.keys(&partitions);
                tracing::info!(?partitions, lost, "revoked");
                for key in &keys {
                    if let Some(partition) = self.partitions.get_mut(key) {
                        partition.revoked = true;
                    }
                }
                self.owed = Some(Owed::Revoke(partitions));
                self.seal();
                let _ = self.ports.events.send(Event::Revoked { partitions: keys, lost });
            }
        }
        Ok(())
    }

    /// Answers the last assignment: reading starts.
    pub(super) fn start(&mut self, starts: &[Start]) -> KafkaResult<()> {
        let mut offsets = Vec::with_capacity(starts.len());
        for start in starts {
            let name = self.plan.topics[start.topic].name.as_str();
            offsets.push((name, start.partition, Offset::Offset(start.offset)));
            let headers = &self.plan.topics[start.topic].headers;
            let partition = Partition::new(start.topic, start.partition, start.offset, headers);
            self.messages.forward(name, start.partition);
            self.partitions.insert((start.topic, start.partition), partition);
            self.progress.set_start(name, start.partition, start.offset);
        }
        let offsets = list(offsets)?;
        self.owed = None;
        take(&self.consumer, &offsets)?;
        let paused = starts.iter().filter(|start| self.paused || self.paused_topics.contains(&start.topic));
        let paused = paused.map(|start| self.named((start.topic, start.partition))).collect::<Vec<_>>();
        if paused.is_empty() {
            return Ok(());
        }
        self.consumer
            .pause(&list(paused.iter().map(|(topic, number)| (topic.as_str(), *number, Offset::Invalid)))?)
    }

    /// Reads no more of a topic, or reads it again from where it stopped.
    pub(super) fn pause_topic(&mut self, topic: usize, pause: bool) -> Result<()> {
        let changed =
            if pause { self.paused_topics.insert(topic) } else { self.paused_topics.remove(&topic) };
        if !changed || self.paused {
            return Ok(());
        }
        let own = self.partitions.keys().filter(|(of, _)| *of == topic).copied().collect::<Vec<_>>();
        self.pause_partitions(&own, pause)
    }

    /// Tells the client library which partitions it is to read.
    pub(super) fn pause_partitions(&self, partitions: &[(usize, i32)], pause: bool) -> Result<()> {
        if partitions.is_empty() {
            return Ok(());
        }
        let named: Vec<Named> = partitions.iter().map(|key| self.named(*key)).collect();
        let named = named.iter().map(|(topic, number)| (topic.as_str(), *number, Offset::Invalid));
        let told = list(named)
            .and_then(|list| if pause { self.consumer.pause(&list) } else { self.consumer.resume(&list) });
        told.map_err(|source| self.group_error(source))
    }

    /// Answers the last revocation: these partitions are no longer this worker's.
    pub(super) fn release(&mut self, partitions: &[(usize, i32)]) -> Result<()> {
        let named: Vec<Named> = partitions.iter().map(|key| self.named(*key)).collect();
        for (key, (topic, partition)) in partitions.iter().zip(&named) {
            self.partitions.remove(key);
            self.progress.forget(topic, *partition);
        }
        self.owed = None;
        give_back(&self.consumer, &named).map_err(|source| self.group_error(source))
    }

    /// Answers what the group still waits for; dropping the consumer then leaves it.
    pub(super) fn leave(&mut self) {
        self.consumer.context().close();
        let unseen =
            std::iter::from_fn(|| self.consumer.context().next_rebalance()).map(
                |rebalance| match rebalance {
                    Rebalance::Assign(partitions) => Owed::Assign(partitions),
                    Rebalance::Revoke { partitions, .. } => Owed::Revoke(partitions),
                },
            );
        // Closing waits for every answer, for ever.
        for owed in self.owed.take().into_iter().chain(unseen) {
            let answer = match owed {
                Owed::Assign(partitions) => list(
                    partitions
                        .iter()
                        .map(|(topic, partition)| (topic.as_str(), *partition, Offset::Beginning)),
                )
                .and_then(|list| take(&self.consumer, &list)),
                Owed::Revoke(partitions) => give_back(&self.consumer, &partitions),
            };
            if let Err(error) = answer {
                tracing::debug!(%error, "rebalance while closing");
            }
        }
    }

    /// Tells the group where the tables are; only the lag display of other tools reads it.
    pub(super) fn show_offsets(&self, offsets: &[(usize, i32, i64)]) {
        let known = offsets.iter().map(|(topic, partition, next)| {
            self.progress.set_committed(&self.plan.topics[*topic].name, *partition, *next);
            (self.plan.topics[*topic].name.as_str(), *partition, Offset::Offset(*next))
        });
        let shown = list(known).and_then(|list| self.consumer.commit(&list, CommitMode::Async));
        if let Err(error) = shown {
            tracing::debug!(%error, "offsets of the group for display");
        }
    }

    /// Tells what ends the session from what the client library recovers from.
    pub(super) fn fault(&self, error: KafkaError) -> Result<()> {
        let unknown = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)
        );
        if unknown && !self.plan.patterns.is_empty() {
            tracing::warn!(%error, "a topic was deleted, as topics by pattern may be");
            return Ok(());
        }
        let fatal = match &error {
            KafkaError::MessageConsumption(code) => matches!(
                code,
                // The position is outside the log: looking again says exactly how.
                RDKafkaErrorCode::AutoOffsetReset
                    | RDKafkaErrorCode::OffsetOutOfRange
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::Authentication
            ),
            KafkaError::MessageConsumptionFatal(_) => true,
            _ => false,
        };
        if fatal {
            return Err(self.group_error(error));
        }
        tracing::warn!(%error, "reading from Kafka; the client goes on by itself");
        Ok(())
    }

    pub(super) fn group_error(&self, source: KafkaError) -> Error {
        let is_taken = matches!(
            source,
            KafkaError::MessageConsumption(RDKafkaErrorCode::FencedInstanceId)
                | KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId)
        );
        Error::Kafka {
            action: format!("read in the consumer group `{}`", self.settings.group),
            brokers: self.settings.kafka.brokers.clone(),
            source: Box::new(source),
            remedy: match is_taken {
                true => {
                    "another process of the group joined with the same kafka.instance_id: give each its own"
                }
                false => "check the topics, the rights of this client and the Kafka options",
            },
        }
    }

    fn keys(&self, partitions: &[Named]) -> Vec<(usize, i32)> {
        partitions
            .iter()
            .filter_map(|(topic, partition)| Some((self.plan.topic_index(topic)?, *partition)))
            .collect()
    }

    fn named(&self, (topic, partition): (usize, i32)) -> Named {
        (self.plan.topics[topic].name.clone(), partition)
    }
}
