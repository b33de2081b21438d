//! What a table's name asks for: `orders`, `orders$files`, `orders$snapshot_17`, `orders$files$ref_audit`.
//!
//! A `$` is in no name of a table. Behind it stands a metadata table, or a version, or both in this order.
//! Text says versions as `FOR VERSION AS OF …` (`text::versions`), which becomes such a name.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use sluice_catalog::{TableName, TableSnapshot};

use crate::error::{Complaint, Error, Result};
use crate::metadata::Kind;

/// A name taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    /// The table.
    pub(crate) table: TableName,
    /// What is told about it, instead of its rows.
    pub(crate) metadata: Option<Kind>,
    /// Its version, as it stands in the name; the current one when empty.
    pub(crate) version: String,
}

impl Asked {
    /// Takes a name apart; `None` when it can be no name.
    pub(crate) fn parse(namespace: &str, name: &str) -> Option<Self> {
        let (table, rest) = name.split_once('$').unwrap_or((name, ""));
        let table = TableName::new(namespace, table).ok()?;
        if rest.is_empty() {
            // A name that ends with `$` asks for nothing.
            return (!name.ends_with('$')).then(|| Self { table, metadata: None, version: String::new() });
        }
        let (first, more) = rest.split_once('$').unwrap_or((rest, ""));
        match Kind::parse(first) {
            Some(kind) => Some(Self { table, metadata: Some(kind), version: more.to_owned() }),
            None => Some(Self { table, metadata: None, version: rest.to_owned() }),
        }
    }

    /// Whether it is the table as it is now.
    pub(crate) fn is_plain(&self) -> bool {
        self.metadata.is_none() && self.version.is_empty()
    }

    /// The state of the table that is asked for; `None` when the version is of no known form.
    pub(crate) fn state(&self, current: &TableSnapshot) -> Result<Option<TableSnapshot>> {
        if self.version.is_empty() {
            return Ok(Some(current.clone()));
        }
        let Some((kind, value)) = self.version.split_once('_') else { return Ok(None) };
        Ok(Some(match kind {
            "snapshot" => match value.parse() {
                Ok(id) => current.at_snapshot(id)?,
                Err(_) => return Err(unreadable(value, "a snapshot id")),
            },
            "branch" | "tag" | "ref" => current.at_ref(value)?,
            "timestamp" => current.at_time(time(value).ok_or_else(|| unreadable(value, "a time"))?)?,
            _ => return Ok(None),
        }))
    }
}

fn unreadable(value: &str, what: &str) -> Error {
    let message = format!("`{value}` is not {what}, so no version of a table is");
    Error::Plan(Complaint::new(message).remedy("write 17, 'branch', or '2026-05-01 12:00:00'"))
}

/// A time as text; UTC unless it has an offset.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let formats = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    let naive = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    if let Some(naive) = naive {
        return Some(naive.and_utc());
    }
    if let Ok(time) = DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%:z") {
        return Some(time.to_utc());
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0).map(|naive| naive.and_utc())
}

#[cfg(test)]
mod tests;
