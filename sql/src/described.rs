//! A table or view that is described, not read: what `information_schema` shows.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session as Planning, TableProvider};
use datafusion::common::internal_err;
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;

use crate::types::plain_schema;

/// A provider under the types that clients know.
#[derive(Debug)]
pub(crate) struct Described {
    table: Arc<dyn TableProvider>,
    schema: SchemaRef,
}

impl Described {
    pub(crate) fn of(table: Arc<dyn TableProvider>) -> Arc<dyn TableProvider> {
        let schema = plain_schema(&table.schema());
        Arc::new(Self { table, schema })
    }
}

#[async_trait]
impl TableProvider for Described {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
    }

    fn get_table_definition(&self) -> Option<&str> {
        self.table.get_table_definition()
    }

    async fn scan(
        &self,
        _: &dyn Planning,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("a description of a table is not read")
    }
}
