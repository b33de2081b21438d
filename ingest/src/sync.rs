//! Reference data: tables of PostgreSQL and JSON feeds of HTTP become tables of the lake, whole or by a cursor.
//!
//! ```text
//! sync.yaml (file) -> SyncJob -> postgres: one snapshot, COPY -> columns ┐   replace: all rows, one overwrite
//!                                http: GET, records -> columns           ┴-> increment: rows behind a cursor
//!                                                                            present: what the table has of them
//! ```
//!
//! Invariants:
//! - Rows and what is remembered of the source ([`state`]) are one commit; a fence as that of topics lets each run
//!   land once, also when two do the same sync.
//! - Content that did not change commits nothing.
//! - Whatever goes wrong, the table is as it was.
//! - Only a table that the sync made itself is written.

mod content;
mod error;
mod file;
mod http;
mod increment;
mod postgres;
mod present;
mod replace;
mod state;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use sluice_catalog::{Lake, Secret, TableName};

pub use error::{Error, Result};

use crate::topics::Kind;

/// A run that lost its race this often leaves the table to the others.
const ATTEMPTS: usize = 3;

/// All syncs of a file, in its order.
#[derive(Clone, Debug)]
pub struct Syncs {
    /// The syncs; names and tables are unique.
    pub jobs: Vec<SyncJob>,
}

/// One source and the table that it fills.
#[derive(Clone, Debug)]
pub struct SyncJob {
    /// Its name.
    pub name: String,
    /// The table; made by the first run.
    pub table: TableName,
    /// How often a scheduler runs it; `None`: only when asked.
    pub every: Option<Duration>,
    /// Where the rows come from.
    pub source: Source,
}

/// Where rows come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A table of PostgreSQL.
    Postgres(PostgresSource),
    /// JSON over HTTP.
    Http(HttpSource),
}

/// A table or view of PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresSource {
    /// `postgresql://user@host:5432/database`, without a password.
    pub url: String,
    /// The password; without it the driver looks into `PGPASSWORD` and `.pgpass`.
    pub password: Option<SecretPlace>,
    /// The table as SQL names it.
    pub table: String,
    /// The columns; empty for all.
    pub columns: Vec<String>,
    /// Types of columns whose own say too little.
    pub types: BTreeMap<String, Kind>,
    /// The column that rises with each change; without it the table is read whole.
    pub cursor: Option<String>,
    /// How far behind the cursor rows are read again: a duration, or a number for whole numbers.
    pub overlap: Option<String>,
    /// What identifies a row that changes; with none, rows are only added.
    pub key: Vec<String>,
    /// Whether no rows at all are a good answer.
    pub allow_empty: bool,
}

/// JSON at an address.
#[derive(Clone, Debug)]
pub struct HttpSource {
    /// The address.
    pub url: String,
    /// How to sign in, and where the secret is.
    pub auth: Option<(Auth, SecretPlace)>,
    /// Headers besides.
    pub headers: BTreeMap<String, String>,
    /// Hosts that a redirect may lead to besides that of the address.
    pub redirect_hosts: Vec<String>,
    /// The longest wait for one whole answer.
    pub timeout: Duration,
    /// The largest answer in bytes.
    pub max_bytes: u64,
    /// JSON pointer to the records; empty for the whole answer.
    pub records: String,
    /// The records are the members of an object.
    pub entries: Option<Entries>,
    /// The records are an object of lists of equal length, one a column.
    pub arrays: bool,
    /// Columns of values that the answer has once: name and JSON pointer.
    pub with: BTreeMap<String, String>,
    /// The columns; without them they are inferred once and kept.
    pub columns: Option<Vec<(String, Kind)>>,
    /// What becomes of the rows of the answer before.
    pub keep: Keep,
    /// Whether no records at all are a good answer.
    pub allow_empty: bool,
}

/// The members of an object as records.
#[derive(Clone, Debug)]
pub struct Entries {
    /// The column of the member's name.
    pub key: String,
    /// The column of its value; `None` when the values are objects of columns.
    pub value: Option<String>,
}

/// What a table keeps of the answers of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The rows of the latest answer.
    Latest,
    /// Those of each answer that differs from the one before, with its time in [`SYNCED_AT`].
    History,
}

/// The column of a history that says when an answer was received.
pub const SYNCED_AT: &str = "_synced_at";

/// How a feed is signed in to.
#[derive(Clone, Debug)]
pub enum Auth {
    /// `Authorization: Bearer SECRET`.
    Bearer,
    /// A header whose value is the secret.
    Header(String),
    /// A parameter of the address whose value is the secret.
    Query(String),
}

/// Where a secret is read from, at each run.
#[derive(Clone, Debug)]
pub enum SecretPlace {
    /// The first line of a file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SyncReport {
    /// The sync.
    #[serde(skip)]
    pub name: String,
    /// The table.
    #[serde(skip)]
    pub table: String,
    /// What was done.
    pub outcome: Outcome,
    /// Rows that the source gave.
    pub read: u64,
    /// Rows that were written (or would be).
    pub written: u64,
    /// Rows of the table that other rows took the place of; `None` where the table was replaced.
    pub replaced: Option<u64>,
    /// The largest value of the cursor so far.
    pub cursor: Option<String>,
    /// Fields of the source that the table has no column for.
    pub ignored: Vec<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing had changed, and nothing was committed.
    #[default]
    Unchanged,
    /// The table has other rows.
    Replaced,
    /// Rows were added.
    Appended,
    /// Rows were added or changed, by their key.
    Merged,
}

/// How a run ends: a value, or somebody else was first.
enum Attempt {
    Done(SyncReport),
    Moved(String),
}

impl Syncs {
    /// Reads the text of a sync file.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the place. The file's name is not known here: the caller puts it in front.
    pub fn parse(yaml: &str) -> Result<Self> {
        file::parse(yaml)
    }

    /// The sync of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] when there is none.
    pub fn get(&self, name: &str) -> Result<&SyncJob> {
        let known = || self.jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>().join(", ");
        let unknown = || Error::Unknown { name: name.to_owned(), known: known() };
        self.jobs.iter().find(|job| job.name == name).ok_or_else(unknown)
    }
}

/// Runs one sync once. With `dry_run` the source is read and nothing is written, not even an empty table.
///
/// A run that is ended anywhere leaves the table as it was, or with all of its rows; the next one goes on from there.
/// (One that ends while it makes the table for the first time can leave it without rows.)
///
/// # Errors
/// When the source does not answer or holds what cannot be landed, and when the lake refuses; see [`Error`].
pub async fn sync(lake: &Lake, job: &SyncJob, dry_run: bool) -> Result<SyncReport> {
    let mut reason = String::new();
    for _ in 0..ATTEMPTS {
        let attempt = match &job.source {
            Source::Http(source) => http::run(lake, job, source, dry_run).await?,
            Source::Postgres(source) => postgres::run(lake, job, source, dry_run).await?,
        };
        match attempt {
            Attempt::Done(report) => return Ok(report),
            Attempt::Moved(moved) => reason = moved,
        }
    }
    let fact = format!("was changed by others while the source was read, {ATTEMPTS} times ({reason})");
    Err(Error::table(&job.name, &job.table, fact, "let one sync at a time fill it, then run it again"))
}

impl SyncJob {
    fn report(&self) -> SyncReport {
        SyncReport { name: self.name.clone(), table: self.table.to_string(), ..SyncReport::default() }
    }

    /// What of the configuration decides what the rows are: when it changes, nothing that is remembered holds.
    fn shape(&self) -> String {
        content::of_text(&match &self.source {
            Source::Http(it) => format!(
                "{} {} {:?} {} {:?} {:?} {:?}",
                it.url, it.records, it.entries, it.arrays, it.with, it.columns, it.keep
            ),
            Source::Postgres(it) => {
                format!(
                    "{} {} {:?} {:?} {:?} {:?}",
                    it.url, it.table, it.columns, it.types, it.cursor, it.key
                )
            }
        })
    }
}

impl SecretPlace {
    fn read(&self, sync: &str) -> Result<Secret> {
        let missing = |fact: String, remedy| Error::Secret { sync: sync.to_owned(), fact, remedy };
        let text = match self {
            Self::File(path) => std::fs::read_to_string(path).map_err(|cause| {
                let fact = format!("cannot read the secret file `{}`: {cause}", path.display());
                missing(fact, "name a readable file whose first line is the secret")
            })?,
            Self::Variable(name) => std::env::var(name).map_err(|_| {
                missing(format!("the variable `{name}` is not set"), "set it to the secret, or name a file")
            })?,
        };
        Ok(Secret::new(text.lines().next().unwrap_or_default().trim()))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unchanged => "unchanged",
            Self::Replaced => "replaced",
            Self::Appended => "appended",
            Self::Merged => "merged",
        })
    }
}
