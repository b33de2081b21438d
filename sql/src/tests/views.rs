//! Views: planned from their text, resolved in their own namespace, never for ever.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array};
use datafusion::arrow::datatypes::DataType;

use super::{TestLake, batch, name, schema, shown, value};
use crate::Error;

async fn lake() -> TestLake {
    let lake = TestLake::new().await;
    let columns = schema(&[("n", DataType::Int64)]);
    lake.create("silver.t", &columns, Vec::new()).await;
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
    lake.append("silver.t", batch(&columns, vec![numbers])).await;
    lake
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_reads_views_and_counts_all_as_inputs() {
    let lake = lake().await;
    lake.view("silver.even", "SELECT n FROM t WHERE n % 2 = 0").await;
    lake.view("gold.sum", "SELECT sum(n) AS total FROM silver.even").await;
    let session = lake.session();
    assert_eq!(value(&session, "SELECT total FROM gold.sum").await, "20");
    let statement = session.prepare("SELECT total FROM gold.sum").await.unwrap();
    let inputs = BTreeSet::from([name("gold.sum"), name("silver.even"), name("silver.t")]);
    assert_eq!(statement.inputs(), &inputs);
    assert_eq!(statement.snapshots().keys().collect::<Vec<_>>(), [&name("silver.t")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_reads_itself_is_an_error() {
    let lake = lake().await;
    lake.view("gold.a", "SELECT * FROM gold.b").await;
    lake.view("gold.b", "SELECT * FROM gold.a").await;
    let error = lake.session().prepare("SELECT * FROM gold.a").await.unwrap_err();
    assert!(matches!(error, Error::Plan(_)), "{error:?}");
    assert!(error.to_string().contains("view `gold.a` reads itself: gold.a -> gold.b -> gold.a"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_view_names_itself_and_the_cause() {
    let lake = lake().await;
    lake.view("gold.broken", "SELECT m FROM silver.t").await;
    let error = shown(&lake.session(), "SELECT * FROM gold.broken").await;
    assert!(error.starts_with("error: view `gold.broken` cannot be read: there is no column `m`"), "{error}");
    lake.view("gold.orphan", "SELECT * FROM silver.gone").await;
    let error = shown(&lake.session(), "SELECT * FROM gold.orphan").await;
    assert!(
        error
            .starts_with("error: view `gold.orphan` cannot be read: there is no table or view `silver.gone`")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_that_double_each_other_are_stopped() {
    let lake = lake().await;
    lake.view("gold.v0", "SELECT n FROM silver.t").await;
    for level in 1..=30 {
        let below = level - 1;
        let sql = format!("SELECT a.n FROM gold.v{below} a CROSS JOIN gold.v{below} b");
        lake.view(&format!("gold.v{level}"), &sql).await;
    }
    let error = lake.session().prepare("SELECT * FROM gold.v30").await.unwrap_err();
    assert!(error.to_string().contains("unfolds to more than 1000 reads of tables"), "{error}");
}
