//! What the table's metadata file says: snapshots, history, branches and tags.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, MapBuilder, RecordBatch, StringArray, StringBuilder,
    TimestampMillisecondArray,
};
use datafusion::error::Result;
use iceberg::spec::{Snapshot, SnapshotRetention};
use sluice_catalog::TableSnapshot;

use crate::error::Error;

pub(super) fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true)))?)
}

fn times(millis: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter_values(millis).with_timezone("UTC"))
}

/// Milliseconds since 1970 as times.
pub(super) fn maybe_times(millis: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter(millis).with_timezone("UTC"))
}

/// The snapshots, oldest first; only their columns when `empty`.
pub(super) fn snapshots(table: &TableSnapshot, empty: bool) -> Result<RecordBatch> {
    let mut all: Vec<&Snapshot> = table.metadata().snapshots().map(Arc::as_ref).filter(|_| !empty).collect();
    all.sort_by_key(|snapshot| (snapshot.timestamp_ms(), snapshot.sequence_number()));
    let mut summaries = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for snapshot in &all {
        let mut summary: Vec<_> = snapshot.summary().additional_properties.iter().collect();
        summary.sort();
        for (key, value) in summary {
            summaries.keys().append_value(key);
            summaries.values().append_value(value);
        }
        summaries.append(true)?;
    }
    let operations = all.iter().map(|snapshot| Some(snapshot.summary().operation.as_str()));
    batch(vec![
        ("committed_at", times(all.iter().map(|snapshot| snapshot.timestamp_ms()))),
        ("snapshot_id", Arc::new(Int64Array::from_iter_values(all.iter().map(|s| s.snapshot_id())))),
        ("parent_id", Arc::new(Int64Array::from_iter(all.iter().map(|s| s.parent_snapshot_id())))),
        ("operation", Arc::new(StringArray::from_iter(operations))),
        ("manifest_list", Arc::new(StringArray::from_iter_values(all.iter().map(|s| s.manifest_list())))),
        ("summary", Arc::new(summaries.finish())),
    ])
}

/// Which snapshot became current when, oldest first.
pub(super) fn history(table: &TableSnapshot, empty: bool) -> Result<RecordBatch> {
    let metadata = table.metadata();
    let current: HashSet<i64> = table.history().into_iter().map(|info| info.id).collect();
    let log = if empty { &[] } else { metadata.history() };
    let parents = log.iter().map(|entry| {
        metadata.snapshot_by_id(entry.snapshot_id).and_then(|snapshot| snapshot.parent_snapshot_id())
    });
    let ancestors = log.iter().map(|entry| Some(current.contains(&entry.snapshot_id)));
    batch(vec![
        ("made_current_at", times(log.iter().map(|entry| entry.timestamp_ms()))),
        ("snapshot_id", Arc::new(Int64Array::from_iter_values(log.iter().map(|entry| entry.snapshot_id)))),
        ("parent_id", Arc::new(Int64Array::from_iter(parents))),
        ("is_current_ancestor", Arc::new(BooleanArray::from_iter(ancestors))),
    ])
}

/// Branches and tags by name.
pub(super) fn refs(table: &TableSnapshot, empty: bool) -> Result<RecordBatch> {
    let refs = if empty { Default::default() } else { table.refs().map_err(Error::from)? };
    let kind = |branch| if branch { "BRANCH" } else { "TAG" };
    let retained = |of: &dyn Fn(&SnapshotRetention) -> Option<i64>| -> ArrayRef {
        Arc::new(Int64Array::from_iter(refs.values().map(|reference| of(&reference.retention))))
    };
    let age = retained(&|retention| match retention {
        SnapshotRetention::Branch { max_ref_age_ms, .. } | SnapshotRetention::Tag { max_ref_age_ms } => {
            *max_ref_age_ms
        }
    });
    let snapshots = retained(&|retention| match retention {
        SnapshotRetention::Branch { max_snapshot_age_ms, .. } => *max_snapshot_age_ms,
        SnapshotRetention::Tag { .. } => None,
    });
    let kept = refs.values().map(|reference| match &reference.retention {
        SnapshotRetention::Branch { min_snapshots_to_keep, .. } => *min_snapshots_to_keep,
        SnapshotRetention::Tag { .. } => None,
    });
    batch(vec![
        ("name", Arc::new(StringArray::from_iter_values(refs.keys()))),
        ("type", Arc::new(StringArray::from_iter_values(refs.values().map(|r| kind(r.is_branch()))))),
        ("snapshot_id", Arc::new(Int64Array::from_iter_values(refs.values().map(|r| r.snapshot_id)))),
        ("max_reference_age_in_ms", age),
        ("min_snapshots_to_keep", Arc::new(Int32Array::from_iter(kept))),
        ("max_snapshot_age_in_ms", snapshots),
    ])
}
