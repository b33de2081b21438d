//! What can go wrong in the catalog: fact, subject, remedy.
//!
//! Expected outcomes of a commit are not here: they are [`crate::CommitOutcome`].

use crate::name::TableName;

/// The result of a catalog operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation on the lake that could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that no engine would accept.
    #[error(
        "`{name}` is not a table name\n  use NAMESPACE.NAME with letters, digits, `_` and `-`, for example bronze.orders"
    )]
    InvalidName {
        /// The text as given.
        name: String,
    },
    /// The catalog has no such table.
    #[error("table `{table}` does not exist\n  list the tables with `sluice tables`")]
    NoSuchTable {
        /// The table asked for.
        table: TableName,
    },
    /// Tables and views share their names.
    #[error("the name `{name}` is taken by {by}\n  choose another name, or drop {by} first")]
    NameTaken {
        /// The name asked for.
        name: TableName,
        /// What has the name: `a table` or `a view`.
        by: &'static str,
    },
    /// A setting that cannot work.
    #[error("{fact}: `{value}`\n  {remedy}")]
    Setting {
        /// What is wrong.
        fact: &'static str,
        /// The value as given.
        value: String,
        /// What to do.
        remedy: String,
    },
    /// The object store did not do what was asked.
    #[error("cannot {action} {location}: {cause}\n  {remedy}")]
    Store {
        /// `read`, `write`, `list`, `delete`.
        action: &'static str,
        /// The object or folder.
        location: String,
        /// What the store said.
        cause: String,
        /// What to do.
        remedy: &'static str,
        /// Whether an outage can cause it, so that trying later may cure it.
        transient: bool,
    },
    /// The catalog database did not do what was asked.
    #[error("cannot {action} the catalog {location}: {cause}\n  {remedy}")]
    Catalog {
        /// `open`, `read`, `change`.
        action: &'static str,
        /// The database.
        location: String,
        /// What the database said.
        cause: String,
        /// What to do.
        remedy: &'static str,
        /// Whether an outage can cause it, so that trying later may cure it.
        transient: bool,
    },
    /// A location outside the warehouse.
    #[error(
        "{location} lies outside the warehouse {warehouse}; nothing there is read or written\n  \
         tables know their files by absolute location: move a moved folder back, or open the lake with the \
         warehouse that holds them"
    )]
    OutsideWarehouse {
        /// The location.
        location: String,
        /// The root of all allowed locations.
        warehouse: String,
    },
    /// A metadata, manifest or data file is missing, damaged or of a kind this version does not read.
    #[error("{subject}: {fact}\n  {remedy}")]
    File {
        /// The file, or the table when no file is at fault.
        subject: String,
        /// What is wrong with it.
        fact: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Columns that do not fit: of a new table, or of a batch for a table.
    #[error("{subject}: {fact}\n  {remedy}")]
    Schema {
        /// The table or column.
        subject: String,
        /// What does not fit.
        fact: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A commit that could land on no state of any table.
    #[error("{subject}: {fact}\n  this is a mistake of the program that commits; report it with this line")]
    InvalidCommit {
        /// The table, or `commit` when none is at fault.
        subject: String,
        /// What is wrong.
        fact: String,
    },
    /// Progress counted by another cluster than the one the table recorded.
    #[error(
        "table `{table}` holds offsets of topic {topic} from cluster {recorded}, not from {offered}\n  \
         offsets of two clusters do not compare: ingest this topic into a new table, \
         or connect to the cluster that was used before"
    )]
    OtherCluster {
        /// The table.
        table: TableName,
        /// The topic.
        topic: String,
        /// The cluster id in the table.
        recorded: String,
        /// The cluster id of the commit.
        offered: String,
    },
    /// Other writers won every race within the time limit; nothing of this commit is in any table.
    #[error(
        "table `{table}` changed under each of {attempts} attempts to commit in {seconds} s; \
         nothing was committed\n  \
         run the batch again, and let fewer writers commit to this table or commit less often"
    )]
    Contended {
        /// The table that lost last.
        table: TableName,
        /// How often it was tried.
        attempts: u32,
        /// For how long.
        seconds: u64,
    },
    /// The catalog did not say whether a commit landed, and could not be asked within the time limit.
    #[error(
        "commit {token}: the catalog did not confirm it and cannot be read: {cause}\n  \
         it may have landed: keep its files, and look at the table before writing these rows again \
         (a commit with the same token or the same offsets lands once at most)"
    )]
    Unresolved {
        /// The commit's token.
        token: uuid::Uuid,
        /// Why the catalog cannot be read.
        cause: Box<Error>,
    },
    /// The Iceberg library refused a step; the subject says which.
    #[error("{subject}: {source}\n  check the table and the file that it names; the table was not changed")]
    Iceberg {
        /// What was being done, to what.
        subject: String,
        /// The library's own words.
        source: Box<iceberg::Error>,
    },
}

impl Error {
    /// Whether an outage of the store or of the catalog database can cause this, so that trying later may cure
    /// it; `false` for credentials, names, schemas and damaged files.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store { transient, .. } | Self::Catalog { transient, .. } => *transient,
            Self::Iceberg { source, .. } => source.retryable(),
            Self::Contended { .. } | Self::Unresolved { .. } => true,
            _ => false,
        }
    }
}
