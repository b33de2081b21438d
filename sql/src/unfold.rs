//! How many tables a statement reads once views and WITH queries stand in place of their names.
//!
//! Each use of such a name repeats its plan. Thirty WITH queries of which each uses the one before twice are
//! a billion tables in a text of one screen, and the planner would not come back from it. So they are
//! counted on the parsed text, in one pass, before it is planned.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query, Visit, Visitor};

use crate::error::{Complaint, Error, Result};

/// The most tables that a statement may read, each use counted.
pub(crate) const TABLES_MAX: u64 = 1_000;

/// Counts the tables of `parsed`; `weight` says how many a name that is no WITH query stands for.
///
/// # Errors
/// When there are more than [`TABLES_MAX`].
pub(crate) fn count(parsed: &Parsed, weight: impl Fn(&[&str]) -> u64) -> Result<u64> {
    let ast = match parsed {
        Parsed::Statement(ast) => ast,
        Parsed::Explain(explain) => return count(&explain.statement, weight),
        Parsed::CreateExternalTable(_) | Parsed::CopyTo(_) | Parsed::Reset(_) => return Ok(0),
    };
    let mut counting = Counting { weight, with: HashMap::new(), named: HashMap::new(), open: vec![0] };
    if ast.visit(&mut counting).is_break() {
        let message = format!("the statement unfolds to more than {TABLES_MAX} reads of tables");
        let remedy = "build the WITH queries or views that are used repeatedly as tables";
        return Err(Error::Plan(Complaint::new(message).remedy(remedy)));
    }
    Ok(counting.open.pop().unwrap_or(0))
}

struct Counting<W> {
    weight: W,
    /// The tables of each WITH query that was passed, by name. An inner one may hide an outer one for the
    /// rest of the statement: the count is a limit, not an account.
    with: HashMap<String, u64>,
    /// The addresses of WITH queries whose names are known and whose text is still to come.
    named: HashMap<usize, String>,
    /// The tables of each query that was entered and not yet left.
    open: Vec<u64>,
}

impl<W> Counting<W> {
    fn add(&mut self, tables: u64) -> ControlFlow<()> {
        if let Some(open) = self.open.last_mut() {
            *open = open.saturating_add(tables);
            if *open > TABLES_MAX {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

impl<W: Fn(&[&str]) -> u64> Visitor for Counting<W> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for with in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.named.insert(address(&with.query), normal(&with.alias.name));
        }
        self.open.push(0);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let tables = self.open.pop().unwrap_or(0);
        match self.named.remove(&address(query)) {
            Some(name) => {
                self.with.insert(name, tables.max(1));
                ControlFlow::Continue(())
            }
            None => self.add(tables),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let parts: Vec<String> = relation.0.iter().filter_map(|part| part.as_ident().map(normal)).collect();
        let with = match parts.as_slice() {
            [name] => self.with.get(name).copied(),
            _ => None,
        };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let tables = with.unwrap_or_else(|| (self.weight)(&parts));
        self.add(tables)
    }
}

fn address(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

fn normal(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

#[cfg(test)]
mod tests;
