//! SQLite: the embedded database, one file.
//!
//! Durability: `synchronous=FULL`, so a swap that was answered survives a power cut.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::time::Instant;

use super::sql::{Database, Row, Writing, answered, rows};
use crate::error::{Error, Result};

/// How long a writer waits for another process that holds the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Readers in parallel; SQLite has one writer anyway.
const CONNECTIONS_MAX: u32 = 4;

/// A SQLite file.
#[derive(Clone, Debug)]
pub(super) struct SqliteFile {
    pub(super) pool: SqlitePool,
    location: String,
}

/// Opens the file, creating it and its folder when missing.
pub(super) async fn open(path: &Path) -> Result<SqliteFile> {
    let location = path.display().to_string();
    let failed = |error: sqlx::Error| {
        let (remedy, transient) = explain(&error);
        let cause = error.as_database_error().map_or_else(|| error.to_string(), |it| it.message().to_owned());
        Error::Catalog { action: "open", location: location.clone(), cause, remedy, transient }
    };
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(|error| failed(sqlx::Error::Io(error)))?;
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .busy_timeout(BUSY_TIMEOUT)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = patiently(|| {
        SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(BUSY_TIMEOUT + Duration::from_secs(2))
            .connect_with(options.clone())
    });
    let pool = pool.await.map_err(failed)?;
    Ok(SqliteFile { pool, location })
}

/// Tries again while the file is busy: SQLite does not wait where a file is new and many set it up at once.
async fn patiently<T, F: Future<Output = sqlx::Result<T>>>(step: impl Fn() -> F) -> sqlx::Result<T> {
    let started = Instant::now();
    loop {
        match step().await {
            Err(error) if code(&error) == Some(5) && started.elapsed() < BUSY_TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            done => return done,
        }
    }
}

#[async_trait]
impl Database for SqliteFile {
    fn location(&self) -> &str {
        &self.location
    }

    async fn columns(&self, table: &str) -> sqlx::Result<Vec<String>> {
        let (statement, values) = ("SELECT name FROM pragma_table_info($1)", [table]);
        let rows = patiently(|| self.query(statement, &values)).await?;
        Ok(rows.into_iter().flatten().flatten().collect())
    }

    async fn query(&self, statement: &str, values: &[&str]) -> sqlx::Result<Vec<Row>> {
        rows!(&self.pool, statement, values)
    }

    /// Takes the write lock at once, so that waiting ends here and not at COMMIT.
    async fn begin(&self) -> sqlx::Result<Box<dyn Writing>> {
        let begun = answered(self.pool.begin_with("BEGIN IMMEDIATE")).await?;
        Ok(Box::new(begun))
    }

    async fn begin_layout(&self) -> sqlx::Result<Box<dyn Writing>> {
        patiently(|| self.begin()).await
    }

    fn explain(&self, error: &sqlx::Error) -> (&'static str, bool) {
        explain(error)
    }
}

/// SQLite's extended codes keep the plain code in the low byte.
fn code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    Some(code.parse::<i32>().ok()? & 0xff)
}

fn explain(error: &sqlx::Error) -> (&'static str, bool) {
    let code = code(error);
    let remedy = match code {
        Some(5 | 6) => "another process holds the database; end it, or try again when it is done",
        Some(8 | 14 | 3) => "give this user the right to write the file and its folder",
        Some(11 | 26) => {
            "the file is not a SQLite database or is damaged; restore it, or choose another path"
        }
        Some(13) => "free space on the disk",
        _ => "check that the file and its folder can be read and written",
    };
    // Busy, an interrupted or failed read or write, a full disk, or no free connection: these pass.
    let transient = matches!(code, Some(5 | 6 | 9 | 10 | 13)) || matches!(error, sqlx::Error::PoolTimedOut);
    (remedy, transient)
}
