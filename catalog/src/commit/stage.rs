//! From a base and a draft to the next state, written but not yet pointed to.
//!
//! One function for every kind of commit; the kinds differ in the draft ([`super::plan`]).
//!
//! ```text
//! base + draft -> manifests -> manifest list -> snapshot -> metadata.json -> Staged
//! ```
//!
//! The time of the new state is never before the base's: readers refuse a table whose log runs backwards,
//! and a clock that steps back must not stop commits.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use iceberg::spec::{FormatVersion, MAIN_BRANCH, ManifestContentType, ManifestFile, Snapshot, TableMetadata};
use iceberg::{MetadataLocation, TableRequirement, TableUpdate};
use uuid::Uuid;

use super::manifests::{Manifests, default_spec};
use super::plan::{Draft, DraftSnapshot, TOKEN};
use super::removal::Removal;
use super::restate::restate;
use super::summary::Tally;
use super::{conflicts, merge, older};
use crate::alter::misfit;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::metadata::{self, Encoded};
use crate::snapshot::TableSnapshot;
use crate::storage::Held;

const DELETE_AFTER_COMMIT: &str = "write.metadata.delete-after-commit.enabled";

/// The next state of a table: its files are written, no pointer leads to them.
pub(super) struct Staged {
    pub(super) metadata: Arc<TableMetadata>,
    /// The file of the metadata, unless the catalog writes it.
    encoded: Option<Encoded>,
    /// The manifest list of the new snapshot, if there is one.
    list: Option<Vec<ManifestFile>>,
    /// Where the metadata was written.
    pub(super) location: String,
    /// Where the base's metadata is; the pointer must still be there.
    pub(super) expected: String,
    /// The same expectation and the same change in the terms of the Iceberg REST protocol.
    pub(super) requirements: Vec<TableRequirement>,
    pub(super) updates: Vec<TableUpdate>,
    /// What this attempt wrote, to be deleted if it is rejected.
    pub(super) written: Vec<String>,
    /// Metadata files to be deleted once this state is current.
    pub(super) outdated: Vec<String>,
}

impl Staged {
    /// Keeps the new state in memory, once it is the table's: the next commit and the next query start from it.
    pub(super) async fn keep(&mut self, lake: &Lake) {
        if let Some(encoded) = &self.encoded {
            lake.keep(&self.location, &self.metadata, encoded).await;
        }
        if let (Some(list), Some(snapshot)) = (self.list.take(), self.metadata.current_snapshot()) {
            lake.keep_list(snapshot.manifest_list(), list.into()).await;
        }
    }
}

/// What staging came to: the next state, or the reason why the change does not fit the base.
pub(super) type Staging<T> = std::result::Result<T, String>;

/// Writes the next state; an attempt that fails or is refused deletes what it wrote.
///
/// `merge` allows small manifests to be merged on the way.
pub(super) async fn stage(
    lake: &Lake,
    base: &TableSnapshot,
    draft: &Draft<'_>,
    now: DateTime<Utc>,
    merge: bool,
) -> Result<Staging<Staged>> {
    let held = lake.inner().storage.held();
    match write(lake, base, draft, now, merge, &held).await {
        Ok(Ok(staged)) => Ok(Ok(Staged { written: held.begun(), ..staged })),
        refused => {
            delete(lake, &held.begun()).await;
            refused
        }
    }
}

/// Deletes files that nothing points to; what cannot be deleted now is left to the removal of orphans.
pub(super) async fn delete(lake: &Lake, locations: &[String]) {
    for location in locations {
        if let Err(cause) = lake.inner().file_io.delete(location).await {
            tracing::warn!(%location, %cause, "cannot delete a file that no table uses; it stays as an orphan");
        }
    }
}

async fn write(
    lake: &Lake,
    base: &TableSnapshot,
    draft: &Draft<'_>,
    now: DateTime<Utc>,
    merge: bool,
    held: &Held,
) -> Result<Staging<Staged>> {
    let metadata = base.metadata();
    if metadata.format_version() != FormatVersion::V2 {
        return Err(Error::File {
            subject: format!("table {}", base.name()),
            fact: format!("its format version is {}; only version 2 is written", metadata.format_version()),
            remedy: "write it with the engine that made it, or copy it into a table of version 2",
        });
    }
    let failed =
        |source| Error::Iceberg { subject: format!("commit to {}", base.name()), source: Box::new(source) };
    let location = MetadataLocation::from_str(base.metadata_location()).map_err(failed)?.with_next_version();
    let attempt = attempt_id(&location, base)?;
    let timestamp_ms = now.timestamp_millis().max(metadata.last_updated_ms());
    let (snapshot, list) = match &draft.snapshot {
        None => (None, None),
        Some(snapshot) => {
            let snapshot_id = new_snapshot_id(attempt, metadata);
            let manifests = Manifests {
                lake,
                io: held.io(),
                table: base.name(),
                base: metadata,
                parent: metadata.current_snapshot(),
                snapshot_id,
                attempt,
                next: 0,
            };
            match write_snapshot(manifests, snapshot, timestamp_ms, merge).await? {
                Ok((snapshot, list)) => (Some(snapshot), Some(list)),
                Err(reason) => return Ok(Err(reason)),
            }
        }
    };
    let requirements = requirements(metadata, draft);
    for requirement in &requirements {
        requirement.check(Some(metadata)).map_err(failed)?;
    }
    let next = next_state(base, draft, snapshot, timestamp_ms)?;
    let location = location.with_new_metadata(&next.metadata);
    let state = Arc::new(next.metadata);
    let kept_by_catalog = lake.inner().catalog.writes_metadata();
    let mut encoded = None;
    if !kept_by_catalog {
        let file = metadata::encode(&state, &location).await?;
        held.write(&location.to_string(), file.bytes.clone()).await?;
        encoded = Some(file);
    }
    held.store().await?;
    let delete = state.properties().get(DELETE_AFTER_COMMIT).is_some_and(|value| value == "true");
    Ok(Ok(Staged {
        metadata: state,
        encoded,
        list,
        location: location.to_string(),
        expected: base.metadata_location().to_owned(),
        requirements,
        updates: next.updates,
        written: Vec::new(),
        outdated: if delete && !kept_by_catalog { beside(base, next.dropped) } else { Vec::new() },
    }))
}

/// Those of the metadata files that lie where the base's does: a log may name anything.
fn beside(base: &TableSnapshot, mut files: Vec<String>) -> Vec<String> {
    let folder = |location: &str| location.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let own = folder(base.metadata_location());
    files.retain(|file| folder(file) == own && file.ends_with(".metadata.json"));
    files
}

/// A state before it is written.
struct Next {
    metadata: TableMetadata,
    updates: Vec<TableUpdate>,
    /// Metadata files that fell out of the log.
    dropped: Vec<String>,
}

fn next_state(
    base: &TableSnapshot,
    draft: &Draft<'_>,
    snapshot: Option<Snapshot>,
    timestamp_ms: i64,
) -> Result<Next> {
    let (metadata, location) = (base.metadata(), base.metadata_location());
    let failed =
        |source| Error::Iceberg { subject: format!("commit to {}", base.name()), source: Box::new(source) };
    let current = snapshot.as_ref().or(metadata.current_snapshot().map(AsRef::as_ref));
    let changed = properties(draft, current)?;
    let mut updates = draft.updates.clone();
    updates.push(TableUpdate::SetProperties { updates: changed });
    let Some(snapshot) = snapshot else {
        let next = restate(metadata, location, &updates, timestamp_ms);
        let (metadata, dropped) = next.map_err(|source| misfit(base.name(), &source))?;
        return Ok(Next { metadata, updates, dropped });
    };
    let mut builder = metadata.clone().into_builder(Some(location.to_owned()));
    for update in updates {
        builder = update.apply(builder).map_err(|source| misfit(base.name(), &source))?;
    }
    let built = builder.set_branch_snapshot(snapshot, MAIN_BRANCH).and_then(|builder| builder.build());
    let built = built.map_err(failed)?;
    let dropped = built.expired_metadata_logs.into_iter().map(|log| log.metadata_file).collect();
    Ok(Next { metadata: built.metadata, updates: built.changes, dropped })
}

/// Manifests, manifest list and the snapshot that names it.
async fn write_snapshot(
    mut manifests: Manifests<'_>,
    draft: &DraftSnapshot<'_>,
    timestamp_ms: i64,
    merge: bool,
) -> Result<Staging<(Snapshot, Vec<ManifestFile>)>> {
    if let Some(guard) = &draft.guard
        && let Some(reason) = conflicts::find(&manifests, guard).await?
    {
        return Ok(Err(reason));
    }
    let mut tally = Tally::default();
    let mut next = added(&mut manifests, draft, &mut tally).await?;
    match remaining(&mut manifests, draft, &mut tally, merge).await? {
        Ok(mut remaining) => next.append(&mut remaining),
        Err(reason) => return Ok(Err(reason)),
    }
    let base = manifests.base;
    let summary = tally.summary(
        draft.operation.clone(),
        manifests.parent.map(|parent| parent.summary()),
        matches!(draft.removal, Removal::Everything),
        &draft.summary,
    );
    let (location, list) = manifests.list(next).await?;
    let snapshot = Snapshot::builder()
        .with_snapshot_id(manifests.snapshot_id)
        .with_parent_snapshot_id(manifests.parent.map(|parent| parent.snapshot_id()))
        .with_sequence_number(base.next_sequence_number())
        .with_timestamp_ms(timestamp_ms)
        .with_manifest_list(location)
        .with_summary(summary)
        .with_schema_id(form_of(draft).unwrap_or(base).current_schema_id())
        .build();
    Ok(Ok((snapshot, list)))
}

/// The table as the commit redefines it, if it does.
fn form_of<'a>(draft: &DraftSnapshot<'a>) -> Option<&'a TableMetadata> {
    draft.add?.redefinition.as_ref().map(|redefinition| &redefinition.metadata)
}

/// The manifests of the new files: one of data files, and one of delete files for each partition spec.
async fn added(
    manifests: &mut Manifests<'_>,
    draft: &DraftSnapshot<'_>,
    tally: &mut Tally,
) -> Result<Vec<ManifestFile>> {
    // Files that bring columns of their own are described by those.
    let base = form_of(draft).unwrap_or(manifests.base);
    let mut added = Vec::new();
    let spec = |id| base.partition_spec_by_id(id).unwrap_or(base.default_partition_spec()).as_ref().clone();
    if let Some(add) = draft.add.filter(|add| !add.files.is_empty()) {
        let schema = base.schema_by_id(add.schema_id).unwrap_or(base.current_schema()).clone();
        let form = (schema, spec(add.spec_id));
        let (files, age) = (add.files.iter(), draft.sequence_number);
        added.push(manifests.added(ManifestContentType::Data, form, files, age, tally).await?);
    }
    let mut deletes: BTreeMap<i32, Vec<_>> = BTreeMap::new();
    for (spec_id, file) in draft.deletes.iter().flat_map(|deletes| deletes.files()) {
        deletes.entry(*spec_id).or_default().push(file);
    }
    for (spec_id, files) in deletes {
        let form = (base.current_schema().clone(), spec(spec_id));
        let files = files.into_iter();
        added.push(manifests.added(ManifestContentType::Deletes, form, files, None, tally).await?);
    }
    Ok(added)
}

/// The manifests of the live files that stay, and what tells of those that go.
async fn remaining(
    manifests: &mut Manifests<'_>,
    draft: &DraftSnapshot<'_>,
    tally: &mut Tally,
    merge: bool,
) -> Result<Staging<Vec<ManifestFile>>> {
    let base = manifests.base;
    let mut live = manifests.live().await?;
    if let Some(staged) = draft.manifests {
        return Ok(manifests.exchanged(live, staged));
    }
    let found;
    let removal = match &draft.removal {
        Removal::Partitions { spec_id, values, .. } => {
            let older = older::files(manifests, &live, *spec_id, values).await?;
            found = Removal::Partitions { spec_id: *spec_id, values: values.clone(), older };
            &found
        }
        other => other,
    };
    if !matches!(removal, Removal::Nothing) {
        let mut found = HashSet::new();
        let kept = manifests.without(live, removal, &mut found, tally).await?;
        return Ok(match removal.missing(&found) {
            Some(path) => Err(format!("{path}, which is to be replaced, is no longer live")),
            None => Ok(kept),
        });
    }
    let spec = default_spec(base);
    let picked = if merge { merge::pick(&live, spec.spec_id(), base.properties()) } else { Vec::new() };
    let mut next = Vec::new();
    if !picked.is_empty() {
        let small: Vec<_> = picked.iter().map(|&index| live[index].clone()).collect();
        next.push(manifests.merged(&small, spec).await?);
        let mut index = 0;
        live.retain(|_| {
            index += 1;
            !picked.contains(&(index - 1))
        });
    }
    next.append(&mut live);
    Ok(Ok(next))
}

/// What must hold on the table for this change to be right.
fn requirements(base: &TableMetadata, draft: &Draft<'_>) -> Vec<TableRequirement> {
    let mut requirements = vec![
        TableRequirement::UuidMatch { uuid: base.uuid() },
        TableRequirement::RefSnapshotIdMatch {
            r#ref: MAIN_BRANCH.to_owned(),
            snapshot_id: base.current_snapshot_id(),
        },
    ];
    if !draft.updates.is_empty() {
        let last_assigned_field_id = base.last_column_id();
        requirements.push(TableRequirement::LastAssignedFieldIdMatch { last_assigned_field_id });
        let last_assigned_partition_id = base.last_partition_id();
        requirements.push(TableRequirement::LastAssignedPartitionIdMatch { last_assigned_partition_id });
    }
    if draft.snapshot.is_some() || !draft.updates.is_empty() {
        requirements
            .push(TableRequirement::CurrentSchemaIdMatch { current_schema_id: base.current_schema_id() });
        requirements
            .push(TableRequirement::DefaultSpecIdMatch { default_spec_id: base.default_partition_spec_id() });
    }
    requirements
}

/// The properties that this commit sets: the caller's, the offsets, and the token.
fn properties(draft: &Draft<'_>, snapshot: Option<&Snapshot>) -> Result<HashMap<String, String>> {
    let mut properties: HashMap<_, _> =
        draft.properties.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for offsets in &draft.offsets {
        let (key, value) = offsets.property(draft.token, snapshot)?;
        properties.insert(key, value);
    }
    properties.insert(TOKEN.to_owned(), draft.token.to_string());
    Ok(properties)
}

/// The library draws a new id for each metadata file; the attempt's other files carry it too.
fn attempt_id(location: &MetadataLocation, base: &TableSnapshot) -> Result<Uuid> {
    let text = location.to_string();
    let id = text.rsplit('/').next().and_then(|name| name.split_once('-')).and_then(|(_, id)| id.get(..36));
    id.and_then(|id| Uuid::parse_str(id).ok()).ok_or_else(|| Error::File {
        subject: base.metadata_location().to_owned(),
        fact: "its name is not VERSION-UUID.metadata.json".to_owned(),
        remedy: "register the table under such a name, as every Iceberg SQL catalog writes it",
    })
}

/// A positive id that the table does not have yet.
fn new_snapshot_id(attempt: Uuid, base: &TableMetadata) -> i64 {
    let (high, low) = attempt.as_u64_pair();
    let mut id = ((high ^ low) & (i64::MAX as u64)) as i64;
    while id == 0 || base.snapshot_by_id(id).is_some() {
        id = id.wrapping_add(1) & i64::MAX;
    }
    id
}
