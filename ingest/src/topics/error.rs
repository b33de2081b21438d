//! What can go wrong with topics: a file that says something impossible, a broker that does not do it.

use std::fmt;

/// The result of an operation on topics.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A topics file that cannot be used, or a broker that did not do what it says.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text of a topics file is wrong.
    #[error("{place}{problem}")]
    Invalid {
        /// Where, as far as it is known.
        place: Place,
        /// What is wrong and how to put it right.
        problem: String,
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
    /// More copies than brokers.
    #[error(
        "topic `{topic}` asks for replication {wanted}, but the cluster has {brokers} broker(s)\n  \
         set `replication: {brokers}` in the topics file, or start more brokers; no topic was created"
    )]
    Replication {
        /// The topic.
        topic: String,
        /// The factor asked for.
        wanted: i32,
        /// Brokers that are up.
        brokers: usize,
    },
    /// The broker refused one topic; those before it exist by now, and applying again is harmless.
    #[error("the broker did not create topic `{topic}`: {reason}\n  {remedy}")]
    Refused {
        /// The topic.
        topic: String,
        /// The broker's reason.
        reason: String,
        /// What to try.
        remedy: &'static str,
    },
    /// The broker answered at first and then not in time: what was created is unknown until applied again.
    #[error(
        "the broker did not finish `{action}`: {reason}\n  run it again: topics that exist are left as they are"
    )]
    Interrupted {
        /// What was asked of it.
        action: &'static str,
        /// What the client library reported.
        reason: String,
    },
}

/// Line and column in a topics file, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Line and column; none when the whole file is meant.
    pub position: Option<(usize, usize)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "line {line}, column {column}: "),
            None => Ok(()),
        }
    }
}
