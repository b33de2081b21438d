//! Optimizer rules as they are used here: the library's, but for one that is held back where it is wrong.
//!
//! `single_distinct_aggregation_to_group_by` sums twice, and each sum of a decimal widens it by ten digits:
//! the result then has another type than the plan says, and what compares or unions it fails.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::optimizer::{ApplyOrder, Optimizer};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

const SINGLE_DISTINCT: &str = "single_distinct_aggregation_to_group_by";

/// The rules of the engine.
pub(crate) fn optimizer() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let held_back = |rule: Arc<dyn OptimizerRule + Send + Sync>| -> Arc<dyn OptimizerRule + Send + Sync> {
        if rule.name() == SINGLE_DISTINCT { Arc::new(NotForDecimals(rule)) } else { rule }
    };
    Optimizer::new().rules.into_iter().map(held_back).collect()
}

#[derive(Debug)]
struct NotForDecimals(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for NotForDecimals {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if sums_decimals(&plan) { Ok(Transformed::no(plan)) } else { self.0.rewrite(plan, config) }
    }
}

fn sums_decimals(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Aggregate(aggregate) = plan else { return false };
    let schema = aggregate.input.schema();
    let decimal = |expr: &Expr| expr.get_type(schema).is_ok_and(|data_type| data_type.is_decimal());
    aggregate.aggr_expr.iter().any(decimal)
}
