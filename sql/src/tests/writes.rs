//! Statements that write, and what tables hold after them, as text: `tests/writes/*.txt`.
//!
//! The blocks of a file are run in order on one lake. A block that changes something is answered with what it
//! changed. With `SLUICE_UPDATE=1` the answers are written anew, to be read before they are committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sluice_catalog::WriterSettings;
use uuid::Uuid;

use super::{TestLake, as_written, at, shown};
use crate::{Changed, Command, Error, Session, Writes};

/// The permission to write, with ids that are counted from `first`.
pub(super) fn writes(first: u64) -> Writes {
    let ids = AtomicU64::new(first);
    Writes {
        now: Arc::new(|| at("2026-01-01T00:00:00Z")),
        id: Arc::new(move || Uuid::from_u128(ids.fetch_add(1, Ordering::Relaxed).into())),
        files: WriterSettings::default(),
    }
}

/// A session that may write; ids begin where those of [`TestLake`] never come.
pub(super) fn writing(lake: &TestLake) -> Session {
    lake.session().with_writes(writes(1 << 32))
}

/// Runs a statement that changes something.
pub(super) async fn change(session: &Session, sql: &str) -> Result<Changed, Error> {
    match session.command(sql).await? {
        Command::Write(change) => session.change(&change, Vec::new()).await,
        Command::Read(statement) => panic!("this only reads: {}", statement.text()),
    }
}

async fn answer(session: &Session, sql: &str) -> String {
    match session.command(sql).await {
        Ok(Command::Read(_)) => shown(session, sql).await,
        Ok(Command::Write(change)) => match session.change(&change, Vec::new()).await {
            Ok(changed) => told(&changed),
            Err(error) => format!("error: {error}"),
        },
        Err(error) => format!("error: {error}"),
    }
}

fn told(changed: &Changed) -> String {
    let Changed { statement, subject, inserted, updated, deleted } = changed;
    format!("{statement} {subject}: {inserted} inserted, {updated} updated, {deleted} deleted")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_as_written() {
    as_written("writes", TestLake::new, writing, answer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_without_permission_changes_nothing() {
    let lake = TestLake::new().await;
    change(&writing(&lake), "CREATE TABLE t (a bigint)").await.unwrap();
    for sql in [
        "INSERT INTO t VALUES (1)",
        "INSERT OVERWRITE t VALUES (1)",
        "CREATE TABLE u (a int)",
        "CREATE TABLE u AS SELECT 1 AS a",
        "CREATE VIEW v AS SELECT 1 AS a",
        "CREATE SCHEMA s",
        "DROP TABLE t",
    ] {
        let refused = lake.session().command(sql).await.map(|_| ()).unwrap_err();
        assert!(matches!(refused, Error::Unsupported(_)), "{sql}: {refused}");
    }
    assert_eq!(super::value(&lake.session(), "SELECT count(*) FROM t").await, "0");
    // Nor do those that leave the lake, for any session.
    for sql in ["COPY t TO 'x.parquet'", "SET a = 1", "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc'"]
    {
        assert!(writing(&lake).command(sql).await.is_err(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_have_the_types_of_the_columns() {
    let lake = TestLake::new().await;
    let session = writing(&lake);
    change(&session, "CREATE TABLE t (a bigint, b varchar, c date)").await.unwrap();
    let Command::Write(insert) = session.command("INSERT INTO t VALUES (?, ?, ?)").await.unwrap() else {
        panic!("it only reads")
    };
    let types: Vec<String> = insert.parameters().iter().map(ToString::to_string).collect();
    assert_eq!(types, ["Int64", "Utf8", "Date32"]);
    let values =
        |a: i64| vec![Some(a).into(), datafusion::scalar::ScalarValue::from("x"), "2026-01-02".into()];
    for a in [1, 2] {
        assert_eq!(session.change(&insert, values(a)).await.unwrap().inserted, 1);
    }
    let rows = "SELECT string_agg(a || b || c, ' ' ORDER BY a) FROM t";
    assert_eq!(super::value(&session, rows).await, "1x2026-01-02 2x2026-01-02");
    assert!(session.change(&insert, Vec::new()).await.is_err());
}
