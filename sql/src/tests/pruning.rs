//! What is not read: files that cannot match, and files that need not be opened at all.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::object_store::ObjectStoreExt;
use futures::TryStreamExt;
use sluice_catalog::{PartitionBy, Transform};

use super::{TestLake, batch, micros, rows, schema, shown, timestamp, value};
use crate::Session;

/// Ten days, one file each, of hourly measures; the double column has NaN on the last day.
async fn measures() -> TestLake {
    let lake = TestLake::new().await;
    let columns = schema(&[
        ("at", timestamp()),
        ("device", DataType::Utf8),
        ("n", DataType::Int64),
        ("level", DataType::Float64),
    ]);
    let by_day = PartitionBy { column: "at".into(), transform: Transform::Day };
    lake.create("bronze.measures", &columns, vec![by_day]).await;
    let start = micros("2026-05-01T00:00:00Z");
    for day in 0..10_i64 {
        let hours = (0..24).map(|hour| start + (day * 24 + hour) * 3_600_000_000);
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from_iter_values(hours).with_timezone("UTC")),
            Arc::new(StringArray::from(vec![Some("a"); 24])),
            Arc::new(Int64Array::from_iter((0..24).map(|n| (n != 5).then_some(day * 100 + n)))),
            Arc::new(Float64Array::from_iter_values(
                (0..24).map(|n| if day == 9 && n == 0 { f64::NAN } else { f64::from(n) }),
            )),
        ];
        lake.append("bronze.measures", batch(&columns, arrays)).await;
    }
    lake
}

/// Files in the scan, and files that the manifests ruled out.
async fn files(session: &Session, sql: &str) -> (usize, usize) {
    let analysed = rows(session, &format!("EXPLAIN ANALYZE VERBOSE {sql}"), Vec::new()).await.unwrap();
    let text: String = analysed
        .iter()
        .flat_map(|b| b.column(1).as_string::<i32>().iter().flatten().map(str::to_owned))
        .collect();
    let skipped = text
        .split("files_skipped_by_manifest=")
        .nth(1)
        .map_or(0, |rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap());
    let mut read: Vec<&str> = text.split(".parquet").filter_map(|part| part.rsplit('/').next()).collect();
    read.pop();
    read.sort_unstable();
    read.dedup();
    (read.len(), skipped)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_partition_is_pruned_by_the_timestamp_itself() {
    let lake = measures().await;
    let session = lake.session();
    let one_day = "SELECT n FROM measures WHERE at >= '2026-05-04' AND at < '2026-05-05'";
    assert_eq!(files(&session, one_day).await, (1, 9));
    let since = "SELECT n FROM measures WHERE at > timestamp '2026-05-08 12:00:00'";
    assert_eq!(files(&session, since).await, (3, 7));
    assert_eq!(files(&session, "SELECT n FROM measures").await, (10, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounds_and_null_counts_prune() {
    let lake = measures().await;
    let session = lake.session();
    assert_eq!(files(&session, "SELECT at FROM measures WHERE n = 305").await, (1, 9));
    // Nothing is left to scan.
    assert_eq!(files(&session, "SELECT at FROM measures WHERE n = 350").await.0, 0);
    assert_eq!(files(&session, "SELECT at FROM measures WHERE n IN (304, 101)").await, (2, 8));
    assert_eq!(files(&session, "SELECT at FROM measures WHERE n IS NULL").await, (10, 0));
    assert_eq!(files(&session, "SELECT at FROM measures WHERE device = 'b'").await.0, 0);
    assert_eq!(files(&session, "SELECT at FROM measures WHERE device IS NULL").await.0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nan_is_never_pruned_away() {
    let lake = measures().await;
    // The engine orders NaN above every number; bounds do not know it.
    assert_eq!(value(&lake.session(), "SELECT count(*) FROM measures WHERE level > 1000").await, "1");
    assert_eq!(value(&lake.session(), "SELECT max(level) FROM measures").await, "NaN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_and_bounds_need_no_file() {
    let lake = measures().await;
    let session = lake.session();
    // Without its data files the table can still say what its manifests know.
    let store = lake.lake.store();
    for object in store.list(None).try_collect::<Vec<_>>().await.unwrap() {
        if object.location.as_ref().ends_with(".parquet") {
            store.delete(&object.location).await.unwrap();
        }
    }
    assert_eq!(value(&session, "SELECT count(*) FROM measures").await, "240");
    assert_eq!(value(&session, "SELECT count(n) FROM measures").await, "230");
    assert_eq!(value(&session, "SELECT min(n) FROM measures").await, "0");
    assert_eq!(
        value(&session, "SELECT cast(max(at) AS varchar) FROM measures").await,
        "2026-05-10T23:00:00Z"
    );
    // Text bounds may be cut short, so they answer nothing; the missing file is reported, not passed over.
    let missing = shown(&session, "SELECT max(device) FROM measures").await;
    assert!(missing.starts_with("error: ") && missing.contains("not found"), "{missing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_reads_the_files_it_needs() {
    let lake = measures().await;
    assert_eq!(files(&lake.session(), "SELECT n FROM measures LIMIT 30").await.0, 2);
    assert_eq!(value(&lake.session(), "SELECT count(*) FROM (SELECT n FROM measures LIMIT 30)").await, "30");
}
