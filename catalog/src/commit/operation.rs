//! The kinds of commit, as callers say what shall happen to a table.
//!
//! | kind | live files | new files |
//! |---|---|---|
//! | append | stay | added |
//! | overwrite | all go | added |
//! | replace partitions | those of some partitions go | added |
//! | change rows | the replaced ones go; rows of others are deleted by position | added |
//! | rewrite | the inputs go | hold the same rows, added with the inputs' sequence number |
//! | rewrite manifests | stay; other manifests list them | none |
//! | alter, refer, roll back, expire | are not touched | none |
//!
//! Kinds other than the append are computed from a snapshot that was read. Whether what happened since then
//! allows them to land is the business of [`super::conflicts`].

use std::fmt;
use std::sync::Arc;

use iceberg::spec::{DataFile, ManifestFile, Struct};
use uuid::Uuid;

use crate::alter::Alteration;
use crate::files::LiveFile;
use crate::refs::RefChange;
use crate::write::StagedDeletes;

/// What happens to the files that are live in the base.
#[derive(Clone, Debug)]
pub enum Operation {
    /// They stay.
    Append,
    /// They are all replaced; refused as [`crate::CommitOutcome::Conflicted`] when rows changed since the
    /// snapshot that the replacement was computed from.
    Overwrite {
        /// The snapshot that was read; `None` for an empty table.
        read_snapshot: Option<i64>,
    },
    /// Those of some partitions are replaced, data and delete files alike.
    ReplacePartitions {
        /// The snapshot that was read; `None` for an empty table.
        read_snapshot: Option<i64>,
        /// Which partitions.
        partitions: Partitions,
    },
    /// Rows are deleted, updated or merged: by replacing whole files, by deletes of positions, or both.
    ChangeRows(RowChanges),
    /// The same rows in other files (compaction).
    Rewrite(Rewrite),
    /// The same files, listed by other manifests.
    RewriteManifests(StagedManifests),
    /// No file changes; columns, partitioning or properties do.
    Alter(Vec<Alteration>),
    /// No file changes; a branch or tag does.
    Refer(RefChange),
    /// The table is again what it was at a snapshot of its history, with the progress it had then; what came after
    /// stays in the store until it expires.
    RollBack {
        /// The snapshot.
        snapshot: i64,
    },
    /// Snapshots are forgotten, and time travel to them ends; their files stay until orphans are removed.
    /// Refused for one that a branch or tag points to.
    Expire {
        /// The snapshots; those that are gone already count as done.
        snapshots: Vec<i64>,
    },
}

/// Partitions of a table's current partition spec; an unpartitioned table is one partition.
#[derive(Clone, Debug)]
pub enum Partitions {
    /// Those that the added files belong to.
    OfAddedFiles,
    /// These, by the values of the spec's fields; added files outside of them are refused.
    Listed(Vec<Struct>),
}

/// A change of some rows, computed from a snapshot.
#[derive(Clone, Debug)]
pub struct RowChanges {
    /// The snapshot that was read; `None` for an empty table.
    pub read_snapshot: Option<i64>,
    /// Live files of that snapshot that go, data or delete files. The rows of theirs that stay are in the
    /// commit's added files; a file whose rows all go needs none.
    pub replaced: Vec<LiveFile>,
    /// Rows of other live files that go.
    pub deletes: Option<StagedDeletes>,
    /// Which new data would have changed the result.
    pub scope: Scope,
}

/// Live files made into others with the same rows.
#[derive(Clone, Debug)]
pub struct Rewrite {
    /// The snapshot that was read.
    pub read_snapshot: i64,
    /// Data files whose rows are in the commit's added files, less the deleted ones; and delete files that no
    /// data file needs any more. Deletes that name only one of the data files go with it by themselves.
    pub inputs: Vec<LiveFile>,
}

/// Manifests that are written and not yet listed, with the live entries of others; see
/// [`crate::maintain::rewrite_manifests`].
#[derive(Clone, Debug)]
pub struct StagedManifests {
    pub(crate) table_uuid: Uuid,
    /// Locations of the manifests they replace, which must be listed by the state they land on.
    pub(crate) replaced: Vec<String>,
    pub(crate) written: Vec<ManifestFile>,
}

/// Which data files, added since the snapshot was read, would have changed what was computed from it.
#[derive(Clone)]
pub enum Scope {
    /// Any: the change looked at the whole table (serializable).
    Table,
    /// Those of these partitions, given as partition spec and values; files of other specs count too, because
    /// they may hold such rows (serializable).
    Partitions(Vec<(i32, Struct)>),
    /// Those for which this says yes, given the file and its partition spec: a predicate's pruning
    /// (serializable as far as it never says no to a file with matching rows).
    Matching(Arc<FileTest>),
    /// None: rows that were not there when the change was computed are left alone (snapshot isolation).
    ReadFiles,
}

/// Whether a data file of a partition spec may hold rows of interest.
pub type FileTest = dyn Fn(&DataFile, i32) -> bool + Send + Sync;

impl Operation {
    /// Delete files that the commit adds.
    pub(super) fn deletes(&self) -> Option<&StagedDeletes> {
        match self {
            Self::ChangeRows(changes) => changes.deletes.as_ref(),
            _ => None,
        }
    }
}

impl StagedManifests {
    /// Files that the manifests list.
    pub(super) fn entries(&self) -> u64 {
        self.written.iter().filter_map(|manifest| manifest.existing_files_count).map(u64::from).sum()
    }
}

impl Scope {
    /// Those for which `test` says yes, given the file and its partition spec; see [`Scope::Matching`].
    pub fn matching(test: impl Fn(&DataFile, i32) -> bool + Send + Sync + 'static) -> Self {
        Self::Matching(Arc::new(test))
    }

    /// Whether this new data file matters.
    pub(super) fn covers(&self, file: &DataFile, spec_id: i32) -> bool {
        match self {
            Self::Table => true,
            Self::Partitions(partitions) => {
                let mut specs = partitions.iter().map(|(spec, _)| *spec);
                !specs.all(|spec| spec == spec_id)
                    || partitions.iter().any(|(_, values)| values == file.partition())
            }
            Self::Matching(test) => test(file, spec_id),
            Self::ReadFiles => false,
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table => formatter.write_str("Table"),
            Self::Partitions(partitions) => formatter.debug_tuple("Partitions").field(partitions).finish(),
            Self::Matching(_) => formatter.write_str("Matching(..)"),
            Self::ReadFiles => formatter.write_str("ReadFiles"),
        }
    }
}
