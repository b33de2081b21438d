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
        assert!(files.iter().all(|file| file.whole().unwrap().record_count() == 10));
        let mut sequences: Vec<i64> = files.iter().map(|file| file.sequence_number).collect();
        sequences.sort_unstable();
        assert_eq!(sequences, (1..=count as i64).collect::<Vec<_>>());
    }
    let ids: Vec<i64> = tables.iter().map(|table| table.snapshot_id().unwrap()).collect();
    let newest = &tables[3];
    let paths = |files: Vec<LiveFile>| {
        let mut paths: Vec<String> =
            files.iter().map(|file| file.whole().unwrap().file_path().to_owned()).collect();
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
        (inside, PositionDeletes, Avro, "not a Parquet file"),
        (inside, PositionDeletes, Puffin, "does not say where it lies"),
        (inside, EqualityDeletes, Parquet, "does not say by which columns"),
        (inside, EqualityDeletes, Puffin, "not a Parquet file"),
        ("s3://elsewhere/d.parquet", PositionDeletes, Parquet, "outside the warehouse"),
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

mod applied {
    use iceberg::spec::{Datum, Literal};

    use super::*;

    fn delete(
        content: DataContentType,
        seq: i64,
        build: impl FnOnce(&mut DataFileBuilder),
    ) -> Arc<DeleteFile> {
        let mut file = DataFileBuilder::default();
        file.content(content)
            .file_path(format!("memory:///d{seq}"))
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::empty())
            .partition_spec_id(0)
            .record_count(1)
            .file_size_in_bytes(1);
        build(&mut file);
        let data_file = Arc::new(file.build().unwrap());
        Arc::new(DeleteFile { data_file, partition_spec_id: 0, sequence_number: seq })
    }

    fn refusal(file: &str, fact: String) -> Error {
        refused("t", file, fact)
    }

    async fn table() -> (crate::testing::TestLake, TableSnapshot) {
        let fixture = lake().await;
        let table = orders(&fixture.lake, "orders", vec![], &[]).await;
        (fixture, table)
    }

    fn found(deletes: &Deletes) -> (Vec<i64>, Vec<i64>) {
        let positions = match &deletes.positions {
            PositionDeletes::None => Vec::new(),
            PositionDeletes::Files(files) => files.iter().map(|file| file.sequence_number).collect(),
            PositionDeletes::Vector(vector) => vec![-vector.sequence_number],
        };
        let equality = deletes.equality.iter().flat_map(|scope| scope.applicable());
        (positions, equality.map(|file| file.sequence_number).collect())
    }

    #[tokio::test]
    async fn by_sequence_number() {
        let (_lake, table) = table().await;
        let deletes = vec![
            delete(DataContentType::EqualityDeletes, 5, |_| ()),
            delete(DataContentType::EqualityDeletes, 3, |_| ()),
            delete(DataContentType::PositionDeletes, 3, |_| ()),
        ];
        let index = DeleteIndex::of(table.metadata(), deletes, refusal).unwrap();
        let data = data_file("memory:///x", DataContentType::Data, DataFileFormat::Parquet);
        let of = |seq| found(&index.apply(&data, 0, seq));
        assert_eq!(of(2), (vec![3], vec![3, 5]));
        assert_eq!(of(3), (vec![3], vec![5]), "a key that came with its deletion stays");
        assert_eq!(of(4), (vec![], vec![5]));
        assert_eq!(of(5), (vec![], vec![]));
    }

    #[tokio::test]
    async fn by_partition_path_and_vector() {
        use DataContentType::PositionDeletes as Positions;
        let (_lake, table) = table().await;
        let one = || Struct::from_iter([Some(Literal::int(1))]);
        let deletes = vec![
            delete(Positions, 4, |f| {
                f.partition(one());
            }),
            delete(Positions, 5, |f| {
                f.referenced_data_file(Some("memory:///b".into()));
            }),
            delete(Positions, 6, |f| {
                f.partition(one()).lower_bounds([(2_147_483_546, Datum::string("memory:///b"))].into());
            }),
            delete(Positions, 7, |f| {
                let only = || [(2_147_483_546, Datum::string("memory:///c"))].into();
                f.lower_bounds(only()).upper_bounds(only());
            }),
            delete(Positions, 8, |f| {
                f.file_format(DataFileFormat::Puffin).referenced_data_file(Some("memory:///v".into()));
            }),
            delete(Positions, 8, |f| {
                f.referenced_data_file(Some("memory:///v".into()));
            }),
        ];
        let index = DeleteIndex::of(table.metadata(), deletes.clone(), refusal).unwrap();
        let of = |path: &str, partition: Struct| {
            let mut file = DataFileBuilder::default();
            file.content(DataContentType::Data)
                .file_path(format!("memory:///{path}"))
                .file_format(DataFileFormat::Parquet)
                .partition(partition)
                .partition_spec_id(0)
                .record_count(1)
                .file_size_in_bytes(1);
            found(&index.apply(&file.build().unwrap(), 0, 1)).0
        };
        assert_eq!(of("a", Struct::empty()), Vec::<i64>::new());
        assert_eq!(of("a", one()), [4]);
        assert_eq!(of("b", Struct::empty()), [5]);
        assert_eq!(of("b", one()), [5, 4, 6]);
        assert_eq!(of("c", Struct::empty()), [7]);
        assert_eq!(of("v", Struct::empty()), [-8], "the vector alone");
        let twice = [deletes.as_slice(), &deletes[4..5]].concat();
        let error = DeleteIndex::of(table.metadata(), twice, refusal).unwrap_err().to_string();
        assert!(error.contains("both delete from memory:///v"), "{error}");
    }
}
