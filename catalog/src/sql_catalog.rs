//! The catalog: a SQLite file that says which metadata file is the current state of each table.
//!
//! The layout is that of the Iceberg SQL catalogs, so PyIceberg's `SqlCatalog` opens the same file under the
//! same catalog name. Rows whose type is not set come from older writers and count as tables.
//!
//! Invariants:
//! - A pointer moves by compare-and-swap only: from the state the change was staged on, to the next.
//! - Several pointers move in one database transaction, all or none.
//! - The result of COMMIT is looked at. When it is an error nobody knows what holds, and the caller is told
//!   exactly that ([`SwapOutcome::Unknown`]).
//!
//! Durability: `synchronous=FULL`, so a swap that was answered survives a power cut.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Row, Sqlite, Transaction};

use crate::error::{Error, Result};
use crate::name::TableName;

/// How long a writer waits for another process that holds the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Readers in parallel; SQLite has one writer anyway.
const CONNECTIONS_MAX: u32 = 4;

const CREATE_TABLES: &str = "CREATE TABLE IF NOT EXISTS iceberg_tables (
    catalog_name VARCHAR(255) NOT NULL,
    table_namespace VARCHAR(255) NOT NULL,
    table_name VARCHAR(255) NOT NULL,
    metadata_location VARCHAR(1000),
    previous_metadata_location VARCHAR(1000),
    iceberg_type VARCHAR(5),
    PRIMARY KEY (catalog_name, table_namespace, table_name))";

const CREATE_NAMESPACES: &str = "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
    catalog_name VARCHAR(255) NOT NULL,
    namespace VARCHAR(255) NOT NULL,
    property_key VARCHAR(255),
    property_value VARCHAR(1000),
    PRIMARY KEY (catalog_name, namespace, property_key))";

/// A namespace without properties is one row with this key, as the other SQL catalogs write it.
const INSERT_NAMESPACE: &str = "INSERT OR IGNORE INTO iceberg_namespace_properties
    (catalog_name, namespace, property_key, property_value) VALUES (?, ?, 'exists', 'true')";

const SWAP: &str = "UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ?
    WHERE catalog_name = ? AND table_namespace = ? AND table_name = ? AND metadata_location = ?
    AND coalesce(iceberg_type, 'TABLE') = ?";

/// What a row of the catalog names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A table.
    Table,
    /// A view.
    View,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            Self::View => "VIEW",
        }
    }
}

/// Moves the pointer of one table from the state that was looked at to the next one.
#[derive(Clone, Debug)]
pub(crate) struct Swap {
    /// The table.
    pub(crate) table: TableName,
    /// The metadata location the change was staged on.
    pub(crate) expected: String,
    /// The metadata location of the new state, already written.
    pub(crate) new: String,
}

/// How a swap of one or several pointers ended; all tables or none.
#[derive(Debug)]
#[must_use]
pub(crate) enum SwapOutcome {
    /// Every pointer is at its new place.
    Swapped,
    /// Nothing changed: this table's pointer was not where the change was staged on.
    Lost {
        /// The first table found elsewhere (or gone).
        table: TableName,
    },
    /// The database did not say whether the transaction holds: look before anything else.
    Unknown(Error),
}

/// One catalog inside a SQL database.
#[derive(Clone, Debug)]
pub(crate) struct SqlCatalog {
    pool: SqlitePool,
    name: String,
    location: String,
}

impl SqlCatalog {
    /// Opens the file, creating it and its tables when missing.
    pub(crate) async fn open(path: &Path, name: &str) -> Result<Self> {
        let location = path.display().to_string();
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder)
                .await
                .map_err(|error| failed("open", &location, &sqlx::Error::Io(error)))?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(BUSY_TIMEOUT)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(BUSY_TIMEOUT + Duration::from_secs(2))
            .connect_with(options)
            .await
            .map_err(|error| failed("open", &location, &error))?;
        let catalog = Self { pool, name: name.to_owned(), location };
        catalog.create_layout().await?;
        Ok(catalog)
    }

    async fn create_layout(&self) -> Result<()> {
        for statement in [CREATE_TABLES, CREATE_NAMESPACES] {
            sqlx::query(statement).execute(&self.pool).await.map_err(|error| self.failed("open", &error))?;
        }
        // A catalog of an older writer has no such column; adding it is the owner's decision.
        let probe =
            sqlx::query("SELECT iceberg_type FROM iceberg_tables LIMIT 1").fetch_optional(&self.pool).await;
        probe.map(|_| ()).map_err(|error| self.failed("open", &error))
    }

    /// Moves all pointers in one database transaction, or none.
    ///
    /// # Errors
    /// When the database failed before COMMIT: nothing was changed.
    pub(crate) async fn swap(&self, swaps: Vec<Swap>) -> Result<SwapOutcome> {
        self.swap_kind(Kind::Table, swaps).await
    }

    /// As [`SqlCatalog::swap`], for a view.
    pub(crate) async fn swap_view(&self, swap: Swap) -> Result<SwapOutcome> {
        self.swap_kind(Kind::View, vec![swap]).await
    }

    async fn swap_kind(&self, kind: Kind, swaps: Vec<Swap>) -> Result<SwapOutcome> {
        let mut transaction = self.begin().await?;
        for swap in swaps {
            let moved = sqlx::query(SWAP)
                .bind(&swap.new)
                .bind(&swap.expected)
                .bind(&self.name)
                .bind(swap.table.namespace())
                .bind(swap.table.name())
                .bind(&swap.expected)
                .bind(kind.as_str())
                .execute(&mut *transaction)
                .await
                .map_err(|error| self.failed("change", &error))?;
            if moved.rows_affected() != 1 {
                // Leaving without COMMIT rolls the earlier tables back.
                return Ok(SwapOutcome::Lost { table: swap.table });
            }
        }
        match transaction.commit().await {
            Ok(()) => Ok(SwapOutcome::Swapped),
            Err(error) => Ok(SwapOutcome::Unknown(self.failed("change", &error))),
        }
    }

    /// A writing transaction that takes the write lock at once, so that waiting ends here and not at COMMIT.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.failed("change", &error))
    }

    /// The metadata location of a table; `None` when there is no such table.
    pub(crate) async fn pointer(&self, table: &TableName) -> Result<Option<String>> {
        let entry = self.entry(table).await?;
        Ok(entry.filter(|(kind, _)| *kind == Kind::Table).map(|(_, location)| location))
    }

    /// What a name stands for, and its metadata location.
    pub(crate) async fn entry(&self, name: &TableName) -> Result<Option<(Kind, String)>> {
        let row = sqlx::query(
            "SELECT coalesce(iceberg_type, 'TABLE'), coalesce(metadata_location, '') FROM iceberg_tables
             WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?",
        )
        .bind(&self.name)
        .bind(name.namespace())
        .bind(name.name())
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| self.failed("read", &error))?;
        let Some(row) = row else { return Ok(None) };
        let kind: String = row.try_get(0).map_err(|error| self.failed("read", &error))?;
        let location: String = row.try_get(1).map_err(|error| self.failed("read", &error))?;
        match kind.as_str() {
            "TABLE" => Ok(Some((Kind::Table, location))),
            "VIEW" => Ok(Some((Kind::View, location))),
            _ => Err(Error::File {
                subject: format!("{name} in {}", self.location),
                fact: format!("its type `{kind}` is neither TABLE nor VIEW"),
                remedy: "repair the row, or use the program that wrote it",
            }),
        }
    }

    /// Adds a row and its namespace; `false` when the name is taken.
    pub(crate) async fn insert(&self, name: &TableName, kind: Kind, location: &str) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let namespace = sqlx::query(INSERT_NAMESPACE).bind(&self.name).bind(name.namespace());
        namespace.execute(&mut *transaction).await.map_err(|error| self.failed("change", &error))?;
        let added = sqlx::query(
            "INSERT OR IGNORE INTO iceberg_tables
             (catalog_name, table_namespace, table_name, metadata_location, iceberg_type) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(&self.name)
        .bind(name.namespace())
        .bind(name.name())
        .bind(location)
        .bind(kind.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(|error| self.failed("change", &error))?;
        if added.rows_affected() != 1 {
            return Ok(false);
        }
        match transaction.commit().await {
            Ok(()) => Ok(true),
            // The location is new in the world: if the row has it, this COMMIT did hold.
            Err(error) => match self.entry(name).await? {
                Some((_, found)) if found == location => Ok(true),
                Some(_) => Ok(false),
                None => Err(self.failed("change", &error)),
            },
        }
    }

    /// Removes a row; `false` when there was none of that kind.
    pub(crate) async fn remove(&self, name: &TableName, kind: Kind) -> Result<bool> {
        let removed = sqlx::query(
            "DELETE FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?
             AND coalesce(iceberg_type, 'TABLE') = ?",
        )
        .bind(&self.name)
        .bind(name.namespace())
        .bind(name.name())
        .bind(kind.as_str())
        .execute(&self.pool)
        .await
        .map_err(|error| self.failed("change", &error))?;
        Ok(removed.rows_affected() > 0)
    }

    /// Adds a namespace; one that exists stays as it is.
    pub(crate) async fn create_namespace(&self, namespace: &str) -> Result<()> {
        let insert = sqlx::query(INSERT_NAMESPACE).bind(&self.name).bind(namespace);
        insert.execute(&self.pool).await.map(|_| ()).map_err(|error| self.failed("change", &error))
    }

    /// All namespaces, sorted: those with a row of their own and those that only tables name.
    pub(crate) async fn namespaces(&self) -> Result<Vec<String>> {
        sqlx::query_scalar(
            "SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = ?
             UNION SELECT table_namespace FROM iceberg_tables WHERE catalog_name = ? ORDER BY 1",
        )
        .bind(&self.name)
        .bind(&self.name)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed("read", &error))
    }

    /// The names of one kind in a namespace, sorted.
    pub(crate) async fn names(&self, namespace: &str, kind: Kind) -> Result<Vec<String>> {
        sqlx::query_scalar(
            "SELECT table_name FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ?
             AND coalesce(iceberg_type, 'TABLE') = ? ORDER BY table_name",
        )
        .bind(&self.name)
        .bind(namespace)
        .bind(kind.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed("read", &error))
    }

    fn failed(&self, action: &'static str, error: &sqlx::Error) -> Error {
        failed(action, &self.location, error)
    }
}

/// A database error as fact, subject and remedy. SQLite's extended codes keep the plain code in the low byte.
fn failed(action: &'static str, location: &str, error: &sqlx::Error) -> Error {
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0xff);
    let text = error.to_string();
    let remedy = match code {
        _ if text.contains("no such column: iceberg_type") => {
            "this catalog has the older layout; add the column with \
             `ALTER TABLE iceberg_tables ADD COLUMN iceberg_type VARCHAR(5)`"
        }
        Some(5 | 6) => "another process holds the database; end it, or try again when it is done",
        Some(8 | 14 | 3) => "give this user the right to write the file and its folder",
        Some(11 | 26) => {
            "the file is not a SQLite database or is damaged; restore it, or choose another path"
        }
        Some(13) => "free space on the disk",
        _ => "check that the file and its folder can be read and written",
    };
    let cause = error.as_database_error().map_or(text.clone(), |error| error.message().to_owned());
    // Busy, an interrupted or failed read or write, a full disk, or no free connection: these pass.
    let transient = matches!(code, Some(5 | 6 | 9 | 10 | 13)) || matches!(error, sqlx::Error::PoolTimedOut);
    Error::Catalog { action, location: location.to_owned(), cause, remedy, transient }
}

#[cfg(test)]
mod tests;
