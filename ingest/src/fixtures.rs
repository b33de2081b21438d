//! What several tests of this crate need: a small topic, a lake in memory, and a reader of its rows.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sluice_catalog::{CatalogSettings, Lake, LakeSettings, S3Settings, TableName, TableSnapshot};

use crate::topics::{Column, Format, Kind, Required, Route, SchemaPolicy, Topic};

pub(crate) fn name(text: &str) -> TableName {
    text.parse().unwrap()
}

fn column(name: &str, kind: Kind, required: Required) -> Column {
    Column { name: name.to_owned(), kind, required }
}

/// `clicks` takes views and carts, `sales` transactions; `price` is a text in one and a number in the other.
pub(crate) fn events() -> Topic {
    let common = || {
        vec![
            column("event_id", Kind::String, Required::Always),
            column("event_type", Kind::String, Required::Always),
            column("at", Kind::TimestampMillis, Required::Never),
        ]
    };
    let mut clicks = common();
    clicks.push(column("item", Kind::Long, Required::For(vec!["addtocart".to_owned()])));
    clicks.push(column("price", Kind::String, Required::Never));
    let mut sales = common();
    sales.push(column("price", Kind::Decimal(12, 2), Required::Always));
    sales.push(column("gift", Kind::Boolean, Required::Never));
    let route = |table: &str, types: &[&str], columns| Route {
        table: name(table),
        event_types: types.iter().map(|name| (*name).to_owned()).collect(),
        columns,
        policy: SchemaPolicy::Ignore,
        partition_by: Vec::new(),
        upsert: None,
    };
    topic(
        "events",
        vec![
            route("bronze.clicks", &["view", "addtocart"], clicks),
            route("bronze.sales", &["transaction"], sales),
        ],
    )
}

/// A topic whose events all land in one table, without looking at their type.
pub(crate) fn plain(topic_name: &str, table: &str) -> Topic {
    let columns =
        vec![column("event_id", Kind::String, Required::Always), column("n", Kind::Int, Required::Never)];
    let route = Route {
        table: name(table),
        event_types: Vec::new(),
        columns,
        policy: SchemaPolicy::Ignore,
        partition_by: Vec::new(),
        upsert: None,
    };
    topic(topic_name, vec![route])
}

fn topic(name: &str, routes: Vec<Route>) -> Topic {
    let (config, format) = (BTreeMap::new(), Format::Json);
    Topic { name: name.to_owned(), partitions: 1, replication: 1, config, format, routes }
}

/// A lake in memory, with its catalog in the folder.
pub(crate) async fn lake(dir: &std::path::Path) -> Lake {
    let settings = LakeSettings {
        name: "sluice".to_owned(),
        catalog: CatalogSettings::Sqlite { path: dir.join("catalog.db") },
        warehouse: "memory:///warehouse".to_owned(),
        s3: S3Settings::default(),
        upgrade_catalog: false,
    };
    Lake::open_with_store(settings, std::sync::Arc::new(object_store::memory::InMemory::new())).await.unwrap()
}

/// All rows of a table, read from its files.
pub(crate) async fn rows(lake: &Lake, table: &str) -> Vec<RecordBatch> {
    rows_of(lake, &lake.load(&name(table)).await.unwrap()).await
}

/// All rows of a state of a table.
pub(crate) async fn rows_of(lake: &Lake, table: &TableSnapshot) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    for file in table.files().await.unwrap() {
        let path = lake.object_path(file.whole().unwrap().file_path()).unwrap();
        let bytes = lake.store().get(&path).await.unwrap().bytes().await.unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        batches.extend(reader.map(|batch| batch.unwrap()));
    }
    batches
}

/// Where the rows of a table come from: partition and offset; panics when one is there twice.
pub(crate) async fn places(lake: &Lake, table: &str) -> BTreeSet<(i32, i64)> {
    let mut places = BTreeSet::new();
    for batch in rows(lake, table).await {
        let partitions = batch.column_by_name("_src_partition").unwrap().as_primitive::<Int32Type>().clone();
        let offsets = batch.column_by_name("_src_offset").unwrap().as_primitive::<Int64Type>().clone();
        for (partition, offset) in partitions.values().iter().zip(offsets.values()) {
            assert!(places.insert((*partition, *offset)), "{table}: {partition}/{offset} is there twice");
        }
    }
    places
}
