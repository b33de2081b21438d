//! Branches, tags, rollback and expiry: what a table calls its snapshots, and which it keeps.
//!
//! | change | refused when |
//! |---|---|
//! | create a branch or tag | the name is taken, or there is no such snapshot |
//! | set a branch | it is no branch, or there is no such snapshot; `main` moves by rollback only |
//! | drop | it is `main`, or there is none |
//! | roll back | the snapshot is not in the current one's history |
//! | expire | a branch or tag points to a snapshot |
//!
//! A rollback takes the properties of Sluice (offsets, cursors of models) back with the rows: offsets that stay
//! ahead of their rows would lose those rows for ever. They are read from the last metadata file that had the
//! snapshot as its current one. If that file is gone, offsets are what the snapshots that go say they started
//! at; anything else cannot be restored, and the rollback is refused.

use std::collections::{BTreeMap, HashMap};

use iceberg::TableUpdate;
use iceberg::spec::{MAIN_BRANCH, SnapshotReference, SnapshotRetention, TableMetadata};

use crate::commit::TOKEN;
use crate::error::{Error, Result};
use crate::offsets;
use crate::snapshot::TableSnapshot;
use crate::spec::MODEL_PROPERTY;
use crate::state::is_state;

/// A change of what a table calls its snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefChange {
    /// A name that moves with the commits made to it.
    CreateBranch {
        /// The new name.
        name: String,
        /// Where it starts; `None` for the current snapshot.
        snapshot: Option<i64>,
    },
    /// A name that stays.
    CreateTag {
        /// The new name.
        name: String,
        /// What it names; `None` for the current snapshot.
        snapshot: Option<i64>,
    },
    /// Points a branch other than `main` elsewhere.
    SetBranch {
        /// The branch.
        name: String,
        /// Its new snapshot.
        snapshot: i64,
    },
    /// Removes a branch or tag; its snapshots stay until they expire.
    Drop {
        /// The branch or tag.
        name: String,
    },
}

/// The branches and tags of a table by name; `main` is among them once the table has data.
pub(crate) fn all(metadata: &TableMetadata) -> Result<BTreeMap<String, SnapshotReference>> {
    // The library keeps them to itself; the JSON form has them.
    let refs = serde_json::to_value(metadata).and_then(|mut json| match json["refs"].take() {
        serde_json::Value::Null => Ok(BTreeMap::new()),
        refs => serde_json::from_value(refs),
    });
    let mut refs: BTreeMap<String, SnapshotReference> = refs.map_err(|cause| Error::File {
        subject: metadata.location().to_owned(),
        fact: format!("its branches and tags cannot be read: {cause}"),
        remedy: "restore the table's metadata from an earlier metadata file",
    })?;
    if let Some(id) = metadata.current_snapshot_id() {
        let main = || SnapshotReference::new(id, SnapshotRetention::branch(None, None, None));
        refs.entry(MAIN_BRANCH.to_owned()).or_insert_with(main);
    }
    Ok(refs)
}

/// The updates that make `change`, or why it does not fit the base.
pub(crate) fn updates(base: &TableSnapshot, change: &RefChange) -> Result<Result<Vec<TableUpdate>, String>> {
    let metadata = base.metadata();
    let refs = all(metadata)?;
    let at = |snapshot: &Option<i64>| match snapshot.or(metadata.current_snapshot_id()) {
        None => Err("it has no snapshot yet".to_owned()),
        Some(id) if metadata.snapshot_by_id(id).is_none() => Err(format!("there is no snapshot {id}")),
        Some(id) => Ok(id),
    };
    let set = |name: &str, snapshot_id: i64, retention: SnapshotRetention| {
        let reference = SnapshotReference { snapshot_id, retention };
        vec![TableUpdate::SetSnapshotRef { ref_name: name.to_owned(), reference }]
    };
    let made = match change {
        RefChange::CreateBranch { name, .. } | RefChange::CreateTag { name, .. }
            if refs.contains_key(name) =>
        {
            Err(format!("the name `{name}` is taken by a branch or tag"))
        }
        RefChange::CreateBranch { name, .. } | RefChange::CreateTag { name, .. } if name == MAIN_BRANCH => {
            Err("`main` is made by the first commit of rows".to_owned())
        }
        RefChange::CreateBranch { name, snapshot } => {
            at(snapshot).map(|id| set(name, id, SnapshotRetention::branch(None, None, None)))
        }
        RefChange::CreateTag { name, snapshot } => {
            at(snapshot).map(|id| set(name, id, SnapshotRetention::Tag { max_ref_age_ms: None }))
        }
        RefChange::SetBranch { name, snapshot } => match refs.get(name) {
            _ if name == MAIN_BRANCH => Err("`main` is moved by a rollback only".to_owned()),
            Some(reference) if reference.is_branch() => {
                at(&Some(*snapshot)).map(|id| set(name, id, reference.retention.clone()))
            }
            _ => Err(format!("there is no branch `{name}`")),
        },
        RefChange::Drop { name } if name == MAIN_BRANCH => Err("`main` cannot be dropped".to_owned()),
        RefChange::Drop { name } if !refs.contains_key(name) => {
            Err(format!("there is no branch or tag `{name}`"))
        }
        RefChange::Drop { name } => Ok(vec![TableUpdate::RemoveSnapshotRef { ref_name: name.clone() }]),
    };
    Ok(made)
}

/// The updates that forget snapshots; those that are forgotten already count as done.
pub(crate) fn expiry(base: &TableSnapshot, snapshots: &[i64]) -> Result<Result<Vec<TableUpdate>, String>> {
    let metadata = base.metadata();
    for (name, reference) in all(metadata)? {
        if snapshots.contains(&reference.snapshot_id) {
            return Ok(Err(format!("`{name}` points to snapshot {}", reference.snapshot_id)));
        }
    }
    let known = snapshots.iter().copied().filter(|id| metadata.snapshot_by_id(*id).is_some());
    Ok(Ok(forget(metadata, known.collect())))
}

/// The updates that remove snapshots of the table and their statistics.
pub(crate) fn forget(metadata: &TableMetadata, snapshot_ids: Vec<i64>) -> Vec<TableUpdate> {
    let statistics = snapshot_ids.iter().filter(|id| metadata.statistics_for_snapshot(**id).is_some());
    let mut updates: Vec<_> =
        statistics.map(|id| TableUpdate::RemoveStatistics { snapshot_id: *id }).collect();
    let partitions =
        snapshot_ids.iter().filter(|id| metadata.partition_statistics_for_snapshot(**id).is_some());
    updates.extend(partitions.map(|id| TableUpdate::RemovePartitionStatistics { snapshot_id: *id }));
    if !snapshot_ids.is_empty() {
        updates.push(TableUpdate::RemoveSnapshots { snapshot_ids });
    }
    updates
}

/// The updates that make `main` what it was at `snapshot`, Sluice's properties included.
pub(crate) async fn rollback(
    base: &TableSnapshot,
    snapshot: i64,
) -> Result<Result<Vec<TableUpdate>, String>> {
    let metadata = base.metadata();
    if metadata.current_snapshot_id() == Some(snapshot) {
        return Ok(Ok(Vec::new()));
    }
    if !base.ancestors().any(|ancestor| ancestor.snapshot_id() == snapshot) {
        return Ok(Err(format!("snapshot {snapshot} is not in its history")));
    }
    let main = all(metadata)?.remove(MAIN_BRANCH);
    let retention = main.map_or(SnapshotRetention::branch(None, None, None), |main| main.retention);
    let reference = SnapshotReference { snapshot_id: snapshot, retention };
    let mut updates = vec![TableUpdate::SetSnapshotRef { ref_name: MAIN_BRANCH.to_owned(), reference }];
    let restored = match properties_at(base, snapshot).await? {
        Some(properties) => properties,
        None => offsets_before(base, snapshot)?,
    };
    let gone = metadata.properties().keys().filter(|key| is_state(key) && !restored.contains_key(*key));
    let gone: Vec<String> = gone.cloned().collect();
    if !gone.is_empty() {
        updates.push(TableUpdate::RemoveProperties { removals: gone });
    }
    if !restored.is_empty() {
        updates.push(TableUpdate::SetProperties { updates: restored });
    }
    Ok(Ok(updates))
}

/// Sluice's properties in the last metadata file that had `snapshot` as its current one; `None` when no such file
/// is left.
async fn properties_at(base: &TableSnapshot, snapshot: i64) -> Result<Option<HashMap<String, String>>> {
    for entry in base.metadata().metadata_log().iter().rev() {
        let Ok(json) = base.lake().read_json(&entry.metadata_file).await else { return Ok(None) };
        let Ok(earlier) = serde_json::from_slice::<TableMetadata>(&json) else { return Ok(None) };
        if earlier.current_snapshot_id() == Some(snapshot) {
            let own = earlier.properties().iter().filter(|(key, _)| is_state(key));
            return Ok(Some(own.map(|(key, value)| (key.clone(), value.clone())).collect()));
        }
    }
    Ok(None)
}

/// Offsets as the summaries of the snapshots tell them.
fn offsets_before(base: &TableSnapshot, snapshot: i64) -> Result<HashMap<String, String>> {
    let restored = offsets::at(base.metadata(), base.name(), snapshot)?;
    // The token of the last commit is no part of the rows.
    let known = |key: &String| restored.contains_key(key) || key == TOKEN || key == MODEL_PROPERTY;
    let lost = base.metadata().properties().keys().find(|key| is_state(key) && !known(key));
    match lost {
        None => {
            let mut restored = restored;
            let kept = base.metadata().properties().get_key_value(MODEL_PROPERTY);
            restored.extend(kept.map(|(key, value)| (key.clone(), value.clone())));
            Ok(restored)
        }
        Some(key) => Err(Error::File {
            subject: format!("snapshot {snapshot} of table {}", base.name()),
            fact: format!("the metadata file that says what `{key}` was at it is gone"),
            remedy: "roll back to a younger snapshot, or build the table again",
        }),
    }
}
