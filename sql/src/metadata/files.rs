//! What the manifests say: manifests, files, entries, partitions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, Int32Array, Int32Builder, Int64Array, Int64Builder, ListBuilder,
    MapBuilder, RecordBatch, StringArray, StructArray,
};
use datafusion::error::Result;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use iceberg::spec::{DataContentType, DataFile, Datum, ManifestContentType, ManifestEntryRef, ManifestFile};
use sluice_catalog::{Manifests, TableSnapshot};

use super::partitions::{path, summaries};
use super::states::{batch, maybe_times};
use super::{Kind, metrics};
use crate::error::Error;

/// The entries of one manifest.
#[derive(Default)]
pub(super) struct Listed {
    spec_id: i32,
    entries: Vec<ManifestEntryRef>,
}

/// Files of one partition, counted.
#[derive(Default)]
pub(super) struct Counted {
    records: i64,
    files: i64,
    bytes: i64,
    position_records: i64,
    position_files: i64,
    equality_records: i64,
    equality_files: i64,
    /// The snapshot that added its newest file, and when.
    updated: Option<(i64, i64)>,
}

/// Counts by partition and spec.
type Partitions = BTreeMap<(String, i32), Counted>;

/// The batches of a kind, one for each manifest where there may be many.
pub(super) fn stream(kind: Kind, table: TableSnapshot) -> BoxStream<'static, Result<RecordBatch>> {
    let batches = async move {
        let listed = Arc::new(table.manifests().await.map_err(Error::from)?);
        let all: Vec<ManifestFile> = listed.data().iter().chain(listed.deletes()).cloned().collect();
        Ok::<_, datafusion::error::DataFusionError>(match kind {
            Kind::Manifests => stream::iter([manifests(&table, &all)]).boxed(),
            Kind::Partitions => stream::once(count(table, listed, all)).boxed(),
            _ => stream::iter(all)
                .then(move |manifest| {
                    let (table, listed) = (table.clone(), Arc::clone(&listed));
                    async move {
                        let mut read = read(&listed, &manifest).await?;
                        if kind == Kind::Entries {
                            return entries(&table, &read);
                        }
                        read.entries.retain(|entry| entry.is_alive());
                        files(&table, &read)
                    }
                })
                .boxed(),
        })
    };
    stream::once(batches).try_flatten().boxed()
}

async fn read(manifests: &Manifests, manifest: &ManifestFile) -> Result<Listed> {
    let entries = manifests.entries(manifest).await.map_err(Error::from)?;
    Ok(Listed { spec_id: manifest.partition_spec_id, entries })
}

async fn count(table: TableSnapshot, listed: Arc<Manifests>, all: Vec<ManifestFile>) -> Result<RecordBatch> {
    let mut partitions = Partitions::new();
    for manifest in &all {
        let read = read(&listed, manifest).await?;
        for entry in read.entries.iter().filter(|entry| entry.is_alive()) {
            let file = entry.data_file();
            let counted = partitions.entry((path(&table, read.spec_id, file), read.spec_id)).or_default();
            let snapshot = entry.snapshot_id().and_then(|id| table.metadata().snapshot_by_id(id));
            let added = snapshot.map(|snapshot| (snapshot.timestamp_ms(), snapshot.snapshot_id()));
            counted.updated = counted.updated.max(added);
            let records = file.record_count() as i64;
            match file.content_type() {
                DataContentType::Data => {
                    counted.files += 1;
                    counted.records += records;
                    counted.bytes += file.file_size_in_bytes() as i64;
                }
                DataContentType::PositionDeletes => {
                    counted.position_files += 1;
                    counted.position_records += records;
                }
                DataContentType::EqualityDeletes => {
                    counted.equality_files += 1;
                    counted.equality_records += records;
                }
            }
        }
    }
    self::partitions(&partitions)
}

fn longs(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn ints(values: impl Iterator<Item = Option<i32>>) -> ArrayRef {
    Arc::new(values.collect::<Int32Array>())
}

fn texts(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

pub(super) fn partitions(partitions: &Partitions) -> Result<RecordBatch> {
    let column = |of: fn(&Counted) -> i64| longs(partitions.values().map(|counted| Some(of(counted))));
    batch(vec![
        ("partition", texts(partitions.keys().map(|(path, _)| path.clone()))),
        ("spec_id", ints(partitions.keys().map(|(_, spec)| Some(*spec)))),
        ("record_count", column(|counted| counted.records)),
        ("file_count", column(|counted| counted.files)),
        ("total_data_file_size_in_bytes", column(|counted| counted.bytes)),
        ("position_delete_record_count", column(|counted| counted.position_records)),
        ("position_delete_file_count", column(|counted| counted.position_files)),
        ("equality_delete_record_count", column(|counted| counted.equality_records)),
        ("equality_delete_file_count", column(|counted| counted.equality_files)),
        ("last_updated_at", maybe_times(partitions.values().map(|of| of.updated.map(|(at, _)| at)))),
        ("last_updated_snapshot_id", longs(partitions.values().map(|of| of.updated.map(|(_, id)| id)))),
    ])
}

/// The manifests, those of data files first.
pub(super) fn manifests(table: &TableSnapshot, all: &[ManifestFile]) -> Result<RecordBatch> {
    let of = |content: ManifestContentType, count: fn(&ManifestFile) -> Option<u32>| {
        ints(all.iter().map(|manifest| {
            let counted = if manifest.content == content { count(manifest) } else { Some(0) };
            counted.map(|count| count as i32)
        }))
    };
    let (data, deletes) = (ManifestContentType::Data, ManifestContentType::Deletes);
    batch(vec![
        ("content", ints(all.iter().map(|manifest| Some(i32::from(manifest.content == deletes))))),
        ("path", texts(all.iter().map(|manifest| manifest.manifest_path.clone()))),
        ("length", longs(all.iter().map(|manifest| Some(manifest.manifest_length)))),
        ("partition_spec_id", ints(all.iter().map(|manifest| Some(manifest.partition_spec_id)))),
        ("added_snapshot_id", longs(all.iter().map(|manifest| Some(manifest.added_snapshot_id)))),
        ("added_data_files_count", of(data, |manifest| manifest.added_files_count)),
        ("existing_data_files_count", of(data, |manifest| manifest.existing_files_count)),
        ("deleted_data_files_count", of(data, |manifest| manifest.deleted_files_count)),
        ("added_delete_files_count", of(deletes, |manifest| manifest.added_files_count)),
        ("existing_delete_files_count", of(deletes, |manifest| manifest.existing_files_count)),
        ("deleted_delete_files_count", of(deletes, |manifest| manifest.deleted_files_count)),
        ("partition_summaries", summaries(table, all)?),
    ])
}

/// The files of the entries.
pub(super) fn files(table: &TableSnapshot, listed: &Listed) -> Result<RecordBatch> {
    let all: Vec<&DataFile> = listed.entries.iter().map(|entry| entry.data_file()).collect();
    let keys = all.iter().map(|file| file.key_metadata());
    let mut offsets = ListBuilder::new(Int64Builder::new());
    let mut equality = ListBuilder::new(Int32Builder::new());
    for file in &all {
        offsets.append_option(file.split_offsets().map(|offsets| offsets.iter().copied().map(Some)));
        equality.append_option(file.equality_ids().map(|ids| ids.into_iter().map(Some)));
    }
    let counts = |of: fn(&DataFile) -> &HashMap<i32, u64>| -> Result<ArrayRef> {
        let mut maps = MapBuilder::new(None, Int32Builder::new(), Int64Builder::new());
        for file in &all {
            for (id, count) in sorted(of(file)) {
                maps.keys().append_value(id);
                maps.values().append_value(*count as i64);
            }
            maps.append(true)?;
        }
        Ok(Arc::new(maps.finish()))
    };
    let bounds = |of: fn(&DataFile) -> &HashMap<i32, Datum>| -> Result<ArrayRef> {
        let mut maps = MapBuilder::new(None, Int32Builder::new(), BinaryBuilder::new());
        for file in &all {
            for (id, bound) in sorted(of(file)) {
                // A bound that cannot be written again is left out.
                let Ok(bytes) = bound.to_bytes() else { continue };
                maps.keys().append_value(id);
                maps.values().append_value(bytes);
            }
            maps.append(true)?;
        }
        Ok(Arc::new(maps.finish()))
    };
    batch(vec![
        ("content", ints(all.iter().map(|file| Some(file.content_type() as i32)))),
        ("file_path", texts(all.iter().map(|file| file.file_path().to_owned()))),
        ("file_format", texts(all.iter().map(|file| file.file_format().to_string().to_uppercase()))),
        ("spec_id", ints(all.iter().map(|_| Some(listed.spec_id)))),
        ("partition", texts(all.iter().map(|file| path(table, listed.spec_id, file)))),
        ("record_count", longs(all.iter().map(|file| Some(file.record_count() as i64)))),
        ("file_size_in_bytes", longs(all.iter().map(|file| Some(file.file_size_in_bytes() as i64)))),
        ("column_sizes", counts(DataFile::column_sizes)?),
        ("value_counts", counts(DataFile::value_counts)?),
        ("null_value_counts", counts(DataFile::null_value_counts)?),
        ("nan_value_counts", counts(DataFile::nan_value_counts)?),
        ("lower_bounds", bounds(DataFile::lower_bounds)?),
        ("upper_bounds", bounds(DataFile::upper_bounds)?),
        ("key_metadata", Arc::new(keys.collect::<BinaryArray>())),
        ("split_offsets", Arc::new(offsets.finish())),
        ("equality_ids", Arc::new(equality.finish())),
        ("sort_order_id", ints(all.iter().map(|file| file.sort_order_id()))),
        (
            "referenced_data_file",
            Arc::new(all.iter().map(|f| f.referenced_data_file()).collect::<StringArray>()),
        ),
        ("content_offset", longs(all.iter().map(|file| file.content_offset()))),
        ("content_size_in_bytes", longs(all.iter().map(|file| file.content_size_in_bytes()))),
        ("readable_metrics", metrics::readable(table, &all)?),
    ])
}

fn sorted<V>(map: &HashMap<i32, V>) -> impl Iterator<Item = (i32, &V)> {
    let mut all: Vec<(i32, &V)> = map.iter().map(|(id, value)| (*id, value)).collect();
    all.sort_by_key(|(id, _)| *id);
    all.into_iter()
}

/// The entries, each with its file as a struct.
pub(super) fn entries(table: &TableSnapshot, listed: &Listed) -> Result<RecordBatch> {
    let all = &listed.entries;
    let status = |entry: &ManifestEntryRef| Some(entry.status() as i32);
    batch(vec![
        ("status", ints(all.iter().map(status))),
        ("snapshot_id", longs(all.iter().map(|entry| entry.snapshot_id()))),
        ("sequence_number", longs(all.iter().map(|entry| entry.sequence_number()))),
        ("file_sequence_number", longs(all.iter().map(|entry| entry.file_sequence_number))),
        ("data_file", Arc::new(StructArray::from(files(table, listed)?))),
    ])
}
