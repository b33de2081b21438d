//! Checks: the tests of a model's rows, as SQL that counts what violates them.
//!
//! | check | counts |
//! |---|---|
//! | not_null | rows without a value |
//! | unique | values that occur more than once (null does not count) |
//! | accepted_values | rows with another value (null does not count) |
//! | relationships | rows whose value the other relation does not have (null does not count) |
//!
//! A count above zero fails the check, or warns when its severity says so.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::relation::quoted;

/// What a failing check means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The model is not published.
    Error,
    /// It is published; the report says so.
    Warn,
}

/// One check of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The column, as written.
    pub column: String,
    /// What must hold.
    pub kind: CheckKind,
    /// Only rows for which this SQL condition holds are looked at.
    pub filter: Option<String>,
    /// What a failure means.
    pub severity: Severity,
}

/// What must hold for a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A value in every row.
    NotNull,
    /// No value twice.
    Unique,
    /// One of these SQL literals.
    AcceptedValues(Vec<String>),
    /// A value of another relation's column.
    Relationships {
        /// `ref('customers')` or `source('bronze', 'orders')`, as written.
        to: String,
        /// The column there.
        field: String,
    },
}

impl Check {
    /// `unique(event_id)`: what reports call it.
    pub fn name(&self) -> String {
        let kind = match &self.kind {
            CheckKind::NotNull => "not_null",
            CheckKind::Unique => "unique",
            CheckKind::AcceptedValues(_) => "accepted_values",
            CheckKind::Relationships { .. } => "relationships",
        };
        format!("{kind}({})", self.column)
    }

    /// A query of one row and one column: how often `relation` violates the check.
    ///
    /// `relation` is a name or a query in brackets; `other` is the relation that `to` names, for
    /// relationships.
    pub(crate) fn sql(&self, relation: &str, other: Option<&str>) -> String {
        let column = column(&self.column);
        let rows = match &self.filter {
            Some(filter) => format!("(select * from {relation} as unfiltered where {filter})"),
            None => relation.to_owned(),
        };
        match &self.kind {
            CheckKind::NotNull => {
                format!("select count(*) as failures from {rows} as checked where {column} is null")
            }
            CheckKind::Unique => format!(
                "select count(*) as failures from (select {column} from {rows} as checked \
                 where {column} is not null group by {column} having count(*) > 1) as doubled"
            ),
            CheckKind::AcceptedValues(values) => format!(
                "select count(*) as failures from {rows} as checked where {column} not in ({})",
                values.join(", ")
            ),
            CheckKind::Relationships { field, .. } => {
                let (other, field) = (other.unwrap_or("(select null)"), self::column(field));
                format!(
                    "select count(*) as failures from {rows} as checked left anti join \
                     (select {field} as wanted from {other} as other_rows \
                     where {field} is not null) as parent \
                     on checked.{column} = parent.wanted where checked.{column} is not null"
                )
            }
        }
    }
}

/// A column as the YAML names it: plain names are used as they are, so that letter case folds as in the
/// model.
fn column(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain || name.starts_with('"') { name.to_owned() } else { quoted(name) }
}

/// Reads one entry of a `tests:` list; `None` for one that is switched off, `Err` says why it cannot run.
pub(crate) fn parse(of_column: Option<&str>, test: &Value) -> Result<Option<Check>, String> {
    let (name, arguments) = named(test)?;
    let config = arguments.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
    let nested = arguments.get("arguments").and_then(Value::as_object).cloned().unwrap_or_default();
    let argument = |key: &str| nested.get(key).or_else(|| arguments.get(key));
    let setting = |key: &str| config.get(key).or_else(|| arguments.get(key));

    let kind = match name.as_str() {
        "not_null" => CheckKind::NotNull,
        "unique" => CheckKind::Unique,
        "accepted_values" => accepted_values(argument("values"), argument("quote"))?,
        "relationships" => relationships(argument("to"), argument("field"))?,
        _ => {
            return Err(format!(
                "`{name}` is not known; not_null, unique, accepted_values, relationships are"
            ));
        }
    };
    let column = of_column.or_else(|| argument("column_name").and_then(Value::as_str));
    let Some(column) = column else {
        return Err(format!("`{name}` needs a column: put it under one, or give column_name"));
    };
    if let Some(key) = ["error_if", "warn_if", "limit"].iter().find(|key| setting(key).is_some()) {
        return Err(format!("`{key}` is not available"));
    }
    if setting("enabled") == Some(&Value::Bool(false)) {
        return Ok(None);
    }
    let severity = match setting("severity").and_then(Value::as_str).map(str::to_ascii_lowercase).as_deref() {
        Some("warn") => Severity::Warn,
        Some("error") | None => Severity::Error,
        Some(other) => return Err(format!("severity `{other}` is neither `error` nor `warn`")),
    };
    let filter = setting("where").and_then(Value::as_str).map(str::to_owned);
    Ok(Some(Check { column: column.to_owned(), kind, filter, severity }))
}

/// `unique`, `{unique: {...}}` or `{name: ..., test_name: unique, ...}`.
fn named(test: &Value) -> Result<(String, Map<String, Value>), String> {
    match test {
        Value::String(name) => Ok((name.clone(), Map::new())),
        Value::Object(map) => {
            if let Some(name) = map.get("test_name").and_then(Value::as_str) {
                return Ok((name.to_owned(), map.clone()));
            }
            let mut entries =
                map.iter().filter(|(key, _)| !matches!(key.as_str(), "name" | "description" | "config"));
            let Some((name, arguments)) = entries.next() else {
                return Err("it has no name".to_owned());
            };
            let mut arguments = arguments.as_object().cloned().unwrap_or_default();
            if let Some(config) = map.get("config") {
                arguments.entry("config").or_insert_with(|| config.clone());
            }
            Ok((name.clone(), arguments))
        }
        other => Err(format!("{other} is neither a name nor a mapping")),
    }
}

fn accepted_values(values: Option<&Value>, quote: Option<&Value>) -> Result<CheckKind, String> {
    let Some(values) = values.and_then(Value::as_array).filter(|values| !values.is_empty()) else {
        return Err("accepted_values needs a list `values`".to_owned());
    };
    let quote = quote.and_then(Value::as_bool);
    let literal = |value: &Value| match value {
        Value::String(text) if quote != Some(false) => format!("'{}'", text.replace('\'', "''")),
        Value::String(text) => text.clone(),
        // dbt quotes every value unless told otherwise.
        other if quote == Some(true) => format!("'{other}'"),
        other => other.to_string(),
    };
    Ok(CheckKind::AcceptedValues(values.iter().map(literal).collect()))
}

fn relationships(to: Option<&Value>, field: Option<&Value>) -> Result<CheckKind, String> {
    match (to.and_then(Value::as_str), field.and_then(Value::as_str)) {
        (Some(to), Some(field)) => {
            Ok(CheckKind::Relationships { to: to.to_owned(), field: field.to_owned() })
        }
        _ => Err("relationships needs `to` and `field`".to_owned()),
    }
}

#[cfg(test)]
mod tests;
