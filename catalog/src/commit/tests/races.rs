//! Races, lost messages and zombies: every batch lands once or is refused, and no file of a table is lost.

use std::sync::Arc;

use super::faults::{Fault, Faulty};
use super::*;
use crate::fixture::{at, ids, lake, objects, orders, staged, token};
use crate::lake::Lake;

/// Ten rows with the offsets 0..10.
async fn batch(lake: &Lake, number: u128) -> Commit {
    let table = lake.load(&name("orders")).await.unwrap();
    let files = staged(lake, &table, token(number), 0..10).await;
    Commit { offsets: vec![range(0, 10)], ..append("orders", files, token(number)) }
}

/// Each metadata file, manifest list and manifest in the store is part of the table's current state or log.
async fn no_orphans(lake: &Lake, table: &str) {
    let state = lake.load(&name(table)).await.unwrap();
    let snapshots = state.metadata().snapshots().count();
    assert_eq!(objects(lake, ".metadata.json").await.len(), state.metadata().metadata_log().len() + 1);
    // One list and one manifest for each append.
    assert_eq!(objects(lake, ".avro").await.len(), 2 * snapshots);
}

#[tokio::test]
async fn the_same_token_lands_once() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[]).await;
    committed(lake.commit(vec![batch(lake, 1).await], at(0)).await.unwrap());
    let outcome = lake.commit(vec![batch(lake, 1).await], at(1)).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::AlreadyCommitted(_)), "{outcome:?}");
    let table = lake.load(&name("orders")).await.unwrap();
    assert_eq!(ids(&table).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_lost_race_is_run_again_and_both_land() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    let other = append("orders", staged(lake, &table, token(2), 10..20).await, token(2));
    let ours = batch(lake, 1).await;
    let outcome = Faulty::new(lake, [Fault::Overtaken(vec![other])]).commit(&[ours]).await.unwrap();
    assert_eq!(ids(&committed(outcome)).await, (0..20).collect::<Vec<_>>());
    no_orphans(lake, "orders").await;
}

#[tokio::test]
async fn a_busy_catalog_is_asked_again() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[]).await;
    let ours = batch(lake, 1).await;
    let outcome = Faulty::new(lake, [Fault::Busy, Fault::Busy]).commit(&[ours]).await.unwrap();
    assert_eq!(ids(&committed(outcome)).await.len(), 10);
    no_orphans(lake, "orders").await;
}

#[tokio::test]
async fn a_lost_reply_is_found_by_its_token() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[]).await;
    let ours = batch(lake, 1).await;
    let outcome = Faulty::new(lake, [Fault::ReplyLost]).commit(&[ours]).await.unwrap();
    let CommitOutcome::AlreadyCommitted(tables) = outcome else { panic!("{outcome:?}") };
    assert_eq!(ids(&tables[0]).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_lost_request_is_sent_again_and_a_late_one_changes_nothing() {
    for fault in [Fault::RequestLost, Fault::Late] {
        let fixture = lake().await;
        let lake = &fixture.lake;
        orders(lake, "orders", vec![], &[]).await;
        let ours = batch(lake, 1).await;
        let outcome = Faulty::new(lake, [fault]).commit(&[ours]).await.unwrap();
        assert_eq!(ids(&committed(outcome)).await, (0..10).collect::<Vec<_>>());
        let table = lake.load(&name("orders")).await.unwrap();
        assert_eq!(ids(&table).await, (0..10).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_refused_batch_whose_first_attempt_is_in_doubt_keeps_its_files() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[]).await;
    let (ours, rival) = (batch(lake, 1).await, batch(lake, 2).await);
    let files = objects(lake, ".parquet").await;
    let faults = [Fault::RequestLost, Fault::Overtaken(vec![rival])];
    let outcome = Faulty::new(lake, faults).commit(&[ours]).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Fenced { start: 0, next: 10, .. }), "{outcome:?}");
    assert_eq!(objects(lake, ".parquet").await, files);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_zombies_with_one_range_exactly_one_lands() {
    for round in 0..10 {
        let fixture = lake().await;
        let lake = &fixture.lake;
        orders(lake, "orders", vec![], &[]).await;
        let (first, second) = (batch(lake, 2 * round + 1).await, batch(lake, 2 * round + 2).await);
        let run = |commit| {
            let lake = lake.clone();
            tokio::spawn(async move { lake.commit(vec![commit], at(0)).await.unwrap() })
        };
        let (first, second) = (run(first), run(second));
        let outcomes = [first.await.unwrap(), second.await.unwrap()];
        let landed = outcomes.iter().filter(|outcome| matches!(outcome, CommitOutcome::Committed(_))).count();
        let fenced =
            outcomes.iter().filter(|outcome| matches!(outcome, CommitOutcome::Fenced { .. })).count();
        assert_eq!((landed, fenced), (1, 1), "{outcomes:?}");
        let table = lake.load(&name("orders")).await.unwrap();
        assert_eq!(ids(&table).await, (0..10).collect::<Vec<_>>());
        assert_eq!(objects(lake, ".parquet").await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_of_one_table_all_land() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = Arc::new(orders(lake, "orders", vec![], &[]).await);
    let writers: Vec<_> = (0..6_i64)
        .map(|writer| {
            let (lake, table) = (lake.clone(), table.clone());
            tokio::spawn(async move {
                for number in 0..4 {
                    let id = writer * 4 + number;
                    let token = token(id as u128 + 1);
                    let files = staged(&lake, &table, token, id..id + 1).await;
                    committed(lake.commit(vec![append("orders", files, token)], at(0)).await.unwrap());
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let table = lake.load(&name("orders")).await.unwrap();
    assert_eq!(ids(&table).await, (0..24).collect::<Vec<_>>());
    assert_eq!(table.row_count(), Some(24));
    no_orphans(lake, "orders").await;
}

#[tokio::test]
async fn several_tables_change_together_or_not_at_all() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let good = orders(lake, "orders", vec![], &[]).await;
    let dead = orders(lake, "dead_letters", vec![], &[]).await;
    let commits = |number: u128, start: i64, files: [StagedFiles; 2]| {
        let [good, dead] = files;
        let offsets = vec![range(start, start + 10)];
        vec![
            Commit { offsets: offsets.clone(), ..append("orders", good, token(number)) },
            Commit { offsets, ..append("dead_letters", dead, token(number)) },
        ]
    };
    let files = [staged(lake, &good, token(1), 0..8).await, staged(lake, &dead, token(1), 8..10).await];
    // Somebody else changes the second table between staging and swapping.
    let other = append("dead_letters", staged(lake, &dead, token(9), 90..91).await, token(9));
    let faults = [Fault::Overtaken(vec![other])];
    let outcome = Faulty::new(lake, faults).commit(&commits(1, 0, files)).await.unwrap();
    let CommitOutcome::Committed(tables) = outcome else { panic!("{outcome:?}") };
    assert_eq!(ids(&tables[0]).await, (0..8).collect::<Vec<_>>());
    assert_eq!(ids(&tables[1]).await, [8, 9, 90]);

    // A fence on the second table holds the first one back too.
    let ahead = Commit {
        offsets: vec![range(10, 11)],
        files: None,
        ..commits(2, 0, empty(lake, [&good, &dead]).await).remove(1)
    };
    committed(lake.commit(vec![ahead], at(1)).await.unwrap());
    let before = tables[0].metadata_location().to_owned();
    let files = [staged(lake, &good, token(3), 10..18).await, staged(lake, &dead, token(3), 18..20).await];
    let outcome = lake.commit(commits(3, 10, files), at(2)).await.unwrap();
    assert!(matches!(&outcome, CommitOutcome::Fenced { table, .. } if *table == name("dead_letters")));
    assert_eq!(lake.load(&name("orders")).await.unwrap().metadata_location(), before);
}

async fn empty(lake: &Lake, tables: [&TableSnapshot; 2]) -> [StagedFiles; 2] {
    [staged(lake, tables[0], token(50), 0..0).await, staged(lake, tables[1], token(51), 0..0).await]
}
