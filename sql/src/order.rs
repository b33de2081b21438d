//! The table's sort order as far as rows can be sorted by it: the leading terms that name columns themselves.

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr};
use iceberg::spec::{NullOrder, SortDirection, Transform};
use sluice_catalog::TableSnapshot;

use crate::error::Result;

/// One column of the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) column: String,
    pub(crate) descends: bool,
    pub(crate) nulls_first: bool,
}

/// The columns by which rows of the table are to be sorted; a term by a transform ends them.
pub(crate) fn terms(table: &TableSnapshot) -> Vec<Term> {
    let columns = table.metadata().current_schema().as_struct().fields();
    let term = |field: &iceberg::spec::SortField| {
        let column = columns.iter().find(|column| column.id == field.source_id)?;
        (field.transform == Transform::Identity).then(|| Term {
            column: column.name.clone(),
            descends: field.direction == SortDirection::Descending,
            nulls_first: field.null_order == NullOrder::First,
        })
    };
    table.metadata().default_sort_order().fields.iter().map_while(term).collect()
}

/// The rows of `plan`, which has the table's columns, in the table's order.
pub(crate) fn sorted(plan: LogicalPlan, table: &TableSnapshot) -> Result<LogicalPlan> {
    let terms = terms(table).into_iter().map(|Term { column, descends, nulls_first }| {
        SortExpr::new(Expr::Column(Column::from_name(column)), !descends, nulls_first)
    });
    let terms: Vec<SortExpr> = terms.collect();
    if terms.is_empty() {
        return Ok(plan);
    }
    Ok(LogicalPlanBuilder::from(plan).sort(terms)?.build()?)
}
