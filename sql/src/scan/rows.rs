//! The rows of a table, each with an id of its own: what a change needs to say which rows it means.
//!
//! ```text
//! live files -> pruned -> each file whole, its deleted rows left out -> rows numbered in order -> id
//! ```
//!
//! An id is the number of the file in the list of read files (upper half) and the number of the row among the
//! file's rows that are left (lower half). Files never change and are read whole and in order, so the same
//! list gives the same ids however often it is read.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session as Planning, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::stream::{self, StreamExt, TryStreamExt};
use sluice_catalog::LiveFile;

use crate::table::LakeTable;

/// The column of ids.
pub(crate) const ROW: &str = "__sluice_row";

/// A table with the column [`ROW`] behind its own. It is scanned once.
#[derive(Debug)]
pub(crate) struct NumberedTable {
    table: Arc<LakeTable>,
    schema: SchemaRef,
    /// Whether files of which every row meets the filters are only named, and not read.
    names_whole: AtomicBool,
    scanned: OnceLock<Scanned>,
}

/// What the scan read.
#[derive(Clone, Debug)]
pub(crate) struct Scanned {
    /// The files, by the upper half of the ids.
    pub(crate) files: Arc<[LiveFile]>,
    /// Files that were not read, since every row of theirs is of interest.
    pub(crate) whole: Arc<[LiveFile]>,
    /// A condition that every row of interest meets.
    pub(crate) predicate: Option<Arc<dyn PhysicalExpr>>,
}

impl NumberedTable {
    pub(crate) fn new(table: Arc<LakeTable>) -> Self {
        let own = table.schema();
        let row = Arc::new(Field::new(ROW, DataType::UInt64, false));
        let fields: Vec<_> = own.fields().iter().cloned().chain([row]).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, own.metadata().clone()));
        Self { table, schema, names_whole: AtomicBool::new(false), scanned: OnceLock::new() }
    }

    /// Lets the scan only name files of which every row meets its filters, for a statement that takes no other
    /// interest in these rows, and asks nothing of them but the filters.
    pub(crate) fn name_whole(&self) {
        self.names_whole.store(true, Ordering::Relaxed);
    }

    /// What was read; nothing before the scan was planned.
    pub(crate) fn scanned(&self) -> Option<&Scanned> {
        self.scanned.get()
    }

    /// Some of the read files again, whole, with the same ids; all columns.
    pub(crate) fn again(&self, planning: &dyn Planning, numbers: Vec<u32>) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(scanned) = self.scanned.get() else {
            return Err(DataFusionError::Internal("rows are read again before they were read".to_owned()));
        };
        self.numbered(planning, None, &scanned.files, numbers)
    }

    fn numbered(
        &self,
        planning: &dyn Planning,
        projection: Option<&Vec<usize>>,
        files: &[LiveFile],
        numbers: Vec<u32>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(projection)?);
        let row = self.schema.fields().len() - 1;
        let own: Vec<usize> = projection.iter().copied().filter(|index| *index != row).collect();
        let read: Vec<&LiveFile> = numbers.iter().filter_map(|number| files.get(*number as usize)).collect();
        if read.is_empty() {
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let rows = self.table.whole_files(planning, &own, &read)?;
        let partitions = planning.config_options().execution.target_partitions.max(1);
        let ids = projection.iter().position(|index| *index == row);
        Ok(Arc::new(NumberedRows::new(rows, numbers, partitions, schema, ids)))
    }
}

#[async_trait]
impl TableProvider for NumberedTable {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let kind = |filter: &&Expr| match filter.column_refs().iter().any(|column| column.name == ROW) {
            true => TableProviderFilterPushDown::Unsupported,
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(kind).collect())
    }

    async fn scan(
        &self,
        planning: &dyn Planning,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (files, predicate) = self.table.matching(planning, filters).await?;
        let (whole, files) = match self.names_whole.load(Ordering::Relaxed) {
            true => self.table.part_whole(planning, filters, files)?,
            false => (Vec::new(), files),
        };
        let numbers = (0..u32::try_from(files.len()).unwrap_or(u32::MAX)).collect();
        let scanned = Scanned { files: files.into(), whole: whole.into(), predicate };
        let plan = self.numbered(planning, projection, &scanned.files, numbers)?;
        match self.scanned.set(scanned) {
            Ok(()) => Ok(plan),
            Err(_) => Err(DataFusionError::Internal("the target of a change was scanned twice".to_owned())),
        }
    }
}

/// Reads files one after the other in some partitions and numbers their rows.
///
/// It shows no child: the optimizer must neither cut the files nor filter rows before they are numbered.
#[derive(Debug)]
struct NumberedRows {
    /// One file in each partition.
    rows: Arc<dyn ExecutionPlan>,
    /// The numbers of the files.
    numbers: Vec<u32>,
    /// Where the ids stand among the columns, if they are asked for.
    ids: Option<usize>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl NumberedRows {
    fn new(
        rows: Arc<dyn ExecutionPlan>,
        numbers: Vec<u32>,
        partitions: usize,
        schema: SchemaRef,
        ids: Option<usize>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions.min(numbers.len()).max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { rows, numbers, ids, schema, properties: Arc::new(properties) }
    }
}

impl DisplayAs for NumberedRows {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "NumberedRows: files={}", self.numbers.len())
    }
}

impl ExecutionPlan for NumberedRows {
    fn name(&self) -> &'static str {
        "NumberedRows"
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let step = self.properties.output_partitioning().partition_count();
        let mine: Vec<(usize, u32)> =
            self.numbers.iter().copied().enumerate().skip(partition).step_by(step).collect();
        let (rows, schema, ids) = (Arc::clone(&self.rows), Arc::clone(&self.schema), self.ids);
        let files = stream::iter(mine).map(move |(at, number)| {
            let batches = rows.execute(at, Arc::clone(&context))?;
            let schema = Arc::clone(&schema);
            let mut next = 0_u64;
            Ok::<_, DataFusionError>(batches.map(move |batch| {
                let batch = batch?;
                let first = next;
                next += batch.num_rows() as u64;
                if next > u64::from(u32::MAX) {
                    let message = "a data file has more rows than can be numbered".to_owned();
                    return Err(DataFusionError::Execution(message));
                }
                numbered(&batch, u64::from(number) << 32, first..next, ids, &schema)
            }))
        });
        let batches = files.try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }
}

/// The batch with its ids among its columns.
fn numbered(
    batch: &RecordBatch,
    file: u64,
    rows: std::ops::Range<u64>,
    ids: Option<usize>,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    if let Some(at) = ids {
        columns.insert(
            at.min(columns.len()),
            Arc::new(UInt64Array::from_iter_values(rows.map(|row| file | row))),
        );
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
