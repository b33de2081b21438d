//! Updates on a base: the next state, and whether a change is in a state already.
//!
//! The time of the new state is never before the base's. A snapshot brings its own time; anything else takes the
//! caller's.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use iceberg::MetadataLocation;
use iceberg::TableUpdate;
use iceberg::spec::{Snapshot, TableMetadata};

use super::{ChangeOutcome, TableChange, refused, words};
use crate::catalogs::{Entry, Kind};
use crate::commit::restate;
use crate::lake::Lake;
use crate::snapshot::TableSnapshot;

/// The state after `updates`, or the outcome that says why there is none.
pub(super) fn apply(
    base: &TableMetadata,
    base_location: &str,
    updates: &[TableUpdate],
    now: DateTime<Utc>,
) -> Result<TableMetadata, ChangeOutcome> {
    let brings_time = updates.iter().any(|update| matches!(update, TableUpdate::AddSnapshot { .. }));
    if !brings_time {
        let time = now.timestamp_millis().max(base.last_updated_ms());
        let next = restate(base, base_location, updates, time);
        return next.map(|(next, _)| next).map_err(|error| refused(words(&error)));
    }
    let mut builder = base.clone().into_builder(Some(base_location.to_owned()));
    for update in updates {
        builder = match update.clone().apply(builder) {
            Ok(builder) => builder,
            Err(error) if is_outrun(base, update) => {
                return Err(ChangeOutcome::Conflict { reason: words(&error) });
            }
            Err(error) => return Err(refused(words(&error))),
        };
    }
    let built = builder.build().map_err(|error| refused(words(&error)))?;
    let time = built.metadata.last_updated_ms().max(base.last_updated_ms());
    at(built.metadata, time).map_err(|error| refused(error.to_string()))
}

/// The same state, last updated at `time`. The library sets the time from its own clock and offers no other way.
pub(super) fn at(metadata: TableMetadata, time: i64) -> serde_json::Result<TableMetadata> {
    if metadata.last_updated_ms() == time {
        return Ok(metadata);
    }
    let mut json = serde_json::to_value(metadata)?;
    json["last-updated-ms"] = time.into();
    serde_json::from_value(json)
}

/// Whether another branch took the snapshot's sequence number meanwhile: to be built again on the new base.
fn is_outrun(base: &TableMetadata, update: &TableUpdate) -> bool {
    match update {
        TableUpdate::AddSnapshot { snapshot } => {
            snapshot.sequence_number() <= base.last_sequence_number()
                && base.snapshot_by_id(snapshot.snapshot_id()).is_none()
        }
        _ => false,
    }
}

/// Whether all that `updates` add is part of `base`: every snapshot, and each in the history of its branch.
pub(super) fn landed(base: &TableMetadata, updates: &[TableUpdate]) -> bool {
    let mut adds = 0;
    for update in updates {
        match update {
            TableUpdate::AddSnapshot { snapshot } => {
                adds += 1;
                let found = base.snapshot_by_id(snapshot.snapshot_id());
                if found.is_none_or(|found| found.manifest_list() != snapshot.manifest_list()) {
                    return false;
                }
            }
            TableUpdate::SetSnapshotRef { ref_name, reference } => {
                let head = base.snapshot_for_ref(ref_name).map(|head| head.snapshot_id());
                if !head.is_some_and(|head| descends(base, head, reference.snapshot_id)) {
                    return false;
                }
            }
            _ => {}
        }
    }
    adds > 0
}

/// Whether a change without snapshots, which leave a trace, is what made `base` of the state before: then it was sent
/// again after its answer was lost.
pub(super) async fn repeats(lake: &Lake, base: &TableSnapshot, change: &TableChange) -> bool {
    let Some(log) = base.metadata().metadata_log().last() else { return false };
    let entry = Entry { kind: Kind::Table, location: log.metadata_file.clone(), state: None };
    let Ok(before) = lake.pin(base.name(), entry).await else { return false };
    if change.requirements.iter().any(|requirement| requirement.check(Some(before.metadata())).is_err()) {
        return false;
    }
    let time = base.metadata().last_updated_ms();
    let again = restate(before.metadata(), before.metadata_location(), &change.updates, time);
    again.is_ok_and(|(again, _)| again == *base.metadata())
}

/// Whether `snapshot` is `ancestor` or follows it.
pub(super) fn descends(metadata: &TableMetadata, snapshot: i64, ancestor: i64) -> bool {
    let parent = |snapshot: &Snapshot| snapshot.parent_snapshot_id();
    let mut next = Some(snapshot);
    // A damaged history could be a ring; no history is longer than the snapshots there are.
    for _ in 0..=metadata.snapshots().len() {
        match next {
            Some(id) if id == ancestor => return true,
            Some(id) => next = metadata.snapshot_by_id(id).and_then(|snapshot| parent(snapshot)),
            None => return false,
        }
    }
    false
}

/// Where the next state is written. A base of another naming, as some writers have it, starts a new count.
pub(super) fn next_location(base: &TableSnapshot, next: &TableMetadata) -> MetadataLocation {
    match MetadataLocation::from_str(base.metadata_location()) {
        Ok(location) => location.with_next_version().with_new_metadata(next),
        Err(_) => MetadataLocation::new_with_metadata(next.location(), next).with_next_version(),
    }
}
