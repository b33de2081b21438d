//! Manifests are rewritten where it pays, and what they list stays what it was.

use std::collections::BTreeMap;

use iceberg::spec::{ManifestContentType, ManifestFile, PartitionSpec};

use super::*;
use crate::commit::StagedManifests;
use crate::fixture::{ids, lake, objects, orders};
use crate::maintain::manifests::{choose, pick, rewrite_manifests, stage};
use crate::spec::{PartitionBy, Transform};

const MIB: i64 = 1 << 20;

fn manifest(run: i64, length: i64) -> ManifestFile {
    ManifestFile {
        manifest_path: format!("m{run}-{length}"),
        manifest_length: length,
        partition_spec_id: 0,
        content: ManifestContentType::Data,
        sequence_number: run,
        min_sequence_number: run,
        added_snapshot_id: run,
        added_files_count: Some(1),
        existing_files_count: Some(0),
        deleted_files_count: Some(0),
        added_rows_count: Some(1),
        existing_rows_count: Some(0),
        deleted_rows_count: Some(0),
        partitions: None,
        key_metadata: None,
        first_row_id: None,
    }
}

/// The runs that are picked, of runs with these lengths.
fn picked(partitioned: bool, lengths: &[i64]) -> Vec<i64> {
    let spec = match partitioned {
        true => serde_json::from_value(json!({ "spec-id": 0, "fields": [
            { "source-id": 1, "field-id": 1000, "name": "p", "transform": "identity" }
        ] }))
        .unwrap(),
        false => PartitionSpec::unpartition_spec(),
    };
    let manifests: Vec<_> =
        lengths.iter().enumerate().map(|(run, length)| manifest(run as i64, *length)).collect();
    let mut runs: Vec<_> =
        pick(&manifests, &spec, MIB).iter().map(|manifest| manifest.added_snapshot_id).collect();
    runs.sort_unstable();
    runs
}

#[test]
fn runs_of_one_size_are_merged_when_they_are_many() {
    assert!(picked(true, &[6_000; 7]).is_empty());
    assert_eq!(picked(true, &[6_000; 8]).len(), 8);
    assert_eq!(picked(false, &[6_000; 8]).len(), 8);
}

#[test]
fn a_large_run_waits_for_others_of_its_size() {
    let mut lengths = vec![6_000; 8];
    lengths.push(10 * MIB);
    assert_eq!(picked(true, &lengths), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(picked(true, &lengths[1..]).is_empty(), "seven small ones do not move a large one");
    let mut large = vec![MIB; 8];
    large.push(6_000);
    assert_eq!(picked(true, &large).len(), 9, "a small one comes along");
}

#[test]
fn a_few_bytes_make_no_step() {
    let lengths: Vec<i64> = (6_000..6_008).collect();
    assert_eq!(picked(true, &lengths).len(), 8);
}

#[test]
fn memory_is_bounded() {
    assert_eq!(picked(true, &[2 * MIB; 9]).len(), 8);
    assert!(picked(true, &[4 * MIB; 9]).is_empty());
}

#[test]
fn without_partitions_large_manifests_are_done() {
    assert!(picked(false, &[MIB; 20]).is_empty());
    assert_eq!(picked(true, &[MIB; 12]).len(), 12);
}

/// An append of three rows, one for each status.
async fn three_rows(lake: &Lake, number: i64) -> TableSnapshot {
    let table = lake.load(&name("orders")).await.unwrap();
    let token = token(1_000 + number as u128);
    let files = staged(lake, &table, token, number * 3..number * 3 + 3).await;
    let commit_of = Commit { files: Some(files), ..Commit::new(name("orders"), Operation::Append, token) };
    commit(lake, commit_of, number).await
}

async fn by_status(lake: &Lake, properties: &[(&str, &str)]) -> TableSnapshot {
    let by = PartitionBy { column: "status".to_owned(), transform: Transform::Identity };
    orders(lake, "orders", vec![by], properties).await;
    let mut table = None;
    for number in 0..8 {
        table = Some(three_rows(lake, number).await);
    }
    table.unwrap()
}

/// Path to sequence number of every live file.
async fn listed(table: &TableSnapshot) -> BTreeMap<String, i64> {
    let files = table.files().await.unwrap();
    files.iter().map(|file| (file.parts().0.file_path().to_owned(), file.sequence_number)).collect()
}

#[tokio::test]
async fn manifests_list_the_same_files_by_partition() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let before = by_status(lake, &[("commit.manifest.target-size-bytes", "12000")]).await;
    let since = before.history()[2].id;
    let rewrite = |number, dry_run| {
        let policy = strict();
        async move { rewrite_manifests(lake, &name("orders"), &policy, token(number), at(9), dry_run).await }
    };
    let dry = rewrite(1, true).await.unwrap();
    assert_eq!((dry.replaced, dry.written), (8, 0));
    assert_eq!(lake.load(&name("orders")).await.unwrap().snapshot_id(), before.snapshot_id());

    let done = rewrite(2, false).await.unwrap();
    assert_eq!((done.replaced, done.conflict), (8, None));
    let after = lake.load(&name("orders")).await.unwrap();
    assert_eq!(listed(&after).await, listed(&before).await, "files keep their age");
    assert_eq!((ids(&after).await, after.row_count()), ((0..24).collect(), Some(24)));
    assert_eq!(after.history()[0].operation, "replace");
    let manifests = after.manifests().await.unwrap();
    assert_eq!(manifests.data().len(), done.written);
    let whole = |manifest: &&ManifestFile| {
        let status = &manifest.partitions.as_ref().unwrap()[0];
        status.lower_bound == status.upper_bound
    };
    assert_eq!(manifests.data().iter().filter(whole).count(), 3, "each lists one partition");
    let added = after.files_added_since(since).await.unwrap().unwrap();
    assert_eq!(added.len(), 6, "who reads on from a snapshot sees what came since, once");
    assert_eq!(rewrite(3, false).await.unwrap(), Default::default(), "nothing is left to do");
}

#[tokio::test]
async fn appends_meanwhile_are_kept_and_removed_files_are_a_conflict() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let base = by_status(lake, &[]).await;
    let staged_on = |number| async move {
        let base = lake.load(&name("orders")).await.unwrap();
        stage(&base, &choose(&base).await.unwrap(), token(number)).await.unwrap()
    };
    let commit_of = |staged: StagedManifests, number| {
        Commit::new(name("orders"), Operation::RewriteManifests(staged), token(number))
    };
    let (one, two) = (staged_on(1).await, staged_on(2).await);
    three_rows(lake, 8).await;
    let after = commit(lake, commit_of(one, 3), 9).await;
    assert_eq!(ids(&after).await, (0..27).collect::<Vec<_>>());
    assert_eq!(after.files().await.unwrap().len(), base.files().await.unwrap().len() + 3);

    let written = two.written[0].manifest_path.clone();
    let name_of = written.rsplit('/').next().unwrap();
    assert_eq!(objects(lake, name_of).await.len(), 1);
    match lake.commit(vec![commit_of(two, 4)], at(10)).await.unwrap() {
        CommitOutcome::Conflicted { reason, .. } => assert!(reason.contains("to be replaced"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(objects(lake, name_of).await.is_empty(), "what was refused is deleted");
    assert_eq!(lake.load(&name("orders")).await.unwrap().snapshot_id(), after.snapshot_id());
}
