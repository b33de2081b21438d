//! Files all of whose rows meet a condition, told without reading them: a deletion drops such files as they are.
//!
//! ```text
//! condition -> its opposite, or null in one of its columns -> files in which no row can be that -> whole
//! ```
//!
//! A condition counts as met only where it is true. One made of comparisons with constants is else false or, where a
//! compared column is null, null; both are in the opposite that is asked for here. Any other condition is not taken.

use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

use super::rows::ROW;

/// What holds of every row that does not meet all of `filters`; `None` when it cannot be said.
pub(crate) fn opposite(filters: &[Expr]) -> Option<Expr> {
    let mut compared = Vec::new();
    let unmet: Option<Vec<Expr>> =
        filters.iter().map(|filter| stated(filter, false, &mut compared)).collect();
    let null = compared.into_iter().map(Expr::is_null);
    unmet?.into_iter().chain(null).reduce(Expr::or)
}

/// The condition in words that bounds are compared with, so that it holds where the filter is `truth`. Columns that
/// are compared with constants are added to `compared`: where they are null, the filter may be neither true nor
/// false.
fn stated(filter: &Expr, truth: bool, compared: &mut Vec<Expr>) -> Option<Expr> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let (left, right) = (stated(left, truth, compared)?, stated(right, truth, compared)?);
            Some(if (*op == Operator::And) == truth { left.and(right) } else { left.or(right) })
        }
        Expr::Not(filter) => stated(filter, !truth, compared),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            let of_column = match (is_constant(left), is_constant(right)) {
                (true, false) => compare(right, compared),
                (false, true) => compare(left, compared),
                _ => false,
            };
            let op = if truth { *op } else { op.negate()? };
            of_column.then(|| Expr::BinaryExpr(BinaryExpr { left: left.clone(), op, right: right.clone() }))
        }
        Expr::Between(between) if is_constant(&between.low) && is_constant(&between.high) => {
            let (column, low, high) =
                (&*between.expr, between.low.as_ref().clone(), between.high.as_ref().clone());
            let (low, high) = match truth != between.negated {
                true => (column.clone().gt_eq(low), column.clone().lt_eq(high)),
                false => (column.clone().lt(low), column.clone().gt(high)),
            };
            let stated = if truth != between.negated { low.and(high) } else { low.or(high) };
            compare(column, compared).then_some(stated)
        }
        Expr::InList(list) if list.list.iter().all(is_constant) => {
            let negated = list.negated == truth;
            let stated = list.expr.as_ref().clone().in_list(list.list.clone(), negated);
            compare(&list.expr, compared).then_some(stated)
        }
        Expr::IsNull(column) | Expr::IsNotNull(column) if matches!(**column, Expr::Column(_)) => {
            let null = matches!(filter, Expr::IsNull(_)) == truth;
            let column = column.as_ref().clone();
            Some(if null { column.is_null() } else { column.is_not_null() })
        }
        // A column of truth values.
        column => {
            let stated = if truth { column.clone() } else { Expr::Not(Box::new(column.clone())) };
            compare(column, compared).then_some(stated)
        }
    }
}

/// Whether this is a column; notes that it is compared.
fn compare(column: &Expr, compared: &mut Vec<Expr>) -> bool {
    let is_column = matches!(column, Expr::Column(_));
    if is_column && !compared.contains(column) {
        compared.push(column.clone());
    }
    is_column
}

fn is_comparison(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

fn is_constant(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if !value.is_null())
}

/// Whether the filters that a scan is given are all that a plan's rows must meet: columns of one table, and a
/// condition that says the same of a row each time and looks at nothing else.
pub(crate) fn filters_say_all(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => filters_say_all(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => filters_say_all(&alias.input),
        LogicalPlan::Filter(filter) => {
            let elsewhere = |expr: &Expr| {
                matches!(
                    expr,
                    Expr::Exists(_)
                        | Expr::InSubquery(_)
                        | Expr::ScalarSubquery(_)
                        | Expr::OuterReferenceColumn(..)
                )
            };
            let condition = &filter.predicate;
            let looks = condition.exists(|expr| Ok(elsewhere(expr))).unwrap_or(true);
            // No scan is given a condition on its ids.
            let by_id = condition.column_refs().iter().any(|column| column.name == ROW);
            !looks && !by_id && !condition.is_volatile() && filters_say_all(&filter.input)
        }
        LogicalPlan::TableScan(_) => true,
        _ => false,
    }
}
