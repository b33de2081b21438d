//! Statements and their answers as text: `tests/statements/*.txt`.
//!
//! A block is a statement, a line `----`, and what it answers; an empty line ends it. With
//! `SLUICE_UPDATE=1` the answers are written anew, to be read before they are committed.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::DataType;
use sluice_catalog::{PartitionBy, Transform};

use super::{TestLake, as_written, batch, micros, schema, shown, timestamp};

/// A small shop, with nulls, in several files.
async fn shop() -> TestLake {
    let lake = TestLake::new().await;
    let orders = schema(&[
        ("order_id", DataType::Int64),
        ("customer", DataType::Utf8),
        ("amount", DataType::Decimal128(10, 2)),
        ("ordered_at", timestamp()),
        ("delivered_on", DataType::Date32),
        ("weight", DataType::Float64),
        ("gift", DataType::Boolean),
        ("customerNumber", DataType::Int64),
    ]);
    let by_day = PartitionBy { column: "ordered_at".into(), transform: Transform::Day };
    lake.create("bronze.orders", &orders, vec![by_day]).await;
    for day in 1..=3_i64 {
        let first = day * 10;
        let start = micros(&format!("2026-03-0{day}T12:00:00Z"));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(first..first + 3)),
            Arc::new(StringArray::from(vec![Some("ada"), None, Some("bob")])),
            Arc::new(
                Decimal128Array::from(vec![Some(i128::from(day) * 1_050), None, Some(-5)])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
            Arc::new(TimestampMicrosecondArray::from(vec![start, start + 1, start + 2]).with_timezone("UTC")),
            Arc::new(Date32Array::from(vec![Some(20_515), None, Some(20_516)])),
            Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::NAN), None])),
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
            Arc::new(Int64Array::from(vec![Some(7), None, Some(8)])),
        ];
        lake.append("bronze.orders", batch(&orders, columns)).await;
    }
    let customers = schema(&[("name", DataType::Utf8), ("city", DataType::Utf8)]);
    lake.create("silver.customers", &customers, Vec::new()).await;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["ada", "bob"])),
        Arc::new(StringArray::from(vec!["Berlin", "Paris"])),
    ];
    lake.append("silver.customers", batch(&customers, columns)).await;
    lake.create("silver.empty", &customers, Vec::new()).await;
    lake.view("gold.cities", "SELECT city, count(*) AS n FROM silver.customers GROUP BY city").await;
    lake
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_as_written() {
    as_written("statements", shop, TestLake::session, shown).await;
}
