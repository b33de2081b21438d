//! Files written under another schema read as the table is today: by field id, not by name.
//!
//! Tables number their fields from 1, so the files of one table, read under the schema of another, are
//! files from before the columns were changed.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, SchemaRef};

use super::{TestLake, batch, rows, schema, shown, value};
use crate::Session;

/// A session in which `bronze.now` has the schema `now` and the files of a table with `columns`.
async fn renamed(lake: &TestLake, before: &SchemaRef, columns: Vec<ArrayRef>, now: &SchemaRef) -> Session {
    lake.create("bronze.before", before, Vec::new()).await;
    let old = lake.append("bronze.before", batch(before, columns)).await;
    let new = lake.create("bronze.now", now, Vec::new()).await;
    lake.session().with_files(&new, old.files().await.unwrap())
}

fn old() -> (SchemaRef, Vec<ArrayRef>) {
    let schema = schema(&[("a", DataType::Int32), ("b", DataType::Utf8), ("gone", DataType::Int64)]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(1), Some(2), None])),
        Arc::new(StringArray::from(vec!["x", "y", "z"])),
        Arc::new(Int64Array::from(vec![7, 8, 9])),
    ];
    (schema, columns)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renamed_widened_dropped_and_added_columns() {
    let lake = TestLake::new().await;
    let (before, columns) = old();
    // `b` is now what was `a`, widened; `a` is what was `b`; ids 3 and 4: one stays, one is new.
    let now = schema(&[
        ("b", DataType::Int64),
        ("a", DataType::Utf8),
        ("kept", DataType::Int64),
        ("gone", DataType::Float64),
    ]);
    let session = renamed(&lake, &before, columns, &now).await;
    let all = "
+---+---+------+------+
| b | a | kept | gone |
+---+---+------+------+
| 1 | x | 7    |      |
| 2 | y | 8    |      |
|   | z | 9    |      |
+---+---+------+------+";
    assert_eq!(shown(&session, "SELECT * FROM now ORDER BY a").await, all.trim());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_follow_the_field_id_too() {
    let lake = TestLake::new().await;
    let (before, columns) = old();
    let now = schema(&[("b", DataType::Int64), ("a", DataType::Utf8)]);
    let session = renamed(&lake, &before, columns, &now).await;
    assert_eq!(value(&session, "SELECT a FROM now WHERE b = 2").await, "y");
    assert_eq!(value(&session, "SELECT b FROM now WHERE a = 'x'").await, "1");
    assert_eq!(value(&session, "SELECT count(*) FROM now WHERE a > 'x' AND (b > 1 OR b IS NULL)").await, "2");
    assert_eq!(value(&session, "SELECT max(b) FROM now").await, "2");
    // Filters that are only known while the query runs: the end of a sort, the keys of a join.
    assert_eq!(value(&session, "SELECT a FROM now ORDER BY b DESC NULLS LAST LIMIT 1").await, "y");
    let join = "SELECT n.a FROM (SELECT 2 AS k) v JOIN now n ON n.b = v.k";
    assert_eq!(value(&session, join).await, "y");
    let none = rows(&session, "SELECT a FROM now WHERE b = 3", Vec::new()).await.unwrap();
    assert_eq!(none.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_no_file_has_is_null_and_filters_as_null() {
    let lake = TestLake::new().await;
    let (before, columns) = old();
    let now = schema(&[
        ("a", DataType::Int32),
        ("b", DataType::Utf8),
        ("gone", DataType::Int64),
        ("new", DataType::Utf8),
    ]);
    let session = renamed(&lake, &before, columns, &now).await;
    assert_eq!(value(&session, "SELECT count(*) FROM now WHERE new IS NULL").await, "3");
    assert_eq!(value(&session, "SELECT count(new) FROM now").await, "0");
    assert_eq!(value(&session, "SELECT count(*) FROM now WHERE coalesce(new, b) = 'y'").await, "1");
}
