//! Offsets of the history that `main` has, after another engine gave it another one.
//!
//! Other engines move `main` (a rollback, a branch that is published) and leave properties as they are. The rows
//! that went with it must be read again, or they would be lost. So a property counts for the history that it was
//! written on; on another one offsets are worked out from the ranges in the snapshots' summaries:
//!
//! ```text
//!             fork
//!   o----o-----o-----o-----o  main        beyond: where the newest of their ranges ends
//!               \
//!                o-----o  recorded        away: else where the oldest of their ranges starts
//! ```
//!
//! | the snapshot that the property names | offsets of a partition |
//! |---|---|
//! | leads to `main`, or none is named | as recorded |
//! | expired, and `main` may have followed it | as recorded |
//! | lies elsewhere | end of its newest range beyond the fork, else start of its oldest away, else as recorded |
//! | expired, and `main` passes it by | end of its newest range in what is kept of the history, else an error |
//!
//! An expired snapshot is passed by when an older one is in the history of `main`, which has no holes. Offsets
//! without rows are in no summary: after a move they may be read again, and bring no row again.

use std::collections::{BTreeMap, HashSet};

use iceberg::spec::{Snapshot, TableMetadata};

use super::{OFFSETS, RANGES, Recorded};
use crate::error::{Error, Result};
use crate::name::TableName;

/// The sides of a range in a summary.
const START: usize = 0;
const END: usize = 1;

/// The record as it holds for the history that ends at the snapshot `main`.
pub(super) fn on(
    record: Recorded,
    topic: &str,
    table: &TableName,
    metadata: &TableMetadata,
    main: Option<i64>,
) -> Result<Recorded> {
    let Some(recorded) = record.snapshot else { return Ok(record) };
    let Some(Parting { kept, away, fork }) = part(metadata, recorded, main) else { return Ok(record) };
    let is_older = |snapshot: &&Snapshot| record.sequence.is_some_and(|at| snapshot.sequence_number() <= at);
    if metadata.snapshot_by_id(recorded).is_none() && !kept.is_empty() && !kept.iter().any(is_older) {
        return Ok(record);
    }
    // Without a fork the way back is known whole only from the first snapshot of all, to none at all.
    let from_first = away.last().is_some_and(|first| first.parent_snapshot_id().is_none());
    let known = fork.is_some() || (kept.is_empty() && from_first);
    let beyond = kept.iter().take_while(|snapshot| Some(snapshot.snapshot_id()) != fork);
    let ends = first(topic, table, beyond.map(|snapshot| (*snapshot, END)))?;
    let starts = first(topic, table, away.iter().rev().map(|snapshot| (*snapshot, START)))?;
    let mut next = ends.clone();
    for (partition, recorded) in &record.next {
        let start = if known { Some(*starts.get(partition).unwrap_or(recorded)) } else { None };
        match ends.get(partition).copied().or(start) {
            Some(offset) => next.insert(*partition, offset),
            None => return Err(unknown(topic, table, *partition)),
        };
    }
    let mut anchors = record.anchors;
    // Nothing tells what the record before another offset was.
    anchors.retain(|partition, _| next.get(partition) == record.next.get(partition));
    let main = kept.first();
    Ok(Recorded {
        next,
        anchors,
        snapshot: main.map(|main| main.snapshot_id()),
        sequence: main.map(|main| main.sequence_number()),
        ..record
    })
}

/// The snapshots that tell where to go on after `main` was moved: both ways to the fork. Once a commit has landed on
/// the new history none is needed any more.
pub(crate) fn held(metadata: &TableMetadata, table: &TableName) -> Result<HashSet<i64>> {
    let mut held = HashSet::new();
    for topic in super::topics(metadata.properties()) {
        let record = super::recorded(metadata.properties(), table, &topic)?;
        let Some(recorded) = record.and_then(|record| record.snapshot) else { continue };
        if let Some(Parting { kept, away, fork }) = part(metadata, recorded, metadata.current_snapshot_id()) {
            held.extend(away.iter().map(|snapshot| snapshot.snapshot_id()));
            let beyond = kept.iter().take_while(|snapshot| Some(snapshot.snapshot_id()) != fork);
            held.extend(beyond.map(|snapshot| snapshot.snapshot_id()).chain(fork));
        }
    }
    Ok(held)
}

/// Two ways, newest first, as far as they are kept.
struct Parting<'a> {
    /// The history of `main`.
    kept: Vec<&'a Snapshot>,
    /// From the recorded snapshot back to the fork, which is left out.
    away: Vec<&'a Snapshot>,
    /// Where both meet; none when no such snapshot is left.
    fork: Option<i64>,
}

/// The ways of `main` and of a recorded snapshot; none when `main` followed it.
fn part(metadata: &TableMetadata, recorded: i64, main: Option<i64>) -> Option<Parting<'_>> {
    if ancestry(metadata, main).any(|snapshot| snapshot.snapshot_id() == recorded) {
        return None;
    }
    let kept: Vec<_> = ancestry(metadata, main).collect();
    let mut away: Vec<_> = ancestry(metadata, Some(recorded)).collect();
    let place = away.iter().position(|one| kept.iter().any(|other| other.snapshot_id() == one.snapshot_id()));
    let fork = place.map(|place| away[place].snapshot_id());
    away.truncate(place.unwrap_or(away.len()));
    Some(Parting { kept, away, fork })
}

/// A snapshot and those it follows, newest first, as far as they are kept.
fn ancestry(metadata: &TableMetadata, head: Option<i64>) -> impl Iterator<Item = &Snapshot> {
    let find = |id: Option<i64>| id.and_then(|id| metadata.snapshot_by_id(id)).map(AsRef::as_ref);
    let parent = move |snapshot: &&Snapshot| find(snapshot.parent_snapshot_id());
    // A chain that runs in a circle can only be damage; it ends after every snapshot was seen once.
    std::iter::successors(find(head), parent).take(metadata.snapshots().len())
}

/// One side of the first range of each partition among the snapshots.
fn first<'a>(
    topic: &str,
    table: &TableName,
    snapshots: impl Iterator<Item = (&'a Snapshot, usize)>,
) -> Result<BTreeMap<i32, i64>> {
    let mut sides = BTreeMap::new();
    for (snapshot, side) in snapshots {
        for (partition, range) in ranges(topic, table, snapshot)? {
            sides.entry(partition).or_insert(range[side]);
        }
    }
    Ok(sides)
}

/// The ranges of the topic that a snapshot brought.
fn ranges(topic: &str, table: &TableName, snapshot: &Snapshot) -> Result<BTreeMap<i32, [i64; 2]>> {
    let key = format!("{RANGES}{topic}");
    let Some(text) = snapshot.summary().additional_properties.get(&key) else { return Ok(BTreeMap::new()) };
    serde_json::from_str(text).map_err(|cause| Error::File {
        subject: format!("{key} in snapshot {} of table {table}", snapshot.snapshot_id()),
        fact: format!("not the ranges that sluice writes: {cause}"),
        remedy: "roll back to a snapshot whose metadata file is still there",
    })
}

fn unknown(topic: &str, table: &TableName, partition: i32) -> Error {
    Error::File {
        subject: format!("property {OFFSETS}{topic} of table {table}"),
        fact: format!(
            "the snapshot that it belongs to was taken back and has expired, and no snapshot that is left tells \
             where partition {partition} stood"
        ),
        remedy: "set main to a snapshot of Sluice again, or drop the table and land it anew",
    }
}
