//! Progress after another engine moved `main`: it changes the table's references and leaves its properties alone.

use iceberg::TableUpdate;
use iceberg::spec::{MAIN_BRANCH, SnapshotReference, SnapshotRetention};

use super::*;
use crate::fixture::{at, ids, lake, orders, staged, token};
use crate::lake::Lake;
use crate::maintain::{self, Cursors, Policy};
use crate::testing::change_from_outside;

/// Lands the rows `[start, end)` with their offsets; the number names the commit.
async fn land(lake: &Lake, number: u128, start: i64, end: i64) -> CommitOutcome {
    let base = lake.load(&name("orders")).await.unwrap();
    let files = staged(lake, &base, token(number), start..end).await;
    let commit = append("orders", files, token(number));
    let commit = Commit { offsets: vec![range(start, end)], ..commit };
    lake.commit(vec![commit], at(number as i64)).await.unwrap()
}

async fn landed(lake: &Lake, number: u128, start: i64, end: i64) -> i64 {
    committed(land(lake, number, start, end).await).snapshot_id().unwrap()
}

/// A row of another engine, without offsets.
async fn foreign(lake: &Lake, number: u128) -> i64 {
    let base = lake.load(&name("orders")).await.unwrap();
    let id = 1000 + number as i64;
    let files = staged(lake, &base, token(number), id..id + 1).await;
    let commit = append("orders", files, token(number));
    committed(lake.commit(vec![commit], at(number as i64)).await.unwrap()).snapshot_id().unwrap()
}

async fn move_main(lake: &Lake, snapshot_id: i64) {
    let retention = SnapshotRetention::branch(None, None, None);
    let reference = SnapshotReference { snapshot_id, retention };
    let update = TableUpdate::SetSnapshotRef { ref_name: MAIN_BRANCH.to_owned(), reference };
    change_from_outside(lake, &name("orders"), &[update]).await;
}

async fn forget(lake: &Lake, snapshots: &[i64]) {
    let update = TableUpdate::RemoveSnapshots { snapshot_ids: snapshots.to_vec() };
    change_from_outside(lake, &name("orders"), &[update]).await;
}

async fn next(lake: &Lake) -> i64 {
    let table = lake.load(&name("orders")).await.unwrap();
    table.offsets("orders").unwrap().unwrap().next[&0]
}

#[tokio::test]
async fn rows_that_another_engine_took_back_come_again_once() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[]).await;
    let first = landed(lake, 1, 0, 10).await;
    landed(lake, 2, 10, 20).await;
    landed(lake, 3, 20, 30).await;
    move_main(lake, first).await;
    assert_eq!(next(lake).await, 10);
    let table = lake.load(&name("orders")).await.unwrap();
    assert!(table.offsets("orders").unwrap().unwrap().anchors.is_empty(), "nothing tells record 9");
    // Who did not notice is told by the fence.
    let zombie = land(lake, 4, 30, 40).await;
    assert!(matches!(zombie, CommitOutcome::Fenced { next: 10, .. }), "{zombie:?}");
    landed(lake, 5, 10, 25).await;
    landed(lake, 6, 25, 40).await;
    assert_eq!(ids(&lake.load(&name("orders")).await.unwrap()).await, (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_history_that_is_put_back_brings_its_progress_back() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[]).await;
    let first = landed(lake, 1, 0, 10).await;
    let second = landed(lake, 2, 10, 20).await;
    move_main(lake, first).await;
    move_main(lake, second).await;
    assert_eq!(next(lake).await, 20);
    move_main(lake, first).await;
    landed(lake, 3, 10, 15).await;
    move_main(lake, second).await;
    assert_eq!(next(lake).await, 20);
    landed(lake, 4, 20, 30).await;
    assert_eq!(ids(&lake.load(&name("orders")).await.unwrap()).await, (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_taken_back_may_have_expired() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[]).await;
    let before = foreign(lake, 1).await;
    let first = landed(lake, 2, 0, 10).await;
    let second = landed(lake, 3, 10, 20).await;
    move_main(lake, first).await;
    forget(lake, &[second]).await;
    assert_eq!(next(lake).await, 10);
    // Nothing is left that tells where the topic stood: that is said, and nothing lands.
    move_main(lake, before).await;
    forget(lake, &[first]).await;
    let table = lake.load(&name("orders")).await.unwrap();
    let error = table.offsets("orders").unwrap_err().to_string();
    assert!(error.contains("sluice.offsets.orders") && error.contains("partition 0"), "{error}");
    let base = lake.load(&name("orders")).await.unwrap();
    let files = staged(lake, &base, token(5), 20..30).await;
    let commit = Commit { offsets: vec![range(20, 30)], ..append("orders", files, token(5)) };
    lake.commit(vec![commit], at(5)).await.unwrap_err();
}

#[tokio::test]
async fn expiry_and_foreign_commits_leave_progress_alone() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[]).await;
    let first = landed(lake, 1, 0, 10).await;
    let second = foreign(lake, 2).await;
    foreign(lake, 3).await;
    forget(lake, &[first]).await;
    assert_eq!(next(lake).await, 10);
    forget(lake, &[second]).await;
    assert_eq!(next(lake).await, 10);
    landed(lake, 4, 10, 20).await;
    assert_eq!(next(lake).await, 20);
}

#[tokio::test]
async fn progress_without_rows_goes_with_the_rows_before_it() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[]).await;
    let before = foreign(lake, 1).await;
    let rows = landed(lake, 2, 0, 10).await;
    let empty =
        Commit { offsets: vec![range(10, 20)], ..Commit::new(name("orders"), Operation::Append, token(3)) };
    let _ = committed(lake.commit(vec![empty], at(3)).await.unwrap());
    foreign(lake, 4).await;
    move_main(lake, rows).await;
    assert_eq!(next(lake).await, 20, "no row of offsets 10 to 20 is missing");
    move_main(lake, before).await;
    assert_eq!(next(lake).await, 0);
}

#[tokio::test]
async fn our_expiry_keeps_what_tells_where_to_go_on() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[]).await;
    foreign(lake, 1).await;
    let before = foreign(lake, 2).await;
    let first = landed(lake, 3, 0, 10).await;
    let second = landed(lake, 4, 10, 20).await;
    move_main(lake, before).await;
    let now = at(1_000_000_000);
    let (table, policy, cursors) = (name("orders"), Policy::default(), Cursors::default());
    let expire = || maintain::expire(lake, &table, &policy, &cursors, now, false);
    assert_eq!(expire().await.unwrap().snapshots, 1, "the one before the fork");
    assert_eq!(next(lake).await, 0);
    landed(lake, 5, 0, 20).await;
    expire().await.unwrap();
    let left = lake.load(&table).await.unwrap();
    assert!([first, second].iter().all(|id| left.metadata().snapshot_by_id(*id).is_none()));
    assert_eq!(next(lake).await, 20);
}
