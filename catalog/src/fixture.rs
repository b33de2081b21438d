//! What the tests of writes and commits share: a table of orders, rows in and out.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use uuid::Uuid;

pub(crate) use crate::testing::memory_lake as lake;
use crate::{
    Lake, PartitionBy, StagedFiles, TableName, TableSnapshot, TableSpec, TableWriter, WriterSettings,
};

pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

pub(crate) fn token(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

pub(crate) fn name(name: &str) -> TableName {
    TableName::new("bronze", name).unwrap()
}

pub(crate) fn orders_schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("status", DataType::Utf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
    ]))
}

/// Creates a table of orders.
pub(crate) async fn orders(
    lake: &Lake,
    table: &str,
    partition_by: Vec<PartitionBy>,
    properties: &[(&str, &str)],
) -> TableSnapshot {
    let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let spec = TableSpec { partition_by, properties, ..TableSpec::new(orders_schema()) };
    lake.create(&name(table), spec).await.unwrap();
    lake.load(&name(table)).await.unwrap()
}

/// Orders with these ids: three statuses in turn, one order a minute.
pub(crate) fn rows(ids: Range<i64>) -> RecordBatch {
    let statuses = ["new", "paid", "sent"];
    let status: StringArray = ids.clone().map(|id| Some(statuses[id as usize % 3])).collect();
    let times: TimestampMicrosecondArray =
        ids.clone().map(|id| Some(1_700_000_000_000_000 + id * 60_000_000)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids)),
        Arc::new(status),
        Arc::new(times.with_timezone("UTC")),
    ];
    RecordBatch::try_new(orders_schema(), columns).unwrap()
}

/// Writes orders without committing them.
pub(crate) async fn staged(lake: &Lake, table: &TableSnapshot, token: Uuid, ids: Range<i64>) -> StagedFiles {
    let mut writer = TableWriter::new(lake, table, token, WriterSettings::default()).unwrap();
    writer.write(rows(ids)).await.unwrap();
    writer.finish().await.unwrap()
}

/// The ids of all live rows, sorted; read from the files that the manifests name.
pub(crate) async fn ids(table: &TableSnapshot) -> Vec<i64> {
    let mut ids = Vec::new();
    for live in table.files().await.unwrap() {
        let path = table.lake().object_path(live.whole().unwrap().file_path()).unwrap();
        let bytes = table.lake().store().get(&path).await.unwrap().bytes().await.unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let column = batch.column_by_name("id").unwrap();
            ids.extend(column.as_primitive::<Int64Type>().values().iter());
        }
    }
    ids.sort_unstable();
    ids
}

/// The objects in the store whose path ends with `suffix`, sorted.
pub(crate) async fn objects(lake: &Lake, suffix: &str) -> Vec<String> {
    let listed: Vec<_> = lake.store().list(None).try_collect().await.unwrap();
    let mut paths: Vec<_> = listed.into_iter().map(|object| object.location.to_string()).collect();
    paths.retain(|path| path.ends_with(suffix));
    paths.sort();
    paths
}
