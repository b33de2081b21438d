//! Tables are created once, found as they are, and refused when their metadata is not to be trusted.

use std::io::Write;

use iceberg::spec::FormatVersion;
use object_store::ObjectStoreExt;

use super::{Created, Lake};
use crate::catalogs::SwapOutcome;
use crate::error::Error;
use crate::settings::LakeSettings;
use crate::spec::{PartitionBy, TableSpec, Transform};
use crate::testing::{TestLake, local_lake, memory_lake, name, new_table, swap, two_columns};

/// Makes the catalog point to a metadata file of this content.
async fn plant(lake: &Lake, table: &str, content: Vec<u8>) -> String {
    let location = format!("{}/planted/{table}.metadata.json", lake.settings().warehouse);
    lake.store().put(&lake.object_path(&location).unwrap(), content.into()).await.unwrap();
    assert!(lake.inner().catalog.register(&name(table), &location).await.unwrap().is_some());
    location
}

async fn metadata_json(lake: &Lake, table: &str) -> String {
    let table = new_table(lake, table).await;
    let json = lake.read_json(table.metadata_location()).await.unwrap();
    String::from_utf8(json.to_vec()).unwrap()
}

#[tokio::test]
async fn a_new_table_has_the_columns_partitioning_and_properties_asked_for() {
    let TestLake { lake, dir } = local_lake().await;
    let partition_by = vec![PartitionBy { column: "id".to_owned(), transform: Transform::Bucket(4) }];
    let properties = [("write.metadata.previous-versions-max".to_owned(), "7".to_owned())].into();
    let spec = TableSpec { partition_by, properties, ..TableSpec::new(two_columns()) };
    let table = name("bronze.orders");
    assert!(matches!(lake.create(&table, spec).await.unwrap(), Created::New(_)));
    let found = lake.load(&table).await.unwrap();
    let metadata = found.metadata();
    assert_eq!(metadata.format_version(), FormatVersion::V2);
    let warehouse = dir.path().canonicalize().unwrap().join("warehouse");
    assert_eq!(metadata.location(), format!("file://{}/bronze/orders", warehouse.display()));
    assert_eq!(metadata.default_partition_spec().fields()[0].name, "id_bucket");
    assert_eq!(metadata.properties()["write.parquet.compression-codec"], "zstd");
    assert_eq!(metadata.properties()["write.metadata.delete-after-commit.enabled"], "true");
    assert_eq!(metadata.properties()["write.metadata.previous-versions-max"], "7");
    assert_eq!((found.row_count(), found.snapshot_id()), (Some(0), None));
    assert!(found.files().await.unwrap().is_empty() && found.history().is_empty());
    assert_eq!(lake.namespaces().await.unwrap(), ["bronze"]);
}

#[tokio::test]
async fn partitioning_by_what_is_not_there_or_does_not_fit_is_refused() {
    let TestLake { lake, dir: _dir } = memory_lake().await;
    for (column, transform) in [("nope", Transform::Identity), ("name", Transform::Day)] {
        let partition_by = vec![PartitionBy { column: column.to_owned(), transform }];
        let spec = TableSpec { partition_by, ..TableSpec::new(two_columns()) };
        let error = lake.create(&name("bronze.orders"), spec).await.unwrap_err();
        assert!(matches!(error, Error::Schema { .. }), "{error}");
        assert!(error.to_string().contains("bronze.orders"), "{error}");
    }
    assert!(lake.find(&name("bronze.orders")).await.unwrap().is_none());
}

#[tokio::test]
async fn creators_of_one_name_all_get_the_same_table() {
    let TestLake { lake, dir } = local_lake().await;
    let mut creators = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let settings = LakeSettings::local(dir.path());
        creators.spawn(async move {
            let lake = Lake::open(settings).await.unwrap();
            let created = lake.create(&name("bronze.orders"), TableSpec::new(two_columns())).await.unwrap();
            match created {
                Created::New(table) => (true, table.metadata().uuid()),
                Created::Existed(table) => (false, table.metadata().uuid()),
            }
        });
    }
    let created = creators.join_all().await;
    assert_eq!(created.iter().filter(|(new, _)| *new).count(), 1);
    let uuid = lake.load(&name("bronze.orders")).await.unwrap().metadata().uuid();
    assert!(created.iter().all(|(_, found)| *found == uuid));
    let metadata = dir.path().join("warehouse/bronze/orders/metadata");
    assert_eq!(std::fs::read_dir(metadata).unwrap().count(), 1, "the losers left no files");
}

#[tokio::test]
async fn a_dropped_table_is_gone_but_its_files_stay() {
    let TestLake { lake, dir: _dir } = memory_lake().await;
    let table = new_table(&lake, "bronze.orders").await;
    lake.drop_table(table.name()).await.unwrap();
    assert!(matches!(lake.load(table.name()).await.unwrap_err(), Error::NoSuchTable { .. }));
    assert!(matches!(lake.drop_table(table.name()).await.unwrap_err(), Error::NoSuchTable { .. }));
    lake.read_json(table.metadata_location()).await.unwrap();
    let again = new_table(&lake, "bronze.orders").await;
    assert_ne!(again.metadata().uuid(), table.metadata().uuid());
}

#[tokio::test]
async fn finding_a_table_that_did_not_change_does_not_read_the_store() {
    let TestLake { lake, dir: _dir } = memory_lake().await;
    let table = new_table(&lake, "bronze.orders").await;
    lake.find(table.name()).await.unwrap();
    lake.store().delete(&lake.object_path(table.metadata_location()).unwrap()).await.unwrap();
    lake.find(table.name()).await.unwrap().unwrap();
    let next = table.metadata_location().replace("00000", "00001");
    let next = [swap(table.name(), table.metadata_location(), &next)];
    assert!(matches!(lake.inner().catalog.swap(&next).await.unwrap(), SwapOutcome::Swapped(_)));
    let error = lake.find(table.name()).await.unwrap_err().to_string();
    assert!(error.contains("00001") && error.contains("it does not exist"), "{error}");
}

#[tokio::test]
async fn metadata_that_leads_outside_the_warehouse_is_refused() {
    let TestLake { lake, dir: _dir } = local_lake().await;
    let json = metadata_json(&lake, "bronze.orders").await;
    let warehouse = lake.settings().warehouse.clone();
    let hostile = json.replace(&format!("{warehouse}/bronze/orders"), "s3://secrets/bronze/orders");
    assert_ne!(hostile, json);
    plant(&lake, "bronze.hostile", hostile.into()).await;
    let error = lake.find(&name("bronze.hostile")).await.unwrap_err();
    assert!(
        matches!(&error, Error::OutsideWarehouse { location, .. } if location.starts_with("s3://secrets"))
    );
    let planted = lake.inner().catalog.register(&name("bronze.away"), "file:///etc/passwd").await;
    assert!(planted.unwrap().is_some());
    let error = lake.find(&name("bronze.away")).await.unwrap_err();
    assert!(matches!(&error, Error::OutsideWarehouse { location, .. } if location == "file:///etc/passwd"));
}

#[tokio::test]
async fn damaged_metadata_is_an_error_that_names_the_file() {
    let TestLake { lake, dir: _dir } = memory_lake().await;
    let json = metadata_json(&lake, "bronze.orders").await;
    let halves = [json[..json.len() / 2].into(), b"{}".to_vec(), Vec::new(), b"\x1f\x8bnot gzip".to_vec()];
    for (number, content) in halves.into_iter().enumerate() {
        let table = format!("bronze.damaged{number}");
        let location = plant(&lake, &table, content).await;
        let error = lake.find(&name(&table)).await.unwrap_err();
        assert!(matches!(&error, Error::File { subject, .. } if *subject == location), "{error}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn compressed_metadata_is_read() {
    let TestLake { lake, dir: _dir } = memory_lake().await;
    let json = metadata_json(&lake, "bronze.orders").await;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(json.as_bytes()).unwrap();
    plant(&lake, "bronze.packed", packed.finish().unwrap()).await;
    let packed = lake.load(&name("bronze.packed")).await.unwrap();
    assert_eq!(packed.metadata(), lake.load(&name("bronze.orders")).await.unwrap().metadata());
}

#[tokio::test]
async fn a_lake_is_found_again_with_its_tables() {
    let TestLake { lake, dir } = local_lake().await;
    let table = new_table(&lake, "bronze.orders").await;
    lake.create_namespace("silver").await.unwrap();
    assert!(lake.create_namespace("no dots...").await.is_err());
    drop(lake);
    let again = Lake::open(LakeSettings::local(dir.path())).await.unwrap();
    let found = again.load(table.name()).await.unwrap();
    assert_eq!(found.metadata(), table.metadata());
    assert_eq!(again.namespaces().await.unwrap(), ["bronze", "silver"]);
    assert_eq!(again.store_url().as_str(), "file:///");
}

/// Callers spawn these on other threads.
#[tokio::test]
async fn what_the_lake_does_can_be_spawned() {
    fn spawnable<T: Send>(_future: &T) {}
    let TestLake { lake, dir: _dir } = memory_lake().await;
    let table = new_table(&lake, "bronze.orders").await;
    spawnable(&Lake::open(lake.settings().clone()));
    spawnable(&lake.create(table.name(), TableSpec::new(two_columns())));
    spawnable(&lake.find(table.name()));
    spawnable(&lake.find_view(table.name()));
    spawnable(&lake.commit(Vec::new(), chrono::DateTime::UNIX_EPOCH));
    spawnable(&table.files());
    spawnable(&table.files_added_since(1));
}
