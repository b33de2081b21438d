//! `INSERT INTO` appends rows; `INSERT OVERWRITE` puts them in the place of others.
//!
//! | table | `INSERT OVERWRITE` replaces | refused when, since it was read |
//! |---|---|---|
//! | without partitions | all rows | rows were changed |
//! | with partitions | those of the partitions that the new rows belong to | these partitions were changed |

use datafusion::logical_expr::{DmlStatement, LogicalPlan};
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{Insert, Statement as Ast, TableObject};
use sluice_catalog::{Commit, Operation, TableSnapshot};

use super::rows::Rows;
use super::{Attempt, Changed, Context, target};
use crate::catalog::Scope;
use crate::error::{Complaint, Error, Result};
use crate::statement::type_parameters;

/// The rows of an INSERT and the table they are for.
pub(super) struct Planned {
    pub(super) table: TableSnapshot,
    pub(super) rows: Rows,
}

/// Plans the rows in the table's sort order, each value cast to its column's type; columns that are not named are
/// null.
pub(super) async fn plan(context: &Context<'_>, insert: &Insert) -> Result<Planned> {
    let TableObject::TableName(name) = &insert.table else {
        let complaint = Complaint::new(format!("`{}` is no table that rows go into", insert.table));
        return Err(Error::Unsupported(complaint.remedy("name a table")));
    };
    let name = target::name(context, name)?;
    let scope = Scope::open(context.session.clone());
    let state = scope.state(&[]);
    let parsed = Parsed::Statement(Box::new(Ast::Insert(insert.clone())));
    let planned = scope.plan(&state, context.text, parsed).await;
    let (plan, _) = planned.map_err(|error| error.with_text(context.text.sql()))?;
    let LogicalPlan::Dml(DmlStatement { input, .. }) = plan else {
        return Err(Error::Internal(Complaint::new("an INSERT was planned as something else")));
    };
    let (plan, parameters) = type_parameters((*input).clone(), context.text.markers())?;
    let (_, snapshots) = scope.pinned();
    let table = target::writable(snapshots.get(&name), &name)?;
    let plan = crate::order::sorted(plan, &table)?;
    Ok(Planned { table, rows: Rows { state, plan, parameters } })
}

pub(super) async fn run(context: &Context<'_>, insert: &Insert, values: &[ScalarValue]) -> Result<Attempt> {
    let Planned { table, rows, .. } = plan(context, insert).await?;
    let staged = rows.stage(context, &table, values).await?;
    let inserted = staged.row_count();
    let operation = overwrite(&table);
    let replaces_nothing = inserted == 0 && matches!(operation, Operation::ReplacePartitions { .. });
    let lost = if insert.overwrite && !replaces_nothing {
        let mut commit = Commit::new(table.name().clone(), operation, context.id());
        commit.files = Some(staged);
        context.commit(commit).await?
    } else {
        context.append(&table, staged).await?
    };
    let statement = if insert.overwrite { "INSERT OVERWRITE" } else { "INSERT" };
    Ok(match lost {
        Some(reason) => Attempt::Lost(reason),
        None => Attempt::Done(Changed { inserted, ..Changed::nothing(statement, table.name()) }),
    })
}

/// What an INSERT OVERWRITE of the table replaces.
fn overwrite(table: &TableSnapshot) -> Operation {
    let read_snapshot = table.snapshot_id();
    if table.metadata().default_partition_spec().is_unpartitioned() {
        return Operation::Overwrite { read_snapshot };
    }
    Operation::ReplacePartitions { read_snapshot, partitions: sluice_catalog::Partitions::OfAddedFiles }
}
