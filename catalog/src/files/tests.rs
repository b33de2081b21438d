//! Which files a snapshot lists, and what it refuses to list.

use iceberg::MetadataLocation;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, MAIN_BRANCH, ManifestContentType,
    ManifestListWriter, ManifestWriterBuilder, Snapshot, Struct, Summary, UNASSIGNED_SEQUENCE_NUMBER,
};
use object_store::ObjectStoreExt;

use super::*;
use crate::catalogs::SwapOutcome;
use crate::commit::{Commit, CommitOutcome};
use crate::fixture::{at, lake, name, orders, staged, token};

const SNAPSHOT: i64 = 77;

fn data_file(path: &str, content: DataContentType, format: DataFileFormat) -> DataFile {
    DataFileBuilder::default()
        .content(content)
        .file_path(path.to_owned())
        .file_format(format)
        .partition(Struct::empty())
        .record_count(1)
        .file_size_in_bytes(100)
        .partition_spec_id(0)
        .build()
        .unwrap()
}

/// Publishes a snapshot that holds just `file`, as a foreign engine would.
async fn publish(lake: &Lake, table: &TableSnapshot, file: DataFile) -> TableSnapshot {
    let metadata = table.metadata();
    let io = &lake.inner().file_io;
    let at = |file: &str| format!("{}/metadata/{file}", metadata.location());
    let deletes = file.content_type() != DataContentType::Data;
    let schema = metadata.current_schema().clone();
    let spec = metadata.default_partition_spec().as_ref().clone();
    let manifest = io.new_output(at("foreign-m0.avro")).unwrap();
    let builder = ManifestWriterBuilder::new(manifest, Some(SNAPSHOT), schema, spec);
    let mut writer = if deletes { builder.build_v2_deletes() } else { builder.build_v2_data() };
    writer.add_file(file, UNASSIGNED_SEQUENCE_NUMBER).unwrap();
    let manifest = writer.write_manifest_file().await.unwrap();
    assert_eq!(manifest.content == ManifestContentType::Deletes, deletes);
    let list = io.new_output(at("foreign-list.avro")).unwrap().writer().await.unwrap();
    let sequence = metadata.next_sequence_number();
    let mut list = ManifestListWriter::v2(list, SNAPSHOT, metadata.current_snapshot_id(), sequence);
    list.add_manifests([manifest].into_iter()).unwrap();
    list.close().await.unwrap();
    let snapshot = Snapshot::builder()
        .with_snapshot_id(SNAPSHOT)
        .with_parent_snapshot_id(metadata.current_snapshot_id())
        .with_sequence_number(sequence)
        .with_timestamp_ms(metadata.last_updated_ms() + 1)
        .with_manifest_list(at("foreign-list.avro"))
        .with_summary(Summary { operation: Operation::Append, additional_properties: Default::default() })
        .with_schema_id(metadata.current_schema_id())
        .build();
    let builder = metadata.clone().into_builder(Some(table.metadata_location().to_owned()));
    let next = builder.set_branch_snapshot(snapshot, MAIN_BRANCH).unwrap().build().unwrap().metadata;
    let location: MetadataLocation = table.metadata_location().parse().unwrap();
    let location = location.with_next_version();
    next.write_to(io, &location).await.unwrap();
    let swap = [crate::testing::swap(table.name(), table.metadata_location(), &location.to_string())];
    assert!(matches!(lake.inner().catalog.swap(&swap).await.unwrap(), SwapOutcome::Swapped(_)));
    lake.load(table.name()).await.unwrap()
}

async fn commit(lake: &Lake, operation: crate::Operation, number: u128) -> TableSnapshot {
    let table = lake.load(&name("orders")).await.unwrap();
    let first = number as i64 * 10;
    let files = staged(lake, &table, token(number), first..first + 10).await;
    let commit = Commit {
        table: name("orders"),
        operation,
        files: Some(files),
        offsets: Vec::new(),
        properties: Default::default(),
        token: token(number),
    };
    match lake.commit(vec![commit], at(number as i64)).await.unwrap() {
        CommitOutcome::Committed(mut tables) => tables.remove(0),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_snapshot_lists_its_files_and_those_since_another() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[]).await;
    let mut tables = Vec::new();
    for number in 1..=4 {
        tables.push(commit(lake, crate::Operation::Append, number).await);
    }
    for (count, table) in (1..).zip(&tables) {
        let files = table.files().await.unwrap();
        assert_eq!(files.len(), count);
        assert_eq!(table.history().len(), count);
        assert!(files.iter().all(|file| file.data_file.record_count() == 10));
        let mut sequences: Vec<i64> = files.iter().map(|file| file.sequence_number).collect();
        sequences.sort_unstable();
        assert_eq!(sequences, (1..=count as i64).collect::<Vec<_>>());
    }
    let ids: Vec<i64> = tables.iter().map(|table| table.snapshot_id().unwrap()).collect();
    let newest = &tables[3];
    let paths = |files: Vec<LiveFile>| {
        let mut paths: Vec<String> = files.iter().map(|file| file.data_file.file_path().to_owned()).collect();
        paths.sort();
        paths
    };
    let older = paths(tables[1].files().await.unwrap());
    let added = paths(newest.files_added_since(ids[1]).await.unwrap().unwrap());
    assert_eq!(added.len(), 2);
    assert!(added.iter().all(|path| !older.contains(path)));
    assert!(newest.files_added_since(ids[3]).await.unwrap().unwrap().is_empty());
    assert!(newest.files_added_since(1).await.unwrap().is_none(), "not an ancestor");
    assert!(tables[0].files_added_since(ids[1]).await.unwrap().is_none(), "it comes later");
}

#[tokio::test]
async fn since_before_an_overwrite_everything_must_be_read() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[]).await;
    let first = commit(lake, crate::Operation::Append, 1).await;
    let overwrite = crate::Operation::Overwrite { read_snapshot: first.snapshot_id() };
    let second = commit(lake, overwrite, 2).await;
    let third = commit(lake, crate::Operation::Append, 3).await;
    assert!(third.files_added_since(first.snapshot_id().unwrap()).await.unwrap().is_none());
    let added = third.files_added_since(second.snapshot_id().unwrap()).await.unwrap().unwrap();
    assert_eq!(added.len(), 1);
    let operations: Vec<String> = third.history().into_iter().map(|info| info.operation).collect();
    assert_eq!(operations, ["append", "overwrite", "append"]);
}

#[tokio::test]
async fn files_that_are_not_plain_data_are_refused_by_name() {
    use DataContentType::{Data, EqualityDeletes, PositionDeletes};
    use DataFileFormat::{Avro, Orc, Parquet, Puffin};
    let inside = "memory:///warehouse/bronze/orders/data/foreign.bin";
    let cases = [
        (inside, PositionDeletes, Parquet, "deletes rows"),
        (inside, PositionDeletes, Puffin, "deletes rows"),
        (inside, EqualityDeletes, Parquet, "deletes rows"),
        (inside, Data, Avro, "not a Parquet file"),
        (inside, Data, Orc, "not a Parquet file"),
        ("s3://elsewhere/foreign.bin", Data, Parquet, "outside the warehouse"),
        ("file:///etc/passwd", Data, Parquet, "outside the warehouse"),
    ];
    for (path, content, format, fact) in cases {
        let fixture = lake().await;
        let table = orders(&fixture.lake, "orders", vec![], &[]).await;
        let table = publish(&fixture.lake, &table, data_file(path, content, format)).await;
        let error = table.files().await.unwrap_err().to_string();
        assert!(error.contains(path) && error.contains(fact), "{error}");
    }
    let fixture = lake().await;
    let table = orders(&fixture.lake, "orders", vec![], &[]).await;
    let table = publish(&fixture.lake, &table, data_file(inside, Data, Parquet)).await;
    assert_eq!(table.files().await.unwrap().len(), 1, "and a plain one is listed");
}

#[tokio::test]
async fn a_missing_or_damaged_manifest_is_an_error_and_never_fewer_files() {
    for damaged in ["foreign-m0.avro", "foreign-list.avro"] {
        for content in [None, Some(&b"not avro"[..])] {
            let fixture = lake().await;
            let store = fixture.lake.store();
            let table = orders(&fixture.lake, "orders", vec![], &[]).await;
            let path = format!("{}/data/x.parquet", table.metadata().location());
            let file = data_file(&path, DataContentType::Data, DataFileFormat::Parquet);
            let table = publish(&fixture.lake, &table, file).await;
            let location = format!("{}/metadata/{damaged}", table.metadata().location());
            let object = fixture.lake.object_path(&location).unwrap();
            match content {
                Some(bytes) => store.put(&object, bytes.into()).await.map(|_| ()).unwrap(),
                None => store.delete(&object).await.unwrap(),
            }
            let error = table.files().await.unwrap_err().to_string();
            assert!(error.contains(damaged), "{error}");
        }
    }
}
