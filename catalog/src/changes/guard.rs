//! What a change by another program may not do, though the Iceberg format allows it.
//!
//! | update | rule |
//! |---|---|
//! | locations (table, snapshot, statistics, `write.*.path`) | inside the warehouse |
//! | removal of a property `sluice.…` | refused |
//! | `sluice.offsets.<topic>` | may go forward only, by partition, in the same cluster |
//! | on a table with offsets: main removed, another format version or uuid | refused |
//! | on a table with cursors of a model: main to a snapshot that does not follow the current one | refused |
//!
//! The last rules protect exactly-once: progress is kept beside the data. Offsets follow `main` wherever it goes
//! ([`crate::offsets`]), so rows that are taken back land again. The cursors of a model do not, and rows taken back
//! from it would be missing for ever.

use std::collections::BTreeMap;

use iceberg::TableUpdate;
use iceberg::spec::{MAIN_BRANCH, TableMetadata};

use super::{ChangeOutcome, apply, refused};
use crate::error::Result;
use crate::lake::Lake;
use crate::maintain::CURSOR;
use crate::offsets::{self, SourceOffsets};
use crate::snapshot::TableSnapshot;
use crate::state::is_state;

/// Properties that name a place where engines will write.
pub(crate) const PATHS: [&str; 4] =
    ["write.data.path", "write.metadata.path", "write.object-storage.path", "write.folder-storage.path"];

/// Whether the updates keep the rules; the outer error is one of reading the base.
pub(super) fn check(
    lake: &Lake,
    base: &TableSnapshot,
    updates: &[TableUpdate],
) -> Result<Result<(), ChangeOutcome>> {
    if let Err(outcome) = locations(lake, updates) {
        return Ok(Err(outcome));
    }
    let topics = offsets::topics(base.metadata().properties());
    let mut parents = BTreeMap::new();
    for update in updates {
        let kept = match update {
            TableUpdate::RemoveProperties { removals } => own_removals(removals),
            TableUpdate::SetProperties { updates } => {
                let mut kept = Ok(());
                for topic in offsets::topics(updates) {
                    let before = SourceOffsets::find(base.metadata(), base.name(), &topic)?;
                    let Ok(Some(after)) = SourceOffsets::said(updates, base.name(), &topic) else {
                        kept = Err(refused(format!("the offsets of topic {topic} cannot be read")));
                        break;
                    };
                    kept = kept.and(forward(before.as_ref(), &after));
                }
                kept
            }
            TableUpdate::AddSnapshot { snapshot } => {
                parents.insert(snapshot.snapshot_id(), snapshot.parent_snapshot_id());
                Ok(())
            }
            other if !topics.is_empty() => with_offsets(base.metadata(), &parents, other),
            _ => Ok(()),
        };
        if let Err(outcome) = kept {
            return Ok(Err(outcome));
        }
    }
    Ok(Ok(()))
}

/// Every place that the updates name lies in the warehouse.
pub(super) fn locations(lake: &Lake, updates: &[TableUpdate]) -> Result<(), ChangeOutcome> {
    let inside = |location: &str| match lake.object_path(location) {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(error.to_string())),
    };
    for update in updates {
        match update {
            TableUpdate::SetLocation { location } => inside(location)?,
            TableUpdate::AddSnapshot { snapshot } => inside(snapshot.manifest_list())?,
            TableUpdate::SetStatistics { statistics } => inside(&statistics.statistics_path)?,
            TableUpdate::SetPartitionStatistics { partition_statistics } => {
                inside(&partition_statistics.statistics_path)?;
            }
            TableUpdate::SetProperties { updates } => paths(lake, updates.iter())?,
            _ => {}
        }
    }
    Ok(())
}

/// Every place that properties name lies in the warehouse.
pub(super) fn paths<'a>(
    lake: &Lake,
    properties: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<(), ChangeOutcome> {
    for (key, location) in properties {
        if PATHS.contains(&key.as_str())
            && let Err(error) = lake.object_path(location)
        {
            return Err(refused(format!("property {key}: {error}")));
        }
    }
    Ok(())
}

fn own_removals(removals: &[String]) -> Result<(), ChangeOutcome> {
    match removals.iter().find(|key| is_state(key)) {
        Some(key) => Err(refused(format!(
            "property {key} belongs to Sluice: without it rows could be ingested twice; drop the table instead"
        ))),
        None => Ok(()),
    }
}

/// Progress goes forward in each partition, or stays.
fn forward(before: Option<&SourceOffsets>, after: &SourceOffsets) -> Result<(), ChangeOutcome> {
    let Some(before) = before else { return Ok(()) };
    let topic = &after.source.topic;
    if before.source.cluster != after.source.cluster {
        return Err(refused(format!("the offsets of topic {topic} come from another cluster")));
    }
    for (partition, next) in &before.next {
        if after.next.get(partition).is_none_or(|after| after < next) {
            let reason = format!("partition {partition} of topic {topic} is at offset {next} already");
            return Err(ChangeOutcome::Conflict { reason });
        }
    }
    Ok(())
}

/// The rules for a table that an ingest writes.
fn with_offsets(
    base: &TableMetadata,
    added: &BTreeMap<i64, Option<i64>>,
    update: &TableUpdate,
) -> Result<(), ChangeOutcome> {
    let why = "this table holds the offsets of an ingest";
    match update {
        TableUpdate::SetSnapshotRef { ref_name, reference } if ref_name == MAIN_BRANCH => {
            if base.properties().keys().all(|key| !key.starts_with(CURSOR)) {
                return Ok(());
            }
            let Some(current) = base.current_snapshot_id() else { return Ok(()) };
            let mut next = Some(reference.snapshot_id);
            while let Some(parent) = next.and_then(|id| added.get(&id)) {
                next = *parent;
            }
            if next.is_some_and(|id| apply::descends(base, id, current)) {
                return Ok(());
            }
            Err(refused(
                "this table holds the cursors of a model: main can only move forward, because the model would \
                 never read again what made the rows taken back; build it with --full-refresh instead"
                    .to_owned(),
            ))
        }
        TableUpdate::RemoveSnapshotRef { ref_name } if ref_name == MAIN_BRANCH => {
            Err(refused(format!("{why}: main cannot be removed")))
        }
        TableUpdate::UpgradeFormatVersion { format_version } if *format_version != base.format_version() => {
            Err(refused(format!("{why}: its format version stays {}", base.format_version())))
        }
        TableUpdate::AssignUuid { uuid } if *uuid != base.uuid() => {
            Err(refused(format!("{why}: its uuid cannot be changed")))
        }
        _ => Ok(()),
    }
}
