//! What the text of `writes` cannot show: other writers, kinds of files, and what a failed statement leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
