//! What keeps a sync from landing. The table is then as it was before.

use sluice_catalog::TableName;

/// The result of a sync operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A sync that could not be done, or a sync file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text of a sync file is wrong.
    #[error("{place}{problem}")]
    Invalid {
        /// Line and column, as far as they are known, before a colon and a space.
        place: String,
        /// What is wrong and how to put it right.
        problem: String,
    },
    /// No sync has that name.
    #[error("no sync is called `{name}`\n  known are: {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names in the file.
        known: String,
    },
    /// A secret that is not where the file says.
    #[error("sync `{sync}`: {fact}\n  {remedy}")]
    Secret {
        /// The sync.
        sync: String,
        /// What is missing; never the secret.
        fact: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The source did not answer, or refused.
    #[error("sync `{sync}`: cannot read {source_name}: {cause}\n  {remedy}")]
    Source {
        /// The sync.
        sync: String,
        /// The database or address, without secrets.
        source_name: String,
        /// What it said.
        cause: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The source holds something that cannot be landed.
    #[error("sync `{sync}`: {fact}\n  {remedy}; the table was left as it was")]
    Content {
        /// The sync.
        sync: String,
        /// What is wrong, with the column.
        fact: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The table does not go with the sync.
    #[error("sync `{sync}`: table `{table}` {fact}\n  {remedy}")]
    Table {
        /// The sync.
        sync: String,
        /// The table.
        table: TableName,
        /// What is wrong.
        fact: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The lake refused.
    #[error(transparent)]
    Lake(#[from] sluice_catalog::Error),
    /// Columns could not be put together.
    #[error("cannot build columns: {0}\n  report this with the log; nothing was committed")]
    Columns(#[from] arrow::error::ArrowError),
}

impl Error {
    pub(super) fn source(
        sync: &str,
        source_name: impl Into<String>,
        cause: impl ToString,
        remedy: &'static str,
    ) -> Self {
        let (sync, source_name) = (sync.to_owned(), source_name.into());
        Self::Source { sync, source_name, cause: cause.to_string(), remedy }
    }

    pub(super) fn content(sync: &str, fact: impl Into<String>, remedy: &'static str) -> Self {
        Self::Content { sync: sync.to_owned(), fact: fact.into(), remedy }
    }

    pub(super) fn table(
        sync: &str,
        table: &TableName,
        fact: impl Into<String>,
        remedy: &'static str,
    ) -> Self {
        Self::Table { sync: sync.to_owned(), table: table.clone(), fact: fact.into(), remedy }
    }
}
