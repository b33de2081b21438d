//! Defaults for older rows that the library forgets.
//!
//! It drops an `initial-default` that it cannot parse, and older rows would then be read as null. So what the JSON
//! says is compared with what was parsed of it.

use iceberg::spec::{Schema, TableMetadata};
use serde_json::Value;

use crate::error::{Error, Result};

/// The key of a column's default in a schema's JSON.
const KEY: &str = "initial-default";

/// Refuses metadata that has a default which was not understood; `json` is the file that it was parsed from.
///
/// # Errors
/// [`Error::Schema`] naming the column.
pub(crate) fn check_defaults(json: &[u8], metadata: &TableMetadata) -> Result<()> {
    let mentioned = json.windows(KEY.len()).any(|bytes| bytes == KEY.as_bytes());
    match serde_json::from_slice(json) {
        Ok(raw) if mentioned => check_raw_defaults(&raw, metadata),
        _ => Ok(()),
    }
}

/// As [`check_defaults`], on JSON that is parsed already.
pub(crate) fn check_raw_defaults(raw: &Value, metadata: &TableMetadata) -> Result<()> {
    let schemas = raw["schemas"].as_array().map_or(&[][..], Vec::as_slice);
    for raw in schemas {
        let id = raw["schema-id"].as_i64().and_then(|id| i32::try_from(id).ok());
        if let Some(schema) = id.and_then(|id| metadata.schema_by_id(id)) {
            check_type(raw, schema)?;
        }
    }
    Ok(())
}

fn check_type(raw: &Value, schema: &Schema) -> Result<()> {
    for field in raw["fields"].as_array().into_iter().flatten() {
        let id = field["id"].as_i64().and_then(|id| i32::try_from(id).ok());
        let parsed = id.and_then(|id| schema.field_by_id(id));
        if !field[KEY].is_null() && parsed.is_none_or(|parsed| parsed.initial_default.is_none()) {
            return Err(Error::Schema {
                subject: format!("column `{}`", field["name"].as_str().unwrap_or_default()),
                fact: format!("its default for older rows, {}, is not understood", field[KEY]),
                remedy: "read the table with the engine that wrote it",
            });
        }
        check_type(&field["type"], schema)?;
    }
    let nested = ["element", "key", "value"].iter().filter_map(|part| raw.get(*part));
    nested.into_iter().try_for_each(|nested| check_type(nested, schema))
}
