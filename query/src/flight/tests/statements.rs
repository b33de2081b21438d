//! Statements from SQL to rows, and the schema on every way to it.

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{FlightDescriptor, SchemaResult};
use futures::StreamExt;
use prost::Message;

use super::client::{TestServer, count, query, rows, ticket};
use super::numbers;

#[tokio::test]
async fn a_statement_returns_its_rows() {
    let server = TestServer::start(1000).await;
    let mut client = server.client().await;
    let batches =
        query(&mut client, "SELECT * FROM bronze.numbers WHERE id IN (7, 42) ORDER BY id;").await.unwrap();
    let table = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    assert_eq!(table.column(0).as_primitive::<Int64Type>().values(), &[7, 42]);
    assert_eq!(table.column(1).as_string::<i32>().value(1), "n42");
    let types: Vec<_> = table.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    let declared: Vec<_> = numbers::schema().fields().iter().map(|field| field.data_type().clone()).collect();
    assert_eq!(types, declared);
}

#[tokio::test]
async fn many_rows_arrive_each_once() {
    let server = TestServer::start(300_000).await;
    let mut client = server.client().await;
    let batches = query(&mut client, "SELECT id FROM bronze.numbers").await.unwrap();
    let mut ids: Vec<i64> = batches
        .iter()
        .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect();
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(0..300_000));
}

#[tokio::test]
async fn flight_info_get_schema_and_stream_agree() {
    let server = TestServer::start(10).await;
    let mut client = server.client().await;
    let sql = "SELECT id, amount * 2 AS twice, at, 'x' AS text, count(*) OVER () AS n FROM bronze.numbers";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let planned = info.clone().try_decode_schema().unwrap();

    let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let result: SchemaResult = client.inner_mut().get_schema(descriptor).await.unwrap().into_inner();
    let asked = arrow::ipc::convert::try_schema_from_flatbuffer_bytes(&result.schema[8..]).unwrap();

    let prepared = client.prepare(sql.to_owned(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    let batch = stream.next().await.unwrap().unwrap();
    assert_eq!(Arc::new(planned.clone()), batch.schema());
    assert_eq!(planned, asked);
    assert_eq!(&planned, prepared.dataset_schema().unwrap());
    for field in planned.fields() {
        assert!(field.metadata().contains_key("ARROW:FLIGHT:SQL:TYPE_NAME"), "{field:?}");
        assert!(!matches!(field.data_type(), DataType::Utf8View | DataType::Dictionary(..)), "{field:?}");
    }
    let amount = planned.field_with_name("id").unwrap().metadata();
    assert_eq!(amount["ARROW:FLIGHT:SQL:PRECISION"], "19");
}

#[tokio::test]
async fn there_is_one_endpoint_on_this_connection() {
    let server = TestServer::start(1).await;
    let info = server.client().await.execute("SELECT 1".to_owned(), None).await.unwrap();
    assert_eq!(info.endpoint.len(), 1);
    assert!(info.endpoint[0].location.is_empty());
}

#[tokio::test]
async fn a_ticket_serves_again_and_on_another_connection() {
    let server = TestServer::start(100).await;
    let info = server.client().await.execute("SELECT * FROM bronze.numbers".to_owned(), None).await.unwrap();
    for _ in 0..2 {
        let batches = rows(&mut server.client().await, &info).await.unwrap();
        assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 100);
    }
}

#[tokio::test]
async fn an_empty_result_has_its_schema() {
    let server = TestServer::start(1).await;
    let mut client = server.client().await;
    let info = client.execute("SELECT id FROM bronze.numbers WHERE id < 0".to_owned(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    while let Some(batch) = stream.next().await {
        assert_eq!(batch.unwrap().num_rows(), 0);
    }
    assert_eq!(stream.schema().unwrap().field(0).name(), "id");
}

#[tokio::test]
async fn views_and_information_schema_are_queried() {
    let server = TestServer::start(1000).await;
    let mut client = server.client().await;
    assert_eq!(count(&mut client, "SELECT count(*) FROM gold.even").await, 500);
    let sql = "SELECT count(*) FROM information_schema.tables WHERE table_name IN ('numbers', 'even')";
    assert_eq!(count(&mut client, sql).await, 2);
}
