//! The table that a statement writes to: its name, and its state.

use datafusion::sql::sqlparser::ast::ObjectName;
use sluice_catalog::{TableName, TableSnapshot};

use super::Context;
use super::parse::normal;
use crate::engine::CATALOG;
use crate::error::{Complaint, Error, Result};

/// The table or view that a statement names: `table`, `namespace.table` or `sluice.namespace.table`.
pub(super) fn name(context: &Context<'_>, name: &ObjectName) -> Result<TableName> {
    let parts: Option<Vec<String>> = name.0.iter().map(|part| part.as_ident().map(normal)).collect();
    let parts = parts.unwrap_or_default();
    if let Some(branch) = parts.last().filter(|part| part.contains('$') || is_branch(&parts)) {
        let complaint = Complaint::new(format!("`{branch}` is a state of a table, and is only read"));
        let remedy = "write to the table itself: its current state is that of the branch `main`, the only one \
                      that is written to here";
        return Err(Error::Unsupported(complaint.remedy(remedy)));
    }
    let (namespace, table) = match parts.as_slice() {
        [table] => (context.session.namespace(), table),
        [namespace, table] => (namespace.as_str(), table),
        [catalog, namespace, table] if catalog == CATALOG => (namespace.as_str(), table),
        [catalog, _, _] => {
            let complaint = Complaint::new(format!("there is no catalog `{catalog}`"));
            return Err(Error::NotFound(complaint.remedy(format!("the one catalog is `{CATALOG}`"))));
        }
        _ => {
            let complaint = Complaint::new(format!("`{name}` is no name of a table"));
            return Err(Error::NotFound(complaint.remedy("write TABLE or NAMESPACE.TABLE")));
        }
    };
    Ok(TableName::new(namespace, table)?)
}

/// Whether the name is that of a branch as Spark writes it: `namespace.table.branch_b`.
fn is_branch(parts: &[String]) -> bool {
    matches!(parts, [catalog, _, branch] if catalog != CATALOG && branch.starts_with("branch_"))
}

/// A pinned table of a plan; a view is refused.
pub(super) fn writable(found: Option<&TableSnapshot>, name: &TableName) -> Result<TableSnapshot> {
    found.cloned().ok_or_else(|| view(name))
}

/// Why a view is not written to.
pub(super) fn view(name: &TableName) -> Error {
    let complaint = Complaint::new(format!("`{name}` is a view, and rows are only written to tables"));
    Error::Plan(complaint.remedy("write to the tables that the view reads"))
}
