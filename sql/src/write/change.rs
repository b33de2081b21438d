//! `DELETE`, `UPDATE` and `MERGE INTO`: rows of live files go, rows in new files come, in one commit.
//!
//! ```text
//! query of the change -> (id, action, new values) -> ids of rows that go, by file
//!   (query)                       |                          |- all rows of the file: it goes
//!                                 v                          |- few of a large file: deletes of positions
//!                           table writer  <--- other rows ---'- else: it is read again and replaced
//!                                 '--> staged files, staged deletes -> Commit (ChangeRows)
//! ```
//!
//! Files of which the manifests tell that a DELETE takes all rows are not even read.
//!
//! | table property | meaning |
//! |---|---|
//! | `write.delete.mode`, `….update.…`, `….merge.…` | `copy-on-write`, `merge-on-read`; by share unless set |
//! | `write.delete.isolation-level`, … | `serializable` (the default) or `snapshot` |
//!
//! Serializable: a file that others added since the table was read, and that may hold rows the statement
//! would have changed, makes the statement run again.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{Int64Type, UInt64Type};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{Cast, Expr, LogicalPlan, Projection};
use datafusion::physical_plan::execute_stream;
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::Statement as Ast;
use futures::StreamExt;
use iceberg::spec::FormatVersion;
use roaring::RoaringTreemap;
use sluice_catalog::{
    Commit, DeleteWriter, LiveFile, Operation, RowChanges, Scope as Conflicts, StagedDeletes, TableSnapshot,
    TableWriter,
};

use super::parse::RowChange;
use super::rows::{Rows, unfit};
use super::{Attempt, Changed, Context, missing, query, target};
use crate::catalog::Scope;
use crate::error::{Complaint, Error, Result};
use crate::scan::rows::NumberedTable;
use crate::scan::whole;
use crate::statement::type_parameters;
use crate::table::{LakeTable, Reading};
use crate::types::bare_type;

/// A file of which at most one row in so many goes keeps its place, and gets deletes of positions.
const ROWS_PER_DELETE: u64 = 100;
/// Smaller files are replaced: that costs little, and readers have no deletes to apply.
const LARGE_BYTES: u64 = 32 << 20;

/// A change over a pinned table.
pub(super) struct Planned {
    table: TableSnapshot,
    lake_table: Arc<LakeTable>,
    numbered: Arc<NumberedTable>,
    pub(super) rows: Rows,
}

/// What a file's changed rows come to.
enum Fate {
    Gone,
    Replaced,
    Marked,
}

/// What the statement does to files.
struct Found {
    /// Ids of the rows that go.
    ids: RoaringTreemap,
    counts: Changed,
}

/// Plans the query of the change; the new values have the types of their columns.
pub(super) async fn plan(context: &Context<'_>, change: &RowChange) -> Result<Planned> {
    let name = target::name(context, &change.target().name)?;
    let Some(table) = context.lake().find(&name).await? else {
        let is_view = context.lake().find_view(&name).await?.is_some();
        return Err(if is_view { target::view(&name) } else { missing("table", &name) });
    };
    let engine = context.session.engine().clone();
    let lake_table = Arc::new(LakeTable::new(engine, Reading::current(table.clone())));
    let numbered = Arc::new(NumberedTable::new(Arc::clone(&lake_table)));
    let session = context.session.with_pinned(table.clone());
    let scope = Scope::with_target(session, Arc::clone(&numbered));
    let state = scope.state(&[]);
    let schema = table.schema();
    let columns: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let query = query::of(change, &columns)?;
    let parsed = Parsed::Statement(Box::new(Ast::Query(Box::new(query))));
    let planned = scope.plan(&state, context.text, parsed).await;
    let (plan, _) = planned.map_err(|error| error.with_text(context.text.sql()))?;
    let plan = cast(plan, &table)?;
    let (plan, parameters) = type_parameters(plan, context.text.markers())?;
    if matches!(change, RowChange::Delete { .. }) && whole::filters_say_all(&plan) {
        numbered.name_whole();
    }
    scope.pinned();
    Ok(Planned { table, lake_table, numbered, rows: Rows { state, plan, parameters } })
}

/// Casts the new values to the types of their columns: behind the row and the action, in the table's order.
fn cast(plan: LogicalPlan, table: &TableSnapshot) -> Result<LogicalPlan> {
    let LogicalPlan::Projection(Projection { expr, input, .. }) = plan else {
        return Err(Error::Internal(Complaint::new("a change was planned as something else")));
    };
    let schema = table.schema();
    let types = schema.fields().iter().map(|field| bare_type(field.data_type()));
    let mut cast: Vec<Expr> = expr.iter().take(2).cloned().collect();
    for (expr, (data_type, field)) in expr.into_iter().skip(2).zip(types.zip(schema.fields())) {
        let value = Expr::Cast(Cast::new(Box::new(expr.unalias()), data_type));
        cast.push(value.alias(field.name()));
    }
    Ok(LogicalPlan::Projection(Projection::try_new(cast, input)?))
}

pub(super) async fn run(
    context: &Context<'_>,
    change: &RowChange,
    values: &[ScalarValue],
) -> Result<Attempt> {
    let planned = plan(context, change).await?;
    let settings = context.writes.files.clone();
    let mut writer = TableWriter::new(context.lake(), &planned.table, context.id(), settings)?;
    let changed = async {
        let found = planned.find(change, values, &mut writer).await?;
        let fates = planned.fates(change, &found)?;
        planned.keep_others(&fates, &found.ids, &mut writer).await?;
        let deletes = planned.deletes(context, &fates, &found.ids).await?;
        Ok::<_, Error>((found, fates, deletes))
    };
    let (found, fates, deletes) = match changed.await {
        Ok(changed) => changed,
        Err(error) => {
            writer.abort().await;
            return Err(error);
        }
    };
    let staged = match writer.finish().await {
        Ok(staged) => staged,
        Err(error) => {
            if let Some(deletes) = deletes {
                deletes.discard(context.lake()).await;
            }
            return Err(unfit(error));
        }
    };
    if found.counts.rows() == 0 {
        staged.discard(context.lake()).await;
        return Ok(Attempt::Done(found.counts));
    }
    let replaced = fates.iter().filter(|(_, fate)| !matches!(fate, Fate::Marked));
    let replaced = replaced.filter_map(|(number, _)| planned.file(*number)).chain(planned.whole());
    let changes = RowChanges {
        read_snapshot: planned.table.snapshot_id(),
        replaced: replaced.cloned().collect(),
        deletes,
        scope: planned.conflicts(change),
    };
    let operation = Operation::ChangeRows(changes);
    let mut commit = Commit::new(planned.table.name().clone(), operation, context.id());
    commit.files = Some(staged);
    Ok(match context.commit(commit).await? {
        Some(reason) => Attempt::Lost(reason),
        None => Attempt::Done(found.counts),
    })
}

impl Planned {
    fn file(&self, number: u32) -> Option<&LiveFile> {
        self.numbered.scanned()?.files.get(number as usize)
    }

    /// The files that go without having been read.
    fn whole(&self) -> &[LiveFile] {
        self.numbered.scanned().map_or(&[], |scanned| &scanned.whole)
    }

    /// Runs the query: new values are written, the ids of the rows that go are kept.
    async fn find(
        &self,
        change: &RowChange,
        values: &[ScalarValue],
        writer: &mut TableWriter,
    ) -> Result<Found> {
        let pool = self.rows.state.runtime_env().memory_pool.clone();
        let memory = MemoryConsumer::new("rows that change").register(&pool);
        let counts = Changed::nothing(change.name(), self.table.name());
        let mut found = Found { ids: RoaringTreemap::new(), counts };
        let mut stream = self.rows.stream(values).await?;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            found.add(&batch, &memory)?;
            if batch.num_columns() > 2 && batch.num_rows() > 0 {
                let actions = batch.column(1).as_primitive::<Int64Type>();
                let written: BooleanArray =
                    actions.iter().map(|action| Some(action != Some(query::DELETE))).collect();
                let columns: Vec<usize> = (2..batch.num_columns()).collect();
                let rows = some(&batch, &columns, &written)?;
                if rows.num_rows() > 0 {
                    writer.write(rows).await.map_err(unfit)?;
                }
            }
        }
        found.counts.deleted += self.whole().iter().map(|file| file.parts().0.record_count()).sum::<u64>();
        Ok(found)
    }

    /// What happens to each file that has rows which go.
    fn fates(&self, change: &RowChange, found: &Found) -> Result<Vec<(u32, Fate)>> {
        let properties = self.table.metadata().properties();
        let mode = properties.get(&format!("write.{}.mode", change.property())).map(String::as_str);
        let can_mark = self.table.metadata().format_version() == FormatVersion::V2;
        let mut fates = Vec::new();
        for (number, rows) in found.ids.bitmaps() {
            let Some(file) = self.file(number) else {
                return Err(Error::Internal(Complaint::new("a row of a file that was not read changed")));
            };
            let (data, deletes) = file.parts();
            let few = rows.len().saturating_mul(ROWS_PER_DELETE) <= data.record_count()
                && data.file_size_in_bytes() >= LARGE_BYTES;
            // Where keys delete rows, a row's number among those that are left does not tell its position.
            let can_mark = can_mark && deletes.equality.is_empty();
            let fate = if deletes.is_empty() && rows.len() == data.record_count() {
                Fate::Gone
            } else if can_mark && (mode == Some("merge-on-read") || (mode != Some("copy-on-write") && few)) {
                Fate::Marked
            } else {
                Fate::Replaced
            };
            fates.push((number, fate));
        }
        Ok(fates)
    }

    /// Copies the rows that stay of the files that are replaced.
    async fn keep_others(
        &self,
        fates: &[(u32, Fate)],
        ids: &RoaringTreemap,
        writer: &mut TableWriter,
    ) -> Result<()> {
        let numbers = fates.iter().filter(|(_, fate)| matches!(fate, Fate::Replaced));
        let numbers: Vec<u32> = numbers.map(|(number, _)| *number).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let rows = self.numbered.again(&self.rows.state, numbers)?;
        let mut stream = execute_stream(rows, self.rows.state.task_ctx())?;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let last = batch.num_columns() - 1;
            let id = batch.column(last).as_primitive::<UInt64Type>();
            let stays: BooleanArray = id.values().iter().map(|id| Some(!ids.contains(*id))).collect();
            let columns: Vec<usize> = (0..last).collect();
            let rows = some(&batch, &columns, &stays)?;
            if rows.num_rows() > 0 {
                writer.write(rows).await.map_err(unfit)?;
            }
        }
        Ok(())
    }

    /// Delete files for the rows of files that keep their place.
    async fn deletes(
        &self,
        context: &Context<'_>,
        fates: &[(u32, Fate)],
        ids: &RoaringTreemap,
    ) -> Result<Option<StagedDeletes>> {
        let marked: Vec<u32> = fates
            .iter()
            .filter(|(_, fate)| matches!(fate, Fate::Marked))
            .map(|(number, _)| *number)
            .collect();
        if marked.is_empty() {
            return Ok(None);
        }
        let mut writer = DeleteWriter::new(context.lake(), &self.table, context.id());
        for number in marked {
            let Some(file) = self.file(number) else { continue };
            let gone = self.lake_table.deleted(&self.rows.state, file).await?;
            let rows = ids.bitmaps().filter(|(of, _)| *of == number).flat_map(|(_, rows)| rows.iter());
            writer.delete(file, positions(rows.map(u64::from), &gone))?;
        }
        Ok(Some(writer.finish().await?))
    }

    /// Which files of others make the change void.
    fn conflicts(&self, change: &RowChange) -> Conflicts {
        let key = format!("write.{}.isolation-level", change.property());
        if self.table.metadata().properties().get(&key).is_some_and(|level| level == "snapshot") {
            return Conflicts::ReadFiles;
        }
        match self.numbered.scanned().and_then(|scanned| scanned.predicate.clone()) {
            Some(predicate) => Conflicts::Matching(self.lake_table.may_match(predicate)),
            None => Conflicts::Table,
        }
    }
}

impl Found {
    fn add(&mut self, batch: &RecordBatch, memory: &MemoryReservation) -> Result<()> {
        memory.try_grow(batch.num_rows().saturating_mul(4))?;
        let rows = batch.column(0).as_primitive::<UInt64Type>();
        let actions = batch.column(1).as_primitive::<Int64Type>();
        for (row, action) in rows.iter().zip(actions) {
            if let Some(row) = row
                && !self.ids.insert(row)
            {
                let message = format!(
                    "{}: a row of the table matches several rows of the source",
                    self.counts.statement
                );
                let remedy = "make the source unique in what it is matched by, or narrow the condition";
                return Err(Error::Execution(Complaint::new(message).remedy(remedy)));
            }
            match action {
                Some(query::UPDATE) => self.counts.updated += 1,
                Some(query::DELETE) => self.counts.deleted += 1,
                Some(query::INSERT) => self.counts.inserted += 1,
                _ => return Err(Error::Internal(Complaint::new("a row came without an action"))),
            }
        }
        Ok(())
    }
}

/// Some columns and rows of a batch.
fn some(batch: &RecordBatch, columns: &[usize], rows: &BooleanArray) -> Result<RecordBatch> {
    let picked = batch.project(columns).and_then(|batch| filter_record_batch(&batch, rows));
    Ok(picked.map_err(DataFusionError::from)?)
}

/// The positions in the file of the n-th rows among those that `gone` leaves; `rows` ascend.
fn positions(rows: impl Iterator<Item = u64>, gone: &RoaringTreemap) -> impl Iterator<Item = u64> {
    let mut gone = gone.iter().collect::<Vec<_>>().into_iter().peekable();
    let mut passed = 0_u64;
    rows.map(move |row| {
        while gone.next_if(|position| *position <= row + passed).is_some() {
            passed += 1;
        }
        row + passed
    })
}

#[cfg(test)]
mod tests;
