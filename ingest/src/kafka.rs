//! How Kafka is reached: brokers, options by librdkafka's names, and the client configurations made of them.
//!
//! Invariant: what exactly-once rests on (manual offsets, committed reads, no silent reset) is set after
//! the user's options and cannot be switched off by them.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

/// Where Kafka is and how it is spoken to.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Bootstrap servers: `host:port`, several separated by commas.
    pub brokers: String,
    /// Client options by librdkafka's names, such as `security.protocol` or `sasl.password`. Their
    /// values are never printed.
    pub options: BTreeMap<String, String>,
}

impl KafkaSettings {
    /// Settings without options.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self { brokers: brokers.into(), options: BTreeMap::new() }
    }

    /// The configuration common to producers, consumers and the admin client.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "sluice");
        for (key, value) in &self.options {
            config.set(key, value);
        }
        config
    }

    /// A consumer of `group` that keeps at most `queued_kbytes` of fetched messages in its own queue.
    pub(crate) fn consumer_config(&self, group: &str, queued_kbytes: usize) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("client.id", "sluice")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "2000")
            .set("fetch.wait.max.ms", "100")
            // The library's own value, a second, is longer than it takes to read what its queue holds.
            .set("fetch.queue.backoff.ms", "10")
            .set("statistics.interval.ms", "1000");
        for (key, value) in &self.options {
            config.set(key, value);
        }
        config
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("check.crcs", "true")
            .set("queued.max.messages.kbytes", queued_kbytes.clamp(1024, 2_097_151).to_string());
        config
    }
}

/// The error without the value of the option it complains about, which may be a secret.
pub(crate) fn redact(error: KafkaError) -> KafkaError {
    match error {
        KafkaError::ClientConfig(result, text, key, value) if !value.is_empty() => {
            KafkaError::ClientConfig(result, text.replace(&value, "***"), key, "***".to_owned())
        }
        other => other,
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: BTreeMap<_, _> = self.options.keys().map(|key| (key, "***")).collect();
        f.debug_struct("KafkaSettings").field("brokers", &self.brokers).field("options", &options).finish()
    }
}
