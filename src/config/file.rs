//! Reading `sluice.toml`: found by flag or in the working folder, unknown keys refused with a suggestion.

use std::path::{Path, PathBuf};

use toml::Table;

use crate::failure::Failure;

/// The file name looked for in the working folder.
const FILE_NAME: &str = "sluice.toml";

/// Every key a configuration may hold, in the order of the documentation.
pub(super) const KEYS: &[&str] = &[
    "data",
    "lake.warehouse",
    "lake.catalog",
    "lake.name",
    "lake.catalog_password_file",
    "lake.catalog_upgrade",
    "lake.rest.warehouse",
    "lake.rest.token_file",
    "lake.rest.credential_file",
    "lake.rest.oauth2_server_uri",
    "lake.rest.scope",
    "lake.rest.vended_credentials",
    "lake.s3.endpoint",
    "lake.s3.region",
    "lake.s3.access_key_id",
    "lake.s3.secret_access_key_file",
    "kafka.brokers",
    "kafka.topics",
    "kafka.group",
    "kafka.instance_id",
    "ingest.commit_interval",
    "ingest.commit_bytes",
    "ingest.target_lag",
    "ingest.open_files",
    "ingest.discover_every",
    "ingest.memory",
    "ingest.max_message_bytes",
    "ingest.http",
    "ingest.dead_letters.max_share",
    "ingest.dead_letters.min_messages",
    "ingest.dead_letters.max_per_minute",
    "ingest.dead_letters.pause",
    "ingest.registry.password_file",
    "ingest.registry.token_file",
    "ingest.registry.url",
    "ingest.registry.user",
    "sync.file",
    "models.project",
    "models.threads",
    "models.every",
    "maintain.every",
    "maintain.orphans_every",
    "maintain.max_snapshot_age",
    "maintain.max_snapshots",
    "maintain.reader_grace",
    "maintain.orphan_age",
    "maintain.target_file_bytes",
    "maintain.max_bytes",
    "query.memory",
    "query.threads",
    "serve.flight",
    "serve.http",
    "serve.tokens_file",
    "serve.s3.endpoint",
    "serve.s3.access_key_id",
    "serve.s3.secret_access_key_file",
    "serve.allow_writes",
];

/// Keys below which any name is allowed: librdkafka's own option names.
const OPEN_TABLES: &[&str] = &["kafka.options"];

/// The file's table, empty when no file was named and none lies in the working folder.
pub(super) fn read(named: Option<&Path>) -> Result<Table, Failure> {
    let path = match named {
        Some(path) => path.to_owned(),
        None if Path::new(FILE_NAME).is_file() => PathBuf::from(FILE_NAME),
        None => return Ok(Table::new()),
    };
    let text = std::fs::read_to_string(&path).map_err(|cause| {
        Failure::usage(format!("cannot read the configuration `{}`: {cause}", path.display()))
            .hint("name an existing file with --config, or leave it out for the defaults")
    })?;
    let table: Table = toml::from_str(&text)
        .map_err(|cause| Failure::usage(format!("`{}` is not valid TOML: {cause}", path.display())))?;
    check_keys(&table, "", &path, &text)?;
    check_secrets(&table, &path)?;
    Ok(table)
}

/// A catalog's URL in the file may name a user, but no password.
fn check_secrets(table: &Table, path: &Path) -> Result<(), Failure> {
    let catalog = table.get("lake").and_then(|lake| lake.get("catalog")).and_then(toml::Value::as_str);
    let url = catalog.and_then(|catalog| url::Url::parse(catalog).ok());
    if url.is_some_and(|url| url.password().is_some()) {
        return Err(Failure::usage(format!("{}: lake.catalog holds a password", path.display())).hint(
            "secrets are not read from sluice.toml: set PGPASSWORD, or name a file with lake.catalog_password_file",
        ));
    }
    Ok(())
}

fn check_keys(table: &Table, prefix: &str, path: &Path, text: &str) -> Result<(), Failure> {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if OPEN_TABLES.contains(&key.as_str()) || KEYS.contains(&key.as_str()) {
            continue;
        }
        let section = KEYS.iter().chain(OPEN_TABLES).any(|known| known.starts_with(&format!("{key}.")));
        match value {
            toml::Value::Table(inner) if section => check_keys(inner, &key, path, text)?,
            _ => return Err(unknown_key(&key, name, path, text)),
        }
    }
    Ok(())
}

fn unknown_key(key: &str, name: &str, path: &Path, text: &str) -> Failure {
    let line = text.lines().position(|line| line.trim_start().trim_start_matches('[').contains(name));
    let place = line.map_or_else(String::new, |line| format!(":{}", line + 1));
    let failure = Failure::usage(format!("{}{place}: unknown key `{key}`", path.display()));
    if key.contains("secret_access_key") {
        return failure.hint("secrets are not read from sluice.toml: set AWS_SECRET_ACCESS_KEY, or name a file with lake.s3.secret_access_key_file");
    }
    failure.hint(suggest(key))
}

/// The known key closest to `key`, as advice.
pub(super) fn suggest(key: &str) -> String {
    match KEYS.iter().max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key))) {
        Some(closest) if strsim::jaro_winkler(closest, key) > 0.8 => format!("did you mean `{closest}`?"),
        _ => format!("known keys: {}", KEYS.join(", ")),
    }
}
