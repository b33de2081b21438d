//! Relations: what `ref`, `source` and `this` return to a template.
//!
//! A relation prints as the name to use in SQL and has the attributes that dbt's relations have. The
//! relation of an ephemeral model prints as its SQL in brackets.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use sluice_catalog::TableName;

/// The catalog under which the lake appears in SQL; also `target.database`.
pub(crate) const DATABASE: &str = "sluice";

/// A model or source as a template sees it.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    table: TableName,
    inline: Option<String>,
}

impl Relation {
    pub(crate) fn table(table: TableName) -> Self {
        Self { table, inline: None }
    }

    pub(crate) fn inline(table: TableName, sql: String) -> Self {
        Self { table, inline: Some(sql) }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inline {
            // The line break ends a trailing `--` comment of the inlined text.
            Some(sql) => write!(f, "({}\n)", sql.trim_end()),
            None => f.write_str(&sql_name(&self.table)),
        }
    }
}

impl Object for Relation {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "database" => Some(Value::from(DATABASE)),
            "schema" => Some(Value::from(self.table.namespace())),
            "identifier" | "name" | "table" => Some(Value::from(self.table.name())),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name as SQL needs it: quoted only where the engine would otherwise fold or split it.
pub(crate) fn sql_name(table: &TableName) -> String {
    format!("{}.{}", quoted(table.namespace()), quoted(table.name()))
}

/// An identifier, quoted unless it is plain lower case.
pub(crate) fn quoted(identifier: &str) -> String {
    let mut characters = identifier.chars();
    let plain = characters.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { identifier.to_owned() } else { format!("\"{}\"", identifier.replace('"', "\"\"")) }
}
