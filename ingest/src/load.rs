//! Files into tables, exactly once, or replayed into Kafka.
//!
//! ```text
//! part.rs     paths, patterns, archives -> parts     jobs.rs, sets/  one job a table; data sets: files, tables, types
//! content.rs  unpacked bytes, within limits          blocks.rs   whole records; fingerprint and checksums
//! csv.rs, ndjson.rs, parquet.rs  records             infer.rs    types from all values
//! survey.rs   first reading: content, types          pieces.rs   second reading: batches, in parallel
//! columns.rs  text -> columns, dead letters          target.rs   files, progress and their commit
//! table.rs    all parts of one table                 replay.rs   events -> topics
//! ```
//!
//! Invariants:
//! - rows and how far their file is loaded are committed together: a load that is killed goes on where its last
//!   commit ended, and a content that is there whole is recognised by its SHA-256;
//! - every record ends as a row or, with its line, cause and bytes, as a dead letter;
//! - rows carry `_src_topic` (file name), `_src_partition` (0), `_src_offset` (line), `_ingested_at`;
//! - memory does not grow with the file.

mod blocks;
mod columns;
mod content;
mod csv;
mod error;
mod infer;
mod jobs;
mod ndjson;
mod parquet;
mod part;
mod pieces;
mod replay;
mod sets;
mod survey;
mod table;
mod target;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sluice_catalog::{Lake, TableName};

pub use error::{Error, Result};
pub use replay::{ReplayReport, ReplaySettings, replay};
pub use sets::DataSet;

/// Threads that parse at the same time, at most: one file of Parquet takes no more than they give.
const WORKERS_MAX: usize = 8;

/// How a file holds its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A header, then one record a line unless quoted fields hold line breaks.
    Csv {
        /// Between fields.
        delimiter: u8,
    },
    /// One JSON object a line.
    Ndjson,
    /// Columns with types of their own.
    Parquet,
}

/// What to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Any files of a format.
    Files(Format),
    /// Files of a published data set, with its types and tables.
    Set(DataSet),
}

/// What to load, and where.
#[derive(Clone, Debug)]
pub struct LoadSettings {
    /// Files, patterns, zip archives; for a data set folders too.
    pub inputs: Vec<PathBuf>,
    /// What they are.
    pub what: What,
    /// The table of all of them; none gives each file the table of its name, `bronze.<name>`, or that of its set.
    pub table: Option<TableName>,
    /// Load contents even if they were loaded before (default no).
    pub again: bool,
    /// A commit is due after so many bytes of content (default 1 GiB): what a killed load has to repeat.
    pub commit_bytes: u64,
}

/// What became of a load.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// The files, in the order they were loaded.
    #[serde(skip)]
    pub files: Vec<FileReport>,
    /// Rows that this load committed.
    pub rows: u64,
    /// Records that it put into the dead letters.
    pub rejected: u64,
    /// Wall time.
    pub seconds: f64,
    /// Rows by wall time.
    pub rows_per_second: f64,
}

/// What became of one file.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// The file; of an archive, with its member.
    pub file: PathBuf,
    /// The table.
    pub table: String,
    /// Rows that this load committed.
    pub rows: u64,
    /// Records that it put into the dead letters.
    pub rejected: u64,
    /// The content was loaded before: nothing was done.
    pub skipped: bool,
    /// The columns of the file.
    pub columns: Vec<LoadedColumn>,
    #[serde(skip)]
    done: bool,
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

impl LoadSettings {
    /// The defaults.
    pub fn new(what: What, inputs: Vec<PathBuf>) -> Self {
        Self { inputs, what, table: None, again: false, commit_bytes: 1 << 30 }
    }
}

/// Loads files into tables; rows say `now` in `_ingested_at`.
///
/// Names of columns become lower case, with `_` for what is no letter or digit. A table that exists keeps its
/// types: a record with a value that does not fit is a dead letter. What was committed when a load broke off stays;
/// the same load again goes on from there.
///
/// # Errors
/// When a file cannot be read, does not go with its table, or changes meanwhile, and when the lake refuses.
pub async fn load(
    lake: &Lake,
    settings: LoadSettings,
    now: DateTime<Utc>,
    progress: &Arc<Progress>,
) -> Result<LoadReport> {
    let started = Instant::now();
    let jobs = tokio::task::spawn_blocking(move || jobs::jobs(&settings, now));
    let jobs = jobs.await.unwrap_or_else(|ended| {
        Err(Error::Broken { path: PathBuf::from("the list of files"), fact: ended.to_string() })
    })?;
    for part in jobs.iter().flat_map(|job| &job.parts) {
        progress.expect_bytes(2 * part.bytes);
    }
    let mut files = Vec::new();
    for job in &jobs {
        files.extend(table::load(lake, job, progress).await?);
    }
    let rows = files.iter().map(|file| file.rows).sum();
    let rejected = files.iter().map(|file| file.rejected).sum();
    let seconds = started.elapsed().as_secs_f64();
    Ok(LoadReport { files, rows, rejected, seconds, rows_per_second: rows as f64 / seconds.max(1e-9) })
}

/// Threads for parsing: one for each core, within reason.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).min(WORKERS_MAX)
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
