//! Rows of a plan become files of a table that no snapshot knows yet.
//!
//! The plan has cast every value to its column's type already: a value that does not fit has failed there,
//! one by one, and is never replaced by null.

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use sluice_catalog::{StagedFiles, TableSnapshot, TableWriter};

use super::Context;
use crate::error::{Complaint, Error, Result};

/// Rows that a statement writes, as a plan over pinned tables.
pub(super) struct Rows {
    pub(super) state: SessionState,
    pub(super) plan: LogicalPlan,
    /// The types of `$1`, `$2`, … as the plan takes them.
    pub(super) parameters: Vec<DataType>,
}

impl Rows {
    pub(super) fn schema(&self) -> SchemaRef {
        self.plan.schema().inner().clone()
    }

    /// Starts the plan.
    pub(super) async fn stream(&self, values: &[ScalarValue]) -> Result<SendableRecordBatchStream> {
        let mut state = self.state.clone();
        state.mark_start_execution();
        let plan = self.plan.clone();
        let plan = match values {
            [] => plan,
            values => plan.with_param_values(ParamValues::from(values.to_vec()))?,
        };
        let physical = state.create_physical_plan(&plan).await?;
        Ok(execute_stream(physical, state.task_ctx())?)
    }

    /// Writes all rows for `table`; on an error, what was written is taken back.
    pub(super) async fn stage(
        &self,
        context: &Context<'_>,
        table: &TableSnapshot,
        values: &[ScalarValue],
    ) -> Result<StagedFiles> {
        let mut stream = self.stream(values).await?;
        let mut writer = TableWriter::new(context.lake(), table, context.id(), context.writes.files.clone())?;
        let drained = async {
            while let Some(batch) = stream.next().await {
                let batch = batch?;
                if batch.num_rows() > 0 {
                    writer.write(batch).await.map_err(unfit)?;
                }
            }
            Ok(())
        };
        match drained.await {
            Ok(()) => writer.finish().await.map_err(unfit),
            Err(error) => {
                writer.abort().await;
                Err(error)
            }
        }
    }
}

/// Values that the table does not take are the statement's fault, not the lake's.
pub(super) fn unfit(error: sluice_catalog::Error) -> Error {
    match error {
        sluice_catalog::Error::Schema { subject, fact, remedy } => {
            Error::Execution(Complaint::new(format!("{subject}: {fact}")).remedy(remedy))
        }
        other => other.into(),
    }
}
