//! The protocol's JSON: what is sent for a new table or view, and what answers say.

use std::sync::Arc;

use iceberg::spec::{TableMetadata, ViewMetadata};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::{Entry, Kind, State};
use crate::name::TableName;
use crate::schema::check_raw_defaults;

/// `{"namespace": [...], "name": ...}`.
pub(super) fn identifier(name: &TableName) -> Value {
    json!({"namespace": name.namespace().split('.').collect::<Vec<_>>(), "name": name.name()})
}

/// A namespace of a list; one whose levels hold dots could not be told from one with more levels.
pub(super) fn levels(namespace: &Value) -> Option<String> {
    let levels: Option<Vec<_>> = namespace.as_array()?.iter().map(Value::as_str).collect();
    levels.filter(|levels| levels.iter().all(|level| !level.contains('.'))).map(|levels| levels.join("."))
}

/// The names of a list of identifiers, sorted.
pub(super) fn names(identifiers: &[Value]) -> Vec<String> {
    let mut names: Vec<_> =
        identifiers.iter().filter_map(|name| Some(name["name"].as_str()?.to_owned())).collect();
    names.sort();
    names
}

/// What makes a table of this first state.
pub(super) fn create_table(name: &TableName, metadata: &TableMetadata) -> Value {
    json!({
        "name": name.name(),
        "location": metadata.location(),
        "schema": metadata.current_schema(),
        "partition-spec": metadata.default_partition_spec(),
        "write-order": metadata.default_sort_order(),
        "properties": metadata.properties(),
        "stage-create": false,
    })
}

/// What makes a view of this first state.
pub(super) fn create_view(name: &TableName, metadata: &ViewMetadata) -> Value {
    json!({
        "name": name.name(),
        "location": metadata.location(),
        "schema": metadata.current_schema(),
        "view-version": metadata.current_version(),
        "properties": metadata.properties(),
    })
}

/// A table as it was loaded or committed.
pub(super) fn entry(answer: Value) -> Result<Entry, String> {
    let (location, raw) = parts(answer)?;
    let metadata = TableMetadata::deserialize(&raw).map_err(|error| error.to_string())?;
    check_raw_defaults(&raw, &metadata).map_err(|error| error.to_string())?;
    Ok(Entry { kind: Kind::Table, location, state: Some(State::Table(Arc::new(metadata))) })
}

/// A view as it was loaded or changed.
pub(super) fn view_entry(answer: Value) -> Result<Entry, String> {
    let (location, metadata) = parts(answer)?;
    let metadata: ViewMetadata = serde_json::from_value(metadata).map_err(|error| error.to_string())?;
    Ok(Entry { kind: Kind::View, location, state: Some(State::View(Arc::new(metadata))) })
}

fn parts(mut answer: Value) -> Result<(String, Value), String> {
    let location = answer["metadata-location"].as_str().map(str::to_owned);
    let location = location.ok_or_else(|| "it names no metadata-location".to_owned())?;
    Ok((location, answer["metadata"].take()))
}
