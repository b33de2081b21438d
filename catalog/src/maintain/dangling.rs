//! Delete files that delete nothing any more: no live data file is in their reach.
//!
//! Compaction takes along what its own inputs leave behind. This is for what others leave: a file with deleted
//! rows that another program replaced or removed, and deletes of a partition whose older files are all gone.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use iceberg::spec::FormatVersion;
use uuid::Uuid;

use super::plan::deletes;
use super::policy::Policy;
use crate::commit::{Commit, CommitOutcome, Operation, Rewrite};
use crate::error::Result;
use crate::lake::Lake;
use crate::name::TableName;

/// Removes from the table the delete files that apply to no live data file, in a commit named `token`; how many.
/// None when the table changed meanwhile: the next run looks again. With `dry_run` nothing changes.
///
/// # Errors
/// When the table cannot be read, or the catalog fails.
pub async fn drop_dangling_deletes(
    lake: &Lake,
    name: &TableName,
    policy: &Policy,
    token: Uuid,
    now: DateTime<Utc>,
    dry_run: bool,
) -> Result<usize> {
    let table = lake.load(name).await?;
    let policy = policy.with_properties(table.metadata().properties())?;
    let manifests = table.manifests().await?;
    let rewritable = policy.enabled && table.metadata().format_version() == FormatVersion::V2;
    let (true, false, Some(read_snapshot)) =
        (rewritable, manifests.deletes().is_empty(), table.snapshot_id())
    else {
        return Ok(0);
    };
    let live = manifests.files(|_| true).await?;
    let used: HashSet<&str> =
        live.iter().flat_map(deletes).map(|delete| delete.data_file.file_path()).collect();
    let mut inputs = manifests.delete_files().await?;
    inputs.retain(|file| !used.contains(file.parts().0.file_path()));
    let count = inputs.len();
    if count == 0 || dry_run {
        return Ok(count);
    }
    let operation = Operation::Rewrite(Rewrite { read_snapshot, inputs });
    match lake.commit(vec![Commit::new(name.clone(), operation, token)], now).await? {
        CommitOutcome::Committed(_) | CommitOutcome::AlreadyCommitted(_) => Ok(count),
        CommitOutcome::Conflicted { .. } | CommitOutcome::Fenced { .. } => Ok(0),
    }
}
