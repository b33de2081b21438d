//! Older states by name, and tables about tables.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::DataType;

use super::{TestLake, batch, name, rows, schema, shown, value};

fn numbers(from: i64, to: i64) -> RecordBatch {
    let columns = schema(&[("n", DataType::Int64)]);
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
    batch(&columns, vec![numbers])
}

/// A table of two commits, and its snapshots.
async fn two_commits() -> (TestLake, Vec<i64>) {
    let lake = TestLake::new().await;
    lake.create("bronze.t", &numbers(0, 1).schema(), Vec::new()).await;
    let mut ids = Vec::new();
    for from in [0, 10] {
        ids.push(lake.append("bronze.t", numbers(from, from + 10)).await.snapshot_id().unwrap());
    }
    (lake, ids)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_read_beside_the_current_state() {
    let (lake, ids) = two_commits().await;
    let session = lake.session();
    let first = ids[0];
    for text in [
        format!("SELECT count(*) FROM t FOR VERSION AS OF {first}"),
        format!("SELECT count(t.n) FROM t VERSION AS OF {first} WHERE t.n >= 0"),
        format!("SELECT count(a.n) FROM bronze.t FOR SYSTEM_VERSION AS OF {first} AS a"),
        format!("SELECT count(a.n) FROM bronze.t for version as of {first} a"),
        format!("SELECT count(*) FROM \"t$snapshot_{first}\""),
    ] {
        assert_eq!(value(&session, &text).await, "10", "{text}");
    }
    for text in [
        "SELECT count(*) FROM t VERSION AS OF 'main'",
        "SELECT count(*) FROM t FOR TIMESTAMP AS OF '2100-01-01 00:00:00'",
        "SELECT count(*) FROM t FOR SYSTEM_TIME AS OF TIMESTAMP '2100-01-01'",
        "SELECT count(*) FROM \"t$branch_main\"",
    ] {
        assert_eq!(value(&session, text).await, "20", "{text}");
    }
    let difference =
        format!("SELECT count(*) FROM (SELECT n FROM t EXCEPT SELECT n FROM t FOR VERSION AS OF {first}) d");
    assert_eq!(value(&session, &difference).await, "10");
    let statement = session.prepare(&format!("SELECT * FROM t VERSION AS OF {first}")).await.unwrap();
    assert_eq!(statement.snapshots().get(&name("bronze.t")).unwrap().snapshot_id(), Some(first));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_kept_is_refused() {
    let (lake, _) = two_commits().await;
    let session = lake.session();
    for (text, fact) in [
        ("SELECT * FROM t FOR VERSION AS OF 5", "has no snapshot 5"),
        ("SELECT * FROM t FOR VERSION AS OF 'audit'", "no branch or tag `audit`"),
        ("SELECT * FROM t FOR TIMESTAMP AS OF '1999-01-01'", "no snapshot from 1999"),
        ("SELECT * FROM t FOR TIMESTAMP AS OF 'noon'", "`noon` is not a time"),
        ("SELECT * FROM t FOR VERSION AS OF n", "must be written out"),
        ("SELECT * FROM \"t$nothing\"", "no table or view"),
    ] {
        let answer = shown(&session, text).await;
        assert!(answer.starts_with("error: ") && answer.contains(fact), "{text}: {answer}");
    }
    // The words alone are still names.
    assert_eq!(value(&session, "SELECT version AS of FROM (SELECT 1 AS version) x").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_tell_about_themselves() {
    let (lake, ids) = two_commits().await;
    let session = lake.session();
    let all = "SELECT count(*) FROM \"t$snapshots\" WHERE operation = 'append'";
    assert_eq!(value(&session, all).await, "2");
    let newest = "SELECT max(snapshot_id) FROM bronze.\"t$history\" WHERE parent_id IS NOT NULL";
    assert_eq!(value(&session, newest).await, ids[1].to_string());
    assert_eq!(value(&session, "SELECT count(*) FROM \"t$history\" WHERE is_current_ancestor").await, "2");
    let refs = format!(
        "SELECT count(*) FROM \"t$refs\" WHERE name = 'main' AND type = 'BRANCH' AND snapshot_id = {}",
        ids[1]
    );
    assert_eq!(value(&session, &refs).await, "1");
    assert_eq!(value(&session, "SELECT sum(record_count) FROM \"t$files\"").await, "20");
    let old = format!("SELECT sum(record_count) FROM \"t$files\" FOR VERSION AS OF {}", ids[0]);
    assert_eq!(value(&session, &old).await, "10");
    assert_eq!(
        value(
            &session,
            "SELECT sum(added_data_files_count + existing_data_files_count) FROM \"t$manifests\""
        )
        .await,
        "2"
    );
    assert_eq!(value(&session, "SELECT record_count FROM \"t$partitions\"").await, "20");
    let paths = "SELECT count(DISTINCT data_file['file_path']) FROM \"t$entries\" WHERE status < 2";
    assert_eq!(value(&session, paths).await, "2");
    for kind in ["snapshots", "history", "refs", "manifests", "files", "entries", "partitions"] {
        rows(&session, &format!("SELECT * FROM \"t${kind}\""), Vec::new()).await.unwrap();
        let described = format!("DESCRIBE \"t${kind}\"");
        assert!(!shown(&session, &described).await.starts_with("error"), "{kind}");
    }
}
