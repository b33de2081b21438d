//! SQL to BATCHES: DataFusion sessions over the lake.
//!
//! ```text
//! text -> tokens -> plan                 -> physical plan            -> stream of batches
//! (text, unfold: limits, markers)
//!         (statement, catalog: each table pinned once)
//!                     (table, scan/: files pruned, split, mapped by field id)
//!                                                                       (types: plain types)
//! ```
//!
//! Invariants:
//! - One statement sees one state of each table: it is pinned when the statement is prepared.
//! - Statements only read, unless the session was allowed to write; then each is one commit ([`write`]).
//! - No text can abort the process: it is measured before it is parsed, and planned and run on deep stacks.
//! - Results are streamed, never collected; dropping the stream ends the query.
//! - What leaves has plain types, in schemas and batches alike.

mod catalog;
mod compact;
mod described;
mod engine;
mod error;
mod functions;
mod maintain;
mod metadata;
mod naming;
mod order;
pub mod quality;
mod rules;
mod scan;
mod session;
mod statement;
mod table;
mod text;
mod types;
mod unfold;
mod workers;
mod write;

#[cfg(test)]
mod tests;

pub use compact::{Compacted, compact};
pub use datafusion::execution::SendableRecordBatchStream;
pub use datafusion::scalar::ScalarValue;
pub use engine::{CATALOG, Engine, EngineSettings};
pub use error::{Complaint, Error, Place, Result};
pub use maintain::{Maintained, Maintenance};
pub use session::Session;
pub use statement::Statement;
pub use types::{plain_batch, plain_schema, plain_type};
pub use write::{Change, Changed, Command, Writes};
