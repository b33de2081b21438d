//! PostgreSQL: a catalog that several machines share.
//!
//! A statement, a lock and an idle transaction each have a limit on the server, so that a client that vanished
//! holds no table for long. A connection to another machine is encrypted and the server's certificate checked
//! unless the URL says otherwise (`?sslmode=...`).

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use url::{Host, Url};

use super::sql::{Database, Row, Writing, answered, rows};
use crate::error::{Error, Result};
use crate::settings::PostgresSettings;

/// Transactions are short: more connections would only wait for the same rows.
const CONNECTIONS_MAX: u32 = 8;
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The server ends what takes longer.
const LIMITS: [(&str, &str); 3] = [
    ("statement_timeout", "20000"),
    ("lock_timeout", "10000"),
    ("idle_in_transaction_session_timeout", "60000"),
];
/// One number for all creators of the layout, in all databases.
const LAYOUT_LOCK: &str = "SELECT pg_advisory_xact_lock(7237970109966541925)";

/// A PostgreSQL database.
#[derive(Clone, Debug)]
pub(super) struct PostgresDatabase {
    pool: PgPool,
    location: String,
}

/// Connects, with one question to the server.
pub(super) async fn open(settings: &PostgresSettings) -> Result<PostgresDatabase> {
    let (options, location) = options(settings)?;
    let connecting = PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(CONNECT_MAX)
        .connect_with(options);
    let pool = connecting.await.map_err(|error| {
        let (remedy, transient) = explain(&error);
        let cause = error.as_database_error().map_or_else(|| error.to_string(), |it| it.message().to_owned());
        Error::Catalog { action: "open", location: location.clone(), cause, remedy, transient }
    })?;
    Ok(PostgresDatabase { pool, location })
}

/// The driver's options, and the address for messages.
fn options(settings: &PostgresSettings) -> Result<(PgConnectOptions, String)> {
    let invalid = |fact: &'static str| Error::Setting {
        fact,
        // The text itself may hold a password in an unexpected place.
        value: "lake.catalog".to_owned(),
        remedy: "use a form like postgresql://user@host:5432/database".to_owned(),
    };
    let mut url = Url::parse(&settings.url).map_err(|_| invalid("the PostgreSQL URL cannot be read"))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(invalid("the URL is not one of PostgreSQL"));
    }
    let mut options = PgConnectOptions::from_str(url.as_str())
        .map_err(|_| invalid("the PostgreSQL URL cannot be read"))?
        .application_name("sluice")
        .options(LIMITS);
    if let Some(password) = &settings.password {
        options = options.password(password.reveal());
    }
    let decided = url.query_pairs().any(|(key, _)| key == "sslmode" || key == "ssl-mode");
    if !decided && !is_local(&url) {
        options = options.ssl_mode(PgSslMode::VerifyFull);
    }
    // The address without what could be secret.
    let _ = url.set_password(None);
    url.set_query(None);
    Ok((options, url.to_string()))
}

/// Whether the URL names this machine: a loopback address, or a socket's folder.
fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => {
            name == "localhost"
                || name.starts_with("%2F")
                || name.parse().is_ok_and(|it: std::net::IpAddr| it.is_loopback())
        }
        None => true,
    }
}

#[async_trait]
impl Database for PostgresDatabase {
    fn location(&self) -> &str {
        &self.location
    }

    async fn columns(&self, table: &str) -> sqlx::Result<Vec<String>> {
        let statement = "SELECT CAST(attname AS TEXT) FROM pg_attribute
            WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
        let rows = self.query(statement, &[table]).await?;
        Ok(rows.into_iter().flatten().flatten().collect())
    }

    async fn query(&self, statement: &str, values: &[&str]) -> sqlx::Result<Vec<Row>> {
        rows!(&self.pool, statement, values)
    }

    async fn begin(&self) -> sqlx::Result<Box<dyn Writing>> {
        let begun = answered(self.pool.begin()).await?;
        Ok(Box::new(begun))
    }

    async fn begin_layout(&self) -> sqlx::Result<Box<dyn Writing>> {
        let mut writing = self.begin().await?;
        writing.execute(LAYOUT_LOCK, &[]).await?;
        Ok(writing)
    }

    fn explain(&self, error: &sqlx::Error) -> (&'static str, bool) {
        explain(error)
    }
}

/// By the classes of PostgreSQL's error codes.
fn explain(error: &sqlx::Error) -> (&'static str, bool) {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_) => {
            return ("start the database, or correct the host and port in lake.catalog", true);
        }
        sqlx::Error::Tls(_) => {
            let remedy = "give the server a certificate that this machine trusts (?sslrootcert=FILE), or say \
                          ?sslmode=disable in lake.catalog where the network is trusted";
            return (remedy, false);
        }
        _ => {}
    }
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
    match (code.get(..2), &*code) {
        (_, "57014" | "55P03") => ("another session holds the rows; try again when it is done", true),
        (Some("40"), _) => ("other writers were faster; try again", true),
        (Some("08" | "53" | "57" | "58"), _) => {
            ("wait until the database is up and has resources again", true)
        }
        (Some("28"), _) => ("correct the user in lake.catalog and its password", false),
        (Some("3D"), _) => ("create the database, or correct its name in lake.catalog", false),
        (_, "42501") => ("give this user the right to create and change the catalog's tables", false),
        _ => ("look at the database's own log for the reason", false),
    }
}

#[cfg(test)]
mod tests;
