//! What can go wrong in ingest: fact, subject, remedy.

use sluice_catalog::{Error as Lake, TableName};

/// The result of an ingest operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation that could not be done. Bad messages are not here: they are rows of the dead letters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The lake refused.
    #[error(transparent)]
    Lake(Box<Lake>),
    /// Kafka refused or did not answer.
    #[error("cannot {action} at {brokers}: {source}\n  {remedy}")]
    Kafka {
        /// What was being done.
        action: String,
        /// The bootstrap servers.
        brokers: String,
        /// What the client library said.
        source: Box<rdkafka::error::KafkaError>,
        /// What to do.
        remedy: &'static str,
    },
    /// A topic that Kafka does not have.
    #[error(
        "topic `{topic}` does not exist at {brokers}\n  create it with `sluice topics apply`, or remove it from \
         the topics file"
    )]
    UnknownTopic {
        /// The topic.
        topic: String,
        /// The bootstrap servers.
        brokers: String,
    },
    /// Nothing to do: no topic has a route.
    #[error("no topic lands in a table\n  give at least one topic of the topics file a `routes` entry")]
    NoRoutes,
    /// A topics file that contradicts itself.
    #[error("topic `{topic}`: {fact}\n  {remedy}")]
    Topics {
        /// The topic.
        topic: String,
        /// What is wrong.
        fact: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A table exists with other columns than the topics file says.
    #[error(
        "table `{table}` does not fit the topics file: {fact}\n  change the topics file, or land into a table \
         of another name"
    )]
    Table {
        /// The table.
        table: TableName,
        /// What differs.
        fact: String,
    },
    /// Kafka no longer has what the table waits for.
    #[error(
        "`{topic}` partition {partition}: `{table}` goes on at offset {next}, but the topic now starts at \
         {log_start}; {} messages expired before they were read\n  land from a copy of the topic, or accept the loss by \
         landing into new tables", log_start - next
    )]
    Gap {
        /// The table.
        table: TableName,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where the table goes on.
        next: i64,
        /// The first offset that Kafka still has.
        log_start: i64,
    },
    /// The topic is not the one the table was filled from.
    #[error(
        "`{topic}` partition {partition} is not the one that `{table}` was filled from: {fact}\n  point Sluice at \
         the original cluster and topic, or land into new tables"
    )]
    OtherTopic {
        /// The table.
        table: TableName,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// How it was noticed.
        fact: String,
    },
    /// Most messages of a topic are bad: it pauses before it is drained into the dead letters.
    #[error(
        "{dead} of the last {consumed} messages of topic `{topic}` could not be landed; the last cause: {last}\n  \
         they stay in Kafka: fix the producer or the topics file, or raise ingest.dead_letters.max_share"
    )]
    TooManyDeadLetters {
        /// The topic.
        topic: String,
        /// Dead letters in the batch.
        dead: u64,
        /// Messages in the batch.
        consumed: u64,
        /// The error of one of them.
        last: String,
    },
    /// A topic whose schemas are in a registry, and no registry.
    #[error(
        "topic `{topic}` needs a schema registry and none is configured\n  set ingest.registry.url, or \
         SLUICE_INGEST_REGISTRY_URL"
    )]
    NoRegistry {
        /// The topic.
        topic: String,
    },
    /// The schema registry refused or did not answer.
    #[error("cannot {action} the schema registry at {url}: {cause}\n  {remedy}")]
    Registry {
        /// What was being done.
        action: &'static str,
        /// The registry.
        url: String,
        /// What it said.
        cause: String,
        /// What to do.
        remedy: &'static str,
        /// Whether it may answer later.
        transient: bool,
    },
    /// A schema that cannot be used.
    #[error("{subject} cannot be used: {fact}\n  correct the schema in the registry")]
    Schema {
        /// Which schema.
        subject: String,
        /// What is wrong with it.
        fact: String,
    },
    /// Others were faster again and again.
    #[error("`{table}` is changed by others all the time\n  nothing was changed here: try again later")]
    Overtaken {
        /// The table.
        table: TableName,
    },
    /// A table that others change faster than it can grow.
    #[error(
        "`{table}` is changed by others all the time and could not get new columns\n  this is tried again"
    )]
    Grow {
        /// The table.
        table: TableName,
    },
    /// Columns could not be put together; never the fault of a message.
    #[error("cannot build columns: {0}\n  report this with the log; nothing uncommitted was landed")]
    Columns(arrow::error::ArrowError),
    /// The system gives no more threads.
    #[error("cannot start the thread `{name}`: {source}\n  raise the limit on processes")]
    Thread {
        /// The thread.
        name: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread of the pipeline ended without saying why.
    #[error(
        "{part} stopped unexpectedly; nothing uncommitted was landed\n  start again and report this with the \
         log"
    )]
    Broken {
        /// Which part.
        part: &'static str,
    },
}

impl From<Lake> for Error {
    fn from(error: Lake) -> Self {
        Self::Lake(Box::new(error))
    }
}

impl Error {
    /// Whether waiting may cure it: the store, the catalog database or Kafka is out for the moment.
    pub fn is_transient(&self) -> bool {
        match self {
            // Lost too many races, or nobody knows whether it landed: the tables tell the next session.
            Self::Lake(error) if matches!(**error, Lake::Contended { .. } | Lake::Unresolved { .. }) => true,
            Self::Lake(error) => error.is_transient(),
            Self::Registry { transient, .. } => *transient,
            Self::Grow { .. } => true,
            Self::Kafka { source, .. } => source.rdkafka_error_code().is_some_and(|code| {
                use rdkafka::types::RDKafkaErrorCode as Code;
                matches!(
                    code,
                    // A position outside the log: the next session says exactly where it stands.
                    Code::AutoOffsetReset
                        | Code::OffsetOutOfRange
                        | Code::AllBrokersDown
                        | Code::BrokerTransportFailure
                        | Code::OperationTimedOut
                        | Code::RequestTimedOut
                        | Code::Resolve
                        | Code::CoordinatorNotAvailable
                        | Code::LeaderNotAvailable
                        | Code::NotLeaderForPartition
                )
            }),
            _ => false,
        }
    }
}
