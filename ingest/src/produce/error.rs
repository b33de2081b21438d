//! What keeps a producer from starting.

/// A producer that could not start; a message that could not be sent later is counted, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting out of its range.
    #[error("{what} is {value}\n  {remedy}")]
    Setting {
        /// The setting.
        what: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        remedy: &'static str,
    },
    /// Not a topic of the shop.
    #[error("`{topic}` is not a topic of the producer\n  it writes to: {known}")]
    UnknownTopic {
        /// The topic asked for.
        topic: String,
        /// Those there are.
        known: String,
    },
    /// The broker has no such topic.
    #[error("topic `{topic}` does not exist at `{brokers}`\n  create it with `{remedy}`")]
    MissingTopic {
        /// The topic.
        topic: String,
        /// The cluster.
        brokers: String,
        /// The command that creates it.
        remedy: &'static str,
    },
    /// No broker answered.
    #[error(
        "no Kafka broker answered at `{brokers}`: {reason}\n  \
         start one there, or name another with --brokers; `sluice doctor` checks the connection"
    )]
    Unreachable {
        /// The addresses that were tried.
        brokers: String,
        /// What the client library reported.
        reason: String,
    },
    /// A client option that the library does not take.
    #[error("the Kafka client does not accept its options: {reason}\n  correct the options under `kafka`")]
    Options {
        /// What the client library reported.
        reason: String,
    },
    /// The sending thread ended before its time.
    #[error("the producer's thread ended: {reason}\n  this is a defect of Sluice: please report it")]
    Thread {
        /// How it ended.
        reason: String,
    },
}
