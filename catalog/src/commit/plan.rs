//! What a commit means on one base: the checks that need no files, and the draft to be staged.
//!
//! | operation | must hold on the base |
//! |---|---|
//! | any | same table (uuid) as the files were written for; their columns and partitioning still fit |
//! | any | every range starts at the table's next offset ([`crate::offsets`]) |
//! | overwrite | the current snapshot is the one that was read |

use std::collections::BTreeMap;

use iceberg::spec::{self, TableMetadata};
use uuid::Uuid;

use super::{Commit, CommitOutcome, Operation};
use crate::error::{Error, Result};
use crate::offsets::{self, Fence, SourceOffsets};
use crate::snapshot::TableSnapshot;
use crate::write::StagedFiles;

/// Key of the commit's token, in the snapshot's summary and in the table's properties.
pub(super) const TOKEN: &str = "sluice.commit";

/// The next state of one table, before any file is written.
pub(super) struct Draft<'a> {
    pub(super) token: Uuid,
    /// The snapshot to make; none for a change of properties only.
    pub(super) snapshot: Option<DraftSnapshot<'a>>,
    /// Progress after this commit, by topic.
    pub(super) offsets: Vec<SourceOffsets>,
    pub(super) properties: &'a BTreeMap<String, String>,
}

/// The snapshot of a draft. Each kind of commit is one way to fill this in.
pub(super) struct DraftSnapshot<'a> {
    pub(super) operation: spec::Operation,
    pub(super) remove: Remove,
    pub(super) add: &'a StagedFiles,
    /// Entries of the summary beside the counts.
    pub(super) summary: Vec<(String, String)>,
}

/// Which live files a commit removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remove {
    Nothing,
    Everything,
}

/// The draft of `commit` on `base`, or the outcome that ends it.
pub(super) fn plan<'a>(
    commit: &'a Commit,
    base: &TableSnapshot,
) -> Result<std::result::Result<Draft<'a>, CommitOutcome>> {
    let metadata = base.metadata();
    let conflicted = |reason| Ok(Err(CommitOutcome::Conflicted { table: commit.table.clone(), reason }));
    if let Some(reason) = commit.files.as_ref().and_then(|files| misfit(files, metadata)) {
        return conflicted(reason);
    }
    let (operation, remove) = match commit.operation {
        Operation::Append => (spec::Operation::Append, Remove::Nothing),
        Operation::Overwrite { read_snapshot } => {
            let current = metadata.current_snapshot_id();
            if current != read_snapshot {
                let name = |id: Option<i64>| id.map_or("empty".to_owned(), |id| format!("at snapshot {id}"));
                let (read, now) = (name(read_snapshot), name(current));
                return conflicted(format!("the replacement was computed when it was {read}; it is {now}"));
            }
            (spec::Operation::Overwrite, Remove::Everything)
        }
    };
    let mut after = Vec::with_capacity(commit.offsets.len());
    for ranges in &commit.offsets {
        let topic = &ranges.source.topic;
        let current = SourceOffsets::find(metadata.properties(), &commit.table, topic)?;
        match offsets::fence(current.as_ref(), ranges) {
            Fence::Passed(offsets) => after.push(offsets),
            Fence::Fenced { partition, start, next } => {
                let (table, topic) = (commit.table.clone(), topic.clone());
                return Ok(Err(CommitOutcome::Fenced { table, topic, partition, start, next }));
            }
            Fence::OtherCluster { recorded } => {
                let (table, topic) = (commit.table.clone(), topic.clone());
                let offered = ranges.source.cluster.clone();
                return Err(Error::OtherCluster { table, topic, recorded, offered });
            }
            Fence::Reversed { partition } => {
                let fact = format!("the range of {topic}, partition {partition}, ends before it starts");
                return Err(Error::InvalidCommit { subject: commit.table.to_string(), fact });
            }
        }
    }
    let snapshot = match &commit.files {
        // An append of nothing changes no row: no snapshot for it.
        Some(files) if remove == Remove::Nothing && files.file_count() == 0 => None,
        Some(add) => Some(DraftSnapshot { operation, remove, add, summary: summary(commit)? }),
        None => None,
    };
    Ok(Ok(Draft { token: commit.token, snapshot, offsets: after, properties: &commit.properties }))
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

/// Why files cannot join a table that changed since their writer was made.
fn misfit(files: &StagedFiles, metadata: &TableMetadata) -> Option<String> {
    if files.table_uuid != metadata.uuid() {
        return Some("it was dropped and created again since the files were written".to_owned());
    }
    if metadata.partition_spec_by_id(files.spec_id).is_none() {
        return Some(format!("partition spec {} of the files is gone", files.spec_id));
    }
    if files.schema_id == metadata.current_schema_id() {
        return None;
    }
    let Some(written) = metadata.schema_by_id(files.schema_id) else {
        return Some(format!("schema {} of the files is gone", files.schema_id));
    };
    let current = metadata.current_schema();
    for field in written.as_struct().fields() {
        match current.field_by_id(field.id) {
            None => return Some(format!("column {} was dropped since the files were written", field.name)),
            Some(now) if now.field_type != field.field_type => {
                return Some(format!("column {} changed its type since the files were written", field.name));
            }
            Some(now) if now.required && !field.required => {
                return Some(format!("column {} became required since the files were written", field.name));
            }
            Some(_) => {}
        }
    }
    let added = current.as_struct().fields().iter().find(|field| {
        field.required && written.field_by_id(field.id).is_none() && field.initial_default.is_none()
    });
    added.map(|field| format!("required column {} was added since the files were written", field.name))
}
