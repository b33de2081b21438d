//! Files as they lie in the store: their rows, names, sizes, bounds, and what happens when something fails.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use iceberg::spec::Datum;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::fixture::{at, ids, lake, name, objects, orders, rows, staged, token};
use crate::spec::{PartitionBy, TableSpec, Transform};
use crate::{Commit, CommitOutcome, Operation};

fn by(column: &str, transform: Transform) -> Vec<PartitionBy> {
    vec![PartitionBy { column: column.to_owned(), transform }]
}

async fn commit(lake: &Lake, table: &str, files: StagedFiles) -> TableSnapshot {
    let commit = Commit {
        table: name(table),
        operation: Operation::Append,
        files: Some(files),
        offsets: Vec::new(),
        properties: BTreeMap::new(),
        token: token(1),
    };
    match lake.commit(vec![commit], at(0)).await.unwrap() {
        CommitOutcome::Committed(mut tables) => tables.remove(0),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_file_has_counts_sizes_and_bounds_of_each_column() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    let files = staged(lake, &table, token(7), 0..1000).await;
    assert_eq!((files.row_count(), files.file_count()), (1000, 1));
    let file = &files.files[0];
    assert!(file.file_path().ends_with("/data/00000000-0000-0000-0000-000000000007-0.parquet"));
    let path = lake.object_path(file.file_path()).unwrap();
    assert_eq!(lake.store().head(&path).await.unwrap().size, file.file_size_in_bytes());
    assert_eq!(file.value_counts().values().copied().collect::<Vec<_>>(), [1000; 3]);
    assert_eq!(file.null_value_counts().values().copied().collect::<Vec<_>>(), [0; 3]);
    assert!(file.column_sizes().values().all(|bytes| *bytes > 0));
    assert_eq!(file.lower_bounds()[&1], Datum::long(0));
    assert_eq!(file.upper_bounds()[&1], Datum::long(999));
    assert_eq!(file.lower_bounds()[&2], Datum::string("new"));
    assert_eq!(file.upper_bounds()[&2], Datum::string("sent"));
    assert_eq!(file.lower_bounds()[&3], Datum::timestamptz_micros(1_700_000_000_000_000));
    assert_eq!(file.split_offsets(), Some([4].as_slice()));
}

#[tokio::test]
async fn the_parquet_columns_carry_the_field_ids() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    let files = staged(lake, &table, token(7), 0..10).await;
    let path = lake.object_path(files.files[0].file_path()).unwrap();
    let bytes = lake.store().get(&path).await.unwrap().bytes().await.unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let columns = reader.parquet_schema().columns().to_vec();
    let ids: Vec<_> = columns.iter().map(|column| column.self_type().get_basic_info().id()).collect();
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(reader.schema().fields(), table.schema().fields());
}

#[tokio::test]
async fn long_texts_nulls_and_not_a_number_are_described_honestly() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let schema = Arc::new(Schema::new(vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("value", DataType::Float64, true),
        Field::new("nothing", DataType::Int64, true),
    ]));
    lake.create(&name("odd"), TableSpec::new(schema.clone())).await.unwrap();
    let table = lake.load(&name("odd")).await.unwrap();
    let long = ["a".repeat(100), "z".repeat(100)];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![Some(long[0].as_str()), Some(long[1].as_str()), None])),
        Arc::new(Float64Array::from(vec![1.5, f64::NAN, -0.5])),
        Arc::new(Int64Array::from(vec![None, None, None])),
    ];
    let mut writer = TableWriter::new(lake, &table, token(1), WriterSettings::default()).unwrap();
    writer.write(RecordBatch::try_new(schema, columns).unwrap()).await.unwrap();
    let files = writer.finish().await.unwrap();
    let file = &files.files[0];
    assert_eq!(file.lower_bounds()[&1], Datum::string("a".repeat(16)));
    assert_eq!(file.upper_bounds()[&1], Datum::string("z".repeat(15) + "{"));
    assert_eq!(file.nan_value_counts(), &HashMap::from([(2, 1)]));
    assert_eq!(file.lower_bounds()[&2], Datum::double(-0.5));
    assert_eq!(file.upper_bounds()[&2], Datum::double(1.5));
    assert_eq!(file.null_value_counts(), &HashMap::from([(1, 1), (2, 0), (3, 3)]));
    assert!(!file.lower_bounds().contains_key(&3));
}

#[tokio::test]
async fn rows_are_split_by_partition_and_read_back() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", by("status", Transform::Identity), &[]).await;
    let files = staged(lake, &table, token(1), 0..30).await;
    assert_eq!(files.file_count(), 3);
    let folders: HashSet<_> =
        files.files.iter().filter_map(|file| file.file_path().rsplit('/').nth(1)).collect();
    assert_eq!(folders, HashSet::from(["status=new", "status=paid", "status=sent"]));
    for file in &files.files {
        assert_eq!(file.lower_bounds()[&2], file.upper_bounds()[&2]);
        assert_eq!(file.record_count(), 10);
    }
    assert_eq!(ids(&commit(lake, "orders", files).await).await, (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_least_recently_used_file_is_closed_when_too_many_are_open() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", by("id", Transform::Identity), &[]).await;
    let settings = WriterSettings { open_files_max: 2, ..WriterSettings::default() };
    let mut writer = TableWriter::new(lake, &table, token(1), settings).unwrap();
    for batch in [0..2, 1..2, 2..3, 1..2, 0..1] {
        writer.write(rows(batch)).await.unwrap();
    }
    assert_eq!(writer.open.len(), 2);
    let files = writer.finish().await.unwrap();
    // 0 was closed to open 2, then 2 to open 0 again; 1 was always in use.
    let by_id: Vec<_> =
        files.files.iter().map(|file| (file.lower_bounds()[&1].clone(), file.record_count())).collect();
    let expected = [(0, 1), (1, 3), (2, 1), (0, 1)].map(|(id, count)| (Datum::long(id), count));
    assert_eq!(by_id, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_rests_or_may_open_less_goes_on_with_other_files() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", by("id", Transform::Identity), &[]).await;
    let mut writer = TableWriter::new(lake, &table, token(1), WriterSettings::default()).unwrap();
    writer.write(rows(0..4)).await.unwrap();
    assert_eq!(writer.open_files(), 4);
    writer.limit_open_files(2);
    writer.write(rows(4..5)).await.unwrap();
    assert_eq!(writer.open_files(), 2, "as few as it may have by now");
    writer.rest().await.unwrap();
    assert_eq!((writer.open_files(), objects(lake, ".parquet").await.len()), (0, 5), "all are in the store");
    writer.write(rows(3..5)).await.unwrap();
    let files = writer.finish().await.unwrap();
    assert_eq!((files.row_count(), files.file_count()), (7, 7));
}

#[tokio::test]
async fn files_roll_at_their_target_and_large_ones_are_uploaded_in_parts() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, false)]));
    let mut spec = TableSpec::new(schema.clone());
    spec.properties.insert("write.target-file-size-bytes".to_owned(), (10 << 20).to_string());
    lake.create(&name("wide"), spec).await.unwrap();
    let table = lake.load(&name("wide")).await.unwrap();
    // 140 hexadecimal digits a row, which hold 70 bytes: a file takes about 140,000 rows.
    let mut writer = TableWriter::new(lake, &table, token(1), WriterSettings::default()).unwrap();
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 8
    };
    for _ in 0..10 {
        let texts: StringArray = (0..30_000)
            .map(|_| Some((0..10).map(|_| format!("{:014x}", random())).collect::<String>()))
            .collect();
        writer.write(RecordBatch::try_new(schema.clone(), vec![Arc::new(texts)]).unwrap()).await.unwrap();
        assert!(writer.buffered_bytes() > 0);
    }
    let written = writer.written_bytes();
    let files = writer.finish().await.unwrap();
    assert_eq!(files.row_count(), 300_000);
    assert!(files.file_count() >= 2, "{}", files.file_count());
    let full = &files.files[..files.file_count() - 1];
    assert!(full.iter().all(|file| (9 << 20..16 << 20).contains(&file.file_size_in_bytes())), "{full:?}");
    assert!(written > files.byte_count() / 2, "{written} of {}", files.byte_count());
    for file in &files.files {
        let path = lake.object_path(file.file_path()).unwrap();
        let bytes = lake.store().get(&path).await.unwrap().bytes().await.unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows() as u64, file.record_count());
    }
}

#[tokio::test]
async fn row_groups_are_cut_early_when_memory_is_short() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    let settings = WriterSettings { buffered_bytes_max: 1 << 20, ..WriterSettings::default() };
    let mut writer = TableWriter::new(lake, &table, token(1), settings).unwrap();
    for start in 0..8 {
        writer.write(rows(start * 60_000..(start + 1) * 60_000)).await.unwrap();
    }
    let files = writer.finish().await.unwrap();
    assert_eq!((files.row_count(), files.file_count()), (480_000, 1));
    assert!(files.files[0].split_offsets().unwrap().len() > 2);
    assert_eq!(ids(&commit(lake, "orders", files).await).await, (0..480_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn nothing_stays_of_an_abandoned_writer() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", by("id", Transform::Identity), &[]).await;
    let settings = WriterSettings { open_files_max: 2, ..WriterSettings::default() };
    let mut writer = TableWriter::new(lake, &table, token(1), settings).unwrap();
    writer.write(rows(0..10)).await.unwrap();
    let meter = writer.meter.clone();
    writer.abort().await;
    assert_eq!(objects(lake, ".parquet").await, Vec::<String>::new());
    assert_eq!(meter.buffered(), 0);
    staged(lake, &table, token(2), 0..3).await.discard(lake).await;
    assert_eq!(objects(lake, ".parquet").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_writer_that_failed_cannot_be_finished() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    let mut writer = TableWriter::new(lake, &table, token(1), WriterSettings::default()).unwrap();
    writer.write(rows(0..10)).await.unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![("other", Arc::new(Int64Array::from(vec![1])))];
    let error = writer.write(RecordBatch::try_from_iter(columns).unwrap()).await.unwrap_err();
    assert!(error.to_string().starts_with("column id of table bronze.orders"), "{error}");
    let error = writer.finish().await.unwrap_err();
    assert!(error.to_string().contains("a write failed or was cancelled before"), "{error}");
    assert_eq!(objects(lake, ".parquet").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_setting_that_cannot_work_is_named() {
    let fixture = lake().await;
    let table = orders(&fixture.lake, "orders", vec![], &[]).await;
    let settings = WriterSettings { zstd_level: Some(99), ..WriterSettings::default() };
    let error = TableWriter::new(&fixture.lake, &table, token(1), settings).unwrap_err();
    assert!(error.to_string().starts_with("not a zstd level: `99`"), "{error}");
}

#[tokio::test]
async fn properties_of_the_table_say_how_its_files_are_made_and_odd_ones_are_ignored() {
    let fixture = lake().await;
    for (number, (bytes, level, expected)) in
        [("1000", "19", (1000, 19)), ("0", "23", (128 << 20, 1)), ("1e6", "", (128 << 20, 1))]
            .into_iter()
            .enumerate()
    {
        let mut spec = TableSpec::new(Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, false)])));
        spec.properties.insert("write.target-file-size-bytes".to_owned(), bytes.to_owned());
        spec.properties.insert("write.parquet.compression-level".to_owned(), level.to_owned());
        let name = name(&format!("t{number}"));
        fixture.lake.create(&name, spec).await.unwrap();
        let table = fixture.lake.load(&name).await.unwrap();
        assert_eq!((wishes::file_bytes(&table), wishes::zstd_level(&table)), expected);
        let writer = TableWriter::new(&fixture.lake, &table, token(1), WriterSettings::default()).unwrap();
        let level = ZstdLevel::try_new(expected.1).unwrap();
        assert_eq!(writer.target.properties.compression(&"id".into()), Compression::ZSTD(level));
        assert_eq!(writer.file_bytes, expected.0);
    }
}

#[tokio::test]
async fn a_file_is_the_same_with_any_number_of_threads() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    let mut written = Vec::new();
    for threads in [1, 2, 7] {
        let settings = WriterSettings { threads, ..WriterSettings::default() };
        let mut writer = TableWriter::new(lake, &table, token(threads as u128), settings).unwrap();
        // Batches that do not end where row groups do.
        for start in (0..600_000_i64).step_by(50_000) {
            writer.write(rows(start..start + 50_000)).await.unwrap();
        }
        let files = writer.finish().await.unwrap();
        let path = lake.object_path(files.files[0].file_path()).unwrap();
        let bytes = lake.store().get(&path).await.unwrap().bytes().await.unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
        let groups: Vec<_> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(groups, [262_144, 262_144, 75_712]);
        let read: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        let first = read.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values());
        assert!(first.copied().eq(0..600_000));
        written.push(bytes);
    }
    assert!(written.windows(2).all(|pair| pair[0] == pair[1]));
}
