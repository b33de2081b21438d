//! The rows behind a cursor: added, or by their key in place of older ones.
//!
//! ```text
//!   cursor - overlap        cursor C                    rows by the cursor column
//!   -------|-------------------|---------------------->
//!          | read again: those | all of them are new
//!          | that the table    |
//!          | has are left out  |
//! ```
//!
//! C is the largest cursor so far and committed with the rows. A transaction may stamp a row and commit it after a
//! later one was read: it is found as long as it does so within the overlap. Rows with the same cursor as C are
//! within it always. What is read again is compared with the rows of the table, each as often as it is there, so
//! nothing is there twice. Where what is remembered does not hold (another configuration, a history moved by
//! others) the whole source is compared with the whole table.
//!
//! A source that deletes rows does not show it here; a sync without a cursor follows it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::compute::{filter_record_batch, max};
use arrow::datatypes::{Field, Fields, SchemaRef};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, TimeDelta};
use futures::TryStreamExt;
use sluice_catalog::{
    Alteration, Commit, DeleteWriter, Lake, Operation, Position, RowChanges, Scope, TableSnapshot, TableSpec,
    TableWriter, WriterSettings,
};
use uuid::Uuid;

use super::content::Rows;
use super::error::{Error, Result};
use super::postgres::{Reader, Take, quoted};
use super::present::{Positions, Present, whole_numbers};
use super::replace::plain;
use super::state::{self, Found, State, Target};
use super::{Attempt, Outcome, PostgresSource, SyncJob, SyncReport};
use crate::pipeline::{new_token, now};

const SECOND: i64 = 1_000_000;

/// Where a run begins, and what it compares with.
struct Plan {
    /// Position of the cursor among the columns.
    cursor: usize,
    kind: Take,
    /// The largest cursor so far.
    at: Option<i64>,
    /// Rows from here on are read again.
    from: Option<i64>,
    /// Columns that say whether a row is there.
    compared: Fields,
    key: Fields,
}

/// What a run has read and written so far.
struct Sum {
    window: HashMap<u128, u32>,
    compared: Rows,
    key: Rows,
    keys: HashSet<u128>,
    largest: Option<i64>,
    read: u64,
    written: u64,
}

pub(super) async fn run(
    lake: &Lake,
    job: &SyncJob,
    (source, cursor): (&PostgresSource, &String),
    found: &Found,
    reader: &mut Reader,
    dry_run: bool,
) -> Result<Attempt> {
    let plan = plan(job, source, cursor, found, reader)?;
    reader.check_cursor(&reader.columns[plan.cursor].clone()).await?;
    if !source.key.is_empty() {
        reader.check_key(&source.table, &source.key).await?;
    }
    let schema = reader.schema();
    if dry_run {
        let run = Run { lake, job, source, plan, table: found.table.as_ref(), schema: &schema };
        let (sum, _) = run.read(reader, None).await?;
        let replaced = run.replaced(&sum).await?;
        return Ok(Attempt::Done(run.report(&sum, count(&replaced))));
    }
    let Some(target) = state::target(lake, job, found, TableSpec::new(schema.clone())).await? else {
        return Ok(Attempt::Moved("another run made the table".to_owned()));
    };
    let table = grown(lake, job, &target, &schema).await?;
    let run = Run { lake, job, source, plan, table: Some(&table), schema: &schema };
    let landed = run.land(reader, found).await;
    if !matches!(&landed, Ok(Attempt::Done(_))) {
        target.take_back(lake, job).await;
    }
    landed
}

/// One run over one state of the table.
struct Run<'a> {
    lake: &'a Lake,
    job: &'a SyncJob,
    source: &'a PostgresSource,
    plan: Plan,
    table: Option<&'a TableSnapshot>,
    schema: &'a SchemaRef,
}

impl Run<'_> {
    async fn land(&self, reader: &mut Reader, found: &Found) -> Result<Attempt> {
        let Some(table) = self.table else { return Ok(Attempt::Moved("the table is gone".to_owned())) };
        let token = new_token();
        let writer = TableWriter::new(self.lake, table, token, WriterSettings::default())?;
        let (sum, writer) = self.read(reader, Some(writer)).await?;
        let Some(writer) = writer else { return Ok(Attempt::Moved("nothing was written".to_owned())) };
        if sum.written == 0 {
            writer.abort().await;
            if found.table.as_ref().and_then(TableSnapshot::snapshot_id).is_none() && !self.source.allow_empty
            {
                return Err(super::replace::no_rows(&self.job.name));
            }
            return Ok(Attempt::Done(self.report(&sum, 0)));
        }
        let replaced = match self.replaced(&sum).await {
            Ok(replaced) => replaced,
            Err(error) => {
                writer.abort().await;
                return Err(error);
            }
        };
        let report = self.report(&sum, count(&replaced));
        let files = writer.finish().await?;
        let operation = match self.operation(table, replaced, token).await {
            Ok(operation) => operation,
            Err(error) => {
                files.discard(self.lake).await;
                return Err(error);
            }
        };
        let columns = self.schema.fields().iter().map(|field| field.name().clone()).collect();
        let state = State { cursor: sum.largest, columns, ..State::default() };
        state::commit(self.lake, self.job, table, (operation, Some(files), token), state, report).await
    }

    /// Reads what is new, and hands it to the writer if there is one.
    async fn read(
        &self,
        reader: &mut Reader,
        mut writer: Option<TableWriter>,
    ) -> Result<(Sum, Option<TableWriter>)> {
        let read = self.read_into(reader, &mut writer).await;
        match (read, writer) {
            (Ok(sum), writer) => Ok((sum, writer)),
            (Err(error), None) => Err(error),
            (Err(error), Some(writer)) => {
                writer.abort().await;
                Err(error)
            }
        }
    }

    async fn read_into(&self, reader: &mut Reader, writer: &mut Option<TableWriter>) -> Result<Sum> {
        let plan = &self.plan;
        let name = quoted(self.schema.field(plan.cursor).name());
        let mut sum = Sum {
            window: HashMap::new(),
            compared: Rows::new(&plan.compared)?,
            key: Rows::new(&plan.key)?,
            keys: HashSet::new(),
            largest: plan.at,
            read: 0,
            written: 0,
        };
        if let Some(present) = self.present() {
            let cursor = self.schema.field(plan.cursor).name();
            sum.window = present.window(cursor, plan.from, &plan.compared).await?;
        }
        let Some((at, from)) = plan.at.zip(plan.from) else {
            return self.pass(reader, "", &mut sum, writer).await.map(|()| sum);
        };
        let (at, from) = (literal(at, &plan.kind), literal(from, &plan.kind));
        let again = format!("WHERE {name} >= {from} AND {name} <= {at}");
        self.pass(reader, &again, &mut sum, writer).await?;
        sum.window.clear();
        self.pass(reader, &format!("WHERE {name} > {at}"), &mut sum, writer).await?;
        Ok(sum)
    }

    async fn pass(
        &self,
        reader: &mut Reader,
        condition: &str,
        sum: &mut Sum,
        writer: &mut Option<TableWriter>,
    ) -> Result<()> {
        let mut batches = reader.rows(condition).await?;
        while let Some(batch) = batches.try_next().await? {
            sum.read += batch.num_rows() as u64;
            let cursors = whole_numbers(batch.column(self.plan.cursor))?;
            sum.largest = sum.largest.max(max(&cursors));
            let batch = sum.unknown(&batch)?;
            if batch.num_rows() == 0 {
                continue;
            }
            sum.written += batch.num_rows() as u64;
            if !self.plan.key.is_empty() && self.present().is_some() {
                sum.keys.extend(sum.key.fingerprints(&chosen(&batch, &self.plan.key))?);
                self.present().map_or(Ok(()), |present| present.check(sum.keys.len()))?;
            }
            if let Some(writer) = writer {
                writer.write(batch).await?;
            }
        }
        Ok(())
    }

    /// The rows of the table, if it has any.
    fn present(&self) -> Option<Present<'_>> {
        let table = self.table.filter(|table| table.snapshot_id().is_some())?;
        Some(Present { lake: self.lake, job: self.job, table })
    }

    async fn replaced(&self, sum: &Sum) -> Result<Positions> {
        match self.present() {
            Some(present) if !sum.keys.is_empty() => present.positions(&self.plan.key, &sum.keys).await,
            _ => Ok(Vec::new()),
        }
    }

    async fn operation(&self, table: &TableSnapshot, replaced: Positions, token: Uuid) -> Result<Operation> {
        if replaced.is_empty() {
            return Ok(Operation::Append);
        }
        let mut deletes = DeleteWriter::new(self.lake, table, token);
        for (file, positions) in replaced {
            deletes.delete(&file, positions)?;
        }
        Ok(Operation::ChangeRows(RowChanges {
            read_snapshot: table.snapshot_id(),
            replaced: Vec::new(),
            deletes: Some(deletes.finish().await?),
            scope: Scope::Table,
        }))
    }

    fn report(&self, sum: &Sum, replaced: u64) -> SyncReport {
        let outcome = match (sum.written, self.plan.key.is_empty()) {
            (0, _) => Outcome::Unchanged,
            (_, true) => Outcome::Appended,
            (_, false) => Outcome::Merged,
        };
        let cursor = sum.largest.map(|at| shown(at, &self.plan.kind));
        let (read, written, replaced) = (sum.read, sum.written, Some(replaced));
        SyncReport { outcome, read, written, replaced, cursor, ..self.job.report() }
    }
}

impl Sum {
    /// The rows that the table does not have.
    fn unknown(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        if self.window.is_empty() {
            return Ok(batch.clone());
        }
        let prints = self.compared.fingerprints(&chosen(batch, self.compared.fields()))?;
        let new = prints.into_iter().map(|print| match self.window.get_mut(&print) {
            Some(left) if *left > 0 => {
                *left -= 1;
                Some(false)
            }
            _ => Some(true),
        });
        Ok(filter_record_batch(batch, &new.collect::<BooleanArray>())?)
    }
}

fn plan(
    job: &SyncJob,
    source: &PostgresSource,
    cursor: &str,
    found: &Found,
    reader: &Reader,
) -> Result<Plan> {
    let schema = reader.schema();
    let wrong = |fact: String, remedy| Error::content(&job.name, fact, remedy);
    let (place, column) =
        reader.columns.iter().enumerate().find(|(_, column)| column.name == *cursor).ok_or_else(|| {
            wrong(format!("the cursor `{cursor}` is not among the columns"), "correct `cursor` or `columns`")
        })?;
    let kind = column.take.clone();
    let overlap = overlap(source.overlap.as_deref(), &kind).map_err(|fact| {
        let remedy = "use a column of whole numbers, dates or timestamps, and an overlap like 1000 or 10m";
        wrong(format!("cursor `{cursor}`: {fact}"), remedy)
    })?;
    let at = found.state.as_ref().and_then(|state| state.cursor);
    let has = |name: &String| match (&found.state, &found.table) {
        (Some(state), Some(_)) => state.columns.contains(name),
        (None, Some(table)) => table.schema().column_with_name(name).is_some(),
        _ => true,
    };
    let compared = schema.fields().iter().filter(|field| has(field.name())).cloned().collect();
    let field = |name: &String| Ok(Arc::new(schema.field_with_name(name)?.clone()));
    let key = source.key.iter().map(field).collect::<Result<Vec<Arc<Field>>, arrow::error::ArrowError>>()?;
    let from = at.map(|at| at.saturating_sub(overlap));
    Ok(Plan { cursor: place, kind, at, from, compared, key: key.into() })
}

/// How far back rows are read again, in units of the cursor; ten minutes, a day or 1,000 unless told.
fn overlap(text: Option<&str>, kind: &Take) -> Result<i64, String> {
    let whole = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0);
    let time =
        |text: &str| humantime::parse_duration(text).ok().and_then(|it| i64::try_from(it.as_micros()).ok());
    let wrong = |text: &str| format!("`{text}` is no overlap for it");
    match (kind, text) {
        (Take::Int2 | Take::Int4 | Take::Int8, None) => Ok(1_000),
        (Take::Int2 | Take::Int4 | Take::Int8, Some(text)) => whole(text).ok_or_else(|| wrong(text)),
        (Take::Date, None) => Ok(1),
        (Take::Date, Some(text)) => {
            time(text).map(|micros| (micros / (86_400 * SECOND)).max(1)).ok_or_else(|| wrong(text))
        }
        (Take::Timestamp | Take::TimestampUtc, None) => Ok(600 * SECOND),
        (Take::Timestamp | Take::TimestampUtc, Some(text)) => time(text).ok_or_else(|| wrong(text)),
        _ => Err("a column of this type cannot be a cursor".to_owned()),
    }
}

/// A cursor for people.
fn shown(at: i64, kind: &Take) -> String {
    let date = |days: i64| DateTime::UNIX_EPOCH.checked_add_signed(TimeDelta::days(days));
    let text = match kind {
        Take::Date => date(at).map(|date| date.format("%Y-%m-%d").to_string()),
        Take::Timestamp => {
            DateTime::from_timestamp_micros(at).map(|it| it.format("%Y-%m-%d %H:%M:%S%.6f").to_string())
        }
        Take::TimestampUtc => {
            DateTime::from_timestamp_micros(at).map(|it| it.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string())
        }
        _ => None,
    };
    text.unwrap_or_else(|| at.to_string())
}

/// A cursor in SQL.
fn literal(at: i64, kind: &Take) -> String {
    let text = shown(at, kind);
    match kind {
        Take::Date => format!("DATE '{text}'"),
        Take::Timestamp => format!("TIMESTAMP '{text}'"),
        Take::TimestampUtc => format!("TIMESTAMPTZ '{text}'"),
        _ => format!("({text})"),
    }
}

/// The table with the columns that the source got since; refused where one changed its type.
async fn grown(lake: &Lake, job: &SyncJob, target: &Target, schema: &SchemaRef) -> Result<TableSnapshot> {
    let stored = TableSpec::new(schema.clone()).stored_schema()?;
    let mut table = target.table.clone();
    let mut wanted = Vec::new();
    for field in stored.fields() {
        match table.schema().field_with_name(field.name()) {
            Err(_) => wanted.push(Alteration::AddColumn {
                column: vec![field.name().clone()],
                data_type: field.data_type().clone(),
                doc: None,
                position: Position::Last,
            }),
            Ok(old) if plain(old.data_type()) != plain(field.data_type()) => {
                let fact = format!(
                    "has `{}` as {}, the source has {}",
                    field.name(),
                    plain(old.data_type()),
                    plain(field.data_type())
                );
                let remedy = "say the old type under `types`, or drop the table: the next run fills it anew";
                return Err(Error::table(&job.name, &job.table, fact, remedy));
            }
            Ok(_) => {}
        }
    }
    if !wanted.is_empty() {
        tracing::info!(sync = %job.name, columns = wanted.len(), "the table gets the source's new columns");
        let commit = Commit::new(job.table.clone(), Operation::Alter(wanted), new_token());
        // Whatever it came to, the table says which columns it has; rows that do not fit are refused by the writer.
        let _ = lake.commit(vec![commit], now()).await?;
        table = lake.load(&job.table).await?;
    }
    Ok(table)
}

fn chosen(batch: &RecordBatch, fields: &Fields) -> Vec<arrow::array::ArrayRef> {
    fields.iter().filter_map(|field| batch.column_by_name(field.name()).cloned()).collect()
}

fn count(replaced: &Positions) -> u64 {
    replaced.iter().map(|(_, positions)| positions.len() as u64).sum()
}
