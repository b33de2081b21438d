//! A state that differs from its base by metadata only: properties, columns, partitioning, references.
//!
//! The library makes the change, but stamps such a state with its own clock and refuses it when that clock is
//! behind the table's log. Time is an argument here, and a clock that steps back must not stop commits. So the
//! library works on the base without its times, and the times are put in afterwards, by way of the metadata's
//! JSON, whose form the Iceberg specification fixes.

use iceberg::TableUpdate;
use iceberg::spec::{TableMetadata, TableProperties};
use serde_json::{Value, json};

/// The next state, and the metadata files that fell out of its log.
///
/// # Errors
/// The library's, when an update makes no valid table.
pub(crate) fn restate(
    base: &TableMetadata,
    base_location: &str,
    updates: &[TableUpdate],
    timestamp_ms: i64,
) -> iceberg::Result<(TableMetadata, Vec<String>)> {
    let mut timeless = json_of(base)?;
    let times: Vec<Value> =
        log_of(&timeless, "snapshot-log").iter().map(|e| e["timestamp-ms"].clone()).collect();
    // Each entry's place in the log stands in for its time, so that it is known again afterwards.
    for (place, entry) in timeless["snapshot-log"].as_array_mut().into_iter().flatten().enumerate() {
        entry["timestamp-ms"] = json!(place);
    }
    let log = timeless["metadata-log"].take();
    timeless["metadata-log"] = json!([]);
    timeless["last-updated-ms"] = json!(times.len());
    let mut builder = of_json(timeless)?.into_builder(None);
    for update in updates {
        builder = update.clone().apply(builder)?;
    }
    let mut next = json_of(&builder.build()?.metadata)?;
    for entry in next["snapshot-log"].as_array_mut().into_iter().flatten() {
        let place = entry["timestamp-ms"].as_u64().and_then(|place| usize::try_from(place).ok());
        let time = place.and_then(|place| times.get(place)).cloned();
        entry["timestamp-ms"] = time.unwrap_or(json!(timestamp_ms));
    }
    next["last-updated-ms"] = json!(timestamp_ms);
    let kept = next["properties"][TableProperties::PROPERTY_METADATA_PREVIOUS_VERSIONS_MAX].as_str();
    let kept = kept.and_then(|kept| kept.parse().ok());
    let kept: usize = kept.unwrap_or(TableProperties::PROPERTY_METADATA_PREVIOUS_VERSIONS_MAX_DEFAULT).max(1);
    let mut log = match log {
        Value::Array(log) => log,
        _ => Vec::new(),
    };
    log.push(json!({ "metadata-file": base_location, "timestamp-ms": base.last_updated_ms() }));
    let dropped: Vec<Value> = log.drain(..log.len().saturating_sub(kept)).collect();
    next["metadata-log"] = Value::Array(log);
    let files = dropped.iter().filter_map(|entry| entry["metadata-file"].as_str().map(str::to_owned));
    let files = files.collect();
    Ok((of_json(next)?, files))
}

fn log_of<'a>(metadata: &'a Value, log: &str) -> &'a [Value] {
    metadata[log].as_array().map_or(&[], Vec::as_slice)
}

fn json_of(metadata: &TableMetadata) -> iceberg::Result<Value> {
    serde_json::to_value(metadata).map_err(damaged)
}

fn of_json(json: Value) -> iceberg::Result<TableMetadata> {
    serde_json::from_value(json).map_err(damaged)
}

fn damaged(cause: serde_json::Error) -> iceberg::Error {
    let text = format!("the metadata does not survive its JSON form: {cause}");
    iceberg::Error::new(iceberg::ErrorKind::DataInvalid, text)
}
