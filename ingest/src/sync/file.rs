//! The YAML of a sync file, read into [`Syncs`] with line and column in every error.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use sluice_catalog::TableName;
use url::Url;

use super::error::{Error, Result};
use super::{Auth, Entries, HttpSource, Keep, PostgresSource, SecretPlace, Source, SyncJob, Syncs};
use crate::topics::Kind;

const TIMEOUT: Duration = Duration::from_secs(30);
const BYTES_DEFAULT: u64 = 16 << 20;
/// An answer is held in memory whole.
const BYTES_MAX: u64 = 256 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileShape {
    syncs: Vec<SyncShape>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SyncShape {
    name: String,
    table: Option<String>,
    #[serde(default, deserialize_with = "duration")]
    every: Option<Duration>,
    postgres: Option<PostgresShape>,
    http: Option<HttpShape>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PostgresShape {
    url: String,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    table: String,
    #[serde(default)]
    columns: Vec<String>,
    #[serde(default)]
    types: BTreeMap<String, Kind>,
    cursor: Option<String>,
    overlap: Option<String>,
    #[serde(default)]
    key: Vec<String>,
    #[serde(default)]
    allow_empty: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpShape {
    url: String,
    auth: Option<AuthShape>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    redirect_hosts: Vec<String>,
    #[serde(default, deserialize_with = "duration")]
    timeout: Option<Duration>,
    max_bytes: Option<u64>,
    #[serde(default)]
    records: String,
    entries: Option<EntriesShape>,
    #[serde(default)]
    arrays: bool,
    #[serde(default)]
    with: BTreeMap<String, String>,
    #[serde(default)]
    columns: Option<serde_norway::Mapping>,
    #[serde(default)]
    keep: KeepShape,
    #[serde(default)]
    allow_empty: bool,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeepShape {
    #[default]
    Latest,
    History,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthShape {
    header: Option<String>,
    query: Option<String>,
    file: Option<PathBuf>,
    env: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntriesShape {
    key: String,
    value: Option<String>,
}

pub(super) fn parse(yaml: &str) -> Result<Syncs> {
    let file: FileShape = serde_norway::from_str(yaml).map_err(|error| {
        let place = error
            .location()
            .map_or(String::new(), |at| format!("line {}, column {}: ", at.line(), at.column()));
        let problem = format!("{error}\n  docs/sync.md lists the keys");
        Error::Invalid { place, problem }
    })?;
    let mut jobs: Vec<SyncJob> = Vec::with_capacity(file.syncs.len());
    for shape in file.syncs {
        let name = shape.name.clone();
        let job = shape.checked().map_err(|problem| invalid(&name, problem))?;
        if jobs.iter().any(|other| other.name == job.name || other.table == job.table) {
            return Err(invalid(
                &name,
                "its name or table is there twice\n  give each sync its own".to_owned(),
            ));
        }
        jobs.push(job);
    }
    Ok(Syncs { jobs })
}

fn invalid(name: &str, problem: String) -> Error {
    Error::Invalid { place: format!("sync `{name}`: "), problem }
}

impl SyncShape {
    fn checked(self) -> Result<SyncJob, String> {
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
        if self.name.is_empty() || !self.name.as_bytes().iter().all(plain) {
            return Err("its name is not made of a-z, 0-9 and _\n  choose another".to_owned());
        }
        let table = self.table.unwrap_or_else(|| format!("bronze.{}", self.name));
        let table: TableName = table.parse().map_err(|error: sluice_catalog::Error| error.to_string())?;
        if self.every.is_some_and(|every| every < Duration::from_secs(1)) {
            return Err("`every` is shorter than a second\n  give at least 1s".to_owned());
        }
        let source = match (self.postgres, self.http) {
            (Some(postgres), None) => Source::Postgres(postgres.checked()?),
            (None, Some(http)) => Source::Http(http.checked()?),
            _ => return Err("it has not one source\n  give either `postgres` or `http`".to_owned()),
        };
        Ok(SyncJob { name: self.name, table, every: self.every, source })
    }
}

impl PostgresShape {
    fn checked(self) -> Result<PostgresSource, String> {
        let url = Url::parse(&self.url).map_err(|_| "`url` is none of PostgreSQL".to_owned());
        let url = url.ok().filter(|url| matches!(url.scheme(), "postgres" | "postgresql"));
        let url =
            url.ok_or("`url` is none of PostgreSQL\n  use a form like postgresql://user@host:5432/database")?;
        if url.password().is_some() || url.query_pairs().any(|(key, _)| key == "password") {
            return Err("`url` holds a password\n  use password_file or password_env".to_owned());
        }
        if self.cursor.is_none() && (!self.key.is_empty() || self.overlap.is_some()) {
            return Err(
                "`key` and `overlap` go with a cursor\n  name the cursor, or leave them out".to_owned()
            );
        }
        let used = self.cursor.iter().chain(&self.key).chain(self.types.keys());
        if let Some(name) =
            used.into_iter().find(|name| !self.columns.is_empty() && !self.columns.contains(name))
        {
            return Err(format!("`{name}` is not among `columns`\n  add it"));
        }
        let password = place(self.password_file, self.password_env)?;
        Ok(PostgresSource {
            url: url.into(),
            password,
            table: self.table,
            columns: self.columns,
            types: self.types,
            cursor: self.cursor,
            overlap: self.overlap,
            key: self.key,
            allow_empty: self.allow_empty,
        })
    }
}

impl HttpShape {
    fn checked(self) -> Result<HttpSource, String> {
        let url = Url::parse(&self.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.filter(|url| url.has_host());
        let url = url.ok_or("`url` is no address\n  use a form like https://host/path")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("`url` holds a name or password\n  use `auth`".to_owned());
        }
        let secret = |name: &String| {
            let name = name.to_ascii_lowercase();
            name == "authorization" || name == "cookie" || name == "proxy-authorization"
        };
        if self.headers.keys().any(secret) {
            return Err(
                "`headers` holds a secret\n  use `auth`, which reads it from a file or a variable".to_owned()
            );
        }
        let pointers = std::iter::once(&self.records).chain(self.with.values());
        if let Some(wrong) = pointers.into_iter().find(|it| !it.is_empty() && !it.starts_with('/')) {
            return Err(format!("`{wrong}` is no JSON pointer\n  begin it with a slash, like /data/items"));
        }
        if self.arrays && self.entries.is_some() {
            return Err("`arrays` and `entries` exclude each other\n  keep one".to_owned());
        }
        let max_bytes = self.max_bytes.unwrap_or(BYTES_DEFAULT);
        if !(1..=BYTES_MAX).contains(&max_bytes) {
            return Err(format!("`max_bytes` is not between 1 and {BYTES_MAX}\n  choose another"));
        }
        let columns = self.columns.map(columns).transpose()?;
        Ok(HttpSource {
            url: url.into(),
            auth: self.auth.map(AuthShape::checked).transpose()?,
            headers: self.headers,
            redirect_hosts: self.redirect_hosts,
            timeout: self.timeout.unwrap_or(TIMEOUT),
            max_bytes,
            records: self.records,
            entries: self.entries.map(|entries| Entries { key: entries.key, value: entries.value }),
            arrays: self.arrays,
            with: self.with,
            columns,
            keep: match self.keep {
                KeepShape::Latest => Keep::Latest,
                KeepShape::History => Keep::History,
            },
            allow_empty: self.allow_empty,
        })
    }
}

impl AuthShape {
    fn checked(self) -> Result<(Auth, SecretPlace), String> {
        let place = place(self.file, self.env)?;
        let place = place.ok_or("`auth` does not say where the secret is\n  give `file` or `env`")?;
        match (self.header, self.query) {
            (None, None) => Ok((Auth::Bearer, place)),
            (Some(name), None) => Ok((Auth::Header(name), place)),
            (None, Some(name)) => Ok((Auth::Query(name), place)),
            _ => Err("`auth` has both `header` and `query`\n  keep one; without them it is a bearer token"
                .to_owned()),
        }
    }
}

/// The columns in the order of the file; a map would be no set of rows that can be compared.
fn columns(mapping: serde_norway::Mapping) -> Result<Vec<(String, Kind)>, String> {
    let mut columns = Vec::with_capacity(mapping.len());
    for (name, kind) in mapping {
        let name = name.as_str().ok_or("the name of a column is no text\n  quote it")?.to_owned();
        let kind =
            serde_norway::from_value::<Kind>(kind).map_err(|error| format!("column `{name}`: {error}"))?;
        if has_map(&kind) {
            return Err(format!("column `{name}`: a map cannot be compared\n  use a struct, or string"));
        }
        columns.push((name, kind));
    }
    match columns.is_empty() {
        true => Err("`columns` names none\n  name them, or leave it out to infer them".to_owned()),
        false => Ok(columns),
    }
}

fn has_map(kind: &Kind) -> bool {
    match kind {
        Kind::Map(_) => true,
        Kind::List(inner) => has_map(inner),
        Kind::Struct(fields) => fields.iter().any(|(_, kind)| has_map(kind)),
        _ => false,
    }
}

fn place(file: Option<PathBuf>, env: Option<String>) -> Result<Option<SecretPlace>, String> {
    match (file, env) {
        (Some(_), Some(_)) => Err("a secret is in a file and in a variable\n  name one of them".to_owned()),
        (Some(path), None) => Ok(Some(SecretPlace::File(path))),
        (None, Some(name)) => Ok(Some(SecretPlace::Variable(name))),
        (None, None) => Ok(None),
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let parsed = humantime::parse_duration(&text);
    parsed.map(Some).map_err(|_| D::Error::custom(format!("`{text}` is not a duration such as 30s or 5m")))
}
