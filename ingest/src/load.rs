//! Files into tables: CSV with inferred types, the Olist data set, and its replay into Kafka.
//!
//! ```text
//! source.rs   bytes: plain, .gz or .zst; hashed        records.rs  records with their lines; faults
//! infer.rs    types from all values                    columns.rs  rows of text -> record batches
//! target.rs   files and the commit                     table.rs    one file, two passes, one commit
//! olist.rs    the nine files and their types           replay.rs   orders, items, payments -> topics
//! ```
//!
//! Invariants:
//! - all of a file is committed, or nothing; the content's hash is committed with it, so a repeat is noticed;
//! - every record ends as a row or, with its line, cause and bytes, as a dead letter;
//! - rows carry `_src_topic` (file name), `_src_partition` (0), `_src_offset` (line), `_ingested_at`.

mod columns;
mod error;
mod infer;
mod olist;
mod records;
mod replay;
mod source;
mod table;
mod target;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sluice_catalog::{Lake, TableName};

pub use error::{Error, Result};
pub use replay::{ReplayReport, ReplaySettings, replay};

/// A CSV file to load.
#[derive(Clone, Debug)]
pub struct CsvSettings {
    /// The file; plain, gzip or zstd, as its first bytes tell.
    pub path: PathBuf,
    /// The table; created with inferred types when there is none, else its types hold.
    pub table: TableName,
    /// Between fields (default `,`).
    pub delimiter: u8,
    /// Add the rows even if a file of this content was loaded into this table before (default no).
    pub again: bool,
}

/// What became of one file.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// The file.
    pub file: PathBuf,
    /// The table.
    pub table: String,
    /// Rows in the table from this file.
    pub rows: u64,
    /// Records in the dead letters from this file.
    pub rejected: u64,
    /// The content had been loaded before: nothing was done, and the counts are those of that load.
    pub skipped: bool,
    /// Wall time.
    pub seconds: f64,
    /// The columns of the file.
    pub columns: Vec<LoadedColumn>,
}

/// A column as it was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadedColumn {
    /// Its name in the table.
    pub name: String,
    /// Its type: `string`, `long`, `decimal(18,2)`, ...
    #[serde(rename = "type")]
    pub kind: String,
}

/// Counters of a running load or replay, readable at any time.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    bytes_total: AtomicU64,
    rows: AtomicU64,
    rows_total: AtomicU64,
}

impl CsvSettings {
    /// The defaults, for a file and a table.
    pub fn new(path: impl Into<PathBuf>, table: TableName) -> Self {
        Self { path: path.into(), table, delimiter: b',', again: false }
    }
}

/// Loads a CSV file into a table, at `now`.
///
/// The first line names the columns; names become lower case, with `_` for what is no letter or digit.
/// A table that exists keeps its types: a record with a value that does not fit is a dead letter.
///
/// # Errors
/// When the file cannot be read, when it does not go with the table, when it changes meanwhile, or when
/// the lake refuses. Nothing of the file is committed then.
pub async fn csv(
    lake: &Lake,
    settings: CsvSettings,
    now: DateTime<Utc>,
    progress: &Arc<Progress>,
) -> Result<LoadReport> {
    progress.expect_bytes(2 * table::size(&settings.path)?);
    let CsvSettings { path, table, delimiter, again } = settings;
    table::load(lake, table::Job { path, table, delimiter, declared: None, again, now }, progress).await
}

/// Loads the nine Olist files of a folder into `bronze.olist_*`, at `now`, each in a commit of its own.
///
/// Files may be plain, `.zst` or `.gz`. The types are those of the published data set, not inferred. A
/// load that broke off goes on with the files that are not loaded yet.
///
/// # Errors
/// As [`csv`]; missing files are named before anything is loaded.
pub async fn olist(
    lake: &Lake,
    folder: &Path,
    again: bool,
    now: DateTime<Utc>,
    progress: &Arc<Progress>,
) -> Result<Vec<LoadReport>> {
    let files = olist::find(folder, &olist::FILES)?;
    for (_, path) in &files {
        progress.expect_bytes(2 * table::size(path)?);
    }
    let mut reports = Vec::new();
    for (file, path) in files {
        let (table, declared) = (file.table()?, Some(file.columns()));
        let job = table::Job { path, table, delimiter: b',', declared, again, now };
        reports.push(table::load(lake, job, progress).await?);
    }
    Ok(reports)
}

impl Progress {
    /// Bytes of files read so far; each file is read twice.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes that will have been read at the end.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total.load(Ordering::Relaxed)
    }

    /// Rows written to files, or events handed to Kafka.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Events of a replay; 0 for a load, which counts by bytes.
    pub fn rows_total(&self) -> u64 {
        self.rows_total.load(Ordering::Relaxed)
    }

    fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn expect_bytes(&self, bytes: u64) {
        self.bytes_total.fetch_add(bytes, Ordering::Relaxed);
    }

    fn add_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    fn expect_rows(&self, rows: u64) {
        self.rows_total.fetch_add(rows, Ordering::Relaxed);
    }
}
