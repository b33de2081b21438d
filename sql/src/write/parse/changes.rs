//! `DELETE`, `UPDATE` and `MERGE INTO`, as far as they are done here. Parts of other dialects are refused.

use datafusion::sql::sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, Ident, Merge, MergeClause, ObjectName,
    TableFactor, TableWithJoins, Update, UpdateTableFromKind,
};

use super::{Written, normal};
use crate::error::{Complaint, Error, Result};

/// A statement that changes rows of a table.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of them for each statement")]
pub(in crate::write) enum RowChange {
    Delete { target: Target, selection: Option<Expr> },
    Update { target: Target, assignments: Vec<Assigned>, from: Vec<TableWithJoins>, selection: Option<Expr> },
    Merge { target: Target, source: TableFactor, on: Expr, clauses: Vec<MergeClause> },
}

/// The table whose rows change.
#[derive(Debug)]
pub(in crate::write) struct Target {
    pub(in crate::write) name: ObjectName,
    alias: Option<Ident>,
}

/// A column and its new value.
#[derive(Debug)]
pub(in crate::write) struct Assigned {
    pub(in crate::write) column: String,
    pub(in crate::write) value: Expr,
}

impl RowChange {
    pub(in crate::write) fn target(&self) -> &Target {
        match self {
            Self::Delete { target, .. } | Self::Update { target, .. } | Self::Merge { target, .. } => target,
        }
    }

    pub(in crate::write) const fn name(&self) -> &'static str {
        match self {
            Self::Delete { .. } => "DELETE",
            Self::Update { .. } => "UPDATE",
            Self::Merge { .. } => "MERGE",
        }
    }

    /// The word for it in table properties such as `write.delete.mode`.
    pub(in crate::write) const fn property(&self) -> &'static str {
        match self {
            Self::Delete { .. } => "delete",
            Self::Update { .. } => "update",
            Self::Merge { .. } => "merge",
        }
    }
}

impl Target {
    /// The name by which expressions know the table.
    pub(in crate::write) fn alias(&self) -> String {
        let last = || self.name.0.last().and_then(|part| part.as_ident());
        self.alias.as_ref().or_else(last).map(normal).unwrap_or_default()
    }

    fn of(factor: TableFactor) -> Result<Self> {
        match factor {
            TableFactor::Table { name, alias, args: None, version: None, sample: None, .. }
                if alias.as_ref().is_none_or(|alias| alias.columns.is_empty()) =>
            {
                Ok(Self { name, alias: alias.map(|alias| alias.name) })
            }
            other => refused(&format!("`{other}` is no table whose rows can change"), "name a table"),
        }
    }

    fn alone(mut tables: Vec<TableWithJoins>) -> Result<Self> {
        match (tables.pop(), tables.len()) {
            (Some(table), 0) if table.joins.is_empty() => Self::of(table.relation),
            _ => refused(
                "rows of one table change at a time",
                "name one table; use IN (SELECT …) or MERGE INTO",
            ),
        }
    }
}

impl Assigned {
    pub(in crate::write) fn new(column: &ObjectName, value: Expr) -> Result<Self> {
        match column.0.last().and_then(|part| part.as_ident()) {
            Some(name) => Ok(Self { column: normal(name), value }),
            None => refused(&format!("`{column}` is no column"), "name a column of the table"),
        }
    }

    pub(in crate::write) fn of(assignment: &Assignment) -> Result<Self> {
        match &assignment.target {
            AssignmentTarget::ColumnName(column) => Self::new(column, assignment.value.clone()),
            AssignmentTarget::Tuple(_) => {
                refused("SET (a, b) = … is not possible here", "write SET a = …, b = …")
            }
        }
    }
}

pub(super) fn delete(delete: Delete) -> Result<Written> {
    let Delete { tables, from, using, selection, returning, order_by, limit, .. } = delete;
    nothing_of(
        "DELETE",
        &[
            (!tables.is_empty(), "of several tables"),
            (using.is_some(), "USING"),
            (returning.is_some(), "RETURNING"),
            (!order_by.is_empty(), "ORDER BY"),
            (limit.is_some(), "LIMIT"),
        ],
    )?;
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = from;
    let target = Target::alone(from)?;
    Ok(Written::Change(Box::new(RowChange::Delete { target, selection })))
}

pub(super) fn update(update: Update) -> Result<Written> {
    let Update { table, assignments, from, selection, returning, or, limit, .. } = update;
    nothing_of(
        "UPDATE",
        &[(returning.is_some(), "RETURNING"), (or.is_some(), "OR …"), (limit.is_some(), "LIMIT")],
    )?;
    let target = Target::alone(vec![table])?;
    let assignments = assignments.iter().map(Assigned::of).collect::<Result<_>>()?;
    let from = match from {
        Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => from,
        None => Vec::new(),
    };
    Ok(Written::Change(Box::new(RowChange::Update { target, assignments, from, selection })))
}

pub(super) fn merge(merge: Merge) -> Result<Written> {
    let Merge { table, source, on, clauses, output, .. } = merge;
    nothing_of("MERGE", &[(output.is_some(), "OUTPUT")])?;
    let target = Target::of(table)?;
    Ok(Written::Change(Box::new(RowChange::Merge { target, source, on: *on, clauses })))
}

fn nothing_of(statement: &str, parts: &[(bool, &str)]) -> Result<()> {
    match parts.iter().find(|(there, _)| *there) {
        Some((_, part)) => refused(
            &format!("{statement} … {part} is not possible here"),
            "choose the rows with WHERE, or write MERGE INTO",
        ),
        None => Ok(()),
    }
}

fn refused<T>(fact: &str, remedy: &str) -> Result<T> {
    Err(Error::Unsupported(Complaint::new(fact).remedy(remedy)))
}
