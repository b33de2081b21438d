//! Each kind of commit, and each reason to refuse one.

use std::collections::HashMap;

use iceberg::spec;

use super::super::summary::Tally;
use super::*;
use crate::error::Error;
use crate::fixture::{at, ids, lake, objects, orders, staged, token};
use crate::spec::{PartitionBy, Transform};

#[tokio::test]
async fn an_append_adds_its_rows_and_records_where_they_came_from() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    let files = staged(lake, &table, token(1), 0..10).await;
    let bytes = files.byte_count();
    let commit = Commit { offsets: vec![range(5, 15)], ..append("orders", files, token(1)) };
    let first = committed(lake.commit(vec![commit], at(0)).await.unwrap());
    let files = staged(lake, &first, token(2), 10..30).await;
    let bytes = bytes + files.byte_count();
    let commit = Commit { offsets: vec![range(15, 35)], ..append("orders", files, token(2)) };
    let second = committed(lake.commit(vec![commit], at(10)).await.unwrap());

    let now = lake.load(&name("orders")).await.unwrap();
    assert_eq!(now.metadata_location(), second.metadata_location());
    assert_eq!(ids(&now).await, (0..30).collect::<Vec<_>>());
    assert_eq!(now.row_count(), Some(30));
    let counts =
        ["added-records", "total-records", "total-data-files", "total-files-size", "total-delete-files"];
    let counts = counts.map(|key| summary(&now, key).unwrap_or_default());
    assert_eq!(counts, ["20".to_owned(), "30".to_owned(), "2".to_owned(), bytes.to_string(), "0".to_owned()]);
    assert_eq!(summary(&now, "engine-name").as_deref(), Some("sluice"));
    assert_eq!(summary(&now, "sluice.ranges.orders").as_deref(), Some(r#"{"0":[15,35]}"#));
    let offsets = now.offsets("orders").unwrap().unwrap();
    assert_eq!(offsets.next, BTreeMap::from([(0, 35)]));
    let snapshot = now.metadata().current_snapshot().unwrap();
    assert_eq!(snapshot.timestamp_ms(), at(10).timestamp_millis());
    assert_eq!(snapshot.parent_snapshot_id(), first.snapshot_id());
    let recorded = &now.metadata().properties()["sluice.offsets.orders"];
    assert!(recorded.contains(&format!(r#""snapshot":{}"#, snapshot.snapshot_id())), "{recorded}");
    let added = now.files_added_since(first.snapshot_id().unwrap()).await.unwrap().unwrap();
    assert_eq!(added.iter().map(|file| file.whole().unwrap().record_count()).sum::<u64>(), 20);
}

#[tokio::test]
async fn an_overwrite_replaces_every_live_file() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let partition_by = vec![PartitionBy { column: "status".to_owned(), transform: Transform::Identity }];
    let table = orders(lake, "orders", partition_by, &[]).await;
    let files = staged(lake, &table, token(1), 0..9).await;
    assert_eq!(files.file_count(), 3);
    let base = committed(lake.commit(vec![append("orders", files, token(1))], at(0)).await.unwrap());
    for round in 2..5 {
        let base = lake.load(&name("orders")).await.unwrap();
        let files = staged(lake, &base, token(round), 100..106).await;
        let operation = Operation::Overwrite { read_snapshot: base.snapshot_id() };
        let commit = Commit { operation, ..append("orders", files, token(round)) };
        let table = committed(lake.commit(vec![commit], at(10)).await.unwrap());
        assert_eq!(ids(&table).await, (100..106).collect::<Vec<_>>());
        assert_eq!(summary(&table, "total-records").as_deref(), Some("6"));
        assert_eq!(summary(&table, "total-data-files").as_deref(), Some("3"));
        assert_eq!(summary(&table, "deleted-data-files").as_deref(), Some("3"));
        let operation = &table.metadata().current_snapshot().unwrap().summary().operation;
        assert_eq!(operation, &spec::Operation::Overwrite);
    }
    // The old snapshot still reads what it read.
    assert_eq!(ids(&base).await, (0..9).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_overwrite_with_no_rows_empties_the_table() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    let files = staged(lake, &table, token(1), 0..9).await;
    let base = committed(lake.commit(vec![append("orders", files, token(1))], at(0)).await.unwrap());
    let files = staged(lake, &base, token(2), 0..0).await;
    assert_eq!(files.file_count(), 0);
    let operation = Operation::Overwrite { read_snapshot: base.snapshot_id() };
    let commit = Commit { operation, ..append("orders", files, token(2)) };
    let table = committed(lake.commit(vec![commit], at(1)).await.unwrap());
    assert!(ids(&table).await.is_empty());
    assert_eq!(table.row_count(), Some(0));
}

#[tokio::test]
async fn an_overwrite_of_a_table_that_moved_on_is_a_conflict_and_leaves_no_files() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    let files = staged(lake, &table, token(1), 0..9).await;
    let _ = lake.commit(vec![append("orders", files, token(1))], at(0)).await.unwrap();
    let before = objects(lake, "").await;
    let files = staged(lake, &table, token(2), 0..3).await;
    let operation = Operation::Overwrite { read_snapshot: table.snapshot_id() };
    let commit = Commit { operation, ..append("orders", files, token(2)) };
    let outcome = lake.commit(vec![commit], at(1)).await.unwrap();
    let CommitOutcome::Conflicted { reason, .. } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("its rows changed since they were read"), "{reason}");
    assert_eq!(objects(lake, "").await, before);
}

#[tokio::test]
async fn progress_without_rows_makes_no_snapshot_and_time_never_runs_back() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    // The table was created by the real clock; the test's is years ahead of it.
    for (number, (now, expected)) in
        [(at(100), at(100)), (at(-100_000), at(100)), (at(101), at(101))].into_iter().enumerate()
    {
        let start = number as i64;
        let commit = Commit {
            table: name("orders"),
            operation: Operation::Append,
            files: None,
            offsets: vec![range(start, start + 1)],
            properties: BTreeMap::from([("note".to_owned(), number.to_string())]),
            token: token(number as u128 + 1),
        };
        let table = committed(lake.commit(vec![commit], now).await.unwrap());
        assert_eq!(table.snapshot_id(), None);
        assert_eq!(table.metadata().last_updated_ms(), expected.timestamp_millis());
    }
    let now = lake.load(&name("orders")).await.unwrap();
    assert_eq!(now.metadata().properties()["note"], "2");
    assert_eq!(now.offsets("orders").unwrap().unwrap().next[&0], 3);
    assert_eq!(now.metadata().uuid(), table.metadata().uuid());
}

#[tokio::test]
async fn an_append_of_no_rows_makes_no_snapshot() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    let files = staged(lake, &table, token(1), 0..0).await;
    let table = committed(lake.commit(vec![append("orders", files, token(1))], at(0)).await.unwrap());
    assert_eq!(table.snapshot_id(), None);
}

#[tokio::test]
async fn a_range_that_does_not_follow_on_is_fenced_and_leaves_no_files() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    let files = staged(lake, &table, token(1), 0..5).await;
    let commit = Commit { offsets: vec![range(0, 5)], ..append("orders", files, token(1)) };
    let _ = lake.commit(vec![commit], at(0)).await.unwrap();
    let before = objects(lake, "").await;
    let files = staged(lake, &table, token(2), 0..5).await;
    let commit = Commit { offsets: vec![range(0, 5)], ..append("orders", files, token(2)) };
    match lake.commit(vec![commit], at(1)).await.unwrap() {
        CommitOutcome::Fenced { table, topic, partition, start, next } => {
            assert_eq!((table, topic.as_str(), partition, start, next), (name("orders"), "orders", 0, 0, 5));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(objects(lake, "").await, before);
}

#[tokio::test]
async fn what_no_base_would_take_is_an_error() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    let files = staged(lake, &table, token(1), 0..5).await;
    let commit = Commit { offsets: vec![range(0, 5)], ..append("orders", files, token(1)) };
    let _ = lake.commit(vec![commit], at(0)).await.unwrap();

    let progress = |offsets| Commit {
        table: name("orders"),
        operation: Operation::Append,
        files: None,
        offsets,
        properties: BTreeMap::new(),
        token: token(2),
    };
    let mut other = range(5, 6);
    other.source.cluster = "c2".to_owned();
    let error = lake.commit(vec![progress(vec![other])], at(1)).await.unwrap_err();
    assert!(matches!(error, Error::OtherCluster { .. }), "{error}");
    for commits in [
        vec![],
        vec![progress(vec![range(5, 4)])],
        vec![progress(vec![range(5, 6), range(5, 6)])],
        vec![progress(vec![]), progress(vec![])],
    ] {
        let error = lake.commit(commits, at(1)).await.unwrap_err();
        assert!(matches!(error, Error::InvalidCommit { .. }), "{error}");
    }
    let nowhere = Commit { table: name("nowhere"), ..progress(vec![]) };
    let error = lake.commit(vec![nowhere], at(1)).await.unwrap_err();
    assert!(matches!(error, Error::NoSuchTable { .. }), "{error}");
}

#[tokio::test]
async fn files_of_a_table_that_was_created_again_are_a_conflict() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    let files = staged(lake, &table, token(1), 0..5).await;
    lake.drop_table(&name("orders")).await.unwrap();
    orders(lake, "orders", vec![], &[]).await;
    let outcome = lake.commit(vec![append("orders", files, token(1))], at(0)).await.unwrap();
    let CommitOutcome::Conflicted { reason, .. } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("created again"), "{reason}");
}

#[tokio::test]
async fn many_small_manifests_are_merged_and_nothing_else_changes() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[("commit.manifest.min-count-to-merge", "4")]).await;
    let mut states = Vec::new();
    for number in 0..10 {
        let table = lake.load(&name("orders")).await.unwrap();
        let files = staged(lake, &table, token(number + 1), number as i64..number as i64 + 1).await;
        let commit = append("orders", files, token(number + 1));
        states.push(committed(lake.commit(vec![commit], at(number as i64)).await.unwrap()));
    }
    let last = states.last().unwrap();
    assert_eq!(ids(last).await, (0..10).collect::<Vec<_>>());
    assert_eq!(last.row_count(), Some(10));
    let list = last.metadata().current_snapshot().unwrap().manifest_list();
    let bytes = lake.inner().file_io.new_input(list).unwrap().read().await.unwrap();
    let list = spec::ManifestList::parse_with_version(&bytes, spec::FormatVersion::V2).unwrap();
    assert!(list.entries().len() <= 4, "{}", list.entries().len());
    // Sequence numbers stay those of the commits, and history still tells what each commit added.
    let mut sequence: Vec<_> = last.files().await.unwrap().iter().map(|file| file.sequence_number).collect();
    sequence.sort_unstable();
    assert_eq!(sequence, (1..=10).collect::<Vec<_>>());
    let since = states[2].snapshot_id().unwrap();
    assert_eq!(last.files_added_since(since).await.unwrap().unwrap().len(), 7);
}

#[tokio::test]
async fn outdated_metadata_files_are_deleted() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[("write.metadata.previous-versions-max", "2")]).await;
    for number in 1..8 {
        let table = lake.load(&name("orders")).await.unwrap();
        let files = staged(lake, &table, token(number), 0..1).await;
        let _ = lake.commit(vec![append("orders", files, token(number))], at(0)).await.unwrap();
    }
    assert_eq!(objects(lake, ".metadata.json").await.len(), 3);
}

#[test]
fn a_total_that_the_parent_left_out_stays_out() {
    let previous = spec::Summary {
        operation: spec::Operation::Append,
        additional_properties: HashMap::from([("total-records".to_owned(), "7".to_owned())]),
    };
    let append = Tally::default().summary(spec::Operation::Append, Some(&previous), false, &[]);
    assert_eq!(append.additional_properties["total-records"], "7");
    assert!(!append.additional_properties.contains_key("total-data-files"));
    let overwrite = Tally::default().summary(spec::Operation::Overwrite, Some(&previous), true, &[]);
    assert_eq!(overwrite.additional_properties["total-data-files"], "0");
}
