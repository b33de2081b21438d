//! Compaction next to writers, with deletes, with a sort order.

use datafusion::arrow::array::{Int64Array, StringArray};
use sluice_catalog::maintain::Policy;
use sluice_catalog::{DeleteWriter, LiveFile, RowChanges, Scope, Transform};

use super::*;
use crate::{Compacted, compact};

const NOW: &str = "2026-01-01T00:00:00Z";

fn columns() -> SchemaRef {
    schema(&[("id", DataType::Int64), ("status", DataType::Utf8)])
}

fn orders(ids: std::ops::Range<i64>) -> RecordBatch {
    let statuses: StringArray = ids.clone().map(|id| (id % 5 > 0).then(|| format!("s{}", id % 2))).collect();
    batch(&columns(), vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(statuses)])
}

async fn table(lake: &TestLake, partition_by: Vec<PartitionBy>, commits: i64) -> TableSnapshot {
    let mut table = lake.create("bronze.orders", &columns(), partition_by).await;
    for number in 0..commits {
        table = lake.append("bronze.orders", orders(number * 10..number * 10 + 10)).await;
    }
    table
}

fn by_status() -> Vec<PartitionBy> {
    vec![PartitionBy { column: "status".to_owned(), transform: Transform::Identity }]
}

async fn run(lake: &TestLake, policy: &Policy) -> Compacted {
    let token = || lake.token();
    compact(&lake.engine, &name("bronze.orders"), policy, token, at(NOW), false).await.unwrap()
}

async fn sums(lake: &TestLake) -> String {
    let sql = "select count(*) n, sum(id) ids, count(status) s, count(distinct status) d from bronze.orders";
    shown(&lake.session(), sql).await
}

async fn files(lake: &TestLake) -> Vec<LiveFile> {
    lake.lake.load(&name("bronze.orders")).await.unwrap().files().await.unwrap()
}

/// The data files in the store, live or not.
async fn objects(lake: &TestLake) -> Vec<String> {
    let listed: Vec<_> = lake.lake.store().list(None).try_collect().await.unwrap();
    let paths = listed.into_iter().map(|object| object.location.to_string());
    let mut paths: Vec<_> = paths.filter(|path| path.ends_with(".parquet")).collect();
    paths.sort();
    paths
}

/// Deletes the first rows of each file by position.
async fn delete_first(lake: &TestLake, table: &TableSnapshot, targets: &[LiveFile], rows: u64) {
    let mut writer = DeleteWriter::new(&lake.lake, table, lake.token());
    for file in targets {
        writer.delete(file, 0..rows).unwrap();
    }
    let changes = RowChanges {
        read_snapshot: table.snapshot_id(),
        replaced: Vec::new(),
        deletes: Some(writer.finish().await.unwrap()),
        scope: Scope::Table,
    };
    let commit = Commit::new(name("bronze.orders"), Operation::ChangeRows(changes), lake.token());
    let outcome = lake.lake.commit(vec![commit], at(NOW)).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
}

#[tokio::test]
async fn small_files_become_one_with_the_same_rows() {
    for partition_by in [vec![], by_status()] {
        let lake = TestLake::new().await;
        let parts = if partition_by.is_empty() { 1 } else { 3 };
        table(&lake, partition_by, 6).await;
        let before = sums(&lake).await;
        let says = {
            let token = || lake.token();
            let policy = Policy::default();
            compact(&lake.engine, &name("bronze.orders"), &policy, token, at(NOW), true).await.unwrap()
        };
        assert_eq!(files(&lake).await.len(), 6 * parts, "a dry run changes nothing");
        let done = run(&lake, &Policy::default()).await;
        assert_eq!((done.files_in, done.files_out), (6 * parts, parts));
        assert_eq!((says.files_in, says.bytes_in), (done.files_in, done.bytes_in));
        assert_eq!(files(&lake).await.len(), parts);
        assert_eq!(sums(&lake).await, before);
        assert_eq!(run(&lake, &Policy::default()).await, Compacted::default(), "nothing is left to do");
    }
}

#[tokio::test]
async fn deleted_rows_stay_deleted_and_their_files_go() {
    let lake = TestLake::new().await;
    let base = table(&lake, vec![], 6).await;
    delete_first(&lake, &base, &base.files().await.unwrap(), 3).await;
    let before = sums(&lake).await;
    let done = run(&lake, &Policy::default()).await;
    assert_eq!((done.files_in, done.files_out), (6, 1));
    assert!(done.delete_files > 0, "{done:?}");
    assert_eq!(sums(&lake).await, before);
    let table = lake.lake.load(&name("bronze.orders")).await.unwrap();
    assert_eq!(table.row_count(), Some(42), "no delete file is left");
}

#[tokio::test]
async fn an_append_meanwhile_is_no_conflict() {
    let lake = TestLake::new().await;
    let base = table(&lake, vec![], 5).await;
    lake.append("bronze.orders", orders(1_000..1_010)).await;
    let before = sums(&lake).await;
    let outcome = rewrite_all(&lake, &base).await;
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(sums(&lake).await, before);
    assert_eq!(files(&lake).await.len(), 2);
}

#[tokio::test]
async fn a_delete_meanwhile_is_a_conflict_and_leaves_no_file() {
    let lake = TestLake::new().await;
    let base = table(&lake, vec![], 5).await;
    delete_first(&lake, &base, &base.files().await.unwrap()[..1], 2).await;
    let before = (sums(&lake).await, objects(&lake).await);
    let outcome = rewrite_all(&lake, &base).await;
    assert!(outcome.is_err(), "{outcome:?}");
    assert_eq!((sums(&lake).await, objects(&lake).await), before);
    // The next run sees the delete and applies it.
    run(&lake, &Policy::default()).await;
    assert_eq!(sums(&lake).await, before.0);
    assert_eq!(files(&lake).await.len(), 1);
}

/// The compaction of all files of `base`, committed on whatever the table is now.
async fn rewrite_all(lake: &TestLake, base: &TableSnapshot) -> Result<(usize, u64), String> {
    let live = base.files().await.unwrap();
    let policy = Policy::default();
    let jobs = sluice_catalog::maintain::jobs(&live, 0, &policy);
    let run =
        crate::compact::Run { engine: &lake.engine, table: base, live: &live, policy: &policy, order: "" };
    run.rewrite(&jobs[0], lake.token(), at(NOW)).await.unwrap()
}

#[tokio::test]
async fn rows_are_sorted_when_the_table_says_so() {
    let lake = TestLake::new().await;
    table(&lake, vec![], 5).await;
    let policy = Policy { sort_by: Some("status desc, id".to_owned()), ..Policy::default() };
    run(&lake, &policy).await;
    assert_eq!(files(&lake).await.len(), 1);
    let first = shown(&lake.session(), "select id, status from bronze.orders limit 2").await;
    let sorted =
        shown(&lake.session(), "select id, status from bronze.orders order by status desc, id limit 2").await;
    assert_eq!(first, sorted);
    let policy = Policy { sort_by: Some("nothing".to_owned()), ..Policy::default() };
    let token = || lake.token();
    let refused = compact(&lake.engine, &name("bronze.orders"), &policy, token, at(NOW), false).await;
    assert!(refused.unwrap_err().to_string().contains("sort-by"));
}

#[tokio::test]
async fn a_run_is_bounded_by_bytes() {
    let lake = TestLake::new().await;
    table(&lake, vec![], 12).await;
    let bytes = files(&lake).await[0].parts().0.file_size_in_bytes();
    let policy = Policy {
        target_file_bytes: bytes * 3 / 2,
        min_input_files: 2,
        max_bytes: bytes,
        ..Policy::default()
    };
    let done = run(&lake, &policy).await;
    assert!(done.files_in < 12 && done.files_in > 1, "{done:?}");
}

#[tokio::test]
async fn what_was_added_is_still_known_after_a_rewrite() {
    let lake = TestLake::new().await;
    let base = table(&lake, vec![], 4).await;
    let read = base.snapshot_id().unwrap();
    for ids in [100..103, 103..106] {
        lake.append("bronze.orders", orders(ids)).await;
    }
    assert_eq!(run(&lake, &Policy::default()).await.files_out, 1);
    lake.append("bronze.orders", orders(106..110)).await;
    let now = lake.lake.load(&name("bronze.orders")).await.unwrap();
    let added = now.files_added_since(read).await.unwrap().unwrap();
    let session = lake.session().with_files(&now, added);
    assert_eq!(value(&session, "select count(*) from bronze.orders").await, "10");
    assert_eq!(value(&session, "select min(id) from bronze.orders").await, "100");
}
