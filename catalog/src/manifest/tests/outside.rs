//! Places outside the warehouse, and folders of others, named by a table's own metadata.

use serde_json::Value;

use super::*;

/// Places that no table of the warehouse may name.
const OUTSIDE: [&str; 9] = [
    "file:///etc/passwd",
    "s3://elsewhere/lake/x.avro",
    "memory:///elsewhere/x.avro",
    "memory:///warehouse/../elsewhere/x.avro",
    "memory:///warehouse/bronze/../../elsewhere/x.avro",
    "memory:///warehouse2/x.avro",
    "http://169.254.169.254/latest/meta-data",
    "/etc/passwd",
    "",
];

async fn edited(victim: &Victim, edit: impl FnOnce(&mut Value)) -> Lake {
    let path = Path::from(victim.pointer.strip_prefix("memory:///").unwrap());
    let bytes = victim.store.get(&path).await.unwrap().bytes().await.unwrap();
    let mut metadata: Value = serde_json::from_slice(&bytes).unwrap();
    edit(&mut metadata);
    victim.fresh(&path, metadata.to_string().as_bytes()).await
}

#[tokio::test]
async fn a_manifest_list_outside_is_not_read() {
    let victim = Victim::new().await;
    for place in OUTSIDE {
        let lake = edited(&victim, |metadata| {
            for snapshot in metadata["snapshots"].as_array_mut().unwrap() {
                snapshot["manifest-list"] = place.into();
            }
        })
        .await;
        let table = lake.load(&name("orders")).await.unwrap();
        let error = table.files().await.unwrap_err().to_string();
        assert!(error.contains("outside the warehouse"), "{place}: {error}");
    }
}

#[tokio::test]
async fn a_table_outside_is_not_opened() {
    let victim = Victim::new().await;
    for place in OUTSIDE {
        let lake = edited(&victim, |metadata| metadata["location"] = place.into()).await;
        let error = lake.load(&name("orders")).await.unwrap_err().to_string();
        assert!(error.contains("outside the warehouse"), "{place}: {error}");
    }
}

#[tokio::test]
async fn a_pointer_outside_is_not_followed() {
    let victim = Victim::new().await;
    for place in OUTSIDE.iter().filter(|place| !place.is_empty()) {
        let swap = [crate::testing::swap(&name("orders"), &victim.pointer, place)];
        let _ = victim.catalog.swap(&swap).await.unwrap();
        let lake = victim.fresh(&Path::from("warehouse/unused"), b"").await;
        let error = lake.load(&name("orders")).await.unwrap_err().to_string();
        assert!(error.contains("outside the warehouse"), "{place}: {error}");
        let swap = [crate::testing::swap(&name("orders"), place, &victim.pointer)];
        let _ = victim.catalog.swap(&swap).await.unwrap();
    }
}

/// The files of another table in the manifests of an old snapshot: what expiry deletes.
#[tokio::test]
async fn expiry_spares_the_files_of_another_table() {
    let victim = Victim::new().await;
    let lake = victim.fresh(&Path::from("warehouse/unused"), b"").await;
    let others = lake.load(&name("others")).await.unwrap();
    let list = others.snapshot().unwrap().manifest_list().to_owned();
    let lake = edited(&victim, |metadata| {
        let snapshots = metadata["snapshots"].as_array_mut().unwrap();
        snapshots[0]["manifest-list"] = list.into();
    })
    .await;
    let policy =
        Policy { max_snapshot_age: Duration::ZERO, reader_grace: Duration::ZERO, ..Policy::default() };
    let expired = expire(&lake, &name("orders"), &policy, &Cursors::default(), at(9), false).await;
    assert_eq!(expired.unwrap().snapshots, 1);
    let others = lake.load(&name("others")).await.unwrap();
    for file in others.files().await.unwrap() {
        let path = lake.object_path(file.whole().unwrap().file_path()).unwrap();
        lake.store().head(&path).await.unwrap();
    }
}

/// A table that claims the whole warehouse as its folder owns no orphans there.
#[tokio::test]
async fn orphans_of_a_table_that_claims_the_warehouse_stay() {
    let victim = Victim::new().await;
    let canary = Path::from("warehouse/exports/x.parquet");
    victim.store.put(&canary, vec![1].into()).await.unwrap();
    let policy = Policy { orphan_age: Duration::ZERO, ..Policy::default() };
    for place in ["memory:///warehouse", "memory:///warehouse/"] {
        let lake = edited(&victim, |metadata| metadata["location"] = place.into()).await;
        let removed = remove(&lake, &name("orders"), &policy, (at(9), token(99)), false).await;
        let refused = removed.unwrap_err().to_string();
        assert!(refused.contains("lies elsewhere than the folder"), "{place}: {refused}");
        lake.store().head(&canary).await.unwrap();
    }
}
