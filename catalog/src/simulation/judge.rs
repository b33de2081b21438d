//! Every invariant of the protocol, read from metadata, manifests and the store; no path of the commit layer is
//! used to look.
//!
//! | | must hold |
//! |---|---|
//! | I1 | the rows of both tables are exactly the records of the log, each once |
//! | I2 | the ranges along the ancestry follow each other without gap or overlap |
//! | I3 | no file is live twice |
//! | I4 | every file that the state names is in the store with its recorded size |
//! | I5 | the summary's totals are the sums of the manifests |
//! | I6 | the next offset is the end of the last range |
//! | I7 | what was acknowledged is there, unless another engine moved `main` |
//!
//! Where another engine left no trace of where a topic stood (`told` is false), nothing lands any more, and I1, I2
//! and I6 are not asked.

use std::collections::{BTreeMap, BTreeSet};

use iceberg::spec::{DataFile, ManifestList};
use object_store::ObjectStoreExt;

use super::actors::{LOG_END, PARTITIONS};
use super::world::{Record, World, table_of, tables};
use crate::TableSnapshot;

pub(super) async fn judge(world: &World, told: bool) {
    let mut found = BTreeSet::new();
    for (number, name) in tables().iter().enumerate() {
        let table = world.lake.load(name).await.unwrap();
        let files = live(world, &table).await;
        totals(&table, &files);
        let rows = world.rows.lock().unwrap();
        for file in &files {
            for record in &rows[file.file_path()] {
                assert!(found.insert(*record), "I1: {record:?} is in {name} twice or in both tables");
                assert!(record.0 == 99 || table_of(record.1) == number, "{record:?} is in the wrong table");
            }
        }
        if told {
            ranges(&table);
        }
    }
    if told {
        complete(world, found);
    }
}

/// The live files, each once and in the store.
async fn live(world: &World, table: &TableSnapshot) -> Vec<DataFile> {
    let Some(snapshot) = table.metadata().current_snapshot() else { return Vec::new() };
    let io = &world.lake.inner().file_io;
    let bytes = io.new_input(snapshot.manifest_list()).unwrap().read().await.expect("I4: the manifest list");
    let list = ManifestList::parse_with_version(&bytes, table.metadata().format_version()).unwrap();
    let (mut files, mut paths) = (Vec::new(), BTreeSet::new());
    for manifest in list.entries() {
        let size = size(world, &manifest.manifest_path).await;
        assert_eq!(size, manifest.manifest_length as u64, "I4: {}", manifest.manifest_path);
        let read = manifest.load_manifest(io).await.expect("I4: a manifest");
        for entry in read.entries().iter().filter(|entry| entry.is_alive()) {
            let file = entry.data_file();
            assert!(paths.insert(file.file_path().to_owned()), "I3: {} is live twice", file.file_path());
            assert_eq!(size_of(world, file).await, file.file_size_in_bytes(), "I4: {}", file.file_path());
            files.push(file.clone());
        }
    }
    files
}

async fn size_of(world: &World, file: &DataFile) -> u64 {
    size(world, file.file_path()).await
}

async fn size(world: &World, location: &str) -> u64 {
    let path = world.lake.object_path(location).unwrap();
    world.lake.store().head(&path).await.unwrap_or_else(|error| panic!("I4: {location}: {error}")).size
}

fn totals(table: &TableSnapshot, files: &[DataFile]) {
    let Some(snapshot) = table.metadata().current_snapshot() else { return };
    let total = |key: &str| snapshot.summary().additional_properties[key].parse::<u64>().unwrap();
    assert_eq!(total("total-data-files"), files.len() as u64, "I5");
    assert_eq!(total("total-records"), files.iter().map(DataFile::record_count).sum::<u64>(), "I5");
    assert_eq!(total("total-files-size"), files.iter().map(DataFile::file_size_in_bytes).sum::<u64>(), "I5");
}

/// Follows the ranges from the oldest snapshot on.
fn ranges(table: &TableSnapshot) {
    let known = table.offsets("orders").unwrap().map(|offsets| offsets.next).unwrap_or_default();
    let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
    for snapshot in table.ancestors().collect::<Vec<_>>().into_iter().rev() {
        for (key, value) in &snapshot.summary().additional_properties {
            if !key.starts_with("sluice.ranges.") {
                continue;
            }
            let ranges: BTreeMap<String, serde_json::Value> = serde_json::from_str(value).unwrap();
            for (partition, range) in ranges {
                let side = |at: usize| range[at].as_i64().unwrap_or_else(|| panic!("{value}"));
                let end = ends.entry(partition.parse().unwrap()).or_default();
                // A commit of progress without rows has no snapshot, so ranges may follow with a hole there.
                assert!(side(0) >= *end, "I2: {partition} goes from {end} back to {}", side(0));
                *end = side(1);
            }
        }
    }
    for (partition, end) in &ends {
        assert!(known[partition] >= *end, "I6: {partition}: next {} before {end}", known[partition]);
    }
    assert_eq!(
        known,
        PARTITIONS.map(|partition| (partition, LOG_END)).into(),
        "the rest of the log has landed"
    );
}

/// I1 and I7: the records of the log and nothing else.
fn complete(world: &World, mut found: BTreeSet<Record>) {
    for partition in PARTITIONS {
        for offset in 0..LOG_END {
            assert!(found.remove(&(partition, offset)), "I1: lost {partition}/{offset}");
        }
    }
    let moved = *world.moves.lock().unwrap() > 0;
    for (record, acknowledged) in world.foreign.lock().unwrap().values() {
        let there = found.remove(record);
        assert!(there || !acknowledged || moved, "I7: the foreign row {record:?} disappeared");
    }
    assert!(found.is_empty(), "I1: rows that nobody landed: {found:?}");
}
