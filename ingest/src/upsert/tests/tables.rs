//! Tables with a key beside what else happens to tables: schema policies, deletes by others, commits in doubt.

use std::collections::BTreeMap;

use sluice_catalog::{
    Commit, CommitOutcome, DeleteWriter, LiveFile, Operation, PositionDeletes, RowChanges, Scope,
};

use super::world::{Message, World, land};
use super::{OPS, message, staged, wanted};
use crate::land::Landed;
use crate::pipeline::{new_token, now};

async fn files(world: &World) -> Vec<LiveFile> {
    world.table().await.files().await.unwrap()
}

fn delete_files(file: &LiveFile) -> usize {
    match &file.parts().1.positions {
        PositionDeletes::Files(files) => files.len(),
        _ => 0,
    }
}

fn put(id: i64, v: i64) -> Message {
    message(&format!(r#"{{"op":"u","id":{id},"v":{v}}}"#))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_file_has_one_delete_file_however_many_commits_there_were() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path(), OPS).await;
    land(&world, &(0..9).map(|id| put(id, 0)).collect::<Vec<_>>()).await;
    let first = files(&world).await[0].parts().0.file_path().to_owned();
    for round in 1..8 {
        land(&world, &[put(round, round)]).await;
        let files = files(&world).await;
        let old = files.iter().find(|file| file.parts().0.file_path() == first).unwrap();
        assert_eq!(delete_files(old), 1, "after {round} commits");
    }
    let expected: BTreeMap<i64, i64> =
        [0, 1, 2, 3, 4, 5, 6, 7, 0].into_iter().zip(0..).map(|(v, id)| (id, v)).collect();
    assert_eq!(world.rows().await, expected);
    land(&world, &[put(0, 1), put(8, 1)]).await;
    let files = files(&world).await;
    assert!(files.iter().all(|file| file.parts().0.file_path() != first), "a file without rows is gone");
    assert_eq!(files.iter().map(delete_files).sum::<usize>(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_delete_stay_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path(), OPS).await;
    land(&world, &(0..4).map(|id| put(id, 0)).collect::<Vec<_>>()).await;
    land(&world, &(4..8).map(|id| put(id, 0)).collect::<Vec<_>>()).await;
    // One delete file for both data files, as a statement writes it.
    let table = world.table().await;
    let mut writer = DeleteWriter::new(&world.lake, &table, new_token());
    for file in files(&world).await {
        writer.delete(&file, [0]).unwrap();
    }
    let deletes = Some(writer.finish().await.unwrap());
    assert_eq!(deletes.as_ref().unwrap().file_count(), 1);
    let (read_snapshot, scope) = (table.snapshot_id(), Scope::Table);
    let changes = RowChanges { read_snapshot, replaced: Vec::new(), deletes, scope };
    let commit = Commit::new(table.name().clone(), Operation::ChangeRows(changes), new_token());
    assert!(matches!(world.lake.commit(vec![commit], now()).await.unwrap(), CommitOutcome::Committed(_)));
    assert_eq!(world.rows().await.into_keys().collect::<Vec<_>>(), [1, 2, 3, 5, 6, 7]);
    land(&world, &[put(1, 1), put(4, 1), message(r#"{"op":"d","id":5}"#)]).await;
    land(&world, &[put(2, 1), message(r#"{"op":"d","id":6}"#)]).await;
    assert_eq!(world.rows().await, BTreeMap::from([(1, 1), (2, 1), (3, 0), (4, 1), (7, 0)]));
    assert!(world.compact().await);
    land(&world, &[put(3, 1)]).await;
    assert_eq!(world.rows().await, BTreeMap::from([(1, 1), (2, 1), (3, 1), (4, 1), (7, 0)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_landed_in_doubt_is_found_whether_or_not_it_is_computed_again() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path(), OPS).await;
    land(&world, &[put(1, 1), put(2, 2)]).await;
    let wanted = wanted(&world, 2, &[put(2, 9), put(3, 3)]).await;
    let (read, token) = (world.table().await, new_token());
    let commit = staged(&world, &read, &wanted, token).await;
    let outcome = world.lake.try_commit(std::slice::from_ref(&commit), now()).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    let expected = BTreeMap::from([(1, 1), (2, 9), (3, 3)]);
    let again = staged(&world, &world.table().await, &wanted, token).await;
    for commit in [commit, again] {
        let outcome = world.lake.try_commit(&[commit], now()).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::AlreadyCommitted(_)), "{outcome:?}");
        assert_eq!(world.rows().await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_land_in_the_same_commit_survives_a_conflict() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path(), OPS).await;
    land(&world, &[put(1, 1), put(2, 2)]).await;
    let mut worker = world.worker().await;
    worker.write(0, 2, &[put(1, 5), message("no event")]).await;
    // A commit that is computed for the state before, and refused there, leaves the files of the dead letters alone.
    let wanted = wanted(&world, 2, &[put(1, 5)]).await;
    let token = new_token();
    let stale = staged(&world, &world.table().await, &wanted, token).await;
    assert!(world.compact().await);
    let commits = [world.letter(token).await, stale];
    let outcome = world.lake.try_commit(&commits, now()).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Conflicted { .. }), "{outcome:?}");
    let outcome = world.lake.commit(commits.into_iter().take(1).collect(), now()).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    assert_eq!(world.dead_letters().await, ["not_an_object"]);
    let landed = worker.commit(1, &[(0, 2, 4)]).await;
    assert!(matches!(landed, Landed::Done(_)), "{landed:?}");
    assert_eq!(world.dead_letters().await, ["not_an_object", "not_an_object"]);
    assert_eq!(world.rows().await, BTreeMap::from([(1, 5), (2, 2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_policies_hold_for_rows_and_spare_deletes() {
    for (policy, letters) in [("evolve", 0), ("keep", 0), ("reject", 2), ("ignore", 0)] {
        let dir = tempfile::tempdir().unwrap();
        let world = World::new(dir.path(), &format!("schema: {policy}\n{OPS}")).await;
        land(&world, &[put(1, 1), put(2, 2), put(3, 3)]).await;
        land(
            &world,
            &[
                message(r#"{"op":"u","id":1,"v":5,"more":"x"}"#),
                message(r#"{"op":"d","id":2,"why":"sold"}"#),
                message(r#"{"op":"c","id":4,"v":4,"more":"y"}"#),
            ],
        )
        .await;
        land(&world, &[put(3, 6), message(r#"{"op":"d","id":4}"#)]).await;
        let first = if policy == "reject" { 1 } else { 5 };
        assert_eq!(world.rows().await, BTreeMap::from([(1, first), (3, 6)]), "{policy}");
        assert_eq!(world.dead_letters().await, vec!["unknown_field"; letters], "{policy}");
        let column = if policy == "keep" { "_rest" } else { "more" };
        let more = world.texts(column).await;
        let expected = match policy {
            "evolve" => Some("x".to_owned()),
            "keep" => Some(r#"{"more":"x"}"#.to_owned()),
            _ => None,
        };
        assert_eq!(more, BTreeMap::from([(1, expected), (3, None)]), "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flat_events_of_debezium_say_what_they_delete() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path(), "key: [id]\ncolumns: {id: long, v: long}\nrequired: [v]").await;
    let flat = |id: i64, more: &str| message(&format!(r#"{{"id":{id},"v":1{more}}}"#));
    land(&world, &(1..7).map(|id| flat(id, "")).collect::<Vec<_>>()).await;
    land(
        &world,
        &[
            flat(1, r#","__deleted":"true""#),
            flat(2, r#","__deleted":true"#),
            flat(3, r#","__deleted":"false""#),
            flat(4, r#","__op":"d""#),
            message(r#"{"id":5,"v":null,"__op":"d","__deleted":"true"}"#),
            (Some("6".to_owned()), None),
        ],
    )
    .await;
    assert_eq!(world.rows().await, BTreeMap::from([(3, 1)]));
    assert_eq!(world.dead_letters().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_a_value_to_order_by_takes_over_also_when_it_comes_first_from_a_thread() {
    let dir = tempfile::tempdir().unwrap();
    let route = "key: [id]\nchanges: op\norder_by: v\ncolumns: {id: long, v: long}";
    let world = World::new(dir.path(), route).await;
    land(&world, &[put(1, 9)]).await;
    let mut worker = world.worker().await;
    worker.write(0, 3, &[put(1, 3)]).await;
    worker.write(0, 1, &[put(1, 20)]).await;
    worker.write(0, 2, &[(Some("1".to_owned()), None)]).await;
    assert!(matches!(worker.commit(3, &[(0, 1, 4)]).await, Landed::Done(_)));
    assert_eq!(world.rows().await, BTreeMap::from([(1, 3)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_that_write_one_key_at_the_same_time_leave_one_row() {
    let dir = tempfile::tempdir().unwrap();
    let route = "key: [id]\nchanges: op\norder_by: v\ncolumns: {id: long, v: long}";
    let world = World::new(dir.path(), route).await;
    for round in 0..6 {
        let (mut one, mut two) = (world.worker().await, world.worker().await);
        one.write(0, round, &[put(1, round * 2)]).await;
        two.write(1, round, &[put(1, round * 2 + 1)]).await;
        let (ones, twos) = ([(0, round, round + 1)], [(1, round, round + 1)]);
        let (one, two) = tokio::join!(one.commit(1, &ones), two.commit(1, &twos));
        assert!(matches!(one, Landed::Done(_)) && matches!(two, Landed::Done(_)), "{one:?} {two:?}");
        assert_eq!(world.rows().await.get(&1), Some(&(round * 2 + 1)));
    }
}
