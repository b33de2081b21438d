//! Profiles and comparisons of real tables.

use std::sync::Arc;

use datafusion::arrow::array::TimestampMicrosecondArray;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
};

use super::{TestLake, name};
use crate::quality::{Subject, Verdict, compare, comparison_page, profile, profile_page};

/// Rows whose figures are known: numbers from `first`, a category of three values, every tenth value missing.
fn rows(first: i64, count: i64, split: i64) -> RecordBatch {
    let ids = || first..first + count;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(ids()))),
        (
            "amount",
            Arc::new(Float64Array::from_iter(ids().map(|id| (id % 10 > 0).then_some(id as f64 / 2.0)))),
        ),
        (
            "kind",
            Arc::new(StringArray::from_iter_values(ids().map(|id| if id % 100 < split { "a" } else { "b" }))),
        ),
        ("ok", Arc::new(BooleanArray::from_iter(ids().map(|id| Some(id % 2 == 0))))),
        (
            "at",
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(ids().map(|id| id * 1_000_000))
                    .with_timezone("UTC"),
            ),
        ),
        (
            "price",
            Arc::new(
                Decimal128Array::from_iter_values(ids().map(i128::from))
                    .with_precision_and_scale(18, 2)
                    .unwrap(),
            ),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

async fn filled(lake: &TestLake, table: &str, batches: &[RecordBatch]) -> Subject {
    lake.create(table, &batches[0].schema(), Vec::new()).await;
    for batch in batches {
        lake.append(table, batch.clone()).await;
    }
    let snapshot = lake.lake.load(&name(table)).await.unwrap();
    Subject::new(&lake.session(), snapshot, table)
}

#[tokio::test]
async fn a_profile_counts_what_is_there() {
    let lake = TestLake::new().await;
    let subject = filled(&lake, "bronze.t", &[rows(0, 1000, 70), rows(900, 200, 70)]).await;
    let profile = profile(&subject, chrono::DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!((profile.rows, profile.duplicates), (1200, Some(100)));
    assert_eq!(profile.volume.commits.iter().map(|(_, rows)| *rows).collect::<Vec<_>>(), [1000, 200]);
    let [id, amount, kind, ok, at, price] = profile.columns.as_slice() else { panic!("{profile:?}") };
    assert_eq!((id.nulls, id.min.as_deref(), id.max.as_deref()), (0, Some("0"), Some("1099")));
    assert!(id.distinct.is_some_and(|distinct| (1050..1150).contains(&distinct)), "{id:?}");
    assert_eq!((id.bars.len(), id.bars.iter().map(|bar| bar.rows).sum::<u64>()), (24, 1200));
    assert_eq!((amount.nulls, amount.bars.iter().map(|bar| bar.rows).sum::<u64>()), (120, 1080));
    let [low, middle, high] = amount.quantiles.unwrap();
    assert!(low < middle && middle < high && (270.0..310.0).contains(&middle), "{amount:?}");
    assert_eq!(kind.distinct, Some(2));
    let labels: Vec<_> = kind.bars.iter().map(|bar| (bar.label.as_str(), bar.rows)).collect();
    assert_eq!(labels, [("a", 840), ("b", 360)]);
    assert_eq!((ok.distinct, ok.bars[0].rows), (Some(2), 600));
    assert!(at.min.as_deref().unwrap().starts_with("1970-01-01T00:00:00") && at.bars.len() == 24, "{at:?}");
    assert!(price.distinct.is_some_and(|distinct| (1050..1150).contains(&distinct)), "{price:?}");
    assert_eq!((price.min.as_deref(), price.max.as_deref()), (Some("0.00"), Some("10.99")));
    let page = profile_page(&profile);
    assert_eq!(page.matches("<section").count(), 6);
}

#[tokio::test]
async fn an_empty_table_has_a_profile_too() {
    let lake = TestLake::new().await;
    lake.create("bronze.t", &rows(0, 1, 1).schema(), Vec::new()).await;
    let snapshot = lake.lake.load(&name("bronze.t")).await.unwrap();
    let subject = Subject::new(&lake.session(), snapshot, "bronze.t");
    let profile = profile(&subject, chrono::DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!((profile.rows, profile.duplicates, profile.volume.usual), (0, Some(0), None));
    assert!(profile.columns.iter().all(|column| column.nulls == 0 && column.bars.is_empty()), "{profile:?}");
    let same = compare(&subject, &subject).await.unwrap();
    assert_eq!((same.verdict, same.rows), (Verdict::Same, [0, 0]));
}

#[tokio::test]
async fn a_comparison_tells_same_from_changed() {
    let lake = TestLake::new().await;
    let a = filled(&lake, "bronze.a", &[rows(0, 1000, 70)]).await;
    let b = filled(&lake, "bronze.b", &[rows(0, 500, 70), rows(500, 500, 70)]).await;
    let same = compare(&a, &b).await.unwrap();
    assert_eq!((same.verdict, same.rows), (Verdict::Same, [1000, 1000]), "{same:?}");
    assert!(same.columns.iter().all(|column| column.value == Some(0.0)), "{same:?}");

    let wider = rows(300, 1000, 20);
    let mut columns: Vec<(String, ArrayRef)> = wider
        .schema()
        .fields()
        .iter()
        .zip(wider.columns())
        .map(|(field, column)| (field.name().clone(), Arc::clone(column)))
        .collect();
    columns[3] = ("extra".to_owned(), Arc::clone(&columns[3].1));
    let c = filled(&lake, "bronze.c", &[RecordBatch::try_from_iter(columns).unwrap()]).await;
    let changed = compare(&a, &c).await.unwrap();
    assert_eq!(changed.verdict, Verdict::Changed);
    let names: Vec<_> = changed.differences.iter().map(|column| column.column.as_str()).collect();
    assert_eq!(names, ["extra", "ok"]);
    let column = |name: &str| changed.columns.iter().find(|column| column.column == name).unwrap();
    // 300 of 1,000 lie below, and 300 above: the cumulative shares are 0.3 apart.
    assert!((column("id").value.unwrap() - 0.3).abs() < 1e-9 && column("id").p_value.unwrap() < 1e-9);
    assert!((column("at").value.unwrap() - 0.3).abs() < 1e-9);
    let (p, q): ([f64; 2], [f64; 2]) = ([0.7, 0.3], [0.2, 0.8]);
    let expected: f64 = p.iter().zip(q).map(|(p, q)| (p - q) * (p / q).ln()).sum();
    assert!((column("kind").value.unwrap() - expected).abs() < 1e-9);
    let page = comparison_page(&changed);
    assert!(page.contains("Columns that differ") && page.matches("<section").count() == 5, "{page}");
}
