//! A table of PostgreSQL: one read-only snapshot, its columns, and its rows by COPY in bounded batches.
//!
//! Columns and rows are read in one transaction (repeatable read), so they are one state of the database. COPY's
//! binary form goes straight into columns ([`copy`]); what a type becomes is the table in [`types`].

mod copy;
mod numeric;
mod types;

#[cfg(test)]
mod tests;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use futures::{StreamExt, stream};
use sluice_catalog::Lake;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection, Row};
use url::{Host, Url};

use self::copy::Copy;
pub(super) use self::types::Take;
use self::types::{Column, Described, mapped};
use super::error::{Error, Result};
use super::replace::{Batches, Replacement};
use super::state::{self, State};
use super::{Attempt, PostgresSource, SyncJob, increment};

const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The longest wait for the next piece of an answer.
const ANSWER_MAX: Duration = Duration::from_secs(600);
const LIMITS: [(&str, &str); 2] =
    [("lock_timeout", "10000"), ("idle_in_transaction_session_timeout", "600000")];

/// The columns of a table, with the types behind domains and inside of arrays.
const COLUMNS: &str = "\
SELECT CAST(a.attname AS text), format_type(a.atttypid, a.atttypmod), CAST(b.typname AS text),
  CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, CAST(b.typtype AS text),
  coalesce(CAST(e.typname AS text), ''), coalesce(CAST(e.typtype AS text), ''), a.attnotnull
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
LEFT JOIN pg_type e ON e.oid = b.typelem AND b.typcategory = 'A'
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
/// Whether some unique index says that these columns identify a row.
const UNIQUE: &str = "\
SELECT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid
  AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS (
    SELECT 1 FROM unnest((CAST(i.indkey AS int2[]))[0:i.indnkeyatts - 1]) k
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k
    WHERE NOT a.attnotnull OR NOT CAST(a.attname AS text) = ANY (string_to_array($2, chr(31)))))";

/// A snapshot of a database, open for reading.
pub(super) struct Reader {
    connection: PgConnection,
    sync: String,
    /// The table as SQL takes it.
    relation: String,
    location: String,
    pub(super) columns: Vec<Column>,
}

pub(super) async fn run(
    lake: &Lake,
    job: &SyncJob,
    source: &PostgresSource,
    dry_run: bool,
) -> Result<Attempt> {
    let found = state::find(lake, job).await?;
    let mut reader = Reader::open(job, source).await?;
    if let Some(cursor) = &source.cursor {
        return increment::run(lake, job, (source, cursor), &found, &mut reader, dry_run).await;
    }
    let schema = reader.schema();
    let names = schema.fields().iter().map(|field| field.name().clone()).collect();
    let state = State { columns: names, ..State::default() };
    let replacement =
        Replacement { lake, job, found: &found, schema, allow_empty: source.allow_empty, dry_run, state };
    let rows = reader.rows("").await?;
    replacement.run(rows).await
}

impl Reader {
    async fn open(job: &SyncJob, source: &PostgresSource) -> Result<Self> {
        let (options, location) = options(job, source)?;
        let failed = |cause: String, remedy| Error::source(&job.name, &location, cause, remedy);
        let connecting = tokio::time::timeout(CONNECT_MAX, options.connect()).await;
        let connection = match connecting {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(failed(said(&error), remedy(&error))),
            Err(_) => {
                let fact = format!("no answer within {} s", CONNECT_MAX.as_secs());
                return Err(failed(fact, "start the database, or correct the host and port in `url`"));
            }
        };
        let relation = String::new();
        let mut reader = Self { connection, sync: job.name.clone(), relation, location, columns: Vec::new() };
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let named = reader.ask("SELECT CAST(to_regclass($1) AS text)", &[&source.table]).await?;
        let named: Option<String> = named.first().and_then(|row| row.try_get(0).ok().flatten());
        let Some(relation) = named else {
            let fact = format!("there is no table `{}`", source.table);
            let remedy = "correct `table`, with its schema, or let the user of `url` see it";
            return Err(Error::source(&job.name, &reader.location, fact, remedy));
        };
        reader.relation = relation;
        reader.columns = reader.describe(source).await?;
        Ok(reader)
    }

    async fn describe(&mut self, source: &PostgresSource) -> Result<Vec<Column>> {
        let rows = self.ask(COLUMNS, &[&source.table]).await?;
        let described = rows.iter().map(Described::read).collect::<sqlx::Result<Vec<_>>>();
        let described = described.map_err(|error| self.failed(&error))?;
        let wanted = |name: &String| described.iter().find(|column| column.name == *name);
        let named = source.columns.iter().chain(&source.key).chain(&source.cursor).chain(source.types.keys());
        if let Some(missing) = named.into_iter().find(|name| wanted(name).is_none()) {
            let fact = format!("`{}` has no column `{missing}`", source.table);
            return Err(Error::content(&self.sync, fact, "correct the sync file"));
        }
        let chosen: Vec<_> = match source.columns.is_empty() {
            true => described.iter().collect(),
            false => source.columns.iter().filter_map(wanted).collect(),
        };
        let columns = chosen.into_iter().map(|column| mapped(column, source.types.get(&column.name)));
        columns.collect::<Result<_, String>>().map_err(|fact| {
            let remedy =
                "name the other columns under `columns`, give its type under `types`, or read a view";
            Error::content(&self.sync, fact, remedy)
        })
    }

    /// The columns as the lake will have them; all of them optional.
    pub(super) fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(Column::field).collect::<Vec<_>>()))
    }

    /// Refuses a key that the database does not know to be one.
    pub(super) async fn check_key(&mut self, table: &str, key: &[String]) -> Result<()> {
        let rows = self.ask(UNIQUE, &[table, &key.join("\u{1f}")]).await?;
        if rows.first().is_some_and(|row| row.try_get(0).unwrap_or(false)) {
            return Ok(());
        }
        let fact = format!(
            "no unique index of `{table}` with columns that are never null says that `{}` is a key",
            key.join(", ")
        );
        Err(Error::content(&self.sync, fact, "name the columns of the primary key"))
    }

    /// Refuses rows that a cursor would never reach.
    pub(super) async fn check_cursor(&mut self, cursor: &Column) -> Result<()> {
        if cursor.required {
            return Ok(());
        }
        let name = quoted(&cursor.name);
        let statement = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE {name} IS NULL)", self.relation);
        let rows = self.ask(&statement, &[]).await?;
        match rows.first().is_some_and(|row| row.try_get(0).unwrap_or(true)) {
            false => Ok(()),
            true => {
                let fact =
                    format!("the cursor `{}` is null in some rows, which would never be read", cursor.name);
                Err(Error::content(&self.sync, fact, "fill the column, or leave `cursor` out"))
            }
        }
    }

    /// The rows for which `condition` (with its WHERE) holds.
    pub(super) async fn rows(&mut self, condition: &str) -> Result<Batches<'_>> {
        let names: Vec<_> = self.columns.iter().map(Column::selected).collect();
        let query = format!("SELECT {} FROM {} {condition}", names.join(", "), self.relation);
        let statement = format!("COPY ({query}) TO STDOUT (FORMAT binary)");
        let (sync, location) = (self.sync.clone(), self.location.clone());
        let (columns, schema) = (self.columns.clone(), self.schema());
        let stream = answered(self.connection.copy_out_raw(&statement)).await;
        let stream = stream.map_err(|error| Error::source(&sync, &location, said(&error), remedy(&error)))?;
        let copy = Copy::new(stream, columns, schema, sync, location);
        Ok(stream::try_unfold(
            copy,
            |mut copy| async move { Ok(copy.next().await?.map(|batch| (batch, copy))) },
        )
        .boxed())
    }

    async fn execute(&mut self, statement: &str) -> Result<()> {
        let done = answered(sqlx::raw_sql(statement).execute(&mut self.connection)).await;
        done.map(|_| ()).map_err(|error| self.failed(&error))
    }

    async fn ask(&mut self, statement: &str, values: &[&str]) -> Result<Vec<sqlx::postgres::PgRow>> {
        let mut query = sqlx::query(statement);
        for value in values {
            query = query.bind(*value);
        }
        let answer = answered(query.fetch_all(&mut self.connection)).await;
        answer.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &sqlx::Error) -> Error {
        Error::source(&self.sync, &self.location, said(error), remedy(error))
    }
}

/// An identifier as SQL takes any.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The driver's options, and the address for messages.
fn options(job: &SyncJob, source: &PostgresSource) -> Result<(PgConnectOptions, String)> {
    let wrong = || Error::source(&job.name, "the database", "`url` cannot be read", "correct `url`");
    let mut url = Url::parse(&source.url).map_err(|_| wrong())?;
    let mut options = PgConnectOptions::from_str(url.as_str()).map_err(|_| wrong())?;
    options = options.application_name("sluice sync").options(LIMITS);
    if let Some(place) = &source.password {
        options = options.password(place.read(&job.name)?.reveal());
    }
    let decided = url.query_pairs().any(|(key, _)| key == "sslmode" || key == "ssl-mode");
    if !decided && !is_local(&url) {
        options = options.ssl_mode(PgSslMode::VerifyFull);
    }
    url.set_query(None);
    Ok((options.disable_statement_logging(), url.to_string()))
}

/// Whether the URL names this machine: a loopback address, or a socket's folder.
fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => {
            let address = name.parse::<std::net::IpAddr>();
            name == "localhost" || name.starts_with("%2F") || address.is_ok_and(|it| it.is_loopback())
        }
        None => true,
    }
}

/// Waits for an answer as long as one may take.
async fn answered<T>(answer: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(ANSWER_MAX, answer).await.unwrap_or_else(|_| {
        let fact = format!("no answer within {} s", ANSWER_MAX.as_secs());
        Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, fact)))
    })
}

fn said(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |it| it.message().to_owned())
}

fn remedy(error: &sqlx::Error) -> &'static str {
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
    match (error, code.get(..2), &*code) {
        (sqlx::Error::Io(_), ..) => "start the database, or correct the host and port in `url`",
        (sqlx::Error::Tls(_), ..) => {
            "give the server a certificate that this machine trusts, or say ?sslmode=disable in `url` where the \
             network is trusted"
        }
        (_, Some("28"), _) => "correct the user in `url` and its password",
        (_, Some("3D"), _) => "correct the database in `url`",
        (_, _, "42501") => "give the user of `url` the right to read the table",
        _ => "look at the database's own log for the reason; the next run tries again",
    }
}
