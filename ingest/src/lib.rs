//! EVENTS -> TABLES: Kafka topics, files and reference data, decoded into columns, routed and landed exactly once.
//!
//! ```text
//! source -> decode -> route -> land -> Lake::commit        (pipeline wires them, one session at a time)
//! (poll)   (columns)  (tables,  (files, offsets)
//!              ^       reject)   '-> tail: readable before the commit
//!           registry
//! ```
//!
//! Invariants:
//! - The tables say where to go on reading; the consumer group only spreads partitions over workers.
//! - Every message ends as one row: of its table, or of the dead letters with its cause and its bytes.
//! - Rows and offsets are committed together, for all tables in one commit.
//! - Memory is bounded by one budget; when it is used up, partitions are paused.

pub mod dead_letters;
pub mod kafka;
pub mod load;
pub mod produce;
pub mod registry;
pub mod schemas;
pub mod sync;
pub mod topics;

mod broker;
mod budget;
mod data_file;
mod decode;
mod error;
mod evolve;
#[cfg(test)]
mod fixtures;
mod infer;
mod land;
mod pipeline;
mod plan;
mod progress;
mod reject;
mod resume;
mod route;
mod rows;
mod source;
mod tail;
mod unknown;
mod upsert;

pub use error::{Error, Result};
pub use kafka::KafkaSettings;
pub use pipeline::{DeadLetterLimit, IngestSettings, Report, catch_up, run, run_with_settings};
pub use progress::{PartitionProgress, PauseReason, Progress, TopicProgress};
pub use tail::{PinnedTail, Tail, TailBatch};
