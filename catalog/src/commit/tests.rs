//! Commits end to end over a store in memory and a catalog file: each kind, each refusal, each race.
#![expect(clippy::single_range_in_vec_init, reason = "a table is made of a list of ranges, sometimes of one")]

mod changes;
mod conflicts;
mod faults;
mod grown;
mod in_turn;
mod kinds;
mod metadata;
mod moved;
mod older;
mod races;
mod state;

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Commit, CommitOutcome, Operation, Partitions, Rewrite, RowChanges, Scope};
use crate::fixture::name;
use crate::offsets::{Anchor, OffsetRange, SourceId, SourceRanges};
use crate::snapshot::TableSnapshot;
use crate::write::StagedFiles;

fn append(table: &str, files: StagedFiles, token: Uuid) -> Commit {
    Commit {
        table: name(table),
        operation: Operation::Append,
        files: Some(files),
        offsets: Vec::new(),
        properties: BTreeMap::new(),
        token,
    }
}

/// Offsets `[start, end)` of partition 0 of one topic.
fn range(start: i64, end: i64) -> SourceRanges {
    let source = SourceId { cluster: "c1".to_owned(), topic: "orders".to_owned() };
    let anchor = (end > start).then(|| Anchor { offset: end - 1, crc32: 1 });
    SourceRanges { source, ranges: BTreeMap::from([(0, OffsetRange { start, end, anchor })]) }
}

fn committed(outcome: CommitOutcome) -> TableSnapshot {
    match outcome {
        CommitOutcome::Committed(mut snapshots) if snapshots.len() == 1 => snapshots.remove(0),
        other => panic!("expected one table committed: {other:?}"),
    }
}

/// A count of the current snapshot's summary.
fn summary(table: &TableSnapshot, key: &str) -> Option<String> {
    let snapshot = table.metadata().current_snapshot()?;
    snapshot.summary().additional_properties.get(key).cloned()
}

/// Ingest and builds run these in tasks of their own.
#[test]
fn writes_and_commits_may_be_spawned() {
    fn spawnable<T: Send>(_: impl Fn(crate::Lake, crate::TableWriter) -> T) {}
    spawnable(|lake, _| async move { lake.commit(Vec::new(), crate::fixture::at(0)).await.is_ok() });
    spawnable(|_, writer| async move { writer.finish().await.is_ok() });
    spawnable(|_, writer| async move { writer.abort().await });
    spawnable(|_, mut writer| async move { writer.write(crate::fixture::rows(0..1)).await.is_ok() });
}
