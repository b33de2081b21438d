//! Deleted rows are gone from every kind of answer: rows, counts, limits, filters, joins.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::object_store::ObjectStoreExt;
use datafusion::parquet::arrow::ArrowWriter;
use iceberg::spec::{DataContentType, DataFileBuilder, DataFileFormat, Struct};
use roaring::RoaringTreemap;
use sluice_catalog::{DeleteFile, Deletes, EqualityDeletes, LiveFile, PositionDeletes};

use super::{TestLake, batch, rows, schema, shown, value};
use crate::types::FIELD_ID;
use crate::{EngineSettings, Session};

mod mutated;

const PLACE: &str = "memory:///warehouse/bronze/t/data";

/// Stores the object and returns what a manifest says of it.
async fn put(
    lake: &TestLake,
    name: &str,
    bytes: Vec<u8>,
    build: impl FnOnce(&mut DataFileBuilder) -> &mut DataFileBuilder,
) -> Arc<DeleteFile> {
    let location = format!("{PLACE}/{name}");
    let path = lake.lake.object_path(&location).unwrap();
    let mut file = DataFileBuilder::default();
    file.file_path(location)
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::empty())
        .partition_spec_id(0)
        .record_count(1)
        .file_size_in_bytes(bytes.len() as u64);
    lake.lake.store().put(&path, bytes.into()).await.unwrap();
    let data_file = Arc::new(build(&mut file).build().unwrap());
    Arc::new(DeleteFile { data_file, partition_spec_id: 0, sequence_number: 9 })
}

fn parquet(columns: Vec<(&str, i32, ArrayRef)>) -> Vec<u8> {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, id, column)| {
            let id = [(FIELD_ID.to_owned(), id.to_string())].into();
            Field::new(*name, column.data_type().clone(), true).with_metadata(id)
        })
        .collect();
    let columns = columns.into_iter().map(|(_, _, column)| column).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

async fn positions(lake: &TestLake, name: &str, deleted: &[(&str, i64)]) -> Arc<DeleteFile> {
    let paths: ArrayRef = Arc::new(StringArray::from_iter_values(deleted.iter().map(|(path, _)| path)));
    let rows: ArrayRef = Arc::new(Int64Array::from_iter_values(deleted.iter().map(|(_, row)| *row)));
    let file = parquet(vec![("file_path", 2_147_483_546, paths), ("pos", 2_147_483_545, rows)]);
    put(lake, name, file, |f| f.content(DataContentType::PositionDeletes)).await
}

async fn keys(lake: &TestLake, name: &str, columns: Vec<(&str, i32, ArrayRef)>, seq: i64) -> Arc<DeleteFile> {
    let ids = columns.iter().map(|(_, id, _)| *id).collect();
    let file = parquet(columns);
    let file =
        put(lake, name, file, |f| f.content(DataContentType::EqualityDeletes).equality_ids(Some(ids))).await;
    Arc::new(DeleteFile { sequence_number: seq, ..file.as_ref().clone() })
}

/// A table of 30,000 numbers, and its only file.
async fn numbers() -> (TestLake, LiveFile) {
    let settings = EngineSettings { target_partitions: 4, ..EngineSettings::default() };
    let lake = TestLake::with(settings).await;
    let columns = schema(&[("n", DataType::Int64), ("word", DataType::Utf8), ("x", DataType::Float64)]);
    lake.create("bronze.t", &columns, Vec::new()).await;
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter((0..30_000).map(|n| (n % 100 != 7).then_some(n)))),
        Arc::new(StringArray::from_iter_values((0..30_000).map(|n| format!("w{n}")))),
        Arc::new(Float64Array::from_iter_values((0..30_000).map(|n| match n {
            1 => f64::NAN,
            2 => -0.0,
            3 => 0.0,
            n => f64::from(n),
        }))),
    ];
    let table = lake.append("bronze.t", batch(&columns, arrays)).await;
    let file = table.files().await.unwrap().remove(0);
    (lake, file)
}

async fn session(lake: &TestLake, file: &LiveFile, deletes: Deletes) -> Session {
    let table = lake.lake.load(&super::name("bronze.t")).await.unwrap();
    let data = Arc::new(file.parts().0.clone());
    let file = LiveFile::with_deletes(data, 0, file.sequence_number, deletes);
    lake.session().with_files(&table, vec![file])
}

async fn column(session: &Session, sql: &str) -> Vec<i64> {
    let batches = rows(session, sql, Vec::new()).await.unwrap();
    batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

fn by_key(files: Vec<Arc<DeleteFile>>) -> Deletes {
    let equality = vec![EqualityDeletes { scope: files.into(), from: 0 }];
    Deletes { equality, ..Deletes::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_are_left_out_also_where_a_file_is_split() {
    let (lake, file) = numbers().await;
    let path = file.parts().0.file_path().to_owned();
    let gone: Vec<i64> = (0..30_000).filter(|n| n % 3 == 0).collect();
    let mut deleted: Vec<(&str, i64)> = vec![("elsewhere", 1)];
    deleted.extend(gone.iter().map(|row| (path.as_str(), *row)));
    let files = vec![
        positions(&lake, "d1.parquet", &deleted).await,
        positions(&lake, "d2.parquet", &[(&path, 1), (&path, 0)]).await,
    ];
    let deletes = Deletes { positions: PositionDeletes::Files(files), ..Deletes::default() };
    let session = session(&lake, &file, deletes).await;
    assert_eq!(value(&session, "SELECT count(*) FROM t").await, "19999");
    assert_eq!(
        value(&session, "SELECT min(word) FROM t WHERE word < 'w2' AND length(word) < 4").await,
        "w10"
    );
    assert_eq!(value(&session, "SELECT count(*) FROM t WHERE word = 'w3'").await, "0");
    assert_eq!(value(&session, "SELECT count(*) FROM (SELECT * FROM t LIMIT 19999)").await, "19999");
    assert_eq!(value(&session, "SELECT count(*) FROM (SELECT * FROM t LIMIT 10)").await, "10");
    let left: BTreeSet<i64> =
        column(&session, "SELECT cast(x AS bigint) FROM t WHERE x > 4").await.into_iter().collect();
    assert!(left.iter().all(|n| n % 3 != 0) && left.len() == 19_997, "{}", left.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vector_is_applied() {
    let (lake, file) = numbers().await;
    let path = file.parts().0.file_path().to_owned();
    let bitmap: RoaringTreemap = (100..20_100).collect();
    let mut content = vec![0xd1, 0xd3, 0x39, 0x64];
    bitmap.serialize_into(&mut content).unwrap();
    let mut puffin = b"PFA1".to_vec();
    puffin.extend((content.len() as u32).to_be_bytes());
    puffin.extend(&content);
    puffin.extend(crc32fast::hash(&content).to_be_bytes());
    let size = puffin.len() as i64 - 4;
    let apply = |rows: u64, puffin: Vec<u8>, name: &'static str| {
        let (lake, file, path) = (&lake, &file, path.clone());
        async move {
            let vector = put(lake, name, puffin, |f| {
                f.content(DataContentType::PositionDeletes)
                    .file_format(DataFileFormat::Puffin)
                    .record_count(rows)
                    .referenced_data_file(Some(path))
                    .content_offset(Some(4))
                    .content_size_in_bytes(Some(size))
            });
            let positions = PositionDeletes::Vector(vector.await);
            session(lake, file, Deletes { positions, ..Deletes::default() }).await
        }
    };
    let good = apply(20_000, puffin.clone(), "v1.puffin").await;
    assert_eq!(value(&good, "SELECT count(*) FROM t").await, "10000");
    assert_eq!(
        value(&good, "SELECT count(*) FROM t WHERE word IN ('w99', 'w100', 'w20099', 'w20100')").await,
        "2"
    );
    let wrong = shown(&apply(19_999, puffin.clone(), "v2.puffin").await, "SELECT count(*) FROM t").await;
    assert!(wrong.contains("v2.puffin") && wrong.contains("20000 rows"), "{wrong}");
    *puffin.last_mut().unwrap() ^= 1;
    let damaged = shown(&apply(20_000, puffin, "v3.puffin").await, "SELECT count(*) FROM t").await;
    assert!(damaged.contains("v3.puffin") && damaged.contains("checksum"), "{damaged}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_compared_null_safe_and_by_field_id() {
    let (lake, file) = numbers().await;
    let n: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), Some(6), None]));
    let session =
        session(&lake, &file, by_key(vec![keys(&lake, "k.parquet", vec![("old", 1, n)], 9).await])).await;
    // 300 nulls and two numbers; the key is not among the columns that are asked for.
    assert_eq!(value(&session, "SELECT count(*) FROM t").await, "29698");
    assert_eq!(
        value(&session, "SELECT count(word) FROM t WHERE word IN ('w5', 'w6', 'w7', 'w8')").await,
        "1"
    );
    assert_eq!(value(&session, "SELECT count(*) FROM t WHERE n IS NULL").await, "0");
    assert_eq!(value(&session, "SELECT count(*) FROM (SELECT word FROM t LIMIT 29698)").await, "29698");
    assert_eq!(value(&session, "SELECT upper(word) FROM t ORDER BY n LIMIT 1 OFFSET 5").await, "W8");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nan_is_nan_and_zero_has_a_sign() {
    let (lake, file) = numbers().await;
    let x: ArrayRef = Arc::new(Float64Array::from(vec![-f64::NAN, -0.0]));
    let session =
        session(&lake, &file, by_key(vec![keys(&lake, "k.parquet", vec![("x", 3, x)], 9).await])).await;
    assert_eq!(value(&session, "SELECT count(*) FROM t").await, "29998");
    let left = "SELECT count(*) FROM t WHERE word IN ('w0', 'w1', 'w2', 'w3')";
    assert_eq!(value(&session, left).await, "2");
    assert_eq!(value(&session, "SELECT count(*) FROM t WHERE word = 'w3'").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_newer_deletes_over_their_own_columns_apply() {
    let (lake, file) = numbers().await;
    let number = |n: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![n])) };
    let word = |w: &str| -> ArrayRef { Arc::new(StringArray::from(vec![w])) };
    let scope: Arc<[Arc<DeleteFile>]> = vec![
        keys(&lake, "k1.parquet", vec![("n", 1, number(10))], 2).await,
        keys(&lake, "k2.parquet", vec![("n", 1, number(11))], 4).await,
        keys(&lake, "k3.parquet", vec![("word", 2, word("w12")), ("n", 1, number(12))], 5).await,
        keys(&lake, "k4.parquet", vec![("n", 1, number(13)), ("word", 2, word("w14"))], 5).await,
    ]
    .into();
    let table = lake.lake.load(&super::name("bronze.t")).await.unwrap();
    let read = |seq: i64, from: usize| {
        let equality = vec![EqualityDeletes { scope: Arc::clone(&scope), from }];
        LiveFile::with_deletes(
            Arc::new(file.parts().0.clone()),
            0,
            seq,
            Deletes { equality, ..Deletes::default() },
        )
    };
    // The same rows as files of two commits, one of which is newer than the first delete.
    let session = lake.session().with_files(&table, vec![read(1, 0), read(3, 1)]);
    let left = |n: i64| format!("SELECT count(*) FROM t WHERE word = 'w{n}'");
    for (n, count) in [(9, "2"), (10, "1"), (11, "0"), (12, "0"), (13, "2"), (14, "2")] {
        assert_eq!(value(&session, &left(n)).await, count, "{n}");
    }
    assert_eq!(value(&session, "SELECT count(*) FROM t").await, "59995");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_file_that_cannot_be_applied_fails_the_query_by_name() {
    let (lake, file) = numbers().await;
    let n = || -> ArrayRef { Arc::new(Int64Array::from(vec![5])) };
    let word: ArrayRef = Arc::new(StringArray::from(vec!["no number"]));
    let unknown = keys(&lake, "unknown.parquet", vec![("n", 77, n())], 9).await;
    let kind = keys(&lake, "kind.parquet", vec![("n", 1, word)], 9).await;
    let missing = keys(&lake, "missing.parquet", vec![("n", 1, n())], 9).await;
    let path = lake.lake.object_path(missing.data_file.file_path()).unwrap();
    lake.lake.store().delete(&path).await.unwrap();
    let damaged =
        put(&lake, "damaged.parquet", vec![0; 500], |f| f.content(DataContentType::PositionDeletes)).await;
    let negative = positions(&lake, "negative.parquet", &[(file.parts().0.file_path(), -1)]).await;
    let by_position = |file| Deletes { positions: PositionDeletes::Files(vec![file]), ..Deletes::default() };
    for (name, deletes) in [
        ("unknown.parquet", by_key(vec![unknown])),
        ("kind.parquet", by_key(vec![kind])),
        ("missing.parquet", by_key(vec![missing])),
        ("damaged.parquet", by_position(damaged)),
        ("negative.parquet", by_position(negative)),
    ] {
        let text = shown(&session(&lake, &file, deletes).await, "SELECT count(*) FROM t").await;
        assert!(text.starts_with("error: ") && text.contains(name), "{name}: {text}");
    }
}
