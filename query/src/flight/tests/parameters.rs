//! Prepared statements: declared types, bound values, and the values that are refused.

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, NullArray, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use arrow_flight::sql::client::PreparedStatement;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::client::{Client, TestServer, rows, status};

const FIRST_AT_MILLIS: i64 = 1_767_225_600_000;

async fn prepare(client: &mut Client, sql: &str) -> PreparedStatement<Channel> {
    client.prepare(sql.to_owned(), None).await.unwrap()
}

/// Binds one row and fetches the first column.
async fn run(
    client: &mut Client,
    statement: &mut PreparedStatement<Channel>,
    values: Vec<ArrayRef>,
) -> Result<Vec<i64>, Status> {
    let columns = values.into_iter().enumerate().map(|(at, value)| (at.to_string(), value, true));
    statement.set_parameters(RecordBatch::try_from_iter_with_nullable(columns).unwrap()).map_err(status)?;
    let info = statement.execute().await.map_err(status)?;
    let batches = rows(client, &info).await?;
    Ok(batches
        .iter()
        .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect())
}

#[tokio::test]
async fn parameters_of_every_type_are_declared_and_bound() {
    let server = TestServer::start(1000).await;
    let mut client = server.client().await;
    let sql =
        "SELECT id FROM bronze.numbers WHERE id >= ? AND name = ? AND amount = ? AND at = ? AND flag = ?";
    let mut statement = prepare(&mut client, sql).await;
    let declared = statement.parameter_schema().unwrap().clone();
    let types: Vec<_> = declared.fields().iter().map(|field| field.data_type().clone()).collect();
    // Milliseconds, because JDBC writes nothing else whatever is declared.
    let millis = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    assert_eq!(
        types,
        [DataType::Int64, DataType::Utf8, DataType::Decimal128(12, 2), millis, DataType::Boolean]
    );
    assert!(declared.fields().iter().all(|field| field.is_nullable()));

    let amount = Decimal128Array::from(vec![42]).with_precision_and_scale(12, 2).unwrap();
    // ADBC sends microseconds; they must not be cut to the declared unit.
    let at = TimestampMicrosecondArray::from(vec![FIRST_AT_MILLIS * 1000 + 42_000_042]).with_timezone("UTC");
    let values: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![0])),
        Arc::new(StringArray::from(vec!["n42"])),
        Arc::new(amount),
        Arc::new(at),
        Arc::new(BooleanArray::from(vec![true])),
    ];
    assert_eq!(run(&mut client, &mut statement, values).await.unwrap(), [42]);
}

#[tokio::test]
async fn one_prepared_statement_runs_with_many_values() {
    let server = TestServer::start(1000).await;
    let mut client = server.client().await;
    let mut statement = prepare(&mut client, "SELECT count(*) FROM bronze.numbers WHERE at < ?").await;
    for seconds in [0, 1, 17, 999] {
        let at = TimestampMillisecondArray::from(vec![FIRST_AT_MILLIS + seconds * 1000]).with_timezone("UTC");
        assert_eq!(run(&mut client, &mut statement, vec![Arc::new(at)]).await.unwrap(), [seconds]);
    }
    // A time without a zone is UTC, as everything in the lake.
    let naive = TimestampMicrosecondArray::from(vec![FIRST_AT_MILLIS * 1000 + 5_000_000]);
    assert_eq!(run(&mut client, &mut statement, vec![Arc::new(naive)]).await.unwrap(), [5]);
}

#[tokio::test]
async fn null_needs_no_type() {
    let server = TestServer::start(10).await;
    let mut client = server.client().await;
    let mut statement =
        prepare(&mut client, "SELECT count(*) FROM bronze.numbers WHERE id = ? OR ? IS NULL").await;
    let value: ArrayRef = Arc::new(Int64Array::from(vec![3]));
    let null: ArrayRef = Arc::new(NullArray::new(1));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    assert_eq!(run(&mut client, &mut statement, vec![value.clone(), text.clone()]).await.unwrap(), [1]);
    assert_eq!(run(&mut client, &mut statement, vec![null.clone(), text]).await.unwrap(), [0]);
    assert_eq!(run(&mut client, &mut statement, vec![null.clone(), null]).await.unwrap(), [10]);
}

#[tokio::test]
async fn markers_are_markers_only_outside_of_text_and_comments() {
    let server = TestServer::start(10).await;
    let mut client = server.client().await;
    let sql = "SELECT id AS \"a?\" FROM bronze.numbers /* ? */ WHERE name <> '?' AND id = ? -- ?\n;";
    let mut statement = prepare(&mut client, sql).await;
    assert_eq!(statement.parameter_schema().unwrap().fields().len(), 1);
    assert_eq!(
        run(&mut client, &mut statement, vec![Arc::new(Int64Array::from(vec![4]))]).await.unwrap(),
        [4]
    );
}

#[tokio::test]
async fn values_that_do_not_fit_are_refused() {
    let server = TestServer::start(10).await;
    let mut client = server.client().await;
    let mut statement = prepare(&mut client, "SELECT count(*) FROM bronze.numbers WHERE id = ?").await;
    let text: ArrayRef = Arc::new(StringArray::from(vec!["seven"]));
    let fraction: ArrayRef = Arc::new(Float64Array::from(vec![1.5]));
    let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let two: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    for (values, says) in [
        (vec![text], "parameter 1 must be BIGINT"),
        (vec![fraction], "rounded"),
        (vec![one.clone(), one.clone()], "1 parameters, and 2 values"),
        (vec![two], "2 rows"),
    ] {
        let refused = run(&mut client, &mut statement, values).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains(says), "{refused:?}");
    }
    // A number written as another type fits when nothing is lost.
    let whole: ArrayRef = Arc::new(Float64Array::from(vec![3.0]));
    assert_eq!(run(&mut client, &mut statement, vec![whole]).await.unwrap(), [1]);
}

#[tokio::test]
async fn executing_without_values_is_refused() {
    let server = TestServer::start(10).await;
    let mut client = server.client().await;
    let mut statement = prepare(&mut client, "SELECT count(*) FROM bronze.numbers WHERE id = ?").await;
    let info = statement.execute().await.unwrap();
    let refused = rows(&mut client, &info).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert!(refused.message().contains("none is bound"), "{refused:?}");
}

#[tokio::test]
async fn closing_is_never_an_error() {
    let server = TestServer::start(1).await;
    let mut client = server.client().await;
    let statement = prepare(&mut client, "SELECT 1").await;
    statement.clone().close().await.unwrap();
    statement.close().await.unwrap();
}
