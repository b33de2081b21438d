//! Changes of rows: by replacing files, by position, by partition; and rewrites.

use iceberg::spec::{self, Literal, ManifestStatus, Struct};

use super::state::{self, data, deletes, entries};
use super::*;
use crate::error::Error;
use crate::files::LiveFile;
use crate::fixture::{at, lake, objects, orders, staged, token};
use crate::lake::Lake;
use crate::spec::{PartitionBy, Transform};
use crate::write::{DeleteWriter, StagedDeletes};

pub(super) fn by_status() -> Vec<PartitionBy> {
    vec![PartitionBy { column: "status".to_owned(), transform: Transform::Identity }]
}

pub(super) fn status(value: &str) -> Struct {
    Struct::from_iter([Some(Literal::string(value))])
}

/// A table with one commit for each range of ids; the state after the last.
pub(super) async fn table(
    lake: &Lake,
    partition_by: Vec<PartitionBy>,
    ranges: &[std::ops::Range<i64>],
) -> TableSnapshot {
    let mut state = orders(lake, "orders", partition_by, &[]).await;
    for (number, range) in ranges.iter().enumerate() {
        let token = token(number as u128 + 1);
        let files = staged(lake, &state, token, range.clone()).await;
        state = committed(lake.commit(vec![append("orders", files, token)], at(0)).await.unwrap());
    }
    state
}

pub(super) fn changes(base: &TableSnapshot, replaced: Vec<LiveFile>) -> RowChanges {
    RowChanges { read_snapshot: base.snapshot_id(), replaced, deletes: None, scope: Scope::Table }
}

pub(super) fn commit_of(operation: Operation, files: Option<StagedFiles>, token: Uuid) -> Commit {
    Commit { files, ..Commit::new(name("orders"), operation, token) }
}

/// Deletes of positions that no snapshot has yet.
pub(super) async fn positions(
    lake: &Lake,
    base: &TableSnapshot,
    token: Uuid,
    rows: &[(&LiveFile, &[u64])],
) -> StagedDeletes {
    let mut writer = DeleteWriter::new(lake, base, token);
    for (file, positions) in rows {
        writer.delete(file, positions.iter().copied()).unwrap();
    }
    writer.finish().await.unwrap()
}

fn operation(table: &TableSnapshot) -> spec::Operation {
    table.metadata().current_snapshot().unwrap().summary().operation.clone()
}

fn totals(table: &TableSnapshot) -> [String; 3] {
    ["total-records", "total-data-files", "total-delete-files"]
        .map(|key| summary(table, key).unwrap_or_default())
}

#[tokio::test]
async fn replacing_a_file_keeps_the_others_as_they_came() {
    for partition_by in [vec![], by_status()] {
        let fixture = lake().await;
        let lake = &fixture.lake;
        let base = table(lake, partition_by, &[0..9, 10..19, 20..29]).await;
        let before = data(&base).await;
        let manifests: Vec<_> =
            state::manifests(&base).await.into_iter().map(|(file, _)| file.manifest_path).collect();
        let victim = before.iter().find(|file| file.sequence_number == 2).unwrap().clone();
        let rows = victim.parts().0.record_count();
        let files = staged(lake, &base, token(9), 100..101).await;
        let operation_kind = Operation::ChangeRows(changes(&base, vec![victim.clone()]));
        let commit = commit_of(operation_kind, Some(files), token(9));
        let commit = Commit { offsets: vec![range(0, 1)], ..commit };
        let now = committed(lake.commit(vec![commit], at(5)).await.unwrap());

        assert_eq!(operation(&now), spec::Operation::Overwrite);
        let after = data(&now).await;
        let sequence = |files: &[LiveFile]| {
            let of = |file: &LiveFile| (file.parts().0.file_path().to_owned(), file.sequence_number);
            files.iter().map(of).collect::<std::collections::BTreeSet<_>>()
        };
        let kept = &sequence(&before) - &sequence(&[victim]);
        assert!(sequence(&after).is_superset(&kept), "survivors keep their sequence numbers");
        assert_eq!(after.len(), before.len());
        assert_eq!(totals(&now), [(27 - rows + 1).to_string(), before.len().to_string(), "0".to_owned()]);
        assert_eq!(summary(&now, "deleted-records"), Some(rows.to_string()));
        assert_eq!(entries(&now, ManifestStatus::Deleted).await, 1);
        let carried = state::manifests(&now).await;
        let carried = carried.iter().filter(|(file, _)| manifests.contains(&file.manifest_path)).count();
        assert_eq!(carried, 2, "manifests without the file are carried as they are");
        assert_eq!(now.offsets("orders").unwrap().unwrap().next[&0], 1);
    }
}

#[tokio::test]
async fn whole_files_may_go_without_new_ones() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let base = table(lake, by_status(), &[0..9]).await;
    let paid: Vec<_> =
        data(&base).await.into_iter().filter(|file| *file.parts().0.partition() == status("paid")).collect();
    let commit = commit_of(Operation::ChangeRows(changes(&base, paid)), None, token(9));
    let now = committed(lake.commit(vec![commit], at(5)).await.unwrap());
    assert_eq!(state::ids(&now).await, [0, 2, 3, 5, 6, 8]);
    assert_eq!(operation(&now), spec::Operation::Delete);
    assert_eq!(totals(&now), ["6", "2", "0"]);
}

#[tokio::test]
async fn positions_are_deleted_and_go_with_their_file() {
    for partition_by in [vec![], by_status()] {
        let fixture = lake().await;
        let lake = &fixture.lake;
        let base = table(lake, partition_by, &[0..9]).await;
        let before = data(&base).await;
        let victim = &before[0];
        let staged_deletes = positions(lake, &base, token(9), &[(victim, &[2, 0, 2])]).await;
        assert_eq!((staged_deletes.row_count(), staged_deletes.file_count()), (2, 1));
        let deleted = RowChanges { deletes: Some(staged_deletes), ..changes(&base, vec![]) };
        let commit = commit_of(Operation::ChangeRows(deleted), None, token(9));
        let now = committed(lake.commit(vec![commit], at(5)).await.unwrap());
        assert_eq!(state::ids(&now).await.len(), 7);
        assert_eq!(operation(&now), spec::Operation::Delete);
        assert_eq!(totals(&now), ["9".to_owned(), before.len().to_string(), "1".to_owned()]);
        assert_eq!(summary(&now, "total-position-deletes").as_deref(), Some("2"));
        let deletes_now = deletes(&now).await;
        let path = victim.parts().0.file_path().to_owned();
        assert_eq!(deletes_now[0].parts().0.referenced_data_file(), Some(path));
        assert_eq!(deletes_now[0].parts().0.partition(), victim.parts().0.partition());

        // Replacing the file takes its deletes along.
        let files = staged(lake, &now, token(10), 100..101).await;
        let replaced = changes(&now, vec![victim.clone()]);
        let commit = commit_of(Operation::ChangeRows(replaced), Some(files), token(10));
        let last = committed(lake.commit(vec![commit], at(6)).await.unwrap());
        assert!(deletes(&last).await.is_empty());
        assert_eq!(summary(&last, "removed-position-deletes").as_deref(), Some("2"));
        assert_eq!(totals(&last)[2], "0");
        assert!(state::ids(&last).await.contains(&100));
    }
}

#[tokio::test]
async fn an_update_deletes_positions_and_adds_rows_at_once() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let base = table(lake, by_status(), &[0..9, 10..19]).await;
    let before = data(&base).await;
    let rows: Vec<_> = before.iter().map(|file| (file, [0_u64].as_slice())).collect();
    let staged_deletes = positions(lake, &base, token(9), &rows).await;
    assert_eq!(staged_deletes.file_count(), 3, "one delete file for each partition");
    assert_eq!(staged_deletes.row_count(), 6);
    let files = staged(lake, &base, token(9), 100..106).await;
    let update = RowChanges { deletes: Some(staged_deletes), ..changes(&base, vec![]) };
    let commit = commit_of(Operation::ChangeRows(update), Some(files), token(9));
    let now = committed(lake.commit(vec![commit], at(5)).await.unwrap());
    assert_eq!(operation(&now), spec::Operation::Overwrite);
    assert_eq!(state::ids(&now).await.len(), 18);
    // Each delete file names two data files by its bounds.
    for file in deletes(&now).await {
        assert_eq!(file.parts().0.referenced_data_file(), None);
        assert_eq!(file.parts().0.lower_bounds().len(), 2);
    }
}

#[tokio::test]
async fn partitions_are_replaced_with_their_deletes() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let base = table(lake, by_status(), &[0..9, 10..19]).await;
    let paid = data(&base).await.into_iter().find(|f| *f.parts().0.partition() == status("paid")).unwrap();
    let staged_deletes = positions(lake, &base, token(8), &[(&paid, &[0])]).await;
    let deleted = RowChanges { deletes: Some(staged_deletes), ..changes(&base, vec![]) };
    let commit = commit_of(Operation::ChangeRows(deleted), None, token(8));
    let base = committed(lake.commit(vec![commit], at(5)).await.unwrap());

    // 100 has the status `paid`.
    let files = staged(lake, &base, token(9), 100..101).await;
    let partitions = Partitions::OfAddedFiles;
    let replace = Operation::ReplacePartitions { read_snapshot: base.snapshot_id(), partitions };
    let now = committed(lake.commit(vec![commit_of(replace, Some(files), token(9))], at(6)).await.unwrap());
    assert_eq!(state::ids(&now).await, [0, 2, 3, 5, 6, 8, 11, 12, 14, 15, 17, 18, 100]);
    assert_eq!(operation(&now), spec::Operation::Overwrite);
    assert_eq!(totals(&now), ["13", "5", "0"]);

    let partitions = Partitions::Listed(vec![status("new"), status("nowhere")]);
    let drop = Operation::ReplacePartitions { read_snapshot: now.snapshot_id(), partitions };
    let now = committed(lake.commit(vec![commit_of(drop, None, token(10))], at(7)).await.unwrap());
    assert_eq!(state::ids(&now).await, [2, 5, 8, 11, 14, 17, 100]);

    let files = staged(lake, &now, token(11), 101..102).await;
    let partitions = Partitions::Listed(vec![status("new")]);
    let outside = Operation::ReplacePartitions { read_snapshot: now.snapshot_id(), partitions };
    let error = lake.commit(vec![commit_of(outside, Some(files), token(11))], at(8)).await.unwrap_err();
    assert!(matches!(error, Error::InvalidCommit { .. }), "{error}");
}

#[tokio::test]
async fn an_unpartitioned_table_is_one_partition() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let base = table(lake, vec![], &[0..9]).await;
    let files = staged(lake, &base, token(9), 100..103).await;
    let partitions = Partitions::OfAddedFiles;
    let replace = Operation::ReplacePartitions { read_snapshot: base.snapshot_id(), partitions };
    let now = committed(lake.commit(vec![commit_of(replace, Some(files), token(9))], at(6)).await.unwrap());
    assert_eq!(state::ids(&now).await, [100, 101, 102]);
}

#[tokio::test]
async fn a_rewrite_keeps_rows_and_age() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let read = table(lake, vec![], &[0..3, 3..6]).await;
    let inputs = data(&read).await;
    // Rows that come in the meantime do not disturb it.
    let files = staged(lake, &read, token(8), 6..9).await;
    committed(lake.commit(vec![append("orders", files, token(8))], at(1)).await.unwrap());
    let files = staged(lake, &read, token(9), 0..6).await;
    let rewrite = Rewrite { read_snapshot: read.snapshot_id().unwrap(), inputs };
    let commit = commit_of(Operation::Rewrite(rewrite), Some(files), token(9));
    let now = committed(lake.commit(vec![commit], at(2)).await.unwrap());
    assert_eq!(state::ids(&now).await, (0..9).collect::<Vec<_>>());
    assert_eq!(operation(&now), spec::Operation::Replace);
    assert_eq!(totals(&now), ["9", "2", "0"]);
    let sequence: Vec<_> = data(&now).await.iter().map(|file| file.sequence_number).collect();
    assert_eq!(sequence, [2, 3], "the output is as old as what was read");

    let files = staged(lake, &now, token(10), 0..9).await;
    let inputs = data(&now).await.into_iter().take(1).collect();
    let rewrite = Rewrite { read_snapshot: now.snapshot_id().unwrap(), inputs };
    let commit = commit_of(Operation::Rewrite(rewrite), Some(files), token(10));
    let error = lake.commit(vec![commit], at(3)).await.unwrap_err();
    assert!(error.to_string().contains("a rewrite of 6 rows holds 9"), "{error}");
}

#[tokio::test]
async fn a_file_is_replaced_or_has_positions_deleted_not_both() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let base = table(lake, vec![], &[0..9]).await;
    let file = data(&base).await.remove(0);
    let both = RowChanges {
        deletes: Some(positions(lake, &base, token(9), &[(&file, &[0])]).await),
        ..changes(&base, vec![file])
    };
    let error = lake.commit(vec![commit_of(Operation::ChangeRows(both), None, token(9))], at(1)).await;
    assert!(matches!(error, Err(Error::InvalidCommit { .. })));
}

#[tokio::test]
async fn a_change_of_nothing_makes_no_snapshot() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let base = table(lake, vec![], &[0..9]).await;
    let nothing = Operation::ChangeRows(changes(&base, vec![]));
    let now = committed(lake.commit(vec![commit_of(nothing, None, token(9))], at(1)).await.unwrap());
    assert_eq!(now.snapshot_id(), base.snapshot_id());
}

#[tokio::test]
async fn a_refused_change_leaves_no_files() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let base = table(lake, vec![], &[0..9, 10..19]).await;
    let before = data(&base).await;
    let gone = Operation::ChangeRows(changes(&base, vec![before[0].clone()]));
    committed(lake.commit(vec![commit_of(gone, None, token(8))], at(1)).await.unwrap());
    let objects_before = objects(lake, "").await;
    let update = RowChanges {
        deletes: Some(positions(lake, &base, token(9), &[(&before[0], &[0])]).await),
        ..changes(&base, vec![])
    };
    let files = staged(lake, &base, token(9), 100..101).await;
    let commit = commit_of(Operation::ChangeRows(update), Some(files), token(9));
    let outcome = lake.commit(vec![commit], at(2)).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Conflicted { .. }), "{outcome:?}");
    assert_eq!(objects(lake, "").await, objects_before);
}
