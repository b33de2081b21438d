//! What snapshots lead to: manifest lists -> manifests -> data and delete files.
//!
//! Everything is read from the store, nothing is inferred: a file counts as needed when an entry says so,
//! whatever the counts in the lists say. What cannot be read ends the run before anything is deleted.

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{DataFile, ManifestFile, ManifestList, Snapshot};

use crate::error::{Error, Result};
use crate::snapshot::TableSnapshot;

/// Files read at the same time.
const IN_FLIGHT: usize = 16;

/// The manifests of some snapshots, by location.
pub(super) async fn manifests<'a>(
    table: &TableSnapshot,
    snapshots: impl Iterator<Item = &'a Snapshot>,
) -> Result<HashMap<String, ManifestFile>> {
    let reads: Vec<_> = snapshots.map(|snapshot| list(table, snapshot.manifest_list().to_owned())).collect();
    let mut lists = stream::iter(reads).buffer_unordered(IN_FLIGHT);
    let mut manifests = HashMap::new();
    while let Some(list) = lists.try_next().await? {
        for manifest in list.consume_entries() {
            manifests.insert(manifest.manifest_path.clone(), manifest);
        }
    }
    Ok(manifests)
}

async fn list(table: &TableSnapshot, location: String) -> Result<ManifestList> {
    let bytes = table.lake().inner().storage.read_object(&location).await?;
    ManifestList::parse_with_version(&bytes, table.metadata().format_version())
        .map_err(|source| unreadable("manifest list", &location, source))
}

/// Shows every live file of the manifests; no more than a few manifests are in memory.
pub(super) async fn live_files(
    table: &TableSnapshot,
    manifests: impl Iterator<Item = &ManifestFile>,
    mut show: impl FnMut(&DataFile),
) -> Result<()> {
    let io = &table.lake().inner().file_io;
    let reads: Vec<_> = manifests
        .map(|manifest| async move {
            let read = manifest.load_manifest(io).await;
            read.map_err(|source| unreadable("manifest", &manifest.manifest_path, source))
        })
        .collect();
    let mut reads = stream::iter(reads).buffer_unordered(IN_FLIGHT);
    while let Some(manifest) = reads.try_next().await? {
        for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
            show(entry.data_file());
        }
    }
    Ok(())
}

fn unreadable(what: &str, location: &str, source: iceberg::Error) -> Error {
    Error::Iceberg { subject: format!("{what} {location}"), source: Box::new(source) }
}

/// Deletes objects; how many could not be deleted. They stay as orphans.
pub(super) async fn delete(table: &TableSnapshot, locations: impl Iterator<Item = String>) -> usize {
    let io = &table.lake().inner().file_io;
    let deletes = locations.map(|location| async move {
        let deleted = io.delete(&location).await;
        if let Err(cause) = &deleted {
            tracing::warn!(%location, %cause, "cannot delete a file that no table uses; it stays as an orphan");
        }
        deleted.is_err()
    });
    let failed = stream::iter(deletes).buffer_unordered(IN_FLIGHT);
    failed.filter(|failed| std::future::ready(*failed)).count().await
}
