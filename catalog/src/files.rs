//! Which data files are live in a snapshot, and what deletes from each.
//!
//! Flow: manifest list -> manifests, read at the same time -> data files (`live`), matched with the delete
//! files that apply to them (`deletes`).
//!
//! Fails closed: whatever this version does not understand (files that are not Parquet, encrypted files,
//! deletes of an unknown kind, locations outside the warehouse) is an error that names the file. A reader
//! never gets fewer or more rows than the snapshot has.
//!
//! Manifests never change, so what was read is kept: a query on a table that got one more commit reads the
//! new manifest list and the new manifest only. Who knows from the summaries in the list that a manifest
//! cannot matter does not have it read at all.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use iceberg::spec::{
    DataContentType, DataFile, DataFileFormat, ManifestContentType, ManifestEntry, ManifestEntryRef,
    ManifestFile, Operation, Snapshot,
};

use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::manifest;
use crate::snapshot::TableSnapshot;

mod bounds;
mod cache;
mod deletes;
mod live;

pub use bounds::Bounds;
pub(crate) use cache::ManifestCache;
use deletes::DeleteIndex;
pub use live::{DeleteFile, Deletes, EqualityDeletes, LiveFile, PositionDeletes};

/// Manifests of one snapshot read at the same time.
const MANIFESTS_IN_FLIGHT: usize = 16;

/// A file as its manifest lists it.
#[derive(Clone, Debug)]
struct ListedFile {
    added_by: i64,
    file: Arc<DataFile>,
    partition_spec_id: i32,
    sequence_number: i64,
}

/// The manifests of one snapshot, not yet read.
#[derive(Clone, Debug)]
pub struct Manifests {
    table: TableSnapshot,
    data: Vec<ManifestFile>,
    deletes: Vec<ManifestFile>,
}

impl Manifests {
    /// The manifests of data files, each with the range of its partition values.
    pub fn data(&self) -> &[ManifestFile] {
        &self.data
    }

    /// The manifests of delete files.
    pub fn deletes(&self) -> &[ManifestFile] {
        &self.deletes
    }

    /// The live files of those data manifests for which `kept`, asked by position in [`Manifests::data`],
    /// says yes; each with everything that deletes from it.
    ///
    /// # Errors
    /// As [`TableSnapshot::files`].
    pub async fn files(&self, kept: impl Fn(usize) -> bool) -> Result<Vec<LiveFile>> {
        let data = self.data.iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, manifest)| manifest);
        let data = collect(&self.table, data.cloned().collect(), |_| true).await?;
        // Also where there is nothing to delete from: what is not understood is refused.
        let index = self.index().await?;
        let live = |listed: ListedFile| {
            let ListedFile { file, partition_spec_id, sequence_number, .. } = listed;
            let deletes = index.apply(&file, partition_spec_id, sequence_number);
            LiveFile::with_deletes(file, partition_spec_id, sequence_number, deletes)
        };
        Ok(data.into_iter().map(live).collect())
    }

    /// All entries of one of these manifests, removed files included, as they are written; nothing is checked
    /// but that the manifest can be read.
    ///
    /// # Errors
    /// When the manifest is missing, too large or damaged.
    pub async fn entries(&self, manifest: &ManifestFile) -> Result<Vec<ManifestEntryRef>> {
        let location = &manifest.manifest_path;
        if manifest.key_metadata.is_some() {
            return Err(refused(
                &self.table.name().to_string(),
                location,
                "the manifest is encrypted".into(),
            ));
        }
        let content = manifest::read(&self.table.lake().inner().file_io, manifest).await;
        let content = content.map_err(|source| Error::Iceberg {
            subject: format!("manifest {location}"),
            source: Box::new(source),
        })?;
        Ok(content.entries().to_vec())
    }

    /// The live delete files.
    pub(crate) async fn delete_files(&self) -> Result<Vec<LiveFile>> {
        let listed = collect(&self.table, self.deletes.clone(), |_| true).await?;
        let live =
            |listed: ListedFile| LiveFile::new(listed.file, listed.partition_spec_id, listed.sequence_number);
        Ok(listed.into_iter().map(live).collect())
    }

    async fn index(&self) -> Result<DeleteIndex> {
        let listed = collect(&self.table, self.deletes.clone(), |_| true).await?;
        let delete = |listed: ListedFile| {
            let ListedFile { file, partition_spec_id, sequence_number, .. } = listed;
            Arc::new(DeleteFile { data_file: file, partition_spec_id, sequence_number })
        };
        let files = listed.into_iter().map(delete).collect();
        let name = self.table.name().to_string();
        DeleteIndex::of(self.table.metadata(), files, |file, fact| refused(&name, file, fact))
    }
}

/// The manifests of the snapshot.
pub(crate) async fn manifests(table: &TableSnapshot) -> Result<Manifests> {
    let all = match table.snapshot() {
        Some(snapshot) => list(table, snapshot).await?.to_vec(),
        None => Vec::new(),
    };
    let (data, deletes) = all.into_iter().partition(|manifest| manifest.content == ManifestContentType::Data);
    Ok(Manifests { table: table.clone(), data, deletes })
}

/// The data files that the snapshots after `since` appended; `None` when they changed rows otherwise.
///
/// A rewrite holds the same rows in other files, so what was appended before it is found in its parent.
pub(crate) async fn added_since(table: &TableSnapshot, since: i64) -> Result<Option<Vec<LiveFile>>> {
    let Some(stretches) = appends_since(table, since) else { return Ok(None) };
    let mut listed = Vec::new();
    for (head, newer) in stretches {
        let mut manifests = list(table, head).await?.to_vec();
        // An append that merges manifests writes its own, which then also holds older files.
        manifests.retain(|manifest| newer.contains(&manifest.added_snapshot_id));
        if manifests.iter().any(|manifest| manifest.content == ManifestContentType::Deletes) {
            return Ok(None);
        }
        listed.extend(collect(table, manifests, |file| newer.contains(&file.added_by)).await?);
    }
    // Older deletes have lower sequence numbers, so none of them applies to what was added since.
    let live =
        |listed: ListedFile| LiveFile::new(listed.file, listed.partition_spec_id, listed.sequence_number);
    Ok(Some(listed.into_iter().map(live).collect()))
}

/// The appends after `since`, oldest last, in stretches without a rewrite between: the snapshot that each
/// ends with, and the ids of its appends. `None` when `since` is no ancestor, or rows were changed in another
/// way.
fn appends_since(table: &TableSnapshot, since: i64) -> Option<Vec<(&Snapshot, HashSet<i64>)>> {
    let mut stretches: Vec<(&Snapshot, HashSet<i64>)> = Vec::new();
    let mut rewritten = true;
    for snapshot in table.ancestors() {
        if snapshot.snapshot_id() == since {
            return Some(stretches);
        }
        match (&snapshot.summary().operation, stretches.last_mut()) {
            (Operation::Replace, _) => rewritten = true,
            (Operation::Append, Some((_, appends))) if !rewritten => {
                appends.insert(snapshot.snapshot_id());
            }
            (Operation::Append, _) => {
                stretches.push((snapshot, HashSet::from([snapshot.snapshot_id()])));
                rewritten = false;
            }
            _ => return None,
        }
    }
    None
}

/// The manifest list of a snapshot.
async fn list(table: &TableSnapshot, snapshot: &Snapshot) -> Result<Arc<[ManifestFile]>> {
    table.lake().manifest_list(snapshot, table.metadata().format_version()).await
}

/// The wanted files of the manifests, in their order.
async fn collect(
    table: &TableSnapshot,
    manifests: Vec<ManifestFile>,
    wanted: impl Fn(&ListedFile) -> bool,
) -> Result<Vec<ListedFile>> {
    let name = table.name().to_string();
    let reads = manifests.into_iter().map(|manifest| cache::read_beside(table.lake(), &name, manifest));
    let read: Vec<_> = futures::stream::iter(reads).buffered(MANIFESTS_IN_FLIGHT).try_collect().await?;
    let listed = read.iter().flat_map(|files| files.iter());
    let files: Vec<ListedFile> = listed.filter(|file| wanted(file)).cloned().collect();
    for file in &files {
        if table.metadata().partition_spec_by_id(file.partition_spec_id).is_none() {
            let fact = format!("its partition spec {} is not among the table's", file.partition_spec_id);
            return Err(refused(&name, file.file.file_path(), fact));
        }
    }
    Ok(files)
}

/// An entry as a file that this version can read.
fn listed(lake: &Lake, table: &str, manifest: &ManifestFile, entry: &ManifestEntry) -> Result<ListedFile> {
    let file = &entry.data_file;
    let refused = |fact: &str| refused(table, file.file_path(), fact.to_owned());
    let deletes = file.content_type() != DataContentType::Data;
    if deletes != (manifest.content == ManifestContentType::Deletes) {
        return Err(refused("its manifest is of another kind than itself (data or deletes)"));
    }
    match (file.content_type(), file.file_format()) {
        (_, DataFileFormat::Parquet) => {}
        (DataContentType::PositionDeletes, DataFileFormat::Puffin) => {
            let place = (file.referenced_data_file(), file.content_offset(), file.content_size_in_bytes());
            let (Some(_), Some(0..), Some(0..)) = place else {
                return Err(refused("the deletion vector does not say where it lies and for which file"));
            };
        }
        _ => return Err(refused("it is not a Parquet file")),
    }
    let by_key = file.content_type() == DataContentType::EqualityDeletes;
    if by_key && file.equality_ids().is_none_or(|ids| ids.is_empty()) {
        return Err(refused("it deletes rows by key and does not say by which columns"));
    }
    if file.key_metadata().is_some() {
        return Err(refused("it is encrypted"));
    }
    lake.object_path(file.file_path())?;
    let sequence_number = entry.sequence_number().ok_or_else(|| refused("it has no sequence number"))?;
    let added_by = entry.snapshot_id().ok_or_else(|| refused("nothing says which snapshot added it"))?;
    let partition_spec_id = manifest.partition_spec_id;
    Ok(ListedFile { added_by, file: Arc::new(file.clone()), partition_spec_id, sequence_number })
}

fn refused(table: &str, file: &str, fact: String) -> Error {
    Error::File {
        subject: format!("{file} of table `{table}`"),
        fact,
        remedy: "read the table with the engine that wrote the file, or let that engine rewrite it",
    }
}

#[cfg(test)]
mod tests;
