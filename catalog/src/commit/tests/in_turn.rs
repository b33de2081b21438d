//! Several tables on a catalog that moves one pointer at a time: each is exact, wherever it breaks off.

use super::super::{in_turn, landing};
use super::faults::{Fault, Faulty};
use super::*;
use crate::commit::Refused;
use crate::fixture::{at, ids, lake, objects, orders, staged, token};
use crate::lake::Lake;

/// The letters first, then the orders, as ingest gives them.
const TABLES: [&str; 2] = ["dead_letters", "orders"];

/// One batch with the offsets `start..start + 10`: two letters, eight orders.
async fn batch(lake: &Lake, number: u128, start: i64) -> Vec<Commit> {
    let mut commits = Vec::new();
    for (table, rows) in TABLES.into_iter().zip([start + 8..start + 10, start..start + 8]) {
        let state = lake.load(&name(table)).await.unwrap();
        let files = staged(lake, &state, token(number), rows).await;
        let offsets = vec![range(start, start + 10)];
        commits.push(Commit { offsets, ..append(table, files, token(number)) });
    }
    commits
}

async fn make(lake: &Lake) {
    for table in TABLES {
        orders(lake, table, vec![], &[]).await;
    }
    orders(lake, "other", vec![], &[]).await;
}

/// Somebody's commit to a third table: a swap that it overtakes goes well.
async fn elsewhere(lake: &Lake, number: u128) -> Fault {
    let other = lake.load(&name("other")).await.unwrap();
    let files = staged(lake, &other, token(number), 0..1).await;
    Fault::Overtaken(vec![append("other", files, token(number))])
}

/// The ids and the next offset of each table.
async fn states(lake: &Lake) -> Vec<(Vec<i64>, Option<i64>)> {
    let mut states = Vec::new();
    for table in TABLES {
        let state = lake.load(&name(table)).await.unwrap();
        let next = state.offsets("orders").unwrap().map(|offsets| offsets.next[&0]);
        states.push((ids(&state).await, next));
    }
    states
}

fn whole() -> Vec<(Vec<i64>, Option<i64>)> {
    vec![(vec![8, 9], Some(10)), ((0..8).collect(), Some(10))]
}

#[tokio::test]
async fn tables_land_one_after_the_other_and_lost_replies_are_found() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    make(lake).await;
    let commits = batch(lake, 1, 0).await;
    let faulty = Faulty::new(lake, [Fault::ReplyLost, Fault::RequestLost]);
    let outcome = in_turn::land(&faulty, lake, &commits, at(0), Refused::Over).await.unwrap();
    let CommitOutcome::Committed(tables) = outcome else { panic!("{outcome:?}") };
    assert_eq!(tables.iter().map(|table| table.name().name()).collect::<Vec<_>>(), TABLES);
    assert_eq!(states(lake).await, whole());
    let again = in_turn::land(lake, lake, &commits, at(1), Refused::Over).await.unwrap();
    assert!(matches!(again, CommitOutcome::AlreadyCommitted(_)), "{again:?}");
    assert_eq!(states(lake).await, whole());
}

#[tokio::test]
async fn after_a_crash_between_tables_the_same_commit_goes_on_where_it_broke_off() {
    // The catalog may have learned to move tables together meanwhile.
    for together in [false, true] {
        let fixture = lake().await;
        let lake = &fixture.lake;
        make(lake).await;
        let commits = batch(lake, 1, 0).await;
        let first = landing::land(lake, lake, &commits[..1], at(0), Refused::Over).await.unwrap();
        assert!(matches!(first, CommitOutcome::Committed(_)), "{first:?}");
        assert_eq!(states(lake).await, [(vec![8, 9], Some(10)), (vec![], None)]);
        let outcome = match together {
            true => landing::land(lake, lake, &commits, at(1), Refused::Over).await.unwrap(),
            false => in_turn::land(lake, lake, &commits, at(1), Refused::Over).await.unwrap(),
        };
        let CommitOutcome::Committed(tables) = outcome else { panic!("{outcome:?}") };
        assert_eq!(tables.len(), 2);
        assert_eq!(states(lake).await, whole(), "together: {together}");
    }
}

#[tokio::test]
async fn the_last_table_speaks_for_those_before_it() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    make(lake).await;
    let commits = batch(lake, 1, 0).await;
    let landed = landing::land(lake, lake, &commits[1..], at(0), Refused::Over).await.unwrap();
    assert!(matches!(landed, CommitOutcome::Committed(_)), "{landed:?}");
    let outcome = in_turn::land(lake, lake, &commits, at(1), Refused::Over).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::AlreadyCommitted(_)), "{outcome:?}");
    assert_eq!(states(lake).await[0], (vec![], None), "its letters were there, and have been expired since");
}

#[tokio::test]
async fn what_can_be_known_before_is_refused_before_the_first_table_changes() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    make(lake).await;
    let rival = batch(lake, 1, 0).await.remove(1);
    committed(lake.commit(vec![rival], at(0)).await.unwrap());
    let files = objects(lake, ".parquet").await;
    let commits = batch(lake, 2, 0).await;
    let outcome = in_turn::land(lake, lake, &commits, at(1), Refused::Over).await.unwrap();
    assert!(
        matches!(&outcome, CommitOutcome::Fenced { table, .. } if *table == name("orders")),
        "{outcome:?}"
    );
    assert_eq!(states(lake).await[0], (vec![], None));
    // One letters file of the rival's batch was never committed; ours are gone.
    assert_eq!(objects(lake, ".parquet").await, files);
}

#[tokio::test]
async fn a_race_between_tables_leaves_each_of_them_exact() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    make(lake).await;
    let rival = batch(lake, 1, 0).await.remove(1);
    let commits = batch(lake, 2, 0).await;
    let faults = [elsewhere(lake, 9).await, Fault::Overtaken(vec![rival])];
    let faulty = Faulty::new(lake, faults);
    let outcome = in_turn::land(&faulty, lake, &commits, at(1), Refused::Over).await.unwrap();
    assert!(
        matches!(&outcome, CommitOutcome::Fenced { table, .. } if *table == name("orders")),
        "{outcome:?}"
    );
    // Each table has each row once: letters of ours, orders of the rival. Files of ours that live are kept.
    assert_eq!(states(lake).await, whole());
    let ours = commits[1].files.as_ref().unwrap().files[0].file_path().to_owned();
    let left = objects(lake, ".parquet").await;
    assert!(!left.iter().any(|path| ours.ends_with(path.as_str())), "{ours} is not in use: {left:?}");
}

/// The orders of batch 2 as changes of rows, computed for the state as it is.
async fn changing(lake: &Lake, files_of: u128) -> Commit {
    let state = lake.load(&name("orders")).await.unwrap();
    let files = staged(lake, &state, token(files_of), 0..8).await;
    let (read_snapshot, scope) = (state.snapshot_id(), Scope::Table);
    let changes = RowChanges { read_snapshot, replaced: Vec::new(), deletes: None, scope };
    let (operation, offsets) = (Operation::ChangeRows(changes), vec![range(0, 10)]);
    Commit { operation, offsets, ..append("orders", files, token(2)) }
}

#[tokio::test]
async fn changes_of_rows_that_conflict_come_again_behind_tables_that_have_theirs() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    make(lake).await;
    let state = lake.load(&name("orders")).await.unwrap();
    let rival = append("orders", staged(lake, &state, token(7), 50..52).await, token(7));
    let mut commits = batch(lake, 2, 0).await;
    commits[1] = changing(lake, 3).await;
    let faults = [elsewhere(lake, 9).await, Fault::Overtaken(vec![rival])];
    let faulty = Faulty::new(lake, faults);
    let outcome = in_turn::land(&faulty, lake, &commits, at(1), Refused::MayComeAgain).await.unwrap();
    assert!(
        matches!(&outcome, CommitOutcome::Conflicted { table, .. } if *table == name("orders")),
        "{outcome:?}"
    );
    assert_eq!(states(lake).await, [(vec![8, 9], Some(10)), (vec![50, 51], None)]);
    let stale = commits[1].files.as_ref().unwrap().files[0].file_path().to_owned();
    let left = objects(lake, ".parquet").await;
    assert!(!left.iter().any(|path| stale.ends_with(path.as_str())), "{stale} is computed again: {left:?}");

    commits[1] = changing(lake, 4).await;
    let outcome = in_turn::land(lake, lake, &commits, at(2), Refused::MayComeAgain).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    let orders = (0..8).chain(50..52).collect();
    assert_eq!(states(lake).await, [(vec![8, 9], Some(10)), (orders, Some(10))]);
    let outcome = in_turn::land(lake, lake, &commits, at(3), Refused::Over).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::AlreadyCommitted(_)), "{outcome:?}");
}
