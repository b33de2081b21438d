//! What a commit means on one base: the checks that need no files, and the draft to be staged.
//!
//! | operation | must hold on the base |
//! |---|---|
//! | any | same table (uuid) as the files were written for; their columns and partitioning still fit |
//! | any | every range starts at the table's next offset ([`crate::offsets`]) |
//! | all but append | the rules of [`super::conflicts`], which read what other writers did |

use std::collections::{BTreeMap, HashMap, HashSet};

use iceberg::TableUpdate;
use iceberg::spec::{self, DataContentType, DataFile, Struct, TableMetadata};
use uuid::Uuid;

use super::conflicts::{Guard, Rules};
use super::removal::Removal;
use super::{Commit, CommitOutcome, Operation, Partitions, Rewrite, RowChanges, StagedManifests, misfit};
use crate::error::{Error, Result};
use crate::files::LiveFile;
use crate::offsets::{self, Fence, SourceOffsets};
use crate::snapshot::TableSnapshot;
use crate::write::{StagedDeletes, StagedFiles};
use crate::{alter, refs};

/// Key of the commit's token, in the snapshot's summary and in the table's properties.
pub(crate) const TOKEN: &str = "sluice.commit";

/// The next state of one table, before any file is written.
pub(super) struct Draft<'a> {
    pub(super) token: Uuid,
    /// The snapshot to make; none for a change of properties only.
    pub(super) snapshot: Option<DraftSnapshot<'a>>,
    /// Changes of the metadata that come before the snapshot and the properties.
    pub(super) updates: Vec<TableUpdate>,
    /// Progress after this commit, by topic.
    pub(super) offsets: Vec<SourceOffsets>,
    pub(super) properties: &'a BTreeMap<String, String>,
}

/// The snapshot of a draft. Each kind of commit is one way to fill this in.
pub(super) struct DraftSnapshot<'a> {
    pub(super) operation: spec::Operation,
    /// Which live files go.
    pub(super) removal: Removal<'a>,
    /// What must not have happened since the snapshot was read that the change was computed from.
    pub(super) guard: Option<Guard<'a>>,
    pub(super) add: Option<&'a StagedFiles>,
    /// How old the added rows are, if they are not new.
    pub(super) sequence_number: Option<i64>,
    pub(super) deletes: Option<&'a StagedDeletes>,
    /// Manifests that take the place of others.
    pub(super) manifests: Option<&'a StagedManifests>,
    /// Entries of the summary beside the counts.
    pub(super) summary: Vec<(String, String)>,
}

/// What a check without files came to: a value, or the reason of a conflict.
type Checked<T> = std::result::Result<T, String>;

/// The draft of `commit` on `base`, or the outcome that ends it.
pub(super) async fn plan<'a>(
    commit: &'a Commit,
    base: &TableSnapshot,
) -> Result<std::result::Result<Draft<'a>, CommitOutcome>> {
    let conflicted = |reason| Ok(Err(CommitOutcome::Conflicted { table: commit.table.clone(), reason }));
    if let Some(reason) = misfit::of(commit, base.metadata()) {
        return conflicted(reason);
    }
    let snapshot = match snapshot(commit, base.metadata())? {
        Ok(snapshot) => snapshot,
        Err(reason) => return conflicted(reason),
    };
    let updates = match updates(commit, base).await? {
        Ok(updates) => updates,
        Err(reason) => return conflicted(reason),
    };
    match progress(commit, base)? {
        Ok(offsets) => {
            let properties = &commit.properties;
            Ok(Ok(Draft { token: commit.token, snapshot, updates, offsets, properties }))
        }
        Err(fenced) => Ok(Err(fenced)),
    }
}

/// The changes of the metadata beside snapshot, progress and properties.
async fn updates(commit: &Commit, base: &TableSnapshot) -> Result<Checked<Vec<TableUpdate>>> {
    if let Operation::Append
    | Operation::Overwrite { .. }
    | Operation::ReplacePartitions { .. }
    | Operation::ChangeRows(_)
    | Operation::Rewrite(_)
    | Operation::RewriteManifests(_) = commit.operation
    {
        let redefinition = commit.files.as_ref().and_then(|files| files.redefinition.as_ref());
        return Ok(Ok(redefinition.map_or(Vec::new(), |redefinition| redefinition.updates.clone())));
    }
    if commit.files.is_some() {
        return Err(invalid(commit, "a change of the metadata alone takes no files".to_owned()));
    }
    match &commit.operation {
        Operation::Alter(wanted) => alter::updates(&commit.table, base.metadata(), wanted).map(Ok),
        Operation::Refer(change) => refs::updates(base, change),
        Operation::RollBack { snapshot } => refs::rollback(base, *snapshot).await,
        Operation::Expire { snapshots } => refs::expiry(base, snapshots),
        _ => Ok(Ok(Vec::new())),
    }
}

/// The offsets after the commit, if each range follows on from the base's.
fn progress(
    commit: &Commit,
    base: &TableSnapshot,
) -> Result<std::result::Result<Vec<SourceOffsets>, CommitOutcome>> {
    let mut after = Vec::with_capacity(commit.offsets.len());
    for ranges in &commit.offsets {
        let topic = &ranges.source.topic;
        let current = SourceOffsets::find(base.metadata(), &commit.table, topic)?;
        let (table, topic) = (commit.table.clone(), topic.clone());
        match offsets::fence(current.as_ref(), ranges) {
            Fence::Passed(offsets) => after.push(offsets),
            Fence::Fenced { partition, start, next } => {
                return Ok(Err(CommitOutcome::Fenced { table, topic, partition, start, next }));
            }
            Fence::OtherCluster { recorded } => {
                let offered = ranges.source.cluster.clone();
                return Err(Error::OtherCluster { table, topic, recorded, offered });
            }
            Fence::Reversed { partition } => {
                return Err(invalid(
                    commit,
                    format!("the range of {topic}, partition {partition}, ends before it starts"),
                ));
            }
        }
    }
    Ok(Ok(after))
}

/// The snapshot to make; none when no row and no file changes.
fn snapshot<'a>(commit: &'a Commit, base: &TableMetadata) -> Result<Checked<Option<DraftSnapshot<'a>>>> {
    let add = commit.files.as_ref();
    let redefines = add.is_some_and(|files| files.redefinition.is_some());
    if redefines && !matches!(commit.operation, Operation::Overwrite { .. }) {
        return Err(invalid(commit, "only an overwrite can bring columns of its own".to_owned()));
    }
    let adds_rows = add.is_some_and(|files| files.file_count() > 0);
    let mut draft = DraftSnapshot {
        operation: spec::Operation::Append,
        removal: Removal::Nothing,
        guard: None,
        add,
        sequence_number: None,
        deletes: None,
        manifests: None,
        summary: summary(commit)?,
    };
    let changes = match &commit.operation {
        Operation::Append => adds_rows,
        Operation::Overwrite { read_snapshot } => {
            draft.operation = spec::Operation::Overwrite;
            draft.removal = Removal::Everything;
            draft.guard = Some(Guard { read_snapshot: *read_snapshot, rules: Rules::Everything });
            add.is_some()
        }
        Operation::ReplacePartitions { read_snapshot, partitions } => {
            replace_partitions(commit, base, &mut draft, *read_snapshot, partitions)?
        }
        Operation::ChangeRows(changes) => change_rows(commit, &mut draft, changes, adds_rows)?,
        Operation::Alter(_) | Operation::Refer(_) | Operation::RollBack { .. } | Operation::Expire { .. } => {
            false
        }
        Operation::RewriteManifests(staged) => rewrite_manifests(commit, &mut draft, staged)?,
        Operation::Rewrite(changes) => match rewrite(commit, base, &mut draft, changes)? {
            Ok(changes) => changes,
            Err(reason) => return Ok(Err(reason)),
        },
    };
    Ok(Ok(changes.then_some(draft)))
}

fn replace_partitions(
    commit: &Commit,
    base: &TableMetadata,
    draft: &mut DraftSnapshot<'_>,
    read_snapshot: Option<i64>,
    partitions: &Partitions,
) -> Result<bool> {
    let added: &[DataFile] = draft.add.map_or(&[], |files| &files.files);
    let values: HashSet<Struct> = match partitions {
        Partitions::OfAddedFiles => added.iter().map(|file| file.partition().clone()).collect(),
        Partitions::Listed(listed) => listed.iter().cloned().collect(),
    };
    if let Some(outside) = added.iter().find(|file| !values.contains(file.partition())) {
        let fact = format!("{} lies outside the partitions to be replaced", outside.file_path());
        return Err(invalid(commit, fact));
    }
    draft.operation = spec::Operation::Overwrite;
    let spec_id = draft.add.map_or(base.default_partition_spec_id(), |files| files.spec_id);
    let whole = base.partition_spec_by_id(spec_id).is_some_and(|spec| spec.is_unpartitioned());
    let changes = !values.is_empty();
    let rules = if whole {
        draft.removal = Removal::Everything;
        Rules::Everything
    } else {
        draft.removal = Removal::Partitions { spec_id, values: values.clone(), older: HashSet::new() };
        Rules::Partitions { spec_id, values }
    };
    draft.guard = Some(Guard { read_snapshot, rules });
    Ok(changes)
}

fn change_rows<'a>(
    commit: &Commit,
    draft: &mut DraftSnapshot<'a>,
    changes: &'a RowChanges,
    adds_rows: bool,
) -> Result<bool> {
    draft.deletes = changes.deletes.as_ref().filter(|deletes| deletes.file_count() > 0);
    let targets: &[LiveFile] = draft.deletes.map_or(&[], |deletes| deletes.targets());
    let (targets, replaced) = (by_path(targets.iter()), by_path(data_files(&changes.replaced)));
    if let Some(path) = targets.keys().find(|path| replaced.contains_key(**path)) {
        return Err(invalid(commit, format!("{path} is replaced and has rows deleted by position too")));
    }
    draft.operation = match (adds_rows, draft.deletes.is_some(), changes.replaced.is_empty()) {
        (true, false, true) => spec::Operation::Append,
        (false, _, _) => spec::Operation::Delete,
        (true, _, _) => spec::Operation::Overwrite,
    };
    draft.removal = Removal::files(&changes.replaced);
    let rules = Rules::Rows { targets, replaced, adds_rows, scope: &changes.scope };
    draft.guard = Some(Guard { read_snapshot: changes.read_snapshot, rules });
    Ok(adds_rows || draft.deletes.is_some() || !changes.replaced.is_empty())
}

fn rewrite<'a>(
    commit: &Commit,
    base: &TableMetadata,
    draft: &mut DraftSnapshot<'a>,
    changes: &'a Rewrite,
) -> Result<Checked<bool>> {
    let Some(read) = base.snapshot_by_id(changes.read_snapshot) else {
        return Ok(Err(format!("snapshot {}, which was rewritten, is gone", changes.read_snapshot)));
    };
    let rows_in: u64 = data_files(&changes.inputs).map(|file| file.parts().0.record_count()).sum();
    let rows_out = draft.add.map_or(0, StagedFiles::row_count);
    if rows_out > rows_in {
        return Err(invalid(commit, format!("a rewrite of {rows_in} rows holds {rows_out}")));
    }
    draft.operation = spec::Operation::Replace;
    draft.removal = Removal::files(&changes.inputs);
    draft.sequence_number = Some(read.sequence_number());
    let equality_deletes = changes.inputs.iter();
    let equality_deletes = equality_deletes
        .filter(|file| file.parts().0.content_type() == DataContentType::EqualityDeletes)
        .collect();
    let rules = Rules::Rewrite { data: by_path(data_files(&changes.inputs)), equality_deletes };
    draft.guard = Some(Guard { read_snapshot: Some(changes.read_snapshot), rules });
    Ok(Ok(!changes.inputs.is_empty()))
}

fn rewrite_manifests<'a>(
    commit: &Commit,
    draft: &mut DraftSnapshot<'a>,
    staged: &'a StagedManifests,
) -> Result<bool> {
    if commit.files.is_some() {
        return Err(invalid(commit, "a rewrite of manifests takes no files".to_owned()));
    }
    draft.operation = spec::Operation::Replace;
    draft.manifests = Some(staged);
    for (key, count) in [
        ("manifests-created", staged.written.len() as u64),
        ("manifests-replaced", staged.replaced.len() as u64),
        ("entries-processed", staged.entries()),
    ] {
        draft.summary.push((key.to_owned(), count.to_string()));
    }
    Ok(!staged.replaced.is_empty())
}

fn data_files(files: &[LiveFile]) -> impl Iterator<Item = &LiveFile> {
    files.iter().filter(|file| file.parts().0.content_type() == DataContentType::Data)
}

fn by_path<'a>(files: impl Iterator<Item = &'a LiveFile>) -> HashMap<&'a str, &'a LiveFile> {
    files.map(|file| (file.parts().0.file_path(), file)).collect()
}

fn invalid(commit: &Commit, fact: String) -> Error {
    Error::InvalidCommit { subject: commit.table.to_string(), fact }
}

/// The token and the ranges, as the snapshot's summary keeps them.
fn summary(commit: &Commit) -> Result<Vec<(String, String)>> {
    let mut entries = vec![(TOKEN.to_owned(), commit.token.to_string())];
    for ranges in &commit.offsets {
        entries.push(ranges.summary()?);
    }
    Ok(entries)
}

/// Whether an earlier attempt of `commit` is in this state of its table: in the ancestry (rows), or as the
/// last commit that wrote progress or properties.
pub(super) fn landed(commit: &Commit, base: &TableSnapshot) -> Result<bool> {
    let metadata = base.metadata();
    let token = commit.token.to_string();
    if metadata.properties().get(TOKEN) == Some(&token) {
        return Ok(true);
    }
    for ranges in &commit.offsets {
        let topic = &ranges.source.topic;
        if offsets::written_by(metadata.properties(), &commit.table, topic, commit.token)? {
            return Ok(true);
        }
    }
    let mut next = metadata.current_snapshot();
    while let Some(snapshot) = next {
        if snapshot.summary().additional_properties.get(TOKEN) == Some(&token) {
            return Ok(true);
        }
        next = snapshot.parent_snapshot_id().and_then(|id| metadata.snapshot_by_id(id));
    }
    Ok(false)
}
