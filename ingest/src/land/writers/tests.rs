//! Rows wait, files rest, and all of them are in the staged files.

use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::datatypes::{DataType, Field, Schema};
use sluice_catalog::TableSpec;

use super::*;
use crate::fixtures;
use crate::pipeline::new_token;

fn batch(values: std::ops::Range<i64>) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(values))]).unwrap()
}

async fn tables(lake: &Lake, count: usize) -> Vec<TableSnapshot> {
    let mut tables = Vec::new();
    for number in 0..count {
        let name = fixtures::name(&format!("bronze.t{number}"));
        let _ = lake.create(&name, TableSpec::new(batch(0..1).schema())).await.unwrap();
        tables.push(lake.load(&name).await.unwrap());
    }
    tables
}

fn desk(lake: &Lake) -> Desk {
    Desk { lake: lake.clone(), token: new_token(), settings: WriterSettings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn few_rows_wait_for_the_end_and_many_are_written_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let (tables, desk, mut writers) = (tables(&lake, 2).await, desk(&lake), Writers::default());
    for round in 0..100 {
        writers.add(&desk, vec![(0, batch(round * 10..round * 10 + 10))], &tables, 8).await.unwrap();
    }
    assert_eq!(writers.open_files(), 0, "a thousand rows are parked");
    assert!(writers.slots[&0].parked.len() < PARTS_MAX && writers.buffered_bytes() >= 8000);
    writers.add(&desk, vec![(1, batch(0..ROWS_MIN as i64))], &tables, 8).await.unwrap();
    assert_eq!(writers.open_files(), 1);
    let snapshots = tables.into_iter().enumerate().collect();
    let staged = writers.finish(&desk, &snapshots).await.unwrap();
    let rows: Vec<_> = staged.iter().map(|(table, files)| (*table, files.row_count())).collect();
    assert_eq!(rows, [(0, 1000), (1, ROWS_MIN as u64)]);
    assert!(staged.values().all(|files| files.file_count() == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_recently_used_table_closes_its_file_and_goes_on_with_another() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let (tables, desk, mut writers) = (tables(&lake, 3).await, desk(&lake), Writers::default());
    let many = ROWS_MIN as i64;
    for table in [0, 1, 0, 2, 0, 1] {
        writers.add(&desk, vec![(table, batch(0..many))], &tables, 2).await.unwrap();
        assert!(writers.open_files() <= 2);
    }
    let snapshots = tables.into_iter().enumerate().collect();
    let staged = writers.finish(&desk, &snapshots).await.unwrap();
    let found: Vec<_> = staged.values().map(|files| (files.row_count(), files.file_count())).collect();
    let many = many as u64;
    assert_eq!(found, [(3 * many, 1), (2 * many, 2), (many, 1)], "only table 1 was closed and used again");
}
