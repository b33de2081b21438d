//! What a table holds by its manifests alone, deletes by position applied: what the tests compare with.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use iceberg::spec::{DataContentType, ManifestEntryRef, ManifestFile, ManifestList, ManifestStatus};
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::files::LiveFile;
use crate::snapshot::TableSnapshot;

/// The manifests of the current snapshot with their entries.
pub(super) async fn manifests(table: &TableSnapshot) -> Vec<(ManifestFile, Vec<ManifestEntryRef>)> {
    let io = &table.lake().inner().file_io;
    let Some(snapshot) = table.metadata().current_snapshot() else { return Vec::new() };
    let bytes = io.new_input(snapshot.manifest_list()).unwrap().read().await.unwrap();
    let list = ManifestList::parse_with_version(&bytes, table.metadata().format_version()).unwrap();
    let mut read = Vec::new();
    for manifest in list.entries() {
        let (entries, _) = manifest.load_manifest(io).await.unwrap().into_parts();
        read.push((manifest.clone(), entries));
    }
    read
}

/// All live files: data, deletes by position, deletes by value.
pub(super) async fn files(table: &TableSnapshot) -> Vec<LiveFile> {
    let mut files = Vec::new();
    for (manifest, entries) in manifests(table).await {
        for entry in entries.iter().filter(|entry| entry.is_alive()) {
            files.push(LiveFile::new(
                Arc::new(entry.data_file().clone()),
                manifest.partition_spec_id,
                entry.sequence_number().unwrap(),
            ));
        }
    }
    files
}

/// The live data files, oldest first.
pub(super) async fn data(table: &TableSnapshot) -> Vec<LiveFile> {
    let mut files = files(table).await;
    files.retain(|file| file.parts().0.content_type() == DataContentType::Data);
    files.sort_by_key(|file| (file.sequence_number, file.parts().0.file_path().to_owned()));
    files
}

/// The live delete files.
pub(super) async fn deletes(table: &TableSnapshot) -> Vec<LiveFile> {
    let mut files = files(table).await;
    files.retain(|file| file.parts().0.content_type() != DataContentType::Data);
    files
}

/// How many entries of the current snapshot's manifests have this status.
pub(super) async fn entries(table: &TableSnapshot, status: ManifestStatus) -> usize {
    let manifests = manifests(table).await;
    manifests.iter().flat_map(|(_, entries)| entries).filter(|entry| entry.status() == status).count()
}

/// The ids of all rows, sorted, less those deleted by position.
pub(super) async fn ids(table: &TableSnapshot) -> Vec<i64> {
    let mut deleted: HashMap<String, (i64, HashSet<i64>)> = HashMap::new();
    for file in deletes(table).await {
        assert_eq!(file.parts().0.content_type(), DataContentType::PositionDeletes);
        for batch in read(table, &file).await {
            let (paths, positions) = (batch.column(0).as_string::<i32>(), batch.column(1));
            for (path, position) in paths.iter().zip(positions.as_primitive::<Int64Type>().values()) {
                let known = deleted.entry(path.unwrap().to_owned()).or_default();
                known.0 = known.0.max(file.sequence_number);
                known.1.insert(*position);
            }
        }
    }
    let mut ids = Vec::new();
    for file in data(table).await {
        let deletes = deleted.get(file.parts().0.file_path());
        let deletes = deletes.filter(|(sequence, _)| *sequence >= file.sequence_number);
        let mut position = 0;
        for batch in read(table, &file).await {
            let column = batch.column_by_name("id").unwrap();
            for id in column.as_primitive::<Int64Type>().values() {
                if deletes.is_none_or(|(_, positions)| !positions.contains(&position)) {
                    ids.push(*id);
                }
                position += 1;
            }
        }
    }
    ids.sort_unstable();
    ids
}

async fn read(table: &TableSnapshot, file: &LiveFile) -> Vec<RecordBatch> {
    let path = table.lake().object_path(file.parts().0.file_path()).unwrap();
    let bytes = table.lake().store().get(&path).await.unwrap().bytes().await.unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    reader.map(|batch| batch.unwrap()).collect()
}
