//! Which data files are live in a snapshot: manifest list -> manifests, read at the same time -> files.
//!
//! Fails closed: whatever this version does not understand (delete files, files that are not Parquet, encrypted
//! files, locations outside the warehouse) is an error that names the file. A reader never gets fewer or more
//! rows than the snapshot has.
//!
//! Manifests never change, so what was read is kept: a query on a table that got one more commit reads the
//! new manifest list and the new manifest only.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use iceberg::spec::{
    DataContentType, DataFileFormat, ManifestContentType, ManifestEntry, ManifestFile, ManifestList,
    Operation, Snapshot,
};
use moka::future::Cache;

use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::snapshot::{LiveFile, TableSnapshot};

/// Manifests of one snapshot read at the same time.
const MANIFESTS_IN_FLIGHT: usize = 16;

/// Memory for what was read of manifests.
const CACHE_BYTES: u64 = 128 << 20;

/// A data file and the snapshot that brought it.
#[derive(Clone, Debug)]
struct ListedFile {
    added_by: i64,
    file: LiveFile,
}

/// Manifests by location.
#[derive(Clone, Debug)]
pub(crate) struct ManifestCache {
    read: Cache<String, (u32, Arc<Vec<ListedFile>>)>,
}

impl ManifestCache {
    pub(crate) fn new() -> Self {
        let read = Cache::builder()
            .weigher(|_: &String, entry: &(u32, Arc<Vec<ListedFile>>)| entry.0)
            .max_capacity(CACHE_BYTES)
            .build();
        Self { read }
    }
}

/// All live data files of the snapshot.
pub(crate) async fn live(table: &TableSnapshot) -> Result<Vec<LiveFile>> {
    let Some(snapshot) = table.metadata().current_snapshot() else { return Ok(Vec::new()) };
    let manifests = manifests(table, snapshot).await?;
    collect(table, manifests, |_| true).await
}

/// The data files that the snapshots after `since` appended; `None` when they did more than append.
pub(crate) async fn added_since(table: &TableSnapshot, since: i64) -> Result<Option<Vec<LiveFile>>> {
    let mut newer = HashSet::new();
    let mut found = false;
    for snapshot in table.ancestors() {
        if snapshot.snapshot_id() == since {
            found = true;
            break;
        }
        if snapshot.summary().operation != Operation::Append {
            return Ok(None);
        }
        newer.insert(snapshot.snapshot_id());
    }
    let Some(snapshot) = table.metadata().current_snapshot().filter(|_| found) else { return Ok(None) };
    let mut manifests = manifests(table, snapshot).await?;
    // An append that merges manifests writes its own, which then also holds older files.
    manifests.retain(|manifest| newer.contains(&manifest.added_snapshot_id));
    collect(table, manifests, |file| newer.contains(&file.added_by)).await.map(Some)
}

/// The manifest list of a snapshot.
async fn manifests(table: &TableSnapshot, snapshot: &Snapshot) -> Result<Vec<ManifestFile>> {
    let location = snapshot.manifest_list();
    let bytes = table.lake().inner().storage.read_object(location).await?;
    let list = ManifestList::parse_with_version(&bytes, table.metadata().format_version());
    let list = list.map_err(|source| Error::Iceberg {
        subject: format!("manifest list {location}"),
        source: Box::new(source),
    })?;
    Ok(list.consume_entries().into_iter().collect())
}

/// The wanted files of the manifests, in their order.
async fn collect(
    table: &TableSnapshot,
    manifests: Vec<ManifestFile>,
    wanted: impl Fn(&ListedFile) -> bool,
) -> Result<Vec<LiveFile>> {
    let name = table.name().to_string();
    let reads = manifests.into_iter().map(|manifest| read(table.lake(), &name, manifest));
    let read: Vec<_> = futures::stream::iter(reads).buffered(MANIFESTS_IN_FLIGHT).try_collect().await?;
    let listed = read.iter().flat_map(|files| files.iter());
    let files: Vec<LiveFile> = listed.filter(|file| wanted(file)).map(|listed| listed.file.clone()).collect();
    for file in &files {
        if table.metadata().partition_spec_by_id(file.partition_spec_id).is_none() {
            let fact = format!("its partition spec {} is not among the table's", file.partition_spec_id);
            return Err(refused(&name, file.data_file.file_path(), fact));
        }
    }
    Ok(files)
}

/// One manifest's live files, from memory if it was read before.
async fn read(lake: &Lake, table: &str, manifest: ManifestFile) -> Result<Arc<Vec<ListedFile>>> {
    let cache = &lake.inner().manifests.read;
    let location = &manifest.manifest_path;
    if let Some((_, files)) = cache.get(location).await {
        return Ok(files);
    }
    if manifest.key_metadata.is_some() {
        return Err(refused(table, location, "the manifest is encrypted".to_owned()));
    }
    let content = manifest.load_manifest(&lake.inner().file_io).await;
    let content = content.map_err(|source| Error::Iceberg {
        subject: format!("manifest {location}"),
        source: Box::new(source),
    })?;
    let live = content.entries().iter().filter(|entry| entry.is_alive());
    let files: Result<Vec<ListedFile>> = live.map(|entry| listed(lake, table, &manifest, entry)).collect();
    let files = Arc::new(files?);
    let weight = files.iter().map(memory).fold(1, u32::saturating_add);
    cache.insert(location.clone(), (weight, files.clone())).await;
    Ok(files)
}

/// About how many bytes a listed file takes: a few maps by column, of which the bounds hold values.
fn memory(listed: &ListedFile) -> u32 {
    let file = &listed.file.data_file;
    let counts = file.column_sizes().len() + file.value_counts().len() + file.null_value_counts().len();
    let bounds = file.lower_bounds().len() + file.upper_bounds().len();
    let bytes = 512 + file.file_path().len() + 16 * counts + 100 * bounds;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// An entry as a file that this version can read.
fn listed(lake: &Lake, table: &str, manifest: &ManifestFile, entry: &ManifestEntry) -> Result<ListedFile> {
    let file = &entry.data_file;
    let refused = |fact: &str| refused(table, file.file_path(), fact.to_owned());
    if manifest.content != ManifestContentType::Data || file.content_type() != DataContentType::Data {
        return Err(refused("it deletes rows of other files, which this version cannot apply"));
    }
    if file.file_format() != DataFileFormat::Parquet {
        return Err(refused("it is not a Parquet file"));
    }
    if file.key_metadata().is_some() {
        return Err(refused("it is encrypted"));
    }
    lake.object_path(file.file_path())?;
    let sequence_number = entry.sequence_number().ok_or_else(|| refused("it has no sequence number"))?;
    let added_by = entry.snapshot_id().ok_or_else(|| refused("nothing says which snapshot added it"))?;
    let partition_spec_id = manifest.partition_spec_id;
    Ok(ListedFile {
        added_by,
        file: LiveFile { data_file: file.clone(), partition_spec_id, sequence_number },
    })
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
