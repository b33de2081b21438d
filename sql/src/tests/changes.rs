//! What the text of `writes` cannot show: other writers, kinds of files, and what a failed statement leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::object_store::ObjectStoreExt;
use futures::TryStreamExt;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::writes::{change, writes, writing};
use super::{TestLake, name, value};
use crate::{Session, Writes};

/// A session whose first commit comes just after `sql` of another session.
fn outrun(lake: &TestLake, sql: &'static str) -> Session {
    let other = lake.session().with_writes(writes(1 << 40));
    let own = writes(1 << 41);
    let (ran, now) = (AtomicBool::new(false), Arc::clone(&own.now));
    let now = move || {
        if !ran.swap(true, Ordering::SeqCst) {
            block_in_place(|| Handle::current().block_on(change(&other, sql))).unwrap();
        }
        now()
    };
    lake.session().with_writes(Writes { now: Arc::new(now), ..own })
}

async fn table(lake: &TestLake, properties: &str) -> Session {
    let session = writing(lake);
    let create = format!("CREATE TABLE t (id bigint, n int) TBLPROPERTIES ('owner' = 'test'{properties})");
    change(&session, &create).await.unwrap();
    change(&session, "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3), (20, 20)").await.unwrap();
    session
}

async fn rows(session: &Session) -> String {
    value(session, "SELECT string_agg(id || ':' || n, ' ' ORDER BY id) FROM t").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_came_meanwhile_are_changed_too() {
    for statement in [
        "UPDATE t SET n = n + 100 WHERE id < 10",
        "MERGE INTO t USING (SELECT 1 AS one) AS s ON t.id < 10 WHEN MATCHED THEN UPDATE SET n = n + 100",
    ] {
        let lake = TestLake::new().await;
        let session = table(&lake, "").await;
        let outrun = outrun(&lake, "INSERT INTO t VALUES (5, 5)");
        assert_eq!(change(&outrun, statement).await.unwrap().updated, 4, "{statement}");
        assert_eq!(rows(&session).await, "1:101 2:102 3:103 5:105 20:20", "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_isolation_leaves_them_alone() {
    let lake = TestLake::new().await;
    let session = table(&lake, ", 'write.update.isolation-level' = 'snapshot'").await;
    let outrun = outrun(&lake, "INSERT INTO t VALUES (5, 5)");
    let changed = change(&outrun, "UPDATE t SET n = n + 100 WHERE id < 10").await.unwrap();
    assert_eq!(changed.updated, 3);
    assert_eq!(rows(&session).await, "1:101 2:102 3:103 5:5 20:20");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_is_never_changed_twice_at_once() {
    for other in [
        "UPDATE t SET n = n * 2 WHERE id = 2",
        "DELETE FROM t WHERE id = 2",
        "INSERT OVERWRITE t VALUES (2, 7)",
    ] {
        for mode in ["copy-on-write", "merge-on-read"] {
            let lake = TestLake::new().await;
            let session =
                table(&lake, &format!(", 'write.update.mode' = '{mode}', 'write.delete.mode' = '{mode}'"))
                    .await;
            change(&outrun(&lake, other), "UPDATE t SET n = n + 1 WHERE id = 2").await.unwrap();
            let expected = match other.split(' ').next() {
                Some("UPDATE") => "1:1 2:5 3:3 20:20",
                Some("DELETE") => "1:1 3:3 20:20",
                _ => "2:8",
            };
            assert_eq!(rows(&session).await, expected, "{other}, {mode}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mode_decides_how_rows_leave() {
    for (mode, marked) in [("merge-on-read", true), ("copy-on-write", false)] {
        let lake = TestLake::new().await;
        let session = table(&lake, &format!(", 'write.delete.mode' = '{mode}'")).await;
        for id in [2, 1] {
            change(&session, &format!("DELETE FROM t WHERE id = {id}")).await.unwrap();
        }
        let files = lake.lake.load(&name("bronze.t")).await.unwrap().files().await.unwrap();
        assert_eq!(files.iter().any(|file| !file.parts().1.is_empty()), marked, "{mode}");
        assert_eq!(rows(&session).await, "3:3 20:20", "{mode}");
        // A file whose rows all go needs no deletes.
        change(&session, "DELETE FROM t").await.unwrap();
        assert_eq!(value(&session, "SELECT count(*) FROM t").await, "0", "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_statement_leaves_nothing() {
    let lake = TestLake::new().await;
    let session = table(&lake, "").await;
    let objects = || async { lake.lake.store().list(None).try_collect::<Vec<_>>().await.unwrap().len() };
    let before = objects().await;
    for sql in [
        "UPDATE t SET n = 1 / (id - 20)",
        "UPDATE t SET n = n * 1000000000",
        "INSERT INTO t SELECT id, 1 / (id - 20) FROM t",
        "MERGE INTO t USING (SELECT 1 AS id UNION ALL SELECT 1) AS s ON t.id = s.id WHEN MATCHED THEN DELETE",
    ] {
        assert!(change(&session, sql).await.is_err(), "{sql}");
    }
    assert_eq!(objects().await, before);
    assert_eq!(rows(&session).await, "1:1 2:2 3:3 20:20");
}

/// Removes the data files whose path has `part` in it from the store.
async fn lose(lake: &TestLake, part: &str) -> usize {
    let store = lake.lake.store();
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    let lost = listed.into_iter().map(|object| object.location);
    let lost: Vec<_> = lost.filter(|path| path.as_ref().contains(part)).collect();
    for path in &lost {
        store.delete(path).await.unwrap();
    }
    lost.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_which_all_rows_go_are_not_even_read() {
    for condition in [
        "day = DATE '2026-01-02'",
        "day IN (DATE '2026-01-02', DATE '2026-01-03')",
        "day > DATE '2026-01-01' AND day < DATE '2026-01-03'",
        "NOT (day <> DATE '2026-01-02')",
        "d.day BETWEEN DATE '2026-01-02' AND DATE '2026-01-05' OR id = 99",
    ] {
        let lake = TestLake::new().await;
        let session = writing(&lake);
        change(&session, "CREATE TABLE d (id bigint, day date) PARTITIONED BY (day)").await.unwrap();
        let rows = "(1, DATE '2026-01-01'), (2, DATE '2026-01-02'), (3, DATE '2026-01-02'), (4, NULL)";
        change(&session, &format!("INSERT INTO d VALUES {rows}")).await.unwrap();
        assert_eq!(lose(&lake, "2026-01-02").await, 1);
        let gone = change(&session, &format!("DELETE FROM d WHERE {condition}")).await;
        let gone = gone.unwrap_or_else(|error| panic!("{condition}: {error}"));
        assert_eq!(gone.deleted, 2, "{condition}");
        let left = value(&session, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM d").await;
        assert_eq!(left, "1 4", "{condition}");
        assert_eq!(lose(&lake, ".parquet").await, 2);
        assert_eq!(change(&session, "DELETE FROM d").await.unwrap().deleted, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_which_a_condition_is_not_true_stay() {
    for (condition, left) in [
        ("n > 0", "3 4"),
        ("NOT (n < 1)", "3 4"),
        ("x < 9", "2 4"),
        ("n >= 1 AND x > 0", "3 4"),
        ("n IS NULL", "1 2 4"),
        ("n > 0 AND id IN (SELECT 1)", "2 3 4"),
        ("n > 0 AND random() < 0", "1 2 3 4"),
        ("n + 0 > 0", "3 4"),
        ("NULLIF(n, 1) > 1", "1 3 4"),
        ("id > 0", ""),
    ] {
        let lake = TestLake::new().await;
        let session = writing(&lake);
        change(&session, "CREATE TABLE n (id bigint, n int, x double)").await.unwrap();
        // In files of their own rows are the easiest to take for all of a file.
        for row in ["(1, 1, 1.0), (11, 1, 1.0)", "(2, 2, 'NaN'::double)", "(3, NULL, 3.0)", "(4, -1, NULL)"] {
            change(&session, &format!("INSERT INTO n VALUES {row}")).await.unwrap();
        }
        change(&session, &format!("DELETE FROM n WHERE {condition}")).await.unwrap();
        let found = value(
            &session,
            "SELECT coalesce(string_agg(id::text, ' ' ORDER BY id), '') FROM n WHERE id < 10",
        );
        assert_eq!(found.await, left, "{condition}");
    }
}
