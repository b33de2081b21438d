//! Iceberg's file access over memory and over a folder.

use bytes::Bytes;
use iceberg::ErrorKind;
use object_store::{ObjectStoreExt, PutPayload};

use super::OBJECT_BYTES_MAX;
use crate::testing::{TestLake, local_lake, memory_lake};

async fn round_trip(TestLake { lake, dir: _dir }: TestLake) {
    let io = &lake.inner().file_io;
    let location = format!("{}/bronze/orders/metadata/x.avro", lake.settings().warehouse);
    let output = io.new_output(&location).unwrap();
    assert!(!output.exists().await.unwrap());
    let mut writer = output.writer().await.unwrap();
    writer.write(Bytes::from_static(b"ice")).await.unwrap();
    writer.write(Bytes::from_static(b"berg")).await.unwrap();
    assert!(!output.exists().await.unwrap(), "a file is there whole or not at all");
    writer.close().await.unwrap();
    writer.close().await.unwrap_err();
    let input = io.new_input(&location).unwrap();
    assert_eq!(input.read().await.unwrap(), "iceberg");
    assert_eq!(input.metadata().await.unwrap().size, 7);
    assert_eq!(input.reader().await.unwrap().read(1..3).await.unwrap(), "ce");
    io.delete(&location).await.unwrap();
    io.delete(&location).await.unwrap();
    assert!(!io.exists(&location).await.unwrap());
    let error = io.new_input(&location).unwrap().read().await.unwrap_err();
    assert!(error.to_string().contains("it does not exist"), "{error}");
}

#[tokio::test]
async fn files_round_trip_in_memory() {
    round_trip(memory_lake().await).await;
}

#[tokio::test]
async fn files_round_trip_in_a_folder() {
    round_trip(local_lake().await).await;
}

#[tokio::test]
async fn a_prefix_is_deleted_with_what_is_under_it() {
    let TestLake { lake, dir: _dir } = memory_lake().await;
    let io = &lake.inner().file_io;
    for file in ["a/1", "a/b/2", "ab/3"] {
        let output = io.new_output(format!("memory:///{file}")).unwrap();
        output.write(Bytes::from_static(b"x")).await.unwrap();
    }
    io.delete_prefix("memory:///a").await.unwrap();
    assert!(!io.exists("memory:///a/1").await.unwrap());
    assert!(!io.exists("memory:///a/b/2").await.unwrap());
    assert!(io.exists("memory:///ab/3").await.unwrap());
}

#[tokio::test]
async fn nothing_outside_the_warehouse_is_touched() {
    let TestLake { lake, dir } = local_lake().await;
    let secret = dir.path().join("secret.txt");
    std::fs::write(&secret, "keep").unwrap();
    let location = format!("file://{}", secret.canonicalize().unwrap().display());
    let io = &lake.inner().file_io;
    let refused = [
        io.new_input(&location).unwrap().read().await.unwrap_err(),
        io.new_input(&location).unwrap().reader().await.err().unwrap(),
        io.new_output(&location).unwrap().write(Bytes::new()).await.unwrap_err(),
        io.new_output(&location).unwrap().writer().await.err().unwrap(),
        io.delete(&location).await.unwrap_err(),
        io.delete_prefix(&location).await.unwrap_err(),
        io.exists(&location).await.unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::DataInvalid);
        assert!(error.to_string().contains("lies outside the warehouse"), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "keep");
}

#[tokio::test]
async fn an_object_that_is_too_large_is_not_read() {
    let TestLake { lake, dir } = local_lake().await;
    let path = dir.path().canonicalize().unwrap().join("warehouse/huge.avro");
    std::fs::File::create(&path).unwrap().set_len(OBJECT_BYTES_MAX + 1).unwrap();
    let location = format!("file://{}", path.display());
    let error = lake.inner().storage.read_object(&location).await.unwrap_err().to_string();
    assert!(error.contains("more than a metadata file may have"), "{error}");
}

#[tokio::test]
async fn a_local_upload_in_parts_arrives_whole() {
    let TestLake { lake, dir: _dir } = local_lake().await;
    let location = format!("{}/a/b/parts.parquet", lake.settings().warehouse);
    let path = lake.object_path(&location).unwrap();
    let mut upload = lake.store().put_multipart(&path).await.unwrap();
    upload.put_part(PutPayload::from_static(b"one ")).await.unwrap();
    upload.put_part(PutPayload::from_static(b"two")).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(lake.inner().storage.read_object(&location).await.unwrap(), "one two");
}
