//! Each rule of conflict: what another writer did since the snapshot was read, and whether the change lands.

use std::sync::Arc;

use iceberg::spec::{DataContentType, DataFileBuilder, DataFileFormat};

use super::changes::{by_status, changes, commit_of, positions, status, table};
use super::state::{self, data};
use super::*;
use crate::files::LiveFile;
use crate::fixture::{at, lake, staged, token};
use crate::lake::Lake;
use crate::write::StagedDeletes;

/// Lands a change of another writer.
async fn meanwhile(lake: &Lake, operation: Operation, files: Option<StagedFiles>, number: u128) {
    committed(lake.commit(vec![commit_of(operation, files, token(number))], at(1)).await.unwrap());
}

async fn append_meanwhile(lake: &Lake, base: &TableSnapshot, ids: std::ops::Range<i64>) {
    let files = staged(lake, base, token(70), ids).await;
    meanwhile(lake, Operation::Append, Some(files), 70).await;
}

async fn delete_meanwhile(lake: &Lake, base: &TableSnapshot, file: &LiveFile) {
    let deletes = Some(positions(lake, base, token(71), &[(file, &[0])]).await);
    let change = RowChanges { deletes, ..changes(base, vec![]) };
    meanwhile(lake, Operation::ChangeRows(change), None, 71).await;
}

async fn rewrite_meanwhile(
    lake: &Lake,
    base: &TableSnapshot,
    inputs: Vec<LiveFile>,
    ids: std::ops::Range<i64>,
) {
    let files = staged(lake, base, token(72), ids).await;
    let rewrite = Rewrite { read_snapshot: base.snapshot_id().unwrap(), inputs };
    meanwhile(lake, Operation::Rewrite(rewrite), Some(files), 72).await;
}

/// The reason why `operation` with a new row (or none) is refused; none when it lands.
async fn refusal(lake: &Lake, base: &TableSnapshot, operation: Operation, adds: bool) -> Option<String> {
    let files = if adds { Some(staged(lake, base, token(99), 500..501).await) } else { None };
    match lake.commit(vec![commit_of(operation, files, token(99))], at(2)).await.unwrap() {
        CommitOutcome::Committed(_) => None,
        CommitOutcome::Conflicted { reason, .. } => Some(reason),
        other => panic!("{other:?}"),
    }
}

fn says(reason: Option<String>, part: &str) {
    assert!(reason.as_deref().is_some_and(|reason| reason.contains(part)), "{part}: {reason:?}");
}

#[tokio::test]
async fn a_replaced_file_must_be_live() {
    let fixture = lake().await;
    let base = table(&fixture.lake, vec![], &[0..9, 10..19]).await;
    let files = data(&base).await;
    rewrite_meanwhile(&fixture.lake, &base, files.clone(), 0..18).await;
    let change = RowChanges { scope: Scope::ReadFiles, ..changes(&base, vec![files[0].clone()]) };
    says(refusal(&fixture.lake, &base, Operation::ChangeRows(change), true).await, "no longer live");
}

#[tokio::test]
async fn a_file_with_deleted_positions_must_be_live() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let base = table(lake, vec![], &[0..9]).await;
    let files = data(&base).await;
    let deletes = positions(lake, &base, token(99), &[(&files[0], &[1])]).await;
    rewrite_meanwhile(lake, &base, files, 0..9).await;
    let change = RowChanges { deletes: Some(deletes), ..changes(&base, vec![]) };
    says(refusal(lake, &base, Operation::ChangeRows(change), false).await, "is gone");
}

#[tokio::test]
async fn new_rows_in_scope_are_a_conflict_and_others_are_not() {
    // Rows 100, 103, ... have the status `paid`.
    let matching =
        |name: &'static str| Scope::Matching(Arc::new(move |file, _| *file.partition() == status(name)));
    for (scope, conflict) in [
        (Scope::Table, true),
        (Scope::Partitions(vec![(0, status("paid"))]), true),
        (Scope::Partitions(vec![(0, status("new"))]), false),
        (Scope::Partitions(vec![(1, status("new"))]), true),
        (matching("paid"), true),
        (matching("new"), false),
        (Scope::ReadFiles, false),
    ] {
        let fixture = lake().await;
        let base = table(&fixture.lake, by_status(), &[0..9]).await;
        let replaced = vec![data(&base).await.remove(0)];
        append_meanwhile(&fixture.lake, &base, 100..101).await;
        let text = format!("{scope:?}");
        let change = RowChanges { scope, ..changes(&base, replaced) };
        let reason = refusal(&fixture.lake, &base, Operation::ChangeRows(change), true).await;
        assert_eq!(reason.is_some(), conflict, "{text}: {reason:?}");
    }
}

#[tokio::test]
async fn rows_that_a_rewrite_moved_are_not_new() {
    let fixture = lake().await;
    let base = table(&fixture.lake, vec![], &[0..9, 10..19, 20..29]).await;
    let files = data(&base).await;
    rewrite_meanwhile(&fixture.lake, &base, files[1..].to_vec(), 10..28).await;
    let change = Operation::ChangeRows(changes(&base, vec![files[0].clone()]));
    assert_eq!(refusal(&fixture.lake, &base, change, true).await, None);
}

#[tokio::test]
async fn a_delete_of_rows_that_are_written_again_is_a_conflict() {
    for by_position in [true, false] {
        for (adds, conflict) in [(true, true), (false, false)] {
            let fixture = lake().await;
            let lake = &fixture.lake;
            let base = table(lake, vec![], &[0..9, 10..19]).await;
            let files = data(&base).await;
            delete_meanwhile(lake, &base, &files[0]).await;
            let change = if by_position {
                let deletes = Some(positions(lake, &base, token(99), &[(&files[0], &[1])]).await);
                RowChanges { deletes, ..changes(&base, vec![]) }
            } else {
                changes(&base, vec![files[0].clone()])
            };
            let reason = refusal(lake, &base, Operation::ChangeRows(change), adds).await;
            assert_eq!(reason.is_some(), conflict, "{by_position} {adds}: {reason:?}");
        }
    }
}

#[tokio::test]
async fn a_delete_in_another_file_is_no_conflict() {
    let fixture = lake().await;
    let base = table(&fixture.lake, vec![], &[0..9, 10..19]).await;
    let files = data(&base).await;
    delete_meanwhile(&fixture.lake, &base, &files[1]).await;
    let change = Operation::ChangeRows(changes(&base, vec![files[0].clone()]));
    assert_eq!(refusal(&fixture.lake, &base, change, true).await, None);
}

#[tokio::test]
async fn a_delete_file_for_several_files_reaches_those_between_its_bounds() {
    for (victim, conflict) in [(1, true), (2, false)] {
        let fixture = lake().await;
        let lake = &fixture.lake;
        let base = table(lake, vec![], &[0..9, 10..19, 20..29]).await;
        let mut files = data(&base).await;
        files.sort_by(|a, b| a.parts().0.file_path().cmp(b.parts().0.file_path()));
        let rows = [(&files[0], [0_u64].as_slice()), (&files[1], &[0])];
        let deletes = Some(positions(lake, &base, token(71), &rows).await);
        let change = RowChanges { deletes, ..changes(&base, vec![]) };
        meanwhile(lake, Operation::ChangeRows(change), None, 71).await;
        let replace = Operation::ChangeRows(changes(&base, vec![files[victim].clone()]));
        let reason = refusal(lake, &base, replace, true).await;
        assert_eq!(reason.is_some(), conflict, "{victim}: {reason:?}");
    }
}

#[tokio::test]
async fn a_rewrite_does_not_survive_new_deletes_by_position() {
    let fixture = lake().await;
    let base = table(&fixture.lake, vec![], &[0..9]).await;
    let inputs = data(&base).await;
    delete_meanwhile(&fixture.lake, &base, &inputs[0]).await;
    let rewrite = Rewrite { read_snapshot: base.snapshot_id().unwrap(), inputs };
    says(refusal(&fixture.lake, &base, Operation::Rewrite(rewrite), true).await, "were deleted by");
}

#[tokio::test]
async fn an_overwrite_survives_rewrites_only() {
    let fixture = lake().await;
    let base = table(&fixture.lake, vec![], &[0..9]).await;
    rewrite_meanwhile(&fixture.lake, &base, data(&base).await, 0..9).await;
    let overwrite = Operation::Overwrite { read_snapshot: base.snapshot_id() };
    assert_eq!(refusal(&fixture.lake, &base, overwrite.clone(), true).await, None);
    let now = fixture.lake.load(&name("orders")).await.unwrap();
    assert_eq!(state::ids(&now).await, [500]);

    let fixture = lake().await;
    let base = table(&fixture.lake, vec![], &[0..9]).await;
    append_meanwhile(&fixture.lake, &base, 10..11).await;
    let overwrite = Operation::Overwrite { read_snapshot: base.snapshot_id() };
    says(refusal(&fixture.lake, &base, overwrite, true).await, "rows changed");
}

#[tokio::test]
async fn a_replaced_partition_must_be_as_it_was_read() {
    // Row 500 has the status `sent`.
    for (name, conflict) in [("sent", true), ("new", false)] {
        let ids = if name == "sent" { 101..102 } else { 102..103 };
        for deletes in [false, true] {
            let fixture = lake().await;
            let base = table(&fixture.lake, by_status(), &[0..9]).await;
            if deletes {
                let files = data(&base).await;
                let file = files.iter().find(|file| *file.parts().0.partition() == status(name)).unwrap();
                delete_meanwhile(&fixture.lake, &base, file).await;
            } else {
                append_meanwhile(&fixture.lake, &base, ids.clone()).await;
            }
            let partitions = Partitions::OfAddedFiles;
            let replace = Operation::ReplacePartitions { read_snapshot: base.snapshot_id(), partitions };
            let reason = refusal(&fixture.lake, &base, replace, true).await;
            assert_eq!(reason.is_some(), conflict, "{name} {deletes}: {reason:?}");
        }
    }
}

#[tokio::test]
async fn a_snapshot_outside_the_history_is_a_conflict() {
    let fixture = lake().await;
    let base = table(&fixture.lake, vec![], &[0..9]).await;
    let unknown =
        RowChanges { read_snapshot: Some(1), scope: Scope::ReadFiles, ..changes(&base, data(&base).await) };
    says(
        refusal(&fixture.lake, &base, Operation::ChangeRows(unknown), true).await,
        "no longer in its history",
    );
}

/// Another engine deletes rows by value, in the partition of `like` or everywhere.
async fn delete_by_value_meanwhile(lake: &Lake, base: &TableSnapshot, like: &LiveFile, number: u128) {
    let file = DataFileBuilder::default()
        .content(DataContentType::EqualityDeletes)
        .file_path(format!("{}/data/values-{number}.parquet", base.metadata().location()))
        .file_format(DataFileFormat::Parquet)
        .partition(like.parts().0.partition().clone())
        .partition_spec_id(like.partition_spec_id)
        .record_count(1)
        .file_size_in_bytes(10)
        .equality_ids(Some(vec![1]))
        .build()
        .unwrap();
    let deletes = StagedDeletes::of(vec![(like.partition_spec_id, file)], base.metadata().uuid());
    let change = RowChanges { deletes: Some(deletes), scope: Scope::ReadFiles, ..changes(base, vec![]) };
    meanwhile(lake, Operation::ChangeRows(change), None, number).await;
}

#[tokio::test]
async fn a_delete_by_value_reaches_its_partition_or_an_unpartitioned_table() {
    for (partition_by, other, conflict) in
        [(by_status(), false, true), (by_status(), true, false), (vec![], false, true)]
    {
        let fixture = lake().await;
        let base = table(&fixture.lake, partition_by, &[0..9]).await;
        let files = data(&base).await;
        let like = if other { &files[1] } else { &files[0] };
        delete_by_value_meanwhile(&fixture.lake, &base, like, 73).await;
        let change = Operation::ChangeRows(changes(&base, vec![files[0].clone()]));
        let reason = refusal(&fixture.lake, &base, change, true).await;
        assert_eq!(reason.is_some(), conflict, "{other}: {reason:?}");
    }
}

#[tokio::test]
async fn a_rewrite_survives_deletes_by_value_because_its_output_is_older() {
    let fixture = lake().await;
    let base = table(&fixture.lake, vec![], &[0..9]).await;
    let inputs = data(&base).await;
    delete_by_value_meanwhile(&fixture.lake, &base, &inputs[0], 73).await;
    let rewrite = Rewrite { read_snapshot: base.snapshot_id().unwrap(), inputs };
    assert_eq!(refusal(&fixture.lake, &base, Operation::Rewrite(rewrite), true).await, None);
    let now = fixture.lake.load(&name("orders")).await.unwrap();
    let (data, deletes) = (data(&now).await, state::deletes(&now).await);
    assert_eq!(deletes.len(), 1, "a delete that still applies stays");
    assert!(data[0].sequence_number < deletes[0].sequence_number, "it still applies");
    assert_eq!(summary(&now, "total-equality-deletes").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_rewrite_keeps_a_delete_file_that_an_older_output_still_needs() {
    for (overtaken, conflict) in [(true, true), (false, false)] {
        let fixture = lake().await;
        let lake = &fixture.lake;
        let read = table(lake, vec![], &[0..3, 3..6]).await;
        let files = data(&read).await;
        delete_by_value_meanwhile(lake, &read, &files[0], 73).await;
        let base = lake.load(&name("orders")).await.unwrap();
        if overtaken {
            // Computed before the delete came, landed after it.
            rewrite_meanwhile(lake, &read, vec![files[1].clone()], 3..6).await;
        }
        let inputs = [state::deletes(&base).await, vec![files[0].clone()]].concat();
        let rewrite = Rewrite { read_snapshot: base.snapshot_id().unwrap(), inputs };
        let reason = refusal(lake, &base, Operation::Rewrite(rewrite), true).await;
        assert_eq!(reason.is_some(), conflict, "{reason:?}");
        if overtaken {
            says(reason, "needs a delete file");
        } else {
            let now = lake.load(&name("orders")).await.unwrap();
            assert!(state::deletes(&now).await.is_empty());
        }
    }
}
