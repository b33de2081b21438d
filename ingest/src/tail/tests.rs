//! Snapshot and tail together show each row once, whatever a writer does between the two looks.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::*;
use crate::fixtures;
use crate::land::tests::{Bench, VIEW, bench_with_tail};

/// Offsets of the rows of batches, sorted.
fn offsets<'a>(batches: impl IntoIterator<Item = &'a RecordBatch>) -> Vec<i64> {
    let columns = batches.into_iter().map(|batch| batch.column_by_name("_src_offset").unwrap());
    let mut offsets: Vec<i64> =
        columns.flat_map(|column| column.as_primitive::<Int64Type>().values().to_vec()).collect();
    offsets.sort_unstable();
    offsets
}

/// What a reader sees: the tail pinned first, then the snapshot.
async fn seen(lake: &sluice_catalog::Lake, tail: &Tail) -> (Vec<i64>, usize) {
    let name = fixtures::name("bronze.clicks");
    let pinned = tail.pin(&name);
    let snapshot = lake.load(&name).await.unwrap();
    let live = pinned.beyond(&snapshot).unwrap();
    let held = fixtures::rows_of(lake, &snapshot).await;
    (offsets(held.iter().chain(&live)), live.iter().map(RecordBatch::num_rows).sum())
}

async fn start(dir: &std::path::Path) -> (Bench, Tail) {
    let tail = Tail::default();
    let mut bench = bench_with_tail(fixtures::lake(dir).await, tail.clone()).await;
    bench.assign(0, 0).await;
    (bench, tail)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_seen_before_their_commit_and_once_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut bench, tail) = start(dir.path()).await;
    let lake = bench.lake.clone();
    bench.write(1, (0, 0), 0, &[VIEW, VIEW]).await;
    bench.write(2, (0, 0), 2, &[VIEW]).await;
    assert_eq!(seen(&lake, &tail).await, (vec![0, 1, 2], 3));
    let name = fixtures::name("bronze.clicks");
    let before = tail.pin(&name);
    bench.seal(1, 1, &[(0, 0, 0, 2)]);
    bench.commit().await;
    assert_eq!(seen(&lake, &tail).await, (vec![0, 1, 2], 1));
    let snapshot = lake.load(&name).await.unwrap();
    assert_eq!(offsets(&before.beyond(&snapshot).unwrap()), [2], "pinned before the commit, loaded after it");
    assert_eq!(before.batches().len(), 2);
    bench.seal(2, 1, &[(0, 0, 2, 3)]);
    bench.commit().await;
    assert_eq!(seen(&lake, &tail).await, (vec![0, 1, 2], 0));
    assert_eq!(tail.memory(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_leaves_the_tail_and_its_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (mut bench, tail) = start(dir.path()).await;
    bench.write(1, (0, 0), 0, &[VIEW; 100]).await;
    assert!(tail.memory() > 0);
    assert!(bench.used() > tail.memory(), "the tail counts against the budget");
    bench.abort().await;
    assert_eq!((tail.memory(), bench.used()), (0, 0));
    assert_eq!(seen(&bench.lake, &tail).await, (Vec::new(), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_never_miss_a_row_and_never_see_one_twice_while_commits_land() {
    const EPOCHS: u64 = 25;
    let dir = tempfile::tempdir().unwrap();
    let (mut bench, tail) = start(dir.path()).await;
    let (lake, done) = (bench.lake.clone(), Arc::new(AtomicBool::new(false)));
    let readers = (0..3).map(|_| {
        let (lake, tail, done) = (lake.clone(), tail.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let (mut least, mut looks, mut live_looks) = (0, 0, 0);
            while !done.load(Relaxed) {
                let (offsets, live) = seen(&lake, &tail).await;
                let expected: Vec<i64> = (0..offsets.len() as i64).collect();
                assert_eq!(offsets, expected, "every row up to the newest, each once");
                assert!(offsets.len() >= least, "{} rows after {least}", offsets.len());
                least = offsets.len();
                looks += 1;
                live_looks += usize::from(live > 0);
            }
            (looks, live_looks)
        })
    });
    let readers: Vec<_> = readers.collect();
    let mut next = 0;
    for epoch in 0..EPOCHS {
        let begin = next;
        for rows in [3, 1, 5] {
            bench.write(epoch, (0, 0), next, &vec![VIEW; rows]).await;
            next += rows as i64;
        }
        bench.seal(epoch, 3, &[(0, 0, begin, next)]);
        // The next epoch's rows arrive while this one is committed.
        let commit = bench.begin_commit();
        bench.write(epoch + 1, (0, 0), next, &[VIEW]).await;
        bench.finish_commit(commit.await);
        bench.seal(epoch + 1, 1, &[(0, 0, next, next + 1)]);
        next += 1;
        bench.commit().await;
    }
    done.store(true, Relaxed);
    for reader in readers {
        let (looks, live) = reader.await.unwrap();
        assert!(looks > 0 && live > 0, "{looks} looks, {live} of them with live rows");
    }
    assert_eq!(seen(&lake, &tail).await.0.len() as i64, next);
}
