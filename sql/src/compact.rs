//! Compaction: small files, and files with deleted rows, become large ones with the same rows.
//!
//! ```text
//! pinned table -> job (catalog: maintain) -> scan of its files, deletes applied -> sorted? -> TableWriter -> commit
//!      ^                                                                                                       |
//!      +--------------- next job on the new state, until nothing is left or the bytes are used up -------------+
//! ```
//!
//! Invariants:
//! - Rows are streamed; a sort spills. Memory is that of the engine's pool and of one writer.
//! - A commit that lost against a change of its files is dropped with its files and reported; nothing is
//!   retried here, because the next run plans on what is there then.
//! - Files without deletes must come out with as many rows as went in, or nothing is committed.

use chrono::{DateTime, Utc};
use futures::StreamExt;
use iceberg::spec::FormatVersion;
use sluice_catalog::maintain::{Job, Policy, jobs};
use sluice_catalog::{
    Commit, CommitOutcome, LiveFile, Operation, StagedFiles, TableName, TableSnapshot, TableWriter,
    WriterSettings,
};
use uuid::Uuid;

use crate::engine::Engine;
use crate::error::{Complaint, Error, Result};
use crate::order::Term;

/// Memory that a batch of rows should stay below.
const BATCH_BYTES: u64 = 32 << 20;
const BATCH_ROWS_MIN: usize = 1 << 10;
const BATCH_ROWS_MAX: usize = 1 << 16;
/// Bytes in memory for each byte in a file, assumed.
const BYTES_PER_STORED: u64 = 8;

/// What a compaction did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Data files that were rewritten, and their bytes.
    pub files_in: usize,
    /// See `files_in`.
    pub bytes_in: u64,
    /// Data files that hold their rows now, and their bytes; nothing after a dry run.
    pub files_out: usize,
    /// See `files_out`.
    pub bytes_out: u64,
    /// Delete files that went with them.
    pub delete_files: usize,
    /// Why the last job was dropped, if it was: the table changed under it.
    pub conflict: Option<String>,
    /// Why the table cannot be compacted, if it cannot.
    pub skipped: Option<String>,
}

/// Rewrites what is worth it, job by job; `token` draws the id of each commit. With `dry_run` nothing is
/// written.
///
/// # Errors
/// When the table cannot be read or written, and when rows would be lost: nothing of that job was committed
/// then.
pub async fn compact(
    engine: &Engine,
    name: &TableName,
    policy: &Policy,
    mut token: impl FnMut() -> Uuid,
    now: DateTime<Utc>,
    dry_run: bool,
) -> Result<Compacted> {
    let mut report = Compacted::default();
    loop {
        let table = engine.lake().load(name).await?;
        let policy = policy.with_properties(table.metadata().properties())?;
        if !policy.enabled {
            return Ok(report);
        }
        if table.metadata().format_version() != FormatVersion::V2 {
            let version = table.metadata().format_version();
            let fact = "rows would lose their ids; only version 2 is rewritten";
            report.skipped = Some(format!("its format version is {version}: {fact}"));
            return Ok(report);
        }
        let live = table.files().await?;
        let order = order(&table, &policy)?;
        let spec_id = table.metadata().default_partition_spec_id();
        let planned = jobs(&live, spec_id, &policy);
        let Some(first) = planned.first() else { return Ok(report) };
        if dry_run {
            for job in within(&planned, policy.max_bytes) {
                report.count(job, &live, &table);
            }
            return Ok(report);
        }
        if report.bytes_in > 0 && report.bytes_in + first.bytes > policy.max_bytes {
            return Ok(report);
        }
        // One job, then a new plan: delete files may have become free, and others may have written.
        let run = Run { engine, table: &table, live: &live, policy: &policy, order: &order };
        match run.rewrite(first, token(), now).await? {
            Ok((files, bytes)) => {
                report.count(first, &live, &table);
                report.files_out += files;
                report.bytes_out += bytes;
                if files >= first.files.len() && first.is_whole() {
                    // Sizes were misjudged; another round would do the same again.
                    return Ok(report);
                }
            }
            Err(reason) => {
                report.conflict = Some(reason);
                return Ok(report);
            }
        }
    }
}

/// The jobs that one run does, by their bytes; the first in any case.
fn within(jobs: &[Job], max_bytes: u64) -> impl Iterator<Item = &Job> {
    let mut bytes = 0_u64;
    jobs.iter().take_while(move |job| {
        let first = bytes == 0;
        bytes = bytes.saturating_add(job.bytes);
        first || bytes <= max_bytes
    })
}

impl Compacted {
    fn count(&mut self, job: &Job, live: &[LiveFile], table: &TableSnapshot) {
        self.files_in += job.files.len();
        self.bytes_in += job.bytes;
        let inputs = table.snapshot_id().map_or(0, |snapshot| job.rewrite(snapshot, live).inputs.len());
        self.delete_files += inputs.saturating_sub(job.files.len());
    }
}

/// One job on one state.
pub(crate) struct Run<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) table: &'a TableSnapshot,
    /// Its live files.
    pub(crate) live: &'a [LiveFile],
    pub(crate) policy: &'a Policy,
    /// The `ORDER BY` of the rows, or nothing.
    pub(crate) order: &'a str,
}

impl Run<'_> {
    /// Writes and commits; the files that came out and their bytes, or the reason of a conflict.
    pub(crate) async fn rewrite(
        &self,
        job: &Job,
        token: Uuid,
        now: DateTime<Utc>,
    ) -> Result<std::result::Result<(usize, u64), String>> {
        let Some(read_snapshot) = self.table.snapshot_id() else { return Ok(Ok((0, 0))) };
        let staged = self.stage(job, token).await?;
        let (files, bytes, rows) = (staged.file_count(), staged.byte_count(), staged.row_count());
        if job.is_whole() && rows != job.rows() {
            staged.discard(self.engine.lake()).await;
            let (name, expected) = (self.table.name(), job.rows());
            let fact = format!(
                "compaction of {name} read {rows} rows from files of {expected}; nothing was committed"
            );
            return Err(Error::Internal(Complaint::new(fact)));
        }
        let operation = Operation::Rewrite(job.rewrite(read_snapshot, self.live));
        let commit =
            Commit { files: Some(staged), ..Commit::new(self.table.name().clone(), operation, token) };
        match self.engine.lake().commit(vec![commit], now).await? {
            CommitOutcome::Committed(_) | CommitOutcome::AlreadyCommitted(_) => Ok(Ok((files, bytes))),
            CommitOutcome::Conflicted { reason, .. } => Ok(Err(reason)),
            CommitOutcome::Fenced { topic, .. } => Ok(Err(format!("it was fenced by topic {topic}"))),
        }
    }

    async fn stage(&self, job: &Job, token: Uuid) -> Result<StagedFiles> {
        let session = self.engine.session().with_files(self.table, job.files.clone());
        let session = session.with_batch_rows(batch_rows(job));
        let name = self.table.name();
        let sql = format!("SELECT * FROM {}.{}{}", quoted(name.namespace()), quoted(name.name()), self.order);
        let mut rows = session.sql(&sql).await?;
        let target_file_bytes = Some(usize::try_from(self.policy.target_file_bytes).unwrap_or(usize::MAX));
        let threads = self.engine.state().config().target_partitions();
        let settings = WriterSettings { target_file_bytes, threads, ..WriterSettings::default() };
        let mut writer = TableWriter::new(self.engine.lake(), self.table, token, settings)?;
        while let Some(batch) = rows.next().await {
            let written = match batch {
                Ok(batch) => writer.write(batch).await.map_err(Error::from),
                Err(error) => Err(Error::from(error)),
            };
            if let Err(error) = written {
                writer.abort().await;
                return Err(error);
            }
        }
        Ok(writer.finish().await?)
    }
}

/// Rows of a batch: many, so that each column is encoded in long runs, and few where rows are long.
fn batch_rows(job: &Job) -> usize {
    let stored = (job.bytes / job.rows().max(1)).max(1);
    let rows = BATCH_BYTES / (stored * BYTES_PER_STORED);
    usize::try_from(rows).unwrap_or(usize::MAX).clamp(BATCH_ROWS_MIN, BATCH_ROWS_MAX)
}

/// The `ORDER BY` that the policy names, or that of the table's sort order as far as it names columns
/// themselves.
fn order(table: &TableSnapshot, policy: &Policy) -> Result<String> {
    let schema = table.metadata().current_schema();
    let mut terms = Vec::new();
    if let Some(columns) = &policy.sort_by {
        for term in columns.split(',') {
            let mut words = term.split_whitespace();
            let column = words.next().unwrap_or_default();
            let descends = match (words.next().map(str::to_ascii_lowercase).as_deref(), words.next()) {
                (None | Some("asc"), None) => false,
                (Some("desc"), None) => true,
                _ => return Err(unsortable(table, term)),
            };
            if schema.as_struct().fields().iter().all(|field| field.name != column) {
                return Err(unsortable(table, term));
            }
            terms.push(format!("{} {}", quoted(column), if descends { "DESC" } else { "ASC" }));
        }
    } else {
        terms.extend(crate::order::terms(table).into_iter().map(|Term { column, descends, nulls_first }| {
            let direction = if descends { "DESC" } else { "ASC" };
            let nulls = if nulls_first { "FIRST" } else { "LAST" };
            format!("{} {direction} NULLS {nulls}", quoted(&column))
        }));
    }
    Ok(if terms.is_empty() { String::new() } else { format!(" ORDER BY {}", terms.join(", ")) })
}

fn unsortable(table: &TableSnapshot, term: &str) -> Error {
    sluice_catalog::Error::Setting {
        fact: "sluice.maintain.sort-by names no column of the table",
        value: format!("{} of {}", term.trim(), table.name()),
        remedy: "list columns with an optional asc or desc, as `customer_id, at desc`".to_owned(),
    }
    .into()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
