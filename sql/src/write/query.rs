//! A change of rows as the query that finds its rows and computes their new values.
//!
//! | statement | query |
//! |---|---|
//! | `DELETE FROM t WHERE p` | `SELECT row, 2 FROM t WHERE p` |
//! | `UPDATE t SET a = x WHERE p` | `SELECT row, 1, x, t.b, … FROM t WHERE p` |
//! | `MERGE INTO t USING s ON c …` | `SELECT row, CASE …, CASE …, … FROM s LEFT JOIN t ON c WHERE …` |
//!
//! The query is written as text with marks where the statement's own expressions stand; they are put in as
//! they were parsed, so that errors still know their places.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, MergeAction, MergeClause, MergeClauseKind, MergeInsertKind, Query, SetExpr, TableFactor,
    VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::parse::{Assigned, RowChange, Target, normal};
use crate::catalog::TARGET;
use crate::error::{Complaint, Error, Result, nearest};
use crate::scan::rows::ROW;

/// What happens to a row: the second column of the query.
pub(super) const UPDATE: i64 = 1;
pub(super) const DELETE: i64 = 2;
pub(super) const INSERT: i64 = 3;

/// The name of the second column.
const ACTION: &str = "__sluice_action";
/// Marks rows of a source, so that those without one are told from those with nulls.
const SOURCE: &str = "__sluice_source";
/// Begins the name of a mark. A statement's own names may begin so too: they are not looked at.
const MARK: char = '\u{1}';

/// The query of `change` on a table with these columns.
pub(super) fn of(change: &RowChange, columns: &[String]) -> Result<Query> {
    let mut marks = Marks::default();
    let target = quote(&change.target().alias());
    let row = format!("{target}.{} AS {}", quote(ROW), quote(ROW));
    let from = format!("{} AS {target}", quote(TARGET));
    match change {
        RowChange::Delete { selection, .. } => {
            let filter = marks.filter(selection.as_ref());
            marks.fill(&format!("SELECT {row}, {DELETE} AS {} FROM {from}{filter}", quote(ACTION)))
        }
        RowChange::Update { assignments, from: others, selection, .. } => {
            check(assignments, columns)?;
            let values: Vec<String> = columns
                .iter()
                .map(|column| {
                    let assigned = assignments.iter().find(|assigned| assigned.column == *column);
                    let value = match assigned {
                        Some(assigned) => marks.expr(&assigned.value),
                        None => format!("{target}.{}", quote(column)),
                    };
                    format!("{value} AS {}", quote(column))
                })
                .collect();
            let filter = marks.filter(selection.as_ref());
            let values = values.join(", ");
            let text = format!("SELECT {row}, {UPDATE} AS {}, {values} FROM {from}{filter}", quote(ACTION));
            let mut query = marks.fill(&text)?;
            if let SetExpr::Select(select) = query.body.as_mut() {
                select.from.extend(others.iter().cloned());
            }
            Ok(query)
        }
        RowChange::Merge { target: name, source, on, clauses } => {
            merge(&mut marks, name, source, on, clauses, columns)
        }
    }
}

fn merge(
    marks: &mut Marks,
    name: &Target,
    source: &TableFactor,
    on: &Expr,
    clauses: &[MergeClause],
    columns: &[String],
) -> Result<Query> {
    let target = quote(&name.alias());
    let has = |kinds: &[MergeClauseKind]| clauses.iter().any(|clause| kinds.contains(&clause.clause_kind));
    let by_source = has(&[MergeClauseKind::NotMatchedBySource]);
    let by_target = has(&[MergeClauseKind::NotMatched, MergeClauseKind::NotMatchedByTarget]);
    let join = match (by_target, by_source) {
        (true, true) => "FULL JOIN",
        (true, false) => "LEFT JOIN",
        (false, true) => "RIGHT JOIN",
        (false, false) => "JOIN",
    };
    let source_name = quote(&source_alias(source)?);
    let source = marks.table(source);
    let source = match by_source {
        true => format!("(SELECT *, TRUE AS {} FROM {source}) AS {source_name}", quote(SOURCE)),
        false => source,
    };
    let found = format!("{target}.{} IS NOT NULL", quote(ROW));
    let sourced = format!("{source_name}.{} IS NOT NULL", quote(SOURCE));
    let mut conditions = Vec::new();
    for clause in clauses {
        let mut condition = match clause.clause_kind {
            MergeClauseKind::Matched if by_source => format!("({found} AND {sourced})"),
            MergeClauseKind::Matched => found.clone(),
            MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget => {
                format!("{target}.{} IS NULL", quote(ROW))
            }
            MergeClauseKind::NotMatchedBySource => format!("NOT ({sourced})"),
        };
        if let Some(predicate) = &clause.predicate {
            condition = format!("({condition} AND {})", marks.expr(predicate));
        }
        conditions.push(condition);
    }
    let actions = clauses.iter().map(action).collect::<Result<Vec<_>>>()?;
    let case = |values: Vec<String>| {
        let whens = conditions.iter().zip(values).map(|(when, then)| format!("WHEN {when} THEN {then}"));
        format!("CASE {} END", whens.collect::<Vec<_>>().join(" "))
    };
    let mut selected = vec![format!("{target}.{} AS {}", quote(ROW), quote(ROW))];
    let kinds = actions.iter().map(|action| action.number().to_string()).collect();
    selected.push(format!("{} AS {}", case(kinds), quote(ACTION)));
    for action in &actions {
        action.check(columns)?;
    }
    for column in columns {
        let values = actions.iter().map(|action| match action.value(column) {
            Some(value) => marks.expr(value),
            None if action.number() == INSERT => "NULL".to_owned(),
            None => format!("{target}.{}", quote(column)),
        });
        let values = values.collect();
        selected.push(format!("{} AS {}", case(values), quote(column)));
    }
    let on = marks.expr(on);
    let from = format!("{source} {join} {} AS {target} ON {on}", quote(TARGET));
    let text = format!("SELECT {} FROM {from} WHERE {}", selected.join(", "), conditions.join(" OR "));
    marks.fill(&text)
}

/// What a WHEN clause does.
enum Action {
    Set(i64, Vec<Assigned>),
    Delete,
}

impl Action {
    const fn number(&self) -> i64 {
        match self {
            Self::Set(number, _) => *number,
            Self::Delete => DELETE,
        }
    }

    fn value(&self, column: &str) -> Option<&Expr> {
        match self {
            Self::Set(_, assigned) => {
                assigned.iter().find(|assigned| assigned.column == column).map(|assigned| &assigned.value)
            }
            Self::Delete => None,
        }
    }

    fn check(&self, columns: &[String]) -> Result<()> {
        match self {
            Self::Set(_, assigned) => check(assigned, columns),
            Self::Delete => Ok(()),
        }
    }
}

fn action(clause: &MergeClause) -> Result<Action> {
    let by_target =
        matches!(clause.clause_kind, MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget);
    let refused = |what: &str, remedy: &str| {
        Err(Error::Unsupported(Complaint::new(format!("MERGE: {what}")).remedy(remedy.to_owned())))
    };
    match &clause.action {
        MergeAction::Delete { .. } if !by_target => Ok(Action::Delete),
        MergeAction::Update(update) if !by_target => {
            if update.update_predicate.is_some() || update.delete_predicate.is_some() {
                return refused("UPDATE … WHERE is not possible here", "write WHEN MATCHED AND … THEN");
            }
            let assigned = update.assignments.iter().map(Assigned::of).collect::<Result<_>>()?;
            Ok(Action::Set(UPDATE, assigned))
        }
        MergeAction::Insert(insert) if by_target => {
            let MergeInsertKind::Values(values) = &insert.kind else {
                return refused("INSERT ROW is not possible here", "write INSERT (columns) VALUES (…)");
            };
            let [row] = values.rows.as_slice() else {
                return refused("INSERT takes one row of VALUES", "write INSERT (columns) VALUES (…)");
            };
            if insert.insert_predicate.is_some() {
                return refused("INSERT … WHERE is not possible here", "write WHEN NOT MATCHED AND … THEN");
            }
            if insert.columns.len() != row.len() {
                return refused(
                    &format!("INSERT names {} columns and has {} values", insert.columns.len(), row.len()),
                    "name each column that gets a value",
                );
            }
            let pairs = insert.columns.iter().zip(row);
            let assigned =
                pairs.map(|(column, value)| Assigned::new(column, value.clone())).collect::<Result<_>>()?;
            Ok(Action::Set(INSERT, assigned))
        }
        other => refused(
            &format!("`WHEN {} THEN {other}` makes no sense", clause.clause_kind),
            "rows that match are updated or deleted, rows that the table has not are inserted",
        ),
    }
}

/// Each column once, and only columns of the table.
fn check(assigned: &[Assigned], columns: &[String]) -> Result<()> {
    for (at, one) in assigned.iter().enumerate() {
        if assigned.iter().take(at).any(|before| before.column == one.column) {
            let complaint = Complaint::new(format!("the column `{}` is given two values", one.column));
            return Err(Error::Plan(complaint.remedy("give it one")));
        }
        if !columns.contains(&one.column) {
            let complaint = Complaint::new(format!("there is no column `{}`", one.column));
            return Err(Error::Plan(match nearest(&one.column, columns.iter().map(String::as_str)) {
                Some(near) => complaint.remedy(format!("did you mean `{near}`?")),
                None => complaint.remedy(format!("the columns are {}", columns.join(", "))),
            }));
        }
    }
    Ok(())
}

/// The name by which a statement's expressions know the source.
fn source_alias(source: &TableFactor) -> Result<String> {
    let alias = match source {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(normal(&alias.name))
        }
        TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident()).map(normal),
        _ => None,
    };
    alias.ok_or_else(|| {
        let complaint = Complaint::new(format!("MERGE: the source `{source}` has no name"));
        Error::Plan(complaint.remedy("write USING (…) AS source"))
    })
}

fn quote(name: &str) -> String {
    Ident::with_quote('"', name).to_string()
}

/// Parts of the statement, by the marks that stand for them.
#[derive(Default)]
struct Marks {
    exprs: Vec<Expr>,
    tables: Vec<TableFactor>,
}

impl Marks {
    fn expr(&mut self, expr: &Expr) -> String {
        self.exprs.push(expr.clone());
        quote(&format!("{MARK}{}", self.exprs.len() - 1))
    }

    fn table(&mut self, table: &TableFactor) -> String {
        self.tables.push(table.clone());
        quote(&format!("{MARK}{}", self.tables.len() - 1))
    }

    fn filter(&mut self, selection: Option<&Expr>) -> String {
        selection.map_or_else(String::new, |selection| format!(" WHERE {}", self.expr(selection)))
    }

    /// The query of a text, its marks filled in.
    fn fill(&mut self, text: &str) -> Result<Query> {
        let parsed =
            Parser::new(&GenericDialect {}).try_with_sql(text).and_then(|mut parser| parser.parse_query());
        let mut query = parsed
            .map_err(|error| Error::Internal(Complaint::new(format!("a change became no query: {error}"))))?;
        let ControlFlow::Continue(()) = query.visit(self);
        Ok(*query)
    }
}

/// The number of a mark.
fn marked(name: &str) -> Option<usize> {
    name.strip_prefix(MARK)?.parse().ok()
}

impl VisitorMut for Marks {
    type Break = std::convert::Infallible;

    // After what is inside: what is put in is not visited again.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        if let Expr::Identifier(name) = expr
            && let Some(known) = marked(&name.value).and_then(|number| self.exprs.get(number))
        {
            *expr = known.clone();
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Self::Break> {
        if let TableFactor::Table { name, .. } = table
            && let Some(name) = name.0.first().and_then(|part| part.as_ident())
            && let Some(known) = marked(&name.value).and_then(|number| self.tables.get(number))
        {
            *table = known.clone();
        }
        ControlFlow::Continue(())
    }
}
