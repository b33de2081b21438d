//! A state that differs from its base by properties only.
//!
//! The library's builder stamps such a state with its own clock and refuses it when that clock is behind the
//! table's log. Time is an argument here, and a clock that steps back must not stop commits, so the change is
//! made on the metadata's JSON, whose form the Iceberg specification fixes.

use std::collections::HashMap;

use iceberg::spec::{TableMetadata, TableProperties};
use serde_json::{Value, json};

/// The next state, and the metadata files that fell out of its log.
pub(super) fn with_properties(
    base: &TableMetadata,
    base_location: &str,
    properties: &HashMap<String, String>,
    timestamp_ms: i64,
) -> serde_json::Result<(TableMetadata, Vec<String>)> {
    let mut next = serde_json::to_value(base)?;
    for (key, value) in properties {
        next["properties"][key] = json!(value);
    }
    next["last-updated-ms"] = json!(timestamp_ms);
    let kept = next["properties"][TableProperties::PROPERTY_METADATA_PREVIOUS_VERSIONS_MAX].as_str();
    let kept = kept.and_then(|kept| kept.parse().ok());
    let kept: usize = kept.unwrap_or(TableProperties::PROPERTY_METADATA_PREVIOUS_VERSIONS_MAX_DEFAULT).max(1);
    let mut log = match next["metadata-log"].take() {
        Value::Array(log) => log,
        _ => Vec::new(),
    };
    log.push(json!({ "metadata-file": base_location, "timestamp-ms": base.last_updated_ms() }));
    let dropped: Vec<Value> = log.drain(..log.len().saturating_sub(kept)).collect();
    next["metadata-log"] = Value::Array(log);
    let files = dropped.iter().filter_map(|entry| entry["metadata-file"].as_str().map(str::to_owned));
    let files = files.collect();
    Ok((serde_json::from_value(next)?, files))
}
