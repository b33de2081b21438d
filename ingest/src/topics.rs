//! The topics file: which topics exist, what their events look like and into which tables they land.
//!
//! ```text
//! topics.yaml -> Topics (parse: file.rs, check.rs) -> topics on the broker (apply.rs)
//!                                                  -> routes of the consuming pipeline
//! ```
//!
//! Invariants of a parsed file (whoever holds a [`Topics`] from [`Topics::parse`] may rely on them):
//! - topic names are valid in Kafka and unique;
//! - an event type of a topic is named by one route only, and at most one route names none (it takes the
//!   rest); columns are unique in a route;
//! - every column that `required` or `partition_by` speaks of exists;
//! - a table that several topics land in has the same columns and partitioning in each;
//! - no column bears a name that Sluice adds to every landed row ([`RESERVED_COLUMNS`]).

mod apply;
mod check;
mod error;
mod file;
mod format;
mod kind;
mod upsert;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use sluice_catalog::{PartitionBy, TableName};

pub use apply::{Applied, Difference, Listed, Outcome, apply, list};
pub use error::{Error, Result};
pub use format::{CsvFormat, Format, SchemaPolicy};
pub use kind::Kind;
pub(crate) use kind::map_of;
pub(crate) use upsert::FLAT_OP;
pub use upsert::{Changes, Upsert};

/// Columns that every landed table has besides those of its events.
pub const RESERVED_COLUMNS: [&str; 4] = ["_src_topic", "_src_partition", "_src_offset", "_ingested_at"];

/// The column that takes what a table has no column for, under [`SchemaPolicy::Keep`].
pub const REST_COLUMN: &str = "_rest";

/// The one field of [`Format::Text`].
pub const TEXT_FIELD: &str = "line";

const SHOP: &str = include_str!("../topics.yaml");
const OLIST: &str = include_str!("../topics-olist.yaml");

/// All topics of a `topics.yaml`, in file order.
#[derive(Clone, Debug)]
pub struct Topics {
    /// The topics.
    pub topics: Vec<Topic>,
}

/// One topic.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name in Kafka.
    pub name: String,
    /// Number of partitions it is created with.
    pub partitions: i32,
    /// Replication factor it is created with.
    pub replication: i32,
    /// Topic configuration by Kafka's names: `retention.ms`, `compression.type`, `max.message.bytes`.
    pub config: BTreeMap<String, String>,
    /// How its messages are written.
    pub format: Format,
    /// Where its events land; empty for topics that Sluice only writes to.
    pub routes: Vec<Route>,
}

/// The events of a topic that land in one table.
#[derive(Clone, Debug)]
pub struct Route {
    /// The table; created when ingest starts.
    pub table: TableName,
    /// Values of the field `event_type` that belong here; empty for all that no other route names.
    pub event_types: Vec<String>,
    /// The columns, in table order.
    pub columns: Vec<Column>,
    /// What happens to fields that the table does not have.
    pub policy: SchemaPolicy,
    /// Hidden partitioning of the table.
    pub partition_by: Vec<PartitionBy>,
    /// How events change rows of the table; `None` where each adds one.
    pub upsert: Option<Upsert>,
}

/// One field of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the event and in the table.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// When an event without it is a dead letter.
    pub required: Required,
}

/// Which events must have a field (present and not null).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Required {
    /// None.
    Never,
    /// All.
    Always,
    /// Those with one of these event types.
    For(Vec<String>),
}

impl Topics {
    /// Reads the text of a topics file.
    ///
    /// # Errors
    /// [`Error::Invalid`] with line and column where the text is known to be wrong. The file's name is
    /// not known here: the caller puts it in front.
    pub fn parse(yaml: &str) -> Result<Self> {
        file::parse(yaml)
    }

    /// The built-in file of the shop: user events, payments, orders, stock, and the topics Sluice writes.
    pub fn shop() -> Self {
        built_in(SHOP)
    }

    /// The built-in file of the Olist replay: orders, items, payments.
    pub fn olist() -> Self {
        built_in(OLIST)
    }

    /// A built-in file by name: `shop` or `olist`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "shop" => Some(Self::shop()),
            "olist" => Some(Self::olist()),
            _ => None,
        }
    }

    /// The topic of that name.
    pub fn get(&self, name: &str) -> Option<&Topic> {
        self.topics.iter().find(|topic| topic.name == name)
    }
}

#[expect(clippy::expect_used, reason = "the text is compiled in, and a test parses it")]
fn built_in(yaml: &str) -> Topics {
    Topics::parse(yaml).expect("the built-in topics file is valid")
}
