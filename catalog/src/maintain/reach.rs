//! What snapshots lead to: manifest lists -> manifests -> data and delete files.
//!
//! Everything is read from the store, nothing is inferred: a file counts as needed when an entry says so. What
//! cannot be read, or does not agree with the counts in the lists, ends the run before anything is deleted.

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{DataFile, Manifest, ManifestFile, Snapshot};
use object_store::path::Path;

use crate::error::{Error, Result};
use crate::manifest;
use crate::snapshot::TableSnapshot;

/// Files read at the same time.
const IN_FLIGHT: usize = 16;

/// The manifests of some snapshots, by location.
pub(super) async fn manifests<'a>(
    table: &TableSnapshot,
    snapshots: impl Iterator<Item = &'a Snapshot>,
) -> Result<HashMap<String, ManifestFile>> {
    let reads: Vec<_> = snapshots.map(|snapshot| list(table, snapshot)).collect();
    let mut lists = stream::iter(reads).buffer_unordered(IN_FLIGHT);
    let mut manifests = HashMap::new();
    while let Some(list) = lists.try_next().await? {
        for manifest in list {
            manifests.insert(manifest.manifest_path.clone(), manifest);
        }
    }
    Ok(manifests)
}

async fn list(table: &TableSnapshot, snapshot: &Snapshot) -> Result<Vec<ManifestFile>> {
    let location = snapshot.manifest_list();
    let bytes = table.lake().inner().storage.read_object(location).await?;
    manifest::parse_list(&bytes, snapshot, table.metadata().format_version())
        .map_err(|source| unreadable("manifest list", location, source))
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
            let read = manifest::read(io, manifest).await;
            let read = read.map_err(|source| unreadable("manifest", &manifest.manifest_path, source))?;
            agrees(manifest, &read)?;
            Ok::<_, Error>(read)
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

/// Refuses a manifest with another number of live files than its list says: then one of the two is damaged, and a
/// file that looks unneeded may be needed. Lists of the first format version may leave the counts out.
fn agrees(listed: &ManifestFile, read: &Manifest) -> Result<()> {
    let Some(counted) = listed.added_files_count.zip(listed.existing_files_count) else { return Ok(()) };
    let counted = u64::from(counted.0) + u64::from(counted.1);
    let live = read.entries().iter().filter(|entry| entry.is_alive()).count();
    if u64::try_from(live).is_ok_and(|live| live == counted) {
        return Ok(());
    }
    Err(Error::File {
        subject: listed.manifest_path.clone(),
        fact: format!("it has {live} live files, and the manifest list says {counted}"),
        remedy: "nothing was deleted; restore the file, or roll the table back",
    })
}

fn unreadable(what: &str, location: &str, source: iceberg::Error) -> Error {
    Error::Iceberg { subject: format!("{what} {location}"), source: Box::new(source) }
}

/// The folder whose files are the table's to delete: its location, if the place of its metadata file agrees. A
/// damaged or hostile metadata file could otherwise claim the folder of another table, or the whole warehouse.
pub(super) fn folder(table: &TableSnapshot) -> Result<Path> {
    let lake = table.lake();
    let folder = lake.object_path(table.metadata().location())?;
    let file = lake.object_path(table.metadata_location())?;
    let place = file.as_ref().rsplit_once('/').map_or("", |(place, _)| place);
    if Path::from(place) == folder.clone().join("metadata") || Path::from(place) == folder {
        return Ok(folder);
    }
    Err(Error::File {
        subject: table.metadata_location().to_owned(),
        fact: format!(
            "it lies elsewhere than the folder it names for its table, {}",
            table.metadata().location()
        ),
        remedy: "no file is deleted for this table; restore its metadata, or delete its files by hand",
    })
}

/// Deletes objects of the table's own folder; how many were not deleted. They stay as orphans.
pub(super) async fn delete(table: &TableSnapshot, locations: impl Iterator<Item = String>) -> usize {
    let io = &table.lake().inner().file_io;
    let own = match folder(table) {
        Ok(folder) => Some(folder),
        Err(error) => {
            tracing::warn!(%error, "files that no snapshot needs stay");
            None
        }
    };
    let is_own = |location: &String| {
        let path = table.lake().object_path(location).ok();
        path.zip(own.as_ref()).is_some_and(|(path, own)| path.prefix_matches(own))
    };
    let (ours, others): (Vec<String>, Vec<String>) = locations.partition(is_own);
    let deletes = ours.into_iter().map(|location| async move {
        let deleted = io.delete(&location).await;
        if let Err(cause) = &deleted {
            tracing::warn!(%location, %cause, "cannot delete a file that no table uses; it stays as an orphan");
        }
        deleted.is_err()
    });
    let failed = stream::iter(deletes).buffer_unordered(IN_FLIGHT);
    others.len() + failed.filter(|failed| std::future::ready(*failed)).count().await
}
