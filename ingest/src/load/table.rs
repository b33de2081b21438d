//! One file into one table, in two passes and one commit.
//!
//! ```text
//! pass 1: read -> hash, types           loaded before? -> skip
//! pass 2: read -> columns -> files      hash the same? -> commit rows, dead letters and the hash together
//! ```
//!
//! Two passes because a type is only safe when every value has been seen, and because a repeat must be
//! noticed before anything is written. Nothing is committed before the second pass has reached the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sluice_catalog::{Created, Lake, TableName, TableSnapshot, TableSpec};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::columns::{Origin, Rejects, Rows, table_schema};
use super::infer::{self, Guess};
use super::records::{Fault, Records, Row};
use super::target::{Statement, Target};
use super::{Error, LoadReport, LoadedColumn, Progress, Result};

/// Table property that says a file has been loaded: this prefix and the SHA-256 of its content.
const LOADED: &str = "sluice.load.";

/// What to load where.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) path: PathBuf,
    pub(super) table: TableName,
    pub(super) delimiter: u8,
    /// Columns that the file must have, in its order; none to infer them.
    pub(super) declared: Option<Vec<(String, DataType)>>,
    /// Load it even if it was loaded before.
    pub(super) again: bool,
    pub(super) now: DateTime<Utc>,
}

/// Columns by name and type, in the file's order.
type Columns = Vec<(String, DataType)>;

/// The value of the property, as JSON.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Loaded {
    file: String,
    rows: u64,
    rejected: u64,
}

/// What the first pass finds out.
struct Survey {
    sha256: String,
    columns: Columns,
}

/// What the second pass sends to the writers.
enum Piece {
    Rows(RecordBatch),
    Rejects(RecordBatch),
}

/// What a pass saw.
#[derive(Default)]
struct Seen {
    sha256: String,
    rows: u64,
    rejected: u64,
    first_fault: Option<(u64, String)>,
}

pub(super) async fn load(lake: &Lake, job: Job, progress: &Arc<Progress>) -> Result<LoadReport> {
    let started = Instant::now();
    let survey = survey(&job, progress).await?;
    let found = lake.find(&job.table).await?;
    if let Some(loaded) =
        found.as_ref().and_then(|table| recorded(table, &survey.sha256)).filter(|_| !job.again)
    {
        progress.add_bytes(size(&job.path)?);
        return Ok(report(&job, survey.columns, loaded, true, started));
    }
    let table = match found {
        Some(table) => table,
        None => match lake.create(&job.table, TableSpec::new(table_schema(&survey.columns))).await? {
            Created::New(table) | Created::Existed(table) => table,
        },
    };
    let columns = target_columns(&job, &survey, &table)?;
    let token = token(&job, &survey, &table);
    let mut target = Target::open(lake, &table)?;
    let loaded = match fill(&mut target, &job, &columns, &survey, progress).await {
        Ok(seen) => Loaded { file: file_name(&job.path), rows: seen.rows, rejected: seen.rejected },
        Err(error) => {
            target.abort().await;
            return Err(error);
        }
    };
    let value = serde_json::to_string(&loaded).map_err(|error| broken(&job.path, &error))?;
    let properties = BTreeMap::from([(format!("{LOADED}{}", survey.sha256), value)]);
    let landed = target.commit(Statement { token, properties, now: job.now }).await?;
    Ok(report(&job, columns, loaded, !landed, started))
}

/// Pass 1: reads the whole file for its hash and the types of its columns.
async fn survey(job: &Job, progress: &Arc<Progress>) -> Result<Survey> {
    let (job, counters) = (job.clone(), Arc::clone(progress));
    let path = job.path.clone();
    let pass = spawn_blocking(move || {
        let mut records = Records::open(&job.path, job.delimiter, &counters)?;
        let names = records.names.clone();
        if let Some(declared) = &job.declared {
            check_header(&job.path, declared, &names)?;
        }
        let mut guesses = vec![Guess::new(); names.len()];
        let mut seen = Seen::default();
        while let Some(row) = records.next()? {
            seen.note(row.line, row.fault.as_ref());
            if row.fault.is_none() && job.declared.is_none() {
                for (guess, field) in guesses.iter_mut().zip(row.record) {
                    guess.see(std::str::from_utf8(field).unwrap_or_default());
                }
            }
        }
        // Said before the table is created for it.
        seen.check(&job)?;
        let inferred = || names.into_iter().zip(guesses.iter().map(Guess::settle)).collect();
        let columns = job.declared.unwrap_or_else(inferred);
        Ok(Survey { sha256: records.sha256(), columns })
    });
    pass.await.unwrap_or_else(|ended| Err(broken(&path, &ended)))
}

pub(super) fn check_header(path: &Path, declared: &[(String, DataType)], names: &[String]) -> Result<()> {
    if declared.iter().map(|(name, _)| name).eq(names) {
        return Ok(());
    }
    Err(Error::Content {
        path: path.to_owned(),
        line: 1,
        fact: format!("its columns are {}", names.join(", ")),
        remedy: "the file of that name must have the published columns, in their order",
    })
}

/// The file's columns with the types that the table has for them.
fn target_columns(job: &Job, survey: &Survey, table: &TableSnapshot) -> Result<Columns> {
    let schema = table.schema();
    let misfit = |fact: String| Error::Table { path: job.path.clone(), table: job.table.clone(), fact };
    let own = crate::topics::RESERVED_COLUMNS;
    if let Some(missing) = own.iter().find(|name| schema.field_with_name(name).is_err()) {
        return Err(misfit(format!(
            "the table has no column `{missing}`: neither a load nor ingest made it"
        )));
    }
    let columns = survey.columns.iter().map(|(name, _)| {
        let field = schema.field_with_name(name).ok();
        let field = field.ok_or_else(|| misfit(format!("the table has no column `{name}`")))?;
        Ok((name.clone(), field.data_type().clone()))
    });
    let columns: Columns = columns.collect::<Result<_>>()?;
    let absent = schema.fields().iter().find(|field| {
        let name = field.name().as_str();
        !field.is_nullable() && !own.contains(&name) && !columns.iter().any(|(known, _)| known == name)
    });
    match absent {
        Some(field) => {
            Err(misfit(format!("the file lacks column `{}`, which may not be null", field.name())))
        }
        None => Ok(columns),
    }
}

/// Pass 2: all rows and dead letters, written to files.
async fn fill(
    target: &mut Target,
    job: &Job,
    columns: &Columns,
    survey: &Survey,
    progress: &Arc<Progress>,
) -> Result<Seen> {
    // One piece waits while one is made and one is written.
    let (sender, mut pieces) = mpsc::channel(1);
    let pass = {
        let (job, counters) = (job.clone(), Arc::clone(progress));
        let columns = columns.clone();
        // Types that were inferred from these very values need no second look.
        let trusted = job.declared.is_none() && columns == survey.columns;
        spawn_blocking(move || read(&job, &columns, trusted, &sender, &counters))
    };
    while let Some(piece) = pieces.recv().await {
        match piece {
            Piece::Rows(batch) => {
                let rows = batch.num_rows() as u64;
                target.rows().write(batch).await?;
                progress.add_rows(rows);
            }
            Piece::Rejects(batch) => target.letters().await?.write(batch).await?,
        }
    }
    let seen = pass.await.unwrap_or_else(|ended| Err(broken(&job.path, &ended)))?;
    if seen.sha256 != survey.sha256 {
        return Err(Error::Changed { path: job.path.clone() });
    }
    seen.check(job)?;
    Ok(seen)
}

impl Seen {
    fn note(&mut self, line: u64, fault: Option<&Fault>) {
        match fault {
            None => self.rows += 1,
            Some(fault) => {
                self.rejected += 1;
                self.first_fault.get_or_insert_with(|| (line, fault.text.clone()));
            }
        }
    }

    /// A file of nothing but faults is not a file for this table: better refused than emptied into the
    /// dead letters.
    fn check(&self, job: &Job) -> Result<()> {
        match &self.first_fault {
            Some((line, text)) if self.rows == 0 => Err(Error::Content {
                path: job.path.clone(),
                line: *line,
                fact: format!(
                    "none of {} records fits table `{}`; the first: {text}",
                    self.rejected, job.table
                ),
                remedy: "is it the right file, table and delimiter? nothing of it was committed",
            }),
            _ => Ok(()),
        }
    }
}

fn read(
    job: &Job,
    columns: &Columns,
    trusted: bool,
    pieces: &mpsc::Sender<Piece>,
    progress: &Arc<Progress>,
) -> Result<Seen> {
    let mut records = Records::open(&job.path, job.delimiter, progress)?;
    let origin = Origin { file: file_name(&job.path), ingested_at: job.now };
    let (mut rows, mut rejects) = (Rows::new(columns, origin.clone()), Rejects::new(origin));
    let mut seen = Seen::default();
    // Whoever receives has given up when a piece cannot be sent, and knows why.
    let send = |piece| pieces.blocking_send(piece).is_ok();
    while let Some(row) = records.next()? {
        let fault = row.fault.clone().or_else(|| if trusted { None } else { misfit(&row, columns) });
        seen.note(row.line, fault.as_ref());
        match fault {
            None => rows.push(row.line, row.record),
            Some(fault) => rejects.push(row.line, &fault, row.raw),
        }
        if rows.is_full()
            && !rows.take().map_err(|error| broken(&job.path, &error))?.map(Piece::Rows).is_none_or(send)
        {
            return Ok(seen);
        }
        if rejects.is_full()
            && !rejects
                .take()
                .map_err(|error| broken(&job.path, &error))?
                .map(Piece::Rejects)
                .is_none_or(send)
        {
            return Ok(seen);
        }
    }
    let last = rows.take().map_err(|error| broken(&job.path, &error))?.map(Piece::Rows);
    let rejected = rejects.take().map_err(|error| broken(&job.path, &error))?.map(Piece::Rejects);
    let _ = last.into_iter().chain(rejected).all(send);
    seen.sha256 = records.sha256();
    Ok(seen)
}

/// The first value of a record that its column cannot hold.
pub(super) fn misfit(row: &Row<'_>, columns: &[(String, DataType)]) -> Option<Fault> {
    columns.iter().zip(row.record).find_map(|((name, data_type), field)| {
        let text = std::str::from_utf8(field).unwrap_or_default();
        if text.is_empty() || infer::fits(text, data_type) {
            return None;
        }
        let shown = &text[..text.floor_char_boundary(64)];
        let text = format!("column `{name}`: `{shown}` is not a {}", infer::type_name(data_type));
        Some(Fault { cause: "wrong_type", text })
    })
}

/// What the table's properties say about a file with this content.
fn recorded(table: &TableSnapshot, sha256: &str) -> Option<Loaded> {
    let value = table.metadata().properties().get(&format!("{LOADED}{sha256}"))?;
    serde_json::from_str(value).ok()
}

/// The commit's name: the same for every load of a content into a table, so that two at once land it once.
/// A load that is to add the rows again has a name of its own.
fn token(job: &Job, survey: &Survey, table: &TableSnapshot) -> Uuid {
    if job.again {
        #[expect(clippy::disallowed_methods, reason = "must differ from every other load of this content")]
        return Uuid::new_v4();
    }
    let named = Sha256::new().chain_update(table.metadata().uuid()).chain_update(&survey.sha256).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&named[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn report(job: &Job, columns: Columns, loaded: Loaded, skipped: bool, started: Instant) -> LoadReport {
    let column =
        |(name, data_type): (String, DataType)| LoadedColumn { name, kind: infer::type_name(&data_type) };
    LoadReport {
        file: job.path.clone(),
        table: job.table.to_string(),
        rows: loaded.rows,
        rejected: loaded.rejected,
        skipped,
        seconds: started.elapsed().as_secs_f64(),
        columns: columns.into_iter().map(column).collect(),
    }
}

/// The name by which rows remember their file.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Bytes of the file on disk.
pub(super) fn size(path: &Path) -> Result<u64> {
    let metadata = std::fs::metadata(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(metadata.len())
}

fn broken(path: &Path, cause: &dyn std::fmt::Display) -> Error {
    Error::Broken { path: path.to_owned(), fact: cause.to_string() }
}
