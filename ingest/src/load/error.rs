//! What keeps a file from being loaded. What was committed before stays and is not loaded a second time.

use std::path::PathBuf;

use sluice_catalog::TableName;

/// The result of a load operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A file that could not be loaded or replayed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}\n  check that the file exists, is whole and may be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system or the decompressor said.
        source: std::io::Error,
    },
    /// Something that is not a file to load.
    #[error("`{}`: {fact}\n  {remedy}", path.display())]
    Input {
        /// The file, folder or pattern.
        path: PathBuf,
        /// What is wrong.
        fact: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The file holds something else than it should.
    #[error("`{}`, line {line}: {fact}\n  {remedy}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong.
        fact: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The file does not go with the table that is there.
    #[error("`{}` does not fit table `{table}`: {fact}\n  load it into another table, or correct the file", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The table.
        table: TableName,
        /// What differs.
        fact: String,
    },
    /// Somebody wrote to the file while it was read.
    #[error("`{}` changed while it was read; rows that were committed are those of the old content\n  load it when nobody writes to it", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A folder that does not hold the files of a data set.
    #[error("`{}` lacks {missing}\n  each may be there as .csv, .csv.zst or .csv.gz, or name the files that are there", folder.display())]
    MissingFiles {
        /// The folder.
        folder: PathBuf,
        /// The names.
        missing: String,
    },
    /// The lake refused.
    #[error(transparent)]
    Lake(#[from] sluice_catalog::Error),
    /// Kafka refused.
    #[error(transparent)]
    Kafka(#[from] crate::produce::Error),
    /// The topics of a replay could not be created.
    #[error(transparent)]
    Topics(#[from] crate::topics::Error),
    /// The table changed in a way that an append does not survive.
    #[error(
        "table `{table}` refused the rows: {reason}\n  run the load again: it goes on where the table stands"
    )]
    Refused {
        /// The table.
        table: TableName,
        /// Why.
        reason: String,
    },
    /// A defect, not a fault of the file.
    #[error("loading `{}` broke: {fact}\n  please report this with the log; run again, the load goes on where the table stands", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// How.
        fact: String,
    },
}
