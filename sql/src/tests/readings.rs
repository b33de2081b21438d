//! Which state a name reads: pinned by the statement, overridden by the session; and parameters.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;

use super::{TestLake, batch, name, rows, schema, timestamp, value};
use crate::{Error, Session};

fn numbers(from: i64, to: i64) -> RecordBatch {
    let columns = schema(&[("n", DataType::Int64), ("word", DataType::Utf8)]);
    let words: ArrayRef = Arc::new(StringArray::from_iter_values((from..to).map(|n| format!("w{n}"))));
    batch(&columns, vec![Arc::new(Int64Array::from_iter_values(from..to)), words])
}

async fn lake() -> TestLake {
    let lake = TestLake::new().await;
    lake.create("bronze.t", &numbers(0, 1).schema(), Vec::new()).await;
    lake.append("bronze.t", numbers(0, 10)).await;
    lake
}

const COUNT: &str = "SELECT count(*) FROM t";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_keeps_the_state_it_was_prepared_on() {
    let lake = lake().await;
    let session = lake.session();
    let statement = session.prepare("SELECT count(*), (SELECT count(word) FROM t) FROM t").await.unwrap();
    lake.append("bronze.t", numbers(10, 20)).await;
    let batches: Vec<RecordBatch> =
        session.execute(&statement, Vec::new()).await.unwrap().try_collect().await.unwrap();
    assert!(pretty_format_batches(&batches).unwrap().to_string().contains("| 10 "));
    assert_eq!(value(&session, COUNT).await, "20");
    let read = statement.snapshots().get(&name("bronze.t")).unwrap().snapshot_id();
    assert_ne!(read, lake.lake.load(&name("bronze.t")).await.unwrap().snapshot_id());
    assert_eq!(statement.inputs(), &BTreeSet::from([name("bronze.t")]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staged_files_are_read_before_they_are_committed() {
    let lake = lake().await;
    let table = lake.lake.load(&name("bronze.t")).await.unwrap();
    let staged = lake.stage(&table, &[numbers(100, 103)]).await;
    let session = lake.session();
    assert_eq!(value(&session.with_staged(&table, &staged, true), COUNT).await, "13");
    assert_eq!(value(&session.with_staged(&table, &staged, false), COUNT).await, "3");
    assert_eq!(value(&session, COUNT).await, "10");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_can_read_an_older_state_or_what_was_added_since() {
    let lake = lake().await;
    let old = lake.lake.load(&name("bronze.t")).await.unwrap();
    let new = lake.append("bronze.t", numbers(10, 15)).await;
    let session = lake.session();
    assert_eq!(value(&session.with_pinned(old.clone()), COUNT).await, "10");
    let added = new.files_added_since(old.snapshot_id().unwrap()).await.unwrap().unwrap();
    assert_eq!(value(&session.with_files(&new, added), COUNT).await, "5");
    assert_eq!(value(&session.with_files(&new, Vec::new()), COUNT).await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_without_namespace_are_looked_for_in_the_sessions() {
    let lake = lake().await;
    let silver = lake.session().with_namespace("silver");
    assert!(matches!(silver.prepare(COUNT).await, Err(Error::NotFound(_))));
    assert_eq!(value(&silver, "SELECT count(*) FROM bronze.t").await, "10");
}

async fn types(session: &Session, sql: &str) -> Vec<DataType> {
    session.prepare(sql).await.unwrap().parameters().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_get_the_type_of_their_place() {
    let lake = lake().await;
    let session = lake.session();
    let columns = schema(&[("at", timestamp()), ("price", DataType::Decimal128(10, 2))]);
    lake.create("bronze.prices", &columns, Vec::new()).await;
    let (long, text) = (DataType::Int64, DataType::Utf8);
    assert_eq!(
        types(&session, "SELECT * FROM t WHERE n = ? AND word LIKE ?").await,
        [long.clone(), text.clone()]
    );
    assert_eq!(
        types(&session, "SELECT word FROM t WHERE n IN (?, ?) LIMIT ? OFFSET ?").await,
        vec![long.clone(); 4]
    );
    assert_eq!(
        types(&session, "SELECT ?, cast(? AS double), n + ? FROM t").await,
        [text, DataType::Float64, long.clone()]
    );
    let millis = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let price = DataType::Decimal128(10, 2);
    assert_eq!(types(&session, "SELECT * FROM prices WHERE at >= ? AND price > ?").await, [millis, price]);
    assert_eq!(types(&session, "SELECT * FROM t WHERE n = $1 OR cast($1 AS varchar) = word").await, [long]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_are_cast_to_the_type_of_their_place() {
    let lake = lake().await;
    let session = lake.session();
    let read = async |sql: &str, values: Vec<ScalarValue>| {
        let batches = rows(&session, sql, values).await?;
        Ok::<_, Error>(batches.iter().map(RecordBatch::num_rows).sum::<usize>())
    };
    let text = |text: &str| ScalarValue::Utf8(Some(text.into()));
    assert_eq!(read("SELECT * FROM t WHERE n >= ?", vec![text("7")]).await.unwrap(), 3);
    assert_eq!(read("SELECT * FROM t WHERE n >= ?", vec![ScalarValue::Int32(Some(8))]).await.unwrap(), 2);
    assert_eq!(read("SELECT * FROM t WHERE n >= ?", vec![ScalarValue::Null]).await.unwrap(), 0);
    assert_eq!(read("SELECT * FROM t LIMIT ?", vec![ScalarValue::Int64(Some(4))]).await.unwrap(), 4);
    assert_eq!(read("SELECT ? FROM t WHERE word = ?", vec![text("x"), text("w3")]).await.unwrap(), 1);
    let unfit = read("SELECT * FROM t WHERE n >= ?", vec![text("seven")]).await.unwrap_err();
    assert!(matches!(&unfit, Error::Plan(c) if c.message().starts_with("parameter $1 is Int64")), "{unfit}");
    let missing = read("SELECT * FROM t WHERE n >= ?", Vec::new()).await.unwrap_err();
    assert_eq!(missing.message(), "the statement has 1 parameters, 0 values were given");
}
