//! Tables about a table: `orders$snapshots`, `$history`, `$refs`, `$manifests`, `$files`, `$entries`,
//! `$partitions`.
//!
//! Names and types of the columns are those that PyIceberg and Spark use, with one difference: `partition` is text
//! in the form of a path (`day=2026-05-01`). What is told from manifests is told manifest by manifest, so a large
//! table needs no large memory.

mod files;
mod metrics;
mod partitions;
mod states;

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session as Planning, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::StreamExt;
use futures::stream::BoxStream;
use sluice_catalog::TableSnapshot;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The snapshots that the table keeps.
    Snapshots,
    /// Which snapshot was current when.
    History,
    /// Branches and tags.
    Refs,
    /// The manifests of the snapshot.
    Manifests,
    /// Its live data and delete files.
    Files,
    /// The entries of its manifests, removed files included.
    Entries,
    /// Its files, counted by partition.
    Partitions,
}

impl Kind {
    /// The kind of that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "snapshots" => Self::Snapshots,
            "history" => Self::History,
            "refs" => Self::Refs,
            "manifests" => Self::Manifests,
            "files" => Self::Files,
            "entries" => Self::Entries,
            "partitions" => Self::Partitions,
            _ => return None,
        })
    }
}

/// A table about a state of a table.
#[derive(Debug)]
pub(crate) struct MetadataTable {
    rows: Arc<Rows>,
}

#[derive(Debug)]
struct Rows {
    kind: Kind,
    table: TableSnapshot,
    schema: SchemaRef,
}

impl MetadataTable {
    /// # Errors
    /// When the columns do not fit together, which is a defect.
    pub(crate) fn new(kind: Kind, table: TableSnapshot) -> Result<Self> {
        let schema = match kind {
            Kind::Snapshots => states::snapshots(&table, true)?.schema(),
            Kind::History => states::history(&table, true)?.schema(),
            Kind::Refs => states::refs(&table, true)?.schema(),
            Kind::Manifests => files::manifests(&table, &[])?.schema(),
            Kind::Files => files::files(&table, &files::Listed::default())?.schema(),
            Kind::Entries => files::entries(&table, &files::Listed::default())?.schema(),
            Kind::Partitions => files::partitions(&Default::default())?.schema(),
        };
        Ok(Self { rows: Arc::new(Rows { kind, table, schema }) })
    }
}

#[async_trait]
impl TableProvider for MetadataTable {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.rows.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Planning,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let parts: Vec<Arc<dyn PartitionStream>> = vec![Arc::clone(&self.rows) as _];
        let schema = Arc::clone(&self.rows.schema);
        Ok(Arc::new(StreamingTableExec::try_new(schema, parts, projection, [], false, limit)?))
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let table = self.table.clone();
        let one = |batch: Result<RecordBatch>| futures::stream::iter([batch]).boxed();
        let batches: BoxStream<'static, Result<RecordBatch>> = match self.kind {
            Kind::Snapshots => one(states::snapshots(&table, false)),
            Kind::History => one(states::history(&table, false)),
            Kind::Refs => one(states::refs(&table, false)),
            Kind::Manifests | Kind::Files | Kind::Entries | Kind::Partitions => {
                files::stream(self.kind, table)
            }
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}
