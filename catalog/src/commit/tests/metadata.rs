//! Commits that touch no file: references, rollback, expiry, alterations; and an overwrite with other columns.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Schema};

use super::changes::{commit_of, table};
use super::faults::{Fault, Faulty};
use super::state;
use super::*;
use crate::alter::{Alteration, Position};
use crate::error::Error;
use crate::fixture::{at, lake, objects, orders, orders_schema, staged, token};
use crate::lake::Lake;
use crate::refs::{self, RefChange};
use crate::spec::{PartitionBy, TableSpec, Transform};
use crate::write::{TableWriter, WriterSettings};

async fn run(lake: &Lake, operation: Operation, number: u128, seconds: i64) -> TableSnapshot {
    committed(lake.commit(vec![commit_of(operation, None, token(number))], at(seconds)).await.unwrap())
}

async fn refused(lake: &Lake, operation: Operation, part: &str) {
    match lake.commit(vec![commit_of(operation, None, token(77))], at(50)).await.unwrap() {
        CommitOutcome::Conflicted { reason, .. } => assert!(reason.contains(part), "{part}: {reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn branches_and_tags_come_move_and_go() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let base = table(lake, vec![], &[0..3, 3..6]).await;
    let first = base.history()[1].id;
    let name = |text: &str| text.to_owned();
    let tag = RefChange::CreateTag { name: name("v1"), snapshot: Some(first) };
    run(lake, Operation::Refer(tag.clone()), 10, 1).await;
    let branch = RefChange::CreateBranch { name: name("audit"), snapshot: None };
    let now = run(lake, Operation::Refer(branch), 11, 2).await;
    let of = |table: &TableSnapshot, name: &str| {
        refs::all(table.metadata()).unwrap().get(name).map(|reference| reference.snapshot_id)
    };
    assert_eq!((of(&now, "v1"), of(&now, "audit")), (Some(first), base.snapshot_id()));
    assert_eq!(now.snapshot_id(), base.snapshot_id());
    assert_eq!(now.metadata().last_updated_ms(), at(2).timestamp_millis(), "the time is the caller's");
    let history: Vec<_> = now.metadata().history().iter().map(|entry| entry.timestamp_ms()).collect();
    assert_eq!(history, [at(0).timestamp_millis(); 2], "the times before stay what they were");

    refused(lake, Operation::Refer(tag), "taken").await;
    let unknown = RefChange::CreateTag { name: name("v2"), snapshot: Some(1) };
    refused(lake, Operation::Refer(unknown), "no snapshot 1").await;
    let moved = RefChange::SetBranch { name: name("v1"), snapshot: first };
    refused(lake, Operation::Refer(moved), "no branch").await;
    let main = RefChange::SetBranch { name: name("main"), snapshot: first };
    refused(lake, Operation::Refer(main), "rollback").await;
    refused(lake, Operation::Refer(RefChange::Drop { name: name("main") }), "cannot be dropped").await;
    refused(lake, Operation::Refer(RefChange::Drop { name: name("v3") }), "no branch or tag").await;

    let set = RefChange::SetBranch { name: name("audit"), snapshot: first };
    let now = run(lake, Operation::Refer(set), 12, 3).await;
    assert_eq!(of(&now, "audit"), Some(first));
    let now = run(lake, Operation::Refer(RefChange::Drop { name: name("audit") }), 13, 4).await;
    assert_eq!((of(&now, "audit"), of(&now, "v1")), (None, Some(first)));
    // The table goes on as before.
    let files = staged(lake, &now, token(14), 6..7).await;
    let now = committed(lake.commit(vec![append("orders", files, token(14))], at(5)).await.unwrap());
    assert_eq!(state::ids(&now).await, (0..7).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_named_does_not_expire_and_the_rest_is_forgotten() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let base = table(lake, vec![], &[0..3, 3..6, 6..9]).await;
    let ids: Vec<_> = base.history().iter().map(|snapshot| snapshot.id).collect();
    refused(lake, Operation::Expire { snapshots: vec![ids[0]] }, "`main` points to").await;
    let tag = RefChange::CreateTag { name: "v1".to_owned(), snapshot: Some(ids[1]) };
    run(lake, Operation::Refer(tag), 10, 1).await;
    refused(lake, Operation::Expire { snapshots: vec![ids[2], ids[1]] }, "`v1` points to").await;

    let files = objects(lake, ".avro").await;
    let now = run(lake, Operation::Expire { snapshots: vec![ids[2], 1] }, 11, 2).await;
    assert_eq!(now.metadata().snapshots().len(), 2);
    assert_eq!(state::ids(&now).await, (0..9).collect::<Vec<_>>());
    assert_eq!(objects(lake, ".avro").await, files, "files are removed later");
    let log: Vec<_> = now.metadata().history().iter().map(|entry| entry.snapshot_id).collect();
    assert_eq!(log, [ids[1], ids[0]]);
    // A change computed from a snapshot that expired is refused.
    let change = RowChanges {
        read_snapshot: Some(ids[2]),
        replaced: Vec::new(),
        deletes: None,
        scope: Scope::ReadFiles,
    };
    let files = staged(lake, &now, token(20), 9..10).await;
    let commit = commit_of(Operation::ChangeRows(change), Some(files), token(20));
    committed(lake.commit(vec![commit], at(3)).await.unwrap());
    let none =
        RowChanges { read_snapshot: None, replaced: Vec::new(), deletes: None, scope: Scope::ReadFiles };
    let files = staged(lake, &now, token(21), 9..10).await;
    let commit = commit_of(Operation::ChangeRows(none), Some(files), token(21));
    let outcome = lake.commit(vec![commit], at(3)).await.unwrap();
    assert!(matches!(&outcome, CommitOutcome::Conflicted { reason, .. } if reason.contains("expired")));
}

#[tokio::test]
async fn a_rollback_takes_progress_back_with_the_rows() {
    for (kept_metadata, keeps_anchor) in [("100", true), ("1", false)] {
        let fixture = lake().await;
        let lake = &fixture.lake;
        let mut base =
            orders(lake, "orders", vec![], &[("write.metadata.previous-versions-max", kept_metadata)]).await;
        let mut states = Vec::new();
        for number in 0..3_i64 {
            let token = token(number as u128 + 1);
            let files = staged(lake, &base, token, number * 10..number * 10 + 10).await;
            let commit = append("orders", files, token);
            let commit = Commit { offsets: vec![range(number * 10, number * 10 + 10)], ..commit };
            base = committed(lake.commit(vec![commit], at(number)).await.unwrap());
            states.push(base.clone());
        }
        let target = states[0].snapshot_id().unwrap();
        // What the user set since then stays.
        let set = ("sluice.maintain.max-snapshots".to_owned(), "9".to_owned());
        let alteration = Alteration::SetProperty { key: set.0.clone(), value: set.1.clone() };
        run(lake, Operation::Alter(vec![alteration]), 9, 19).await;
        let now = run(lake, Operation::RollBack { snapshot: target }, 10, 20).await;
        assert_eq!(state::ids(&now).await, (0..10).collect::<Vec<_>>());
        let offsets = now.offsets("orders").unwrap().unwrap();
        assert_eq!(offsets.next[&0], 10);
        assert_eq!(now.metadata().properties().get(&set.0), Some(&set.1));
        assert_eq!(offsets.anchors.contains_key(&0), keeps_anchor);
        let last = now.metadata().history().last().unwrap();
        assert_eq!((last.snapshot_id, last.timestamp_ms()), (target, at(20).timestamp_millis()));
        // The rows that went come again, once.
        let files = staged(lake, &now, token(11), 10..20).await;
        let commit = Commit { offsets: vec![range(10, 20)], ..append("orders", files, token(11)) };
        let now = committed(lake.commit(vec![commit], at(21)).await.unwrap());
        assert_eq!(state::ids(&now).await, (0..20).collect::<Vec<_>>());
        let gone = states[2].snapshot_id().unwrap();
        refused(lake, Operation::RollBack { snapshot: gone }, "not in its history").await;
    }
}

#[tokio::test]
async fn a_rollback_that_cannot_restore_a_cursor_is_refused() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let mut base = orders(lake, "orders", vec![], &[("write.metadata.previous-versions-max", "1")]).await;
    let mut first = None;
    for number in 1..4 {
        let files = staged(lake, &base, token(number), 0..1).await;
        let properties = BTreeMap::from([("sluice.cursor.x".to_owned(), number.to_string())]);
        let commit = Commit { properties, ..append("orders", files, token(number)) };
        base = committed(lake.commit(vec![commit], at(0)).await.unwrap());
        first = first.or(base.snapshot_id());
    }
    let back = Operation::RollBack { snapshot: first.unwrap() };
    let error = lake.commit(vec![commit_of(back, None, token(9))], at(1)).await.unwrap_err();
    assert!(error.to_string().contains("sluice.cursor.x"), "{error}");
    let now = lake.load(&name("orders")).await.unwrap();
    assert_eq!(now.snapshot_id(), base.snapshot_id());
}

#[tokio::test]
async fn files_and_metadata_alone_do_not_mix() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let base = table(lake, vec![], &[0..3]).await;
    let files = staged(lake, &base, token(9), 3..4).await;
    let commit = commit_of(Operation::Alter(Vec::new()), Some(files), token(9));
    let error = lake.commit(vec![commit], at(1)).await.unwrap_err();
    assert!(matches!(error, Error::InvalidCommit { .. }), "{error}");
}

#[tokio::test]
async fn old_files_keep_their_partitioning_and_new_ones_follow_the_new() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let base = table(lake, vec![], &[0..9]).await;
    let by = PartitionBy { column: "status".to_owned(), transform: Transform::Identity };
    let now = run(lake, Operation::Alter(vec![Alteration::AddPartitionField(by)]), 10, 1).await;
    let files = staged(lake, &now, token(11), 9..12).await;
    assert_eq!(files.file_count(), 3);
    let now = committed(lake.commit(vec![append("orders", files, token(11))], at(2)).await.unwrap());
    assert_eq!(state::ids(&now).await, (0..12).collect::<Vec<_>>());
    let specs: std::collections::BTreeSet<_> =
        state::data(&now).await.iter().map(|file| file.partition_spec_id).collect();
    assert_eq!(specs.len(), 2);
    // Files written before the change still land, in their own spec.
    let old = staged(lake, &base, token(12), 12..13).await;
    let now = committed(lake.commit(vec![append("orders", old, token(12))], at(3)).await.unwrap());
    assert_eq!(state::ids(&now).await, (0..13).collect::<Vec<_>>());
    // A file of either spec can be replaced.
    let files = state::data(&now).await;
    let replaced = vec![files[0].clone(), files[1].clone()];
    assert_ne!(replaced[0].partition_spec_id, replaced[1].partition_spec_id);
    let gone: u64 = replaced.iter().map(|file| file.parts().0.record_count()).sum();
    let change = Operation::ChangeRows(super::changes::changes(&now, replaced));
    let now = run(lake, change, 14, 5).await;
    assert_eq!(now.row_count(), Some(13 - gone));
}

#[tokio::test]
async fn an_overwrite_may_bring_other_columns() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let base = table(lake, vec![], &[0..9]).await;
    let mut fields: Vec<_> = orders_schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.remove(1);
    fields.push(Field::new("status", DataType::Utf8, true));
    let mut spec = TableSpec::new(Schema::new(fields).into());
    spec.partition_by = vec![PartitionBy { column: "status".to_owned(), transform: Transform::Identity }];
    let redefined = base.redefined(&spec).unwrap();
    let mut writer = TableWriter::new(lake, &redefined, token(9), WriterSettings::default()).unwrap();
    writer.write(crate::fixture::rows(100..103)).await.unwrap();
    let files = writer.finish().await.unwrap();
    let overwrite = Operation::Overwrite { read_snapshot: base.snapshot_id() };
    let now = committed(lake.commit(vec![commit_of(overwrite, Some(files), token(9))], at(5)).await.unwrap());
    assert_eq!(state::ids(&now).await, [100, 101, 102]);
    assert_eq!(now.metadata().uuid(), base.metadata().uuid());
    let field_ids: Vec<_> =
        now.metadata().current_schema().as_struct().fields().iter().map(|f| f.id).collect();
    assert_eq!(field_ids, [4, 5, 6], "ids are never given again");
    assert_eq!(
        now.metadata().current_snapshot().unwrap().schema_id(),
        Some(now.metadata().current_schema_id())
    );
    assert_eq!(now.metadata().default_partition_spec().fields().len(), 1);
    // What was read before still reads.
    assert_eq!(state::ids(&base).await, (0..9).collect::<Vec<_>>());

    // Only an overwrite may, and only on the columns that it was made for.
    let stage = async |number: u128| {
        let mut writer =
            TableWriter::new(lake, &redefined, token(number), WriterSettings::default()).unwrap();
        writer.write(crate::fixture::rows(100..103)).await.unwrap();
        writer.finish().await.unwrap()
    };
    let commit = commit_of(Operation::Append, Some(stage(10).await), token(10));
    assert!(matches!(lake.commit(vec![commit], at(6)).await, Ok(CommitOutcome::Conflicted { .. })));
    let overwrite = Operation::Overwrite { read_snapshot: now.snapshot_id() };
    let commit = commit_of(overwrite, Some(stage(11).await), token(11));
    let outcome = lake.commit(vec![commit], at(6)).await.unwrap();
    assert!(matches!(&outcome, CommitOutcome::Conflicted { reason, .. } if reason.contains("columns")));
}

#[tokio::test]
async fn an_alteration_in_doubt_is_found_in_the_log_when_others_came_after_it() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    let column = Alteration::AddColumn {
        column: vec!["extra".to_owned()],
        data_type: DataType::Int64,
        doc: None,
        position: Position::Last,
    };
    let alter = Commit::new(name("orders"), Operation::Alter(vec![column]), token(1));
    // Its rows fit the wider table, and their token takes the place of the alteration's.
    let other = append("orders", staged(lake, &table, token(2), 0..3).await, token(2));
    let faulty = Faulty::new(lake, [Fault::ReplyLostThen(vec![other])]);
    let outcome = faulty.commit(&[alter]).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::AlreadyCommitted(_)), "{outcome:?}");
    let table = lake.load(&name("orders")).await.unwrap();
    assert_eq!(table.metadata().current_schema().as_struct().fields().len(), 4);
}
