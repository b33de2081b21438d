//! Tables with a key: the events of a commit become deletes of positions and new rows, in one snapshot.
//!
//! ```text
//! payload    tombstones, Debezium envelopes -> flat events            (before decoding)
//! operation  field `op` -> which rows delete                          (while routing)
//! buffer     the last event of each key, until the commit
//! find       files that may have a key -> its rows (positions)        (when the commit begins)
//! stage      rows to be written + positions to be deleted -> RowChanges
//! land       commit; when the table changed meanwhile: find again
//! ```
//!
//! Invariants:
//! - The table has one row a key at most, in every snapshot: new rows and the deletes of the old ones are one commit,
//!   fenced by the offsets as every other. No delete is by value, so readers compare no keys.
//! - The later event wins: by `order_by` where it is given, else by the order in the topic. Events of one key must
//!   then be in one partition, which keyed producers see to; between partitions of one commit the order is fixed
//!   (topic, partition, offset) and means nothing.
//! - Rows are looked for in the very snapshot that the commit claims to have read. A file that came or went since and
//!   may hold a key is a conflict, and they are looked for again.
//! - Memory: the last event of each key counts against the budget of ingest; a look holds the key columns of a few
//!   thousand rows of each file that is read, and 8 bytes for each row that goes.

mod buffer;
mod find;
mod groups;
mod keys;
mod land;
mod latest;
mod operation;
mod payload;
mod stage;
mod wanted;

pub(crate) use self::buffer::Buffer;
pub(crate) use self::land::{Keyed, land};
pub(crate) use self::operation::{Deletions, split, with_deleted};
pub(crate) use self::payload::Payloads;

#[cfg(test)]
mod tests;
