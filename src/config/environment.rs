//! `SLUICE_…` variables over the file: `SLUICE_LAKE_S3_ENDPOINT` sets `lake.s3.endpoint`.

use toml::{Table, Value};

use super::file::{KEYS, suggest};
use crate::failure::Failure;

const PREFIX: &str = "SLUICE_";

/// Variables that are not configuration keys: the configuration file itself, logging, tokens
/// (secret, so no keys), and what tests use.
const OTHERS: &[&str] = &[
    "SLUICE_CONFIG",
    "SLUICE_LOG",
    "SLUICE_LOG_FORMAT",
    "SLUICE_TOKENS",
    "SLUICE_REST_TOKEN",
    "SLUICE_REST_CREDENTIAL",
    "SLUICE_REGISTRY_PASSWORD",
    "SLUICE_REGISTRY_TOKEN",
];
/// Keys that are not text in TOML.
const NUMBERS: &[&str] = &[
    "ingest.dead_letters.max_per_minute",
    "ingest.dead_letters.min_messages",
    "maintain.max_snapshots",
    "models.threads",
    "query.threads",
];
const FRACTIONS: &[&str] = &["ingest.dead_letters.max_share"];
const FLAGS: &[&str] = &["lake.catalog_upgrade", "lake.rest.vended_credentials", "serve.allow_writes"];

const OTHER_PREFIXES: &[&str] = &["SLUICE_TEST_", "SLUICE_VAR_"];

/// Sets every key that has a variable.
///
/// # Errors
/// On a `SLUICE_` variable that names no key.
pub(super) fn apply(
    table: &mut Table,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<(), Failure> {
    for (name, text) in variables.filter(|(name, _)| name.starts_with(PREFIX)) {
        if OTHERS.contains(&name.as_str()) || OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let Some(key) = KEYS.iter().find(|key| variable_of(key) == name) else {
            let key = name[PREFIX.len()..].to_lowercase().replace('_', ".");
            return Err(Failure::usage(format!("unknown environment variable `{name}`")).hint(suggest(&key)));
        };
        set(table, key, value_of(key, text));
    }
    Ok(())
}

/// The variable that overrides `key`.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

/// The value as the key's type; what does not parse is left to the error about the key.
fn value_of(key: &str, text: String) -> Value {
    if NUMBERS.contains(&key)
        && let Ok(number) = text.parse::<i64>()
    {
        return Value::Integer(number);
    }
    if FRACTIONS.contains(&key)
        && let Ok(number) = text.parse::<f64>()
    {
        return Value::Float(number);
    }
    if FLAGS.contains(&key)
        && let Ok(yes) = text.parse::<bool>()
    {
        return Value::Boolean(yes);
    }
    Value::String(text)
}

fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}
