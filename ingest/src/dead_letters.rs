//! Dead letters after they landed: which of them, and back into the tables that they were meant for.
//!
//! ```text
//! table of dead letters -> selected -> where do their tables stand? -> decoded and routed as of today
//!                                                                        |- good: rows of their tables
//!                                                                        '- bad: stay as they are
//! one commit: the rows are appended, the letters deleted (replay)
//! ```
//!
//! A replay is exactly once, whatever kills it and however many run at once:
//! - Rows and deletes are one commit over all tables.
//! - A message lands in one table at most, so a place that a table holds is done.
//! - Every table that the commit touches also moves the position of the source [`SOURCE`] on by one, from where it
//!   stood when the replay began. So of two replays that began at the same state one is fenced, and begins again.
//! - A letter whose place (topic, partition, offset) its tables already hold is deleted and makes no row, unless that
//!   is wished. So a catalog
//!   that moves one table at a time (the letters last) loses and doubles nothing either: what a kill leaves behind is
//!   found by the next replay.
//! - A letter for a table with a key is left alone: it would take the place of later events of its key, or bring
//!   back a row that was deleted since.
//! - A letter that some table of its topic has not come to yet is left alone: ingest will bring it there by itself.

mod letters;
mod place;
mod present;
mod replay;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sluice_catalog::{TableName, WriterSettings};

pub use self::place::{Place, PlaceError};
pub use self::replay::replay;
use crate::registry::RegistrySettings;
use crate::topics::{Origin, Topic};

/// The table that takes what cannot land, of every topic and file.
pub const TABLE: &str = "bronze.dead_letters";

/// The name of [`TABLE`].
#[expect(clippy::expect_used, reason = "a literal; every replay and every test goes through it")]
pub fn table() -> TableName {
    TABLE.parse().expect("a valid name")
}

/// The source whose position in a table counts the replays that touched it.
const SOURCE: &str = "dead-letters:replay";

/// Which dead letters; each condition that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Of these topics; of all when empty.
    pub topics: Vec<String>,
    /// With these causes; with any when empty.
    pub causes: Vec<String>,
    /// Set aside at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Set aside before this time.
    pub until: Option<DateTime<Utc>>,
    /// From these places; from all when empty.
    pub places: Vec<Place>,
}

/// How dead letters are replayed.
#[derive(Clone, Debug)]
pub struct ReplaySettings {
    /// The topics as they are to be understood today.
    pub topics: Vec<Topic>,
    /// The table of dead letters.
    pub dead_letters: TableName,
    /// Where the schemas of Avro and Protobuf topics are.
    pub registry: Option<RegistrySettings>,
    /// Larger messages stay dead letters.
    pub max_message_bytes: usize,
    /// How files are cut and encoded.
    pub writer: WriterSettings,
    /// Which letters.
    pub selection: Selection,
    /// Land also what a table holds already, which makes second rows.
    pub again: bool,
    /// Change nothing, only count. Tables do not grow then, so a field that cannot become a column goes unnoticed.
    pub dry_run: bool,
}

/// What became of the selected letters; each is counted in exactly one of the six fields after `selected`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReplayReport {
    /// Letters that the selection names.
    pub selected: u64,
    /// Became rows.
    pub landed: u64,
    /// Were in their table already, or are second letters of a message: only the letter is deleted.
    pub present: u64,
    /// Are still bad, and stay.
    pub bad: u64,
    /// Some table of the topic has not come to them yet, so ingest will land them; they stay.
    pub waiting: u64,
    /// Come from a file, or from a topic that the topics file does not land, or whose tables messages name; they
    /// stay.
    pub foreign: u64,
    /// Belong into a table with a key, where later events of the key may have landed; they stay.
    pub keyed: u64,
    /// New rows by table.
    pub tables: BTreeMap<String, u64>,
    /// Those that are still bad, by their cause as of today.
    pub causes: BTreeMap<String, u64>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// Whether letters of a topic can land: in tables that are known beforehand, by what a letter keeps of its message.
/// It keeps no headers.
fn can_replay(topic: &Topic) -> bool {
    let known = topic.routes.iter().all(|route| route.table.table().is_some());
    known && topic.pattern.is_none() && matches!(topic.type_from, Origin::Field(_))
}

#[cfg(test)]
mod tests;
