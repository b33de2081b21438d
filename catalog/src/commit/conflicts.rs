//! Whether a change computed from one snapshot may land on a later one.
//!
//! Looks at the snapshots in between, each by the manifests it wrote itself, so the work grows with what
//! other writers did in the meantime and not with the table's history.
//!
//! | kind | refused when, in between, |
//! |---|---|
//! | overwrite | anything but rewrites happened |
//! | replace partitions | a data file (other than by a rewrite) or a delete file came into one of them |
//! | change rows | a file that it deletes positions of went away |
//! | change rows that adds rows | a delete came that can apply to a file it replaces or deletes positions of |
//! | change rows | a data file within its scope came, other than by a rewrite |
//! | rewrite | a position delete came that can apply to an input |
//! | rewrite | an older data file came back to which a delete file among the inputs applies |
//! | each | the snapshot that was read is no longer in the history |
//!
//! That every replaced file is still live is found out where it is removed ([`super::stage`]). A rewrite
//! survives new equality deletes, because its output keeps the sequence number of what was read. A delete
//! without new rows survives other deletes: a row that is deleted twice is deleted.

use std::collections::{HashMap, HashSet};

use iceberg::spec::{
    DataContentType, DataFile, ManifestContentType, ManifestEntry, ManifestFile, ManifestStatus, Operation,
    PartitionSpecRef, Snapshot, Struct,
};

use super::manifests::Manifests;
use super::operation::Scope;
use super::removal::{only_target, path_bounds};
use crate::error::Result;
use crate::files::LiveFile;

/// What must not have happened since a snapshot was read.
#[derive(Debug)]
pub(super) struct Guard<'a> {
    pub(super) read_snapshot: Option<i64>,
    pub(super) rules: Rules<'a>,
}

/// The rules of one kind of commit.
#[derive(Debug)]
pub(super) enum Rules<'a> {
    /// All rows are replaced.
    Everything,
    /// All rows of these partitions of one spec are replaced.
    Partitions { spec_id: i32, values: HashSet<Struct> },
    /// Rows are changed.
    Rows {
        /// Files that positions are deleted of, by path.
        targets: HashMap<&'a str, &'a LiveFile>,
        /// Data files that are replaced.
        replaced: HashMap<&'a str, &'a LiveFile>,
        /// Whether the change adds rows.
        adds_rows: bool,
        scope: &'a Scope,
    },
    /// Files are rewritten.
    Rewrite {
        /// Data files, by path.
        data: HashMap<&'a str, &'a LiveFile>,
        /// Equality delete files that go.
        equality_deletes: Vec<&'a LiveFile>,
    },
}

/// One file that a snapshot in between added or removed.
struct Step<'a> {
    snapshot: &'a Snapshot,
    manifest: &'a ManifestFile,
    entry: &'a ManifestEntry,
    spec: Option<&'a PartitionSpecRef>,
}

/// Why the change may not land on the base of `manifests`; `None` when it may.
pub(super) async fn find(manifests: &Manifests<'_>, guard: &Guard<'_>) -> Result<Option<String>> {
    let base = manifests.base;
    let mut next = manifests.parent().map(|snapshot| snapshot.snapshot_id());
    let mut seen = 0;
    // The snapshot that was read may have expired itself, as long as all that follow it are known.
    while next != guard.read_snapshot {
        let name = guard.read_snapshot.map_or("none".to_owned(), |id| id.to_string());
        let Some(id) = next.filter(|_| seen <= base.snapshots().len()) else {
            return Ok(Some(format!("the snapshot that was read ({name}) is no longer in its history")));
        };
        seen += 1;
        let Some(snapshot) = base.snapshot_by_id(id) else {
            return Ok(Some(format!("the snapshots since the one that was read ({name}) were expired")));
        };
        if let Some(reason) = of_snapshot(manifests, guard, snapshot).await? {
            let operation = snapshot.summary().operation.as_str();
            return Ok(Some(format!("{reason} (snapshot {id}, {operation})")));
        }
        next = snapshot.parent_snapshot_id();
    }
    Ok(None)
}

async fn of_snapshot(
    manifests: &Manifests<'_>,
    guard: &Guard<'_>,
    snapshot: &Snapshot,
) -> Result<Option<String>> {
    let rewrite = snapshot.summary().operation == Operation::Replace;
    if let Rules::Everything = guard.rules {
        return Ok((!rewrite).then(|| "its rows changed since they were read".to_owned()));
    }
    let list = manifests.of(snapshot).await?;
    let own: Vec<_> =
        list.into_iter().filter(|manifest| manifest.added_snapshot_id == snapshot.snapshot_id()).collect();
    for (manifest, read) in own.iter().zip(manifests.read(&own).await?) {
        let spec = manifests.base.partition_spec_by_id(manifest.partition_spec_id);
        for entry in read.entries() {
            let by_it = entry.snapshot_id() == Some(snapshot.snapshot_id());
            if !by_it || entry.status() == ManifestStatus::Existing {
                continue;
            }
            if let Some(reason) = guard.rules.broken_by(&Step { snapshot, manifest, entry, spec }) {
                return Ok(Some(reason));
            }
        }
    }
    Ok(None)
}

impl Step<'_> {
    fn file(&self) -> &DataFile {
        self.entry.data_file()
    }

    fn adds(&self, content: ManifestContentType) -> bool {
        self.entry.status() == ManifestStatus::Added && self.manifest.content == content
    }

    /// New rows, and not old ones in a new file.
    fn adds_rows(&self) -> bool {
        self.adds(ManifestContentType::Data) && self.snapshot.summary().operation != Operation::Replace
    }

    /// The first of `files` that this new delete file can apply to.
    fn reaches<'f>(&self, files: &HashMap<&'f str, &LiveFile>, positions_only: bool) -> Option<&'f str> {
        if !self.adds(ManifestContentType::Deletes) {
            return None;
        }
        let deletes = self.file();
        if deletes.content_type() == DataContentType::EqualityDeletes {
            return (!positions_only).then(|| self.reaches_by_value(files)).flatten();
        }
        if let Some(path) = only_target(deletes) {
            return files.get_key_value(path.as_str()).map(|(path, _)| *path);
        }
        let bounds = path_bounds(deletes);
        let named = |path: &str| {
            bounds.as_ref().is_none_or(|(lower, upper)| (lower.as_str()..=upper.as_str()).contains(&path))
        };
        files
            .iter()
            .filter(|(path, file)| named(path) && self.same_partition(file))
            .map(|(path, _)| *path)
            .min()
    }

    fn reaches_by_value<'f>(&self, files: &HashMap<&'f str, &LiveFile>) -> Option<&'f str> {
        let everywhere = self.spec.is_none_or(|spec| spec.is_unpartitioned());
        let reached = |file: &LiveFile| everywhere || self.same_partition(file);
        files.iter().filter(|(_, file)| reached(file)).map(|(path, _)| *path).min()
    }

    fn same_partition(&self, file: &LiveFile) -> bool {
        self.manifest.partition_spec_id == file.partition_spec_id
            && self.file().partition() == file.parts().0.partition()
    }
}

impl Rules<'_> {
    fn broken_by(&self, step: &Step<'_>) -> Option<String> {
        let path = step.file().file_path();
        match self {
            Self::Everything => None,
            Self::Partitions { spec_id, values } => {
                // A file of another spec may hold rows of these partitions.
                let inside =
                    step.manifest.partition_spec_id != *spec_id || values.contains(step.file().partition());
                let added = step.adds_rows() || step.adds(ManifestContentType::Deletes);
                (added && inside).then(|| format!("{path} came into a partition that is replaced"))
            }
            Self::Rows { targets, replaced, adds_rows, scope } => {
                if step.entry.status() == ManifestStatus::Deleted && targets.contains_key(path) {
                    return Some(format!("{path}, of which rows are deleted, is gone"));
                }
                if *adds_rows {
                    let hit = step.reaches(targets, false).or_else(|| step.reaches(replaced, false));
                    if let Some(hit) = hit {
                        return Some(format!("rows of {hit} were deleted by {path}"));
                    }
                }
                let inside = step.adds_rows() && scope.covers(step.file(), step.manifest.partition_spec_id);
                inside.then(|| format!("{path} may hold rows that the change is about"))
            }
            Self::Rewrite { data, equality_deletes } => {
                if let Some(hit) = step.reaches(data, true) {
                    return Some(format!("rows of {hit} were deleted by {path}"));
                }
                let came_back = equality_deletes.iter().any(|deletes| step.needs(deletes));
                came_back.then(|| format!("{path} needs a delete file that the rewrite removes"))
            }
        }
    }
}

impl Step<'_> {
    /// A new data file that is older than the equality delete file and in its reach.
    fn needs(&self, deletes: &LiveFile) -> bool {
        let older = self.entry.sequence_number().is_none_or(|number| number < deletes.sequence_number);
        let everywhere = deletes.parts().0.partition().iter().next().is_none();
        self.adds(ManifestContentType::Data) && older && (everywhere || self.same_partition(deletes))
    }
}
