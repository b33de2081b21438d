//! What a SQL catalog asks of a database: texts in, texts out, and transactions whose COMMIT is looked at.
//!
//! Every answer is waited for a bounded time. An answer that does not come is an error before COMMIT, and an
//! unknown outcome at COMMIT; the server's own limits ([`super::super::postgres`]) end what it still does.

use std::fmt;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Postgres, Sqlite, Transaction};

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The texts of one row.
pub(crate) type Row = Vec<Option<String>>;

/// A database that holds catalogs.
#[async_trait]
pub(crate) trait Database: fmt::Debug + Send + Sync + 'static {
    /// Its address as messages show it, without a password.
    fn location(&self) -> &str;

    /// The columns of a table, none when there is no such table.
    async fn columns(&self, table: &str) -> sqlx::Result<Vec<String>>;

    /// The rows of a query whose columns are all texts.
    async fn query(&self, statement: &str, values: &[&str]) -> sqlx::Result<Vec<Row>>;

    /// A transaction that will write.
    async fn begin(&self) -> sqlx::Result<Box<dyn Writing>>;

    /// As [`Database::begin`], one at a time among those who create the layout.
    async fn begin_layout(&self) -> sqlx::Result<Box<dyn Writing>>;

    /// What to do about an error, and whether waiting may cure it.
    fn explain(&self, error: &sqlx::Error) -> (&'static str, bool);
}

/// A transaction; dropped without COMMIT it is rolled back.
#[async_trait]
pub(crate) trait Writing: Send {
    /// Runs a statement and says how many rows it changed.
    async fn execute(&mut self, statement: &str, values: &[&str]) -> sqlx::Result<u64>;

    /// COMMIT. After an error nobody knows whether the transaction holds.
    async fn commit(self: Box<Self>) -> sqlx::Result<()>;
}

macro_rules! writing {
    ($database:ty) => {
        #[async_trait]
        impl Writing for Transaction<'static, $database> {
            async fn execute(&mut self, statement: &str, values: &[&str]) -> sqlx::Result<u64> {
                let mut query = sqlx::query(statement);
                for value in values {
                    query = query.bind(*value);
                }
                answered(query.execute(&mut **self)).await.map(|done| done.rows_affected())
            }

            async fn commit(self: Box<Self>) -> sqlx::Result<()> {
                answered(Transaction::commit(*self)).await
            }
        }
    };
}

writing!(Sqlite);
writing!(Postgres);

/// Runs a query on a pool of either database.
macro_rules! rows {
    ($pool:expr, $statement:expr, $values:expr) => {{
        let mut query = sqlx::query($statement);
        for value in $values {
            query = query.bind(*value);
        }
        let rows = $crate::catalogs::sql::answered(query.fetch_all($pool)).await?;
        rows.iter().map($crate::catalogs::sql::texts).collect::<sqlx::Result<Vec<_>>>()
    }};
}
pub(crate) use rows;

/// All columns of a row as texts.
pub(crate) fn texts<R>(row: &R) -> sqlx::Result<Row>
where
    R: sqlx::Row,
    usize: sqlx::ColumnIndex<R>,
    for<'r> Option<String>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    (0..row.columns().len()).map(|column| row.try_get(column)).collect()
}

/// A text of a row.
pub(crate) fn text(row: &Row, column: usize) -> Option<&str> {
    row.get(column)?.as_deref()
}

/// Waits for an answer as long as one may take.
pub(crate) async fn answered<T>(answer: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    match tokio::time::timeout(ANSWER_MAX, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::Io(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {} s", ANSWER_MAX.as_secs()),
        ))),
    }
}
