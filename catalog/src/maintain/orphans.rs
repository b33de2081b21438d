//! Orphans: files in a table's folder that nothing leads to, left by runs that broke off.
//!
//! ```text
//! list the folder -> known kind of file? old enough? -> load the table -> what nothing leads to -> delete
//! ```
//!
//! Invariants:
//! - The folder is listed before the table is loaded. A file of a commit that lands in between is either
//!   young, or part of the state that is loaded afterwards.
//! - Kept: whatever a snapshot, the current metadata or its log leads to; files younger than the grace
//!   period, by the store's clock and by ours; files of a kind that Iceberg does not write; the folders of
//!   other tables.
//! - A table whose folder lies inside another table's folder, or is the same, is refused: its files are not
//!   told apart by where they are. So is one whose metadata file lies elsewhere than it says, and one that needs a
//!   file which is not there or outside the warehouse: a damaged path may be why another file looks like an
//!   orphan.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use iceberg::spec::TableMetadata;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use uuid::Uuid;

use super::policy::Policy;
use super::reach;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::name::TableName;
use crate::snapshot::TableSnapshot;
use crate::store::failed;

/// How the names of the files end that Iceberg writers leave.
const KINDS: [&str; 6] = [".parquet", ".avro", ".orc", ".puffin", ".stats", ".metadata.json"];

/// What a removal did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Files that nothing leads to.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Files among them that could not be deleted.
    pub left: usize,
    /// Files of an unknown kind, which stay.
    pub unknown: usize,
}

/// Removes the orphans of a table; `probe` names a file that tells the store's time. With `dry_run` nothing
/// is written or deleted, and our clock alone decides what is old.
///
/// # Errors
/// When the folder or the table cannot be read whole: then nothing was deleted.
pub async fn remove_orphans(
    lake: &Lake,
    name: &TableName,
    policy: &Policy,
    clock: (DateTime<Utc>, Uuid),
    dry_run: bool,
) -> Result<Orphans> {
    let table = lake.load(name).await?;
    let policy = policy.with_properties(table.metadata().properties())?;
    if !policy.enabled || !policy.delete_files {
        return Ok(Orphans::default());
    }
    remove(lake, name, &policy, clock, dry_run).await
}

/// The removal with exactly this policy.
pub(crate) async fn remove(
    lake: &Lake,
    name: &TableName,
    policy: &Policy,
    (now, probe): (DateTime<Utc>, Uuid),
    dry_run: bool,
) -> Result<Orphans> {
    let table = lake.load(name).await?;
    let folder = reach::folder(&table)?;
    let others = other_folders(lake, &table, &folder).await?;
    let now = if dry_run { now } else { now.min(store_time(lake, &table, probe).await?) };
    let found = list(lake, &folder, &others, before(now, policy.orphan_age)).await?;
    let table = lake.load(name).await?;
    let needed = needed(lake, &table).await?;
    let mut orphans = Orphans { unknown: found.unknown, ..Orphans::default() };
    let mut doomed = Vec::new();
    for (path, bytes) in found.old {
        if !needed.files.contains(&path) && !needed.log.contains(&path) {
            orphans.files += 1;
            orphans.bytes += bytes;
            doomed.push(path);
        }
    }
    if !doomed.is_empty() {
        all_there(lake, needed.files.iter().filter(|path| !found.all.contains(*path))).await?;
    }
    if !dry_run {
        orphans.left = delete(lake, doomed).await;
    }
    Ok(orphans)
}

fn before(now: DateTime<Utc>, age: Duration) -> DateTime<Utc> {
    let age = chrono::TimeDelta::from_std(age).unwrap_or(chrono::TimeDelta::MAX);
    now.checked_sub_signed(age).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// The time by the store's clock: when it says that a file was written just now.
async fn store_time(lake: &Lake, table: &TableSnapshot, probe: Uuid) -> Result<DateTime<Utc>> {
    let location = format!("{}/metadata/{probe}.clock", table.metadata().location());
    let path = lake.object_path(&location)?;
    let store = lake.store();
    store.put(&path, Vec::new().into()).await.map_err(|error| failed("write", &location, &error))?;
    let meta = store.head(&path).await.map_err(|error| failed("read", &location, &error));
    store.delete(&path).await.map_err(|error| failed("delete", &location, &error))?;
    Ok(meta?.last_modified)
}

/// The folders of other tables below this one's.
async fn other_folders(lake: &Lake, table: &TableSnapshot, folder: &Path) -> Result<Vec<Path>> {
    let mut inside = Vec::new();
    for namespace in lake.namespaces().await? {
        for name in lake.tables(&namespace).await? {
            if name == *table.name() {
                continue;
            }
            let Some(other) = lake.find(&name).await? else { continue };
            let other = lake.object_path(other.metadata().location())?;
            if folder.prefix_matches(&other) {
                return Err(Error::File {
                    subject: format!("the folder of table {}", table.name()),
                    fact: format!("it lies in the folder of table {name}"),
                    remedy: "orphans cannot be told from that table's files; give each table a folder of its own",
                });
            }
            if other.prefix_matches(folder) {
                inside.push(other);
            }
        }
    }
    Ok(inside)
}

/// The files of a folder.
struct Found {
    all: HashSet<Path>,
    /// Those that may be orphans by kind and age, with their bytes.
    old: Vec<(Path, u64)>,
    unknown: usize,
}

async fn list(lake: &Lake, folder: &Path, others: &[Path], cutoff: DateTime<Utc>) -> Result<Found> {
    let mut found = Found { all: HashSet::new(), old: Vec::new(), unknown: 0 };
    let store = lake.store();
    let mut listing = store.list(Some(folder));
    let unlistable = |error: object_store::Error| failed("list", folder.as_ref(), &error);
    while let Some(object) = listing.try_next().await.map_err(unlistable)? {
        if others.iter().any(|other| object.location.prefix_matches(other)) {
            continue;
        }
        found.all.insert(object.location.clone());
        if !is_known(&object.location) {
            found.unknown += 1;
        } else if object.last_modified <= cutoff {
            found.old.push((object.location, object.size));
        }
    }
    Ok(found)
}

fn is_known(path: &Path) -> bool {
    let name = path.filename().unwrap_or_default();
    // On a local disk, a file that was never completed: a name, `#` and a number.
    let name = match name.rsplit_once('#') {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    };
    let packed = name.strip_suffix(".gz").unwrap_or(name);
    let packed_inside = name.ends_with(".gz.metadata.json");
    packed_inside || KINDS.iter().any(|kind| packed.ends_with(kind))
}

/// Refuses when one of the files is not in the store. They were not listed: written since, or gone.
async fn all_there(lake: &Lake, unlisted: impl Iterator<Item = &Path>) -> Result<()> {
    let store = lake.store();
    for path in unlisted {
        match store.head(path).await {
            Ok(_) => {}
            Err(object_store::Error::NotFound { .. }) => {
                return Err(Error::File {
                    subject: path.to_string(),
                    fact: "the table needs this file, and it is not there".to_owned(),
                    remedy: "nothing was deleted, because what looks like an orphan may be that file under another \
                             name; restore it, or roll the table back",
                });
            }
            Err(error) => return Err(failed("read", path.as_ref(), &error)),
        }
    }
    Ok(())
}

/// Every path that the state leads to.
struct Needed {
    files: HashSet<Path>,
    /// Earlier metadata files, which may be gone already.
    log: HashSet<Path>,
}

async fn needed(lake: &Lake, table: &TableSnapshot) -> Result<Needed> {
    let metadata = table.metadata();
    let log = metadata.metadata_log().iter();
    let log = log.filter_map(|entry| lake.object_path(&entry.metadata_file).ok()).collect();
    let mut files = HashSet::new();
    let mut outside = None;
    let mut add = |location: &str| match lake.object_path(location) {
        Ok(path) => drop(files.insert(path)),
        Err(error) => outside = Some(error),
    };
    add(table.metadata_location());
    named_in(metadata).for_each(&mut add);
    let manifests = reach::manifests(table, metadata.snapshots().map(AsRef::as_ref)).await?;
    manifests.keys().for_each(|location| add(location));
    reach::live_files(table, manifests.values(), |file| add(file.file_path())).await?;
    // Such a file cannot be read, so nobody can tell it from a damaged path.
    outside.map_or(Ok(Needed { files, log }), Err)
}

/// The files that the metadata itself names, without earlier metadata files.
fn named_in(metadata: &TableMetadata) -> impl Iterator<Item = &str> {
    let lists = metadata.snapshots().map(|snapshot| snapshot.manifest_list());
    let statistics = metadata.statistics_iter().map(|file| file.statistics_path.as_str());
    let of_partitions = metadata.partition_statistics_iter().map(|file| file.statistics_path.as_str());
    lists.chain(statistics).chain(of_partitions)
}

/// Deletes objects in bulk where the store can; how many could not be deleted.
async fn delete(lake: &Lake, paths: Vec<Path>) -> usize {
    use futures::StreamExt;
    let paths = futures::stream::iter(paths.into_iter().map(Ok)).boxed();
    let failed = lake.store().delete_stream(paths).filter(|deleted| {
        let failed = match deleted {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => false,
            Err(cause) => {
                tracing::warn!(%cause, "cannot delete an orphan; the next run tries again");
                true
            }
        };
        std::future::ready(failed)
    });
    failed.count().await
}
