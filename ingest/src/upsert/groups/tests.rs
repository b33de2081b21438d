//! Row groups without any of the keys are left out, and positions count the rows of those that are.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use object_store::{ObjectStoreExt, PutPayload};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::super::tests::world::World;
use super::super::tests::{OPS, message, wanted};
use super::row_groups;
use crate::data_file::open;

/// What is left of five row groups with the ids from 0 to 49.
async fn groups_with(ids: &[i64]) -> (Vec<usize>, Vec<std::ops::Range<u64>>) {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path(), OPS).await;
    let messages: Vec<_> =
        ids.iter().map(|id| message(&format!(r#"{{"op":"u","id":{id},"v":1}}"#))).collect();
    let wanted = wanted(&world, 0, &messages).await;
    let notes: StringArray = (0..50).map(|row| Some(format!("note {row}"))).collect();
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..50));
    let rows = RecordBatch::try_from_iter([("note", Arc::new(notes) as ArrayRef), ("id", ids)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(10)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
    writer.write(&rows).unwrap();
    let bytes = writer.into_inner().unwrap();
    let location = format!("{}/data/groups.parquet", world.table().await.metadata().location());
    let (path, size) = (world.lake.object_path(&location).unwrap(), bytes.len() as u64);
    world.lake.store().put(&path, PutPayload::from(bytes)).await.unwrap();
    row_groups(&open(&world.lake, &location, size).await.unwrap(), &wanted, &[Some(1)])
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_whose_bounds_hold_no_key_are_left_out() {
    assert_eq!(groups_with(&[12, 49]).await, (vec![1, 4], vec![10..20, 40..50]));
    assert_eq!(groups_with(&[-1, 50]).await, (vec![], vec![]));
    assert_eq!(groups_with(&[0, 10, 20, 30, 40]).await.0, [0, 1, 2, 3, 4]);
}
