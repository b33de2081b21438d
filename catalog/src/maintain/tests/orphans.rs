//! Which files of a table's folder go.

use object_store::ObjectStoreExt;
use object_store::path::Path;
use uuid::Uuid;

use super::*;
use crate::fixture::{ids, lake, objects, orders};
use crate::maintain::orphans as removal;
use crate::testing::local_lake;

/// Later than any file of a test by every clock: the store's own decides.
fn far() -> (DateTime<Utc>, Uuid) {
    (DateTime::from_timestamp(4_000_000_000, 0).unwrap(), token(7))
}

/// No grace, as no user can have it.
fn no_grace() -> Policy {
    Policy { orphan_age: Duration::ZERO, ..Policy::default() }
}

async fn put(lake: &Lake, path: &str) {
    lake.store().put(&Path::from(path), vec![1, 2, 3].into()).await.unwrap();
}

async fn remove(lake: &Lake, policy: &Policy) -> Orphans {
    // The age that a policy may have at least is checked where properties are read, so none is used here.
    removal::remove(lake, &name("orders"), policy, far(), false).await.unwrap()
}

#[tokio::test]
async fn what_a_snapshot_or_the_log_leads_to_stays() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[]).await;
    let old = append(lake, 1).await;
    overwrite(lake, 2).await;
    let before =
        (objects(lake, ".parquet").await, objects(lake, ".avro").await, objects(lake, ".json").await);
    put(lake, "bronze/orders/data/left.parquet").await;
    put(lake, "bronze/orders/metadata/left-m0.avro").await;
    put(lake, "bronze/orders/metadata/00009-left.metadata.json").await;
    put(lake, "bronze/orders/notes.txt").await;
    let says = removal::remove(lake, &name("orders"), &no_grace(), far(), true).await.unwrap();
    assert_eq!(objects(lake, "left.parquet").await.len(), 1, "a dry run changes nothing");
    let removed = remove(lake, &no_grace()).await;
    assert_eq!(removed, says);
    assert_eq!(removed, Orphans { files: 3, bytes: 9, left: 0, unknown: 1 });
    let after = (objects(lake, ".parquet").await, objects(lake, ".avro").await, objects(lake, ".json").await);
    assert_eq!(after, before);
    assert_eq!(
        objects(lake, "notes.txt").await.len(),
        1,
        "what Iceberg does not write is not ours to delete"
    );
    assert_eq!(objects(lake, ".clock").await.len(), 0);
    assert_eq!(ids(&old).await, [1], "time travel still works");
}

#[tokio::test]
async fn unfinished_files_of_a_killed_writer_go_from_a_disk() {
    let fixture = local_lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    let folder = std::path::PathBuf::from(table.metadata().location().trim_start_matches("file://"));
    let left = |name: &str| folder.join(name);
    std::fs::create_dir_all(left("data/day=1")).unwrap();
    // So the library names a file until it is complete.
    for name in ["data/day=1/left.parquet#1", "metadata/left-m0.avro#12", "notes.txt#1"] {
        std::fs::write(left(name), "half").unwrap();
    }
    let removed = remove(lake, &no_grace()).await;
    assert_eq!(removed, Orphans { files: 2, bytes: 8, left: 0, unknown: 1 });
    assert!(!left("data/day=1/left.parquet#1").exists() && !left("metadata/left-m0.avro#12").exists());
    assert!(left("notes.txt#1").exists());
    assert_eq!(remove(lake, &no_grace()).await.files, 0);
}

#[tokio::test]
async fn young_files_are_left_to_their_commit() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[]).await;
    put(lake, "bronze/orders/data/under-way.parquet").await;
    // Our clock is decades ahead of the store's: the older of both counts.
    let policy = Policy { orphan_age: Duration::from_secs(3_600), ..Policy::default() };
    assert_eq!(remove(lake, &policy).await.files, 0);
    let behind = (DateTime::from_timestamp(1_700_000_000, 0).unwrap(), token(7));
    let removed = removal::remove(lake, &name("orders"), &no_grace(), behind, false).await.unwrap();
    assert_eq!(removed.files, 0, "our clock is behind: nothing is old");
    assert_eq!(remove(lake, &no_grace()).await.files, 1);
}

#[tokio::test]
async fn the_public_way_never_takes_a_young_file() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", vec![], &[]).await;
    let refused = remove_orphans(lake, &name("orders"), &no_grace(), far(), false).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn other_tables_in_the_folder_are_safe() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = orders(lake, "orders", vec![], &[]).await;
    let inner = format!("{}/inner", table.metadata().location());
    let request = json!({
        "name": "inner", "location": inner,
        "schema": { "type": "struct", "schema-id": 0, "fields": [] },
    });
    let request = serde_json::from_value(request).unwrap();
    let _ = lake.create_requested(&name("inner"), request, at(0)).await.unwrap();
    put(lake, "bronze/orders/inner/data/of-the-other.parquet").await;
    assert_eq!(remove(lake, &no_grace()).await.files, 0);
    let refused = removal::remove(lake, &name("inner"), &no_grace(), far(), false).await.unwrap_err();
    assert!(refused.to_string().contains("bronze.orders"), "{refused}");
}
