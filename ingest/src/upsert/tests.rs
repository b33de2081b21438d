//! Tables with a key, from messages to live rows, against a map that does the same.

mod random;
mod tables;
pub(super) mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_catalog::{Commit, CommitOutcome, TableSnapshot, WriterSettings};

use self::world::{Message, World, land};
use super::stage::stage;
use super::wanted::Wanted;
use crate::land::Landed;
use crate::pipeline::{new_token, now};
use crate::topics::Topics;

pub(super) const OPS: &str =
    "key: [id]\nchanges: op\ncolumns: {id: long, v: long, note: string}\nrequired: [v]";

pub(super) fn message(payload: &str) -> Message {
    (None, Some(payload.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_with_the_same_events_is_fenced_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path(), OPS).await;
    let (mut one, mut two) = (world.worker().await, world.worker().await);
    let events = [message(r#"{"op":"c","id":1,"v":10}"#), message(r#"{"op":"c","id":2,"v":20}"#)];
    one.write(0, 0, &events).await;
    two.write(0, 0, &events).await;
    assert!(matches!(one.commit(1, &[(0, 0, 2)]).await, Landed::Done(_)));
    land(&world, &[message(r#"{"op":"d","id":1}"#)]).await;
    assert!(matches!(two.commit(1, &[(0, 0, 2)]).await, Landed::Fenced(_)));
    assert_eq!(world.rows().await, BTreeMap::from([(2, 20)]));
}

/// The commit of some events, computed for a state of the table.
async fn staged(world: &World, table: &TableSnapshot, wanted: &Arc<Wanted>, token: uuid::Uuid) -> Commit {
    let settings = WriterSettings::default();
    let change = stage(&world.lake, table, wanted, &settings, new_token()).await.unwrap().unwrap();
    let mut commit = Commit::new(table.name().clone(), change.0, token);
    commit.files = change.1;
    commit
}

/// Messages of partition 0, ready to be looked for.
pub(super) async fn wanted(world: &World, start: i64, messages: &[Message]) -> Arc<Wanted> {
    let worker = world.worker().await;
    let routed = worker.routed(0, start, messages).await;
    let upsert = world.plan.tables[1].upsert.clone().unwrap();
    let mut buffer = super::Buffer::new(&world.table().await, &upsert).unwrap();
    let (batch, deletes) = super::split(routed.tables[0].1.clone()).unwrap();
    assert!(buffer.add((0, 0), batch, &deletes).unwrap());
    Arc::new(Wanted::new(buffer).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_on_a_table_that_was_compacted_meanwhile_conflicts_and_looks_again() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path(), OPS).await;
    land(&world, &[message(r#"{"op":"c","id":1,"v":1}"#), message(r#"{"op":"c","id":2,"v":2}"#)]).await;
    land(&world, &[message(r#"{"op":"c","id":3,"v":3}"#)]).await;
    let wanted = wanted(&world, 3, &[message(r#"{"op":"u","id":2,"v":9}"#)]).await;
    let read = world.table().await;
    let token = new_token();
    let stale = staged(&world, &read, &wanted, token).await;
    assert!(world.compact().await);
    let outcome = world.lake.try_commit(&[stale], now()).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Conflicted { .. }), "{outcome:?}");
    assert_eq!(world.rows().await, BTreeMap::from([(1, 1), (2, 2), (3, 3)]));
    let outcome = world
        .lake
        .try_commit(&[staged(&world, &world.table().await, &wanted, token).await], now())
        .await
        .unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    assert_eq!(world.rows().await, BTreeMap::from([(1, 1), (2, 9), (3, 3)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ordering_column_decides_between_partitions_and_against_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let route = "key: [id]\nchanges: op\norder_by: v\ncolumns: {id: long, v: long}";
    let world = World::new(dir.path(), route).await;
    let mut worker = world.worker().await;
    worker.write(1, 0, &[message(r#"{"op":"u","id":1,"v":5}"#), message(r#"{"op":"u","id":2,"v":1}"#)]).await;
    worker.write(0, 0, &[message(r#"{"op":"u","id":1,"v":7}"#), message(r#"{"op":"u","id":2,"v":0}"#)]).await;
    assert!(matches!(worker.commit(2, &[(0, 0, 2), (1, 0, 2)]).await, Landed::Done(_)));
    assert_eq!(world.rows().await, BTreeMap::from([(1, 7), (2, 1)]));
    // Older ones change nothing, a delete neither; one of the same age does.
    let events = [
        message(r#"{"op":"u","id":1,"v":6}"#),
        message(r#"{"op":"d","id":1,"v":6}"#),
        message(r#"{"op":"d","id":2,"v":1}"#),
    ];
    land(&world, &events).await;
    assert_eq!(world.rows().await, BTreeMap::from([(1, 7)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn debezium_envelopes_become_rows_and_their_deletes_take_them() {
    let dir = tempfile::tempdir().unwrap();
    let route = "key: [id]\nchanges: debezium\norder_by: __source_lsn\n\
                 columns: {id: long, v: long, note: string, __source_lsn: long, __ts_ms: timestamp_ms}\nrequired: [v]";
    let world = World::new(dir.path(), route).await;
    let envelope = |op: &str, before: &str, after: &str, lsn: i64| {
        message(&format!(
            r#"{{"before":{before},"after":{after},"source":{{"lsn":{lsn},"db":"x"}},"op":"{op}","ts_ms":5}}"#
        ))
    };
    land(
        &world,
        &[
            envelope("r", "null", r#"{"id":1,"v":10,"note":"a,\"}{"}"#, 1),
            envelope("c", "null", r#"{"id":2,"v":20}"#, 2),
            message(&format!(
                r#"{{"schema":{{}},"payload":{}}}"#,
                envelope("c", "null", r#"{ "id":3,"v":30 }"#, 3).1.unwrap()
            )),
            envelope("c", "null", r#"{"id":4,"v":40}"#, 4),
            envelope("c", "null", r#"{"id":5,"v":50}"#, 4),
        ],
    )
    .await;
    let tombstone = |key: &str| (Some(key.to_owned()), None);
    land(
        &world,
        &[
            envelope("u", r#"{"id":1,"v":10}"#, r#"{"id":1,"v":11}"#, 5),
            envelope("d", r#"{"id":2,"v":null}"#, "null", 6),
            tombstone(r#"{"id":2}"#),
            (Some(r#"{"schema":{},"payload":{"id":3}}"#.to_owned()), None),
            (
                Some(r#"{"id":4}"#.to_owned()),
                Some(r#"{"op":"d","before":null,"source":{"lsn":9}}"#.to_owned()),
            ),
            envelope("t", "null", "null", 10),
            message(r#"{"id":5,"v":51}"#),
            message("{"),
            tombstone("{}"),
        ],
    )
    .await;
    // A delete that does not say when counts by its place in the topic.
    assert_eq!(world.rows().await, BTreeMap::from([(1, 11), (5, 50)]));
    let causes = world.dead_letters().await;
    assert_eq!(causes, ["wrong_type", "missing_field", "malformed", "tombstone"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_operations_and_missing_keys_are_dead_letters() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path(), OPS).await;
    land(
        &world,
        &[
            message(r#"{"op":"x","id":1,"v":1}"#),
            message(r#"{"id":1,"v":1}"#),
            message(r#"{"op":"d","v":1}"#),
            message(r#"{"op":"c","id":2}"#),
            message(r#"{"op":"d","id":3,"v":"not a number"}"#),
            (None, None),
        ],
    )
    .await;
    assert_eq!(world.rows().await, BTreeMap::new());
    let causes = world.dead_letters().await;
    assert_eq!(causes, ["wrong_type", "missing_field", "missing_field", "missing_field", "tombstone"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buffer_keeps_the_last_event_of_each_key_and_little_more() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path(), OPS).await;
    let mut worker = world.worker().await;
    let mut held = Vec::new();
    for round in 0..40i64 {
        let events: Vec<Message> =
            (0..1000).map(|at| message(&format!(r#"{{"op":"u","id":{},"v":{round}}}"#, at % 10))).collect();
        worker.write(0, round * 1000, &events).await;
        held.push(worker.lander.buffered());
    }
    assert!(held.iter().max() < Some(&(12 << 20)), "{held:?}");
    assert!(matches!(worker.commit(40, &[(0, 0, 40_000)]).await, Landed::Done(_)));
    assert_eq!(world.rows().await, (0..10).map(|id| (id, 39)).collect());
}

#[test]
fn a_topics_file_says_what_a_key_may_be() {
    let refused = |route: &str| {
        let route = route.lines().map(|line| format!("        {line}\n")).collect::<String>();
        let text = format!("topics:\n  - name: t\n    routes:\n      - table: bronze.t\n{route}");
        Topics::parse(&text).unwrap_err().to_string()
    };
    assert!(refused("changes: op\ncolumns: {id: long}").contains("add `key`"));
    assert!(refused("key: []\ncolumns: {id: long}").contains("no columns"));
    assert!(refused("key: [no]\ncolumns: {id: long}").contains("`no` is not one of the columns"));
    assert!(refused("key: [id, id]\ncolumns: {id: long}").contains("twice"));
    assert!(refused("key: [id]\ncolumns: {id: double}").contains("double"));
    let typed = "key: [id]\nevent_types: [a]\ncolumns: {id: long, event_type: string}";
    assert!(refused(typed).contains("topic of their own"));
}
