//! Parts into one table: surveyed, matched with its columns, read again, written, committed as they go.
//!
//! ```text
//! survey each part -> the table, or a new one -> parts it has not -> pieces -> commit every so many bytes
//!                                                ^                              |
//!                                                +--- somebody else was first --+
//! ```
//!
//! Each commit carries how far the parts are loaded, so a load that is killed goes on where its last commit ended.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::DataType;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use sluice_catalog::{Created, Lake, TableName, TableSnapshot, TableSpec};

use super::columns::{Column, Origin, Spelling, table_schema};
use super::ndjson::Kind;
use super::part::Part;
use super::pieces::{Piece, pieces};
use super::survey::{Survey, survey};
use super::target::{Landed, Target, source, standing};
use super::{Error, FileReport, Format, LoadedColumn, Progress, Result};

/// The parts of one table.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) table: TableName,
    pub(super) parts: Vec<Part>,
    pub(super) format: Format,
    /// Columns that each part must have, in this order; none to infer them.
    pub(super) declared: Option<Vec<Column>>,
    /// Load contents even if they were loaded before.
    pub(super) again: bool,
    /// Bytes of content after which a commit is due.
    pub(super) commit_bytes: u64,
    pub(super) now: DateTime<Utc>,
}

/// Loads the parts; gives a report for each, in their order.
pub(super) async fn load(lake: &Lake, job: &Job, progress: &Arc<Progress>) -> Result<Vec<FileReport>> {
    let found = lake.find(&job.table).await?;
    let mut surveys = Vec::with_capacity(job.parts.len());
    for part in &job.parts {
        let infer = found.is_none() && job.declared.is_none();
        let survey = survey(part, job.format, infer, progress).await?;
        check_header(&survey, job)?;
        // Said before a table is created for it.
        if infer {
            check_any(job, &survey.part, survey.rows, survey.rejected, survey.first_fault.as_ref())?;
        }
        surveys.push(survey);
    }
    let table = match found {
        Some(table) => table,
        None => {
            let spec = TableSpec::new(table_schema(&wanted_columns(job, &surveys)));
            let (Created::New(table) | Created::Existed(table)) = lake.create(&job.table, spec).await?;
            table
        }
    };
    let mut loading = Loading { lake, job, progress, reports: Vec::new(), uncommitted: 0 };
    for survey in &surveys {
        let columns = target_columns(job, survey, &table)?;
        loading.reports.push(report(job, survey, &columns));
    }
    // Whoever was first has moved the table on, so this ends.
    loop {
        let table = lake.load(&job.table).await?;
        if loading.all(&table, &surveys).await? == Landed::Done {
            return Ok(loading.reports);
        }
    }
}

/// A load under way.
struct Loading<'a> {
    lake: &'a Lake,
    job: &'a Job,
    progress: &'a Arc<Progress>,
    reports: Vec<FileReport>,
    /// Bytes of content since the last commit.
    uncommitted: u64,
}

impl Loading<'_> {
    /// Loads what the table has not yet of the parts.
    async fn all(&mut self, table: &TableSnapshot, surveys: &[Survey]) -> Result<Landed> {
        let mut target = Target::open(self.lake, table)?;
        self.uncommitted = 0;
        match self.parts(&mut target, table, surveys).await {
            Ok(Landed::Done) => Ok(Landed::Done),
            Ok(Landed::Moved) => {
                target.abort().await;
                Ok(Landed::Moved)
            }
            Err(error) => {
                target.abort().await;
                Err(error)
            }
        }
    }

    async fn parts(
        &mut self,
        target: &mut Target,
        table: &TableSnapshot,
        surveys: &[Survey],
    ) -> Result<Landed> {
        let mut begun = HashSet::new();
        // Counts of parts that the present commit will hold: they are true once it has landed.
        let mut counted: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        for (index, survey) in surveys.iter().enumerate() {
            let sha256 = &survey.fingerprint.sha256;
            let again = self.job.again && !self.reports[index].done;
            let standing = standing(table, sha256, survey.length, again)?;
            if standing.whole || !begun.insert(sha256) {
                self.pass_over(index, survey);
                continue;
            }
            let source = source(sha256, standing.round);
            let columns = target_columns(self.job, survey, table)?;
            let origin = Origin { file: survey.part.label.clone(), ingested_at: self.job.now };
            let mut stream = pieces(survey, self.job.format, &columns, origin, standing.next, self.progress);
            let mut at = standing.next;
            let (mut rows, mut rejected, mut first_fault) = (0, 0, None);
            while let Some(piece) = stream.next().await {
                let piece = piece?;
                (rows, rejected) = (rows + piece.row_count, rejected + piece.rejected);
                // What a load committed before this one tells whether the file fits at all.
                if standing.next == 0 && rows + rejected == piece.row_count + piece.rejected {
                    first_fault = piece.first_fault.clone();
                }
                let counts = counted.entry(index).or_default();
                *counts = (counts.0 + piece.row_count, counts.1 + piece.rejected);
                target.carry(&source, at, piece.end);
                at = piece.end;
                self.write(target, piece).await?;
                if self.uncommitted >= self.job.commit_bytes {
                    check_any(self.job, &survey.part, rows, rejected, first_fault.as_ref())?;
                    first_fault = None;
                    if self.commit(target, &mut counted).await? == Landed::Moved {
                        return Ok(Landed::Moved);
                    }
                }
            }
            check_any(self.job, &survey.part, rows, rejected, first_fault.as_ref())?;
            target.carry(&source, at, survey.length);
            self.reports[index].done = true;
        }
        match target.is_empty() {
            true => Ok(Landed::Done),
            false => self.commit(target, &mut counted).await,
        }
    }

    /// A content that the table has, or that this load had already under another name.
    fn pass_over(&mut self, index: usize, survey: &Survey) {
        let report = &mut self.reports[index];
        if !report.done {
            (report.skipped, report.done) = (true, true);
            self.progress.add_bytes(survey.part.bytes);
        }
    }

    async fn write(&mut self, target: &mut Target, piece: Piece) -> Result<()> {
        for batch in piece.rows {
            target.rows().write(batch).await?;
        }
        for batch in piece.letters {
            target.letters().await?.write(batch).await?;
        }
        self.progress.add_rows(piece.row_count);
        self.uncommitted += piece.bytes;
        Ok(())
    }

    async fn commit(
        &mut self,
        target: &mut Target,
        counted: &mut BTreeMap<usize, (u64, u64)>,
    ) -> Result<Landed> {
        let landed = target.commit().await?;
        self.uncommitted = 0;
        for (index, (rows, rejected)) in std::mem::take(counted) {
            let report = &mut self.reports[index];
            match landed {
                Landed::Done => {
                    (report.rows, report.rejected) = (report.rows + rows, report.rejected + rejected)
                }
                Landed::Moved => report.done = false,
            }
        }
        Ok(landed)
    }
}

/// A file of nothing but faults is not a file for this table: better refused than emptied into the dead letters.
fn check_any(
    job: &Job,
    part: &Part,
    rows: u64,
    rejected: u64,
    first_fault: Option<&(u64, String)>,
) -> Result<()> {
    match first_fault {
        Some((line, text)) if rows == 0 => {
            let fact = format!("none of {rejected} records fits table `{}`; the first: {text}", job.table);
            Err(part.content(
                *line,
                fact,
                "is it the right file, table and delimiter? nothing of it was committed",
            ))
        }
        _ => Ok(()),
    }
}

/// Refuses a file of a data set that has other columns than published.
pub(super) fn check_header(survey: &Survey, job: &Job) -> Result<()> {
    let Some(declared) = &job.declared else { return Ok(()) };
    check_names(&survey.part, declared, survey.columns.iter().map(|(_, column)| &column.name))
}

/// As [`check_header`], for the names alone.
pub(super) fn check_names<'a>(
    part: &Part,
    declared: &[Column],
    names: impl Iterator<Item = &'a String> + Clone,
) -> Result<()> {
    if declared.iter().map(|column| &column.name).eq(names.clone()) {
        return Ok(());
    }
    let fact = format!("its columns are {}", names.map(String::as_str).collect::<Vec<_>>().join(", "));
    let remedy = "the file of that name must have the published columns, in their order";
    Err(part.content(1, fact, remedy))
}

/// The columns of a new table: as declared, else those of all parts with the types their values have in common.
fn wanted_columns(job: &Job, surveys: &[Survey]) -> Vec<Column> {
    if let Some(declared) = &job.declared {
        return declared.clone();
    }
    let mut wanted: Vec<(Column, Option<Kind>)> = Vec::new();
    for survey in surveys {
        for (at, (_, column)) in survey.columns.iter().enumerate() {
            let kind = survey.kinds.get(at);
            match wanted.iter_mut().find(|(known, _)| known.name == column.name) {
                None => wanted.push((column.clone(), kind.cloned())),
                Some((known, Some(all))) => {
                    kind.into_iter().for_each(|kind| all.merge(kind));
                    known.data_type = all.settle(false).unwrap_or(DataType::Utf8);
                }
                // Typed files have to agree: the writer refuses what it cannot cast without loss.
                Some(_) => {}
            }
        }
    }
    wanted.into_iter().map(|(column, _)| column).collect()
}

/// The part's columns with the types that the table has for them.
fn target_columns(job: &Job, survey: &Survey, table: &TableSnapshot) -> Result<Vec<Column>> {
    let schema = table.schema();
    let misfit = |fact: String| {
        let (path, table) = (survey.part.subject(), job.table.clone());
        Error::Table { path, table, fact }
    };
    let own = crate::topics::RESERVED_COLUMNS;
    if let Some(missing) = own.iter().find(|name| schema.field_with_name(name).is_err()) {
        return Err(misfit(format!(
            "the table has no column `{missing}`: neither a load nor ingest made it"
        )));
    }
    let columns = survey.columns.iter().enumerate().map(|(at, (_, column))| {
        let field = schema.field_with_name(&column.name).ok();
        let field = field.ok_or_else(|| misfit(format!("the table has no column `{}`", column.name)))?;
        let declared = job.declared.as_ref().and_then(|declared| declared.get(at)).unwrap_or(column);
        let spelling = match (declared.spelling, field.data_type()) {
            (Spelling::Millis, DataType::Timestamp(_, Some(_))) => Spelling::Millis,
            (Spelling::Padded, kind) if kind.is_integer() => Spelling::Padded,
            _ => Spelling::Plain,
        };
        Ok(Column { spelling, ..Column::new(&column.name, field.data_type().clone()) })
    });
    let columns: Vec<Column> = columns.collect::<Result<_>>()?;
    let absent = schema.fields().iter().find(|field| {
        let name = field.name().as_str();
        !field.is_nullable() && !own.contains(&name) && !columns.iter().any(|known| known.name == name)
    });
    match absent {
        Some(field) => {
            Err(misfit(format!("the file lacks column `{}`, which may not be null", field.name())))
        }
        None => Ok(columns),
    }
}

fn report(job: &Job, survey: &Survey, columns: &[Column]) -> FileReport {
    let kind = |data_type: &DataType| super::infer::type_name(data_type);
    let column = |column: &Column| LoadedColumn { name: column.name.clone(), kind: kind(&column.data_type) };
    FileReport {
        file: survey.part.subject(),
        table: job.table.to_string(),
        rows: 0,
        rejected: 0,
        skipped: false,
        columns: columns.iter().map(column).collect(),
        done: false,
    }
}
