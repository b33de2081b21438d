//! Where locations lead, and which are refused.

use super::{Kind, Warehouse};
use crate::error::Error;
use crate::testing::name;

#[tokio::test]
async fn s3_locations_are_paths_of_the_bucket() {
    let warehouse = Warehouse::resolve("s3://lake/shop/").await.unwrap();
    assert_eq!(warehouse.kind(), &Kind::S3 { bucket: "lake".to_owned() });
    assert_eq!(warehouse.store_url().as_str(), "s3://lake");
    let location = warehouse.location_of(&name("bronze.orders"));
    assert_eq!(location, "s3://lake/shop/bronze/orders");
    let file = "/data/a b%20ü.parquet";
    let expected = format!("shop/bronze/orders{file}");
    for scheme in ["s3", "s3a", "s3n"] {
        let spelled = format!("{}{file}", location.replacen("s3", scheme, 1));
        assert_eq!(warehouse.object_path(&spelled).unwrap().as_ref(), expected);
    }
}

#[tokio::test]
async fn the_bucket_itself_can_be_the_warehouse() {
    let warehouse = Warehouse::resolve("s3://lake").await.unwrap();
    assert_eq!(warehouse.location_of(&name("a.b")), "s3://lake/a/b");
    assert_eq!(warehouse.object_path("s3://lake/a/b").unwrap().as_ref(), "a/b");
}

#[tokio::test]
async fn what_lies_outside_is_refused() {
    let warehouse = Warehouse::resolve("s3://lake/shop").await.unwrap();
    let outside = [
        "s3://other/shop/x",
        "s3://lake/shopping/x",
        "s3://lake/shop/../x",
        "s3://lake/x",
        "s3://lakeside/shop/x",
        "s3:///shop/x",
        "file:///etc/passwd",
        "/shop/x",
        "shop/x",
        "http://lake/shop/x",
        "",
    ];
    for location in outside {
        let error = warehouse.object_path(location).unwrap_err();
        assert!(matches!(error, Error::OutsideWarehouse { .. }), "{location}: {error}");
    }
}

#[tokio::test]
async fn a_local_folder_is_created_and_named_absolutely() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("x/../my lake");
    std::fs::create_dir(dir.path().join("x")).unwrap();
    let warehouse = Warehouse::resolve(&format!("file://{}", folder.display())).await.unwrap();
    let absolute = dir.path().canonicalize().unwrap().join("my lake");
    assert!(absolute.is_dir());
    assert_eq!(warehouse.root(), format!("file://{}", absolute.display()));
    let inside = format!("{}/a/b.avro", absolute.display());
    for spelled in [inside.clone(), format!("file:{inside}"), format!("file://{inside}")] {
        assert_eq!(format!("/{}", warehouse.object_path(&spelled).unwrap()), inside);
    }
    for outside in ["/etc/passwd", "file:///etc/passwd", &format!("file://{}/../x", absolute.display())] {
        warehouse.object_path(outside).unwrap_err();
    }
}

#[tokio::test]
async fn a_warehouse_of_another_kind_is_refused_with_the_ones_there_are() {
    for text in ["gs://bucket/x", "https://example.org/x", "s3://", "s3:///x", "file://", ""] {
        let error = Warehouse::resolve(text).await.unwrap_err().to_string();
        assert!(error.contains("use file:///abs/path, s3://bucket/prefix or memory:///"), "{error}");
    }
}
