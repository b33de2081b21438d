//! Manifests and their lists in memory.
//!
//! Neither ever changes under its name, so what was read once is right for ever. Lists that this process wrote are
//! kept as well: the next commit builds on the last one, and the next query reads it.

use std::sync::Arc;

use iceberg::spec::{FormatVersion, ManifestFile, Snapshot};
use moka::future::Cache;

use super::{ListedFile, listed, refused};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::manifest;

/// Memory for what was read of manifests.
const MANIFEST_BYTES: u64 = 128 << 20;
/// Memory for lists of manifests.
const LIST_BYTES: u64 = 16 << 20;

/// Manifests and lists by location, each with its size in memory.
#[derive(Clone, Debug)]
pub(crate) struct ManifestCache {
    read: Cache<String, (u32, Arc<Vec<ListedFile>>)>,
    lists: Cache<String, (u32, Arc<[ManifestFile]>)>,
}

impl ManifestCache {
    pub(crate) fn new() -> Self {
        let read = Cache::builder()
            .weigher(|_: &String, entry: &(u32, Arc<Vec<ListedFile>>)| entry.0)
            .max_capacity(MANIFEST_BYTES)
            .build();
        let lists = Cache::builder()
            .weigher(|_: &String, entry: &(u32, Arc<[ManifestFile]>)| entry.0)
            .max_capacity(LIST_BYTES)
            .build();
        Self { read, lists }
    }
}

impl Lake {
    /// The manifests of a snapshot.
    pub(crate) async fn manifest_list(
        &self,
        snapshot: &Snapshot,
        version: FormatVersion,
    ) -> Result<Arc<[ManifestFile]>> {
        let location = snapshot.manifest_list();
        if let Some((_, list)) = self.inner().manifests.lists.get(location).await {
            return Ok(list);
        }
        let bytes = self.inner().storage.read_object(location).await?;
        let list = manifest::parse_list(&bytes, snapshot, version).map_err(|source| Error::Iceberg {
            subject: format!("manifest list {location}"),
            source: Box::new(source),
        })?;
        let list: Arc<[ManifestFile]> = list.into();
        self.keep_list(location, list.clone()).await;
        Ok(list)
    }

    /// Keeps a list that was written as it is now read.
    pub(crate) async fn keep_list(&self, location: &str, list: Arc<[ManifestFile]>) {
        let entry = |manifest: &ManifestFile| {
            let summaries = manifest.partitions.as_ref().map_or(0, Vec::len);
            size_of::<ManifestFile>() + manifest.manifest_path.len() + 100 * summaries
        };
        let weight = u32::try_from(list.iter().map(entry).sum::<usize>()).unwrap_or(u32::MAX);
        self.inner().manifests.lists.insert(location.to_owned(), (weight, list)).await;
    }
}

/// As [`read`], in a task of its own where there is something to decode: that takes longer than reading it, and
/// manifests read at the same time shall use more than one core.
pub(super) async fn read_beside(
    lake: &Lake,
    table: &str,
    manifest: ManifestFile,
) -> Result<Arc<Vec<ListedFile>>> {
    if let Some((_, files)) = lake.inner().manifests.read.get(&manifest.manifest_path).await {
        return Ok(files);
    }
    let (lake, name, location) = (lake.clone(), table.to_owned(), manifest.manifest_path.clone());
    let task = tokio::spawn(async move { read(&lake, &name, manifest).await });
    let stopped = |_| refused(table, &location, "its decoder stopped at it".to_owned());
    task.await.map_err(stopped)?
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
    let content = manifest::read(&lake.inner().file_io, &manifest).await;
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
    let file = &listed.file;
    let counts = file.column_sizes().len() + file.value_counts().len() + file.null_value_counts().len();
    let bounds = file.lower_bounds().len() + file.upper_bounds().len();
    let bytes = 512 + file.file_path().len() + 16 * counts + 100 * bounds;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
