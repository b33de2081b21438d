//! Statements that write: refused unless the server was allowed to, and counted.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use sluice_catalog::WriterSettings;
use sluice_sql::Writes;
use tonic::Code;
use uuid::Uuid;

use super::client::{TestServer, any_ports, count, query, status};
use crate::ServeSettings;

async fn writing() -> TestServer {
    let next = std::sync::atomic::AtomicU64::new(1 << 32);
    let writes = Writes {
        now: Arc::new(|| chrono::DateTime::UNIX_EPOCH),
        id: Arc::new(move || Uuid::from_u128(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed).into())),
        files: WriterSettings::default(),
    };
    TestServer::with(10, ServeSettings { writes: Some(writes), ..any_ports() }).await
}

#[tokio::test]
async fn an_update_says_how_many_rows_it_changed() {
    let server = writing().await;
    let mut client = server.client().await;
    let create = "CREATE TABLE bronze.t AS SELECT id FROM bronze.numbers".to_owned();
    assert_eq!(client.execute_update(create, None).await.unwrap(), 10);
    let insert = "INSERT INTO bronze.t SELECT id + 100 FROM bronze.t WHERE id < 3".to_owned();
    assert_eq!(client.execute_update(insert, None).await.unwrap(), 3);
    assert_eq!(count(&mut client, "SELECT count(*) FROM bronze.t").await, 13);
    // As a query it answers the same as a row.
    let rows = query(&mut client, "INSERT INTO bronze.t VALUES (7), (8)").await.unwrap();
    assert_eq!(rows[0].schema().field(2).name(), "inserted");
    assert_eq!(count(&mut client, "SELECT count(*) FROM bronze.t").await, 15);
    let wrong = client.execute_update("SELECT 1".to_owned(), None).await.unwrap_err();
    assert_eq!(status(wrong).code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_prepared_update_takes_its_row() {
    let server = writing().await;
    let mut client = server.client().await;
    client.execute_update("CREATE TABLE bronze.t (id bigint)".to_owned(), None).await.unwrap();
    let mut prepared = client.prepare("INSERT INTO bronze.t VALUES (?)".to_owned(), None).await.unwrap();
    assert!(prepared.dataset_schema().unwrap().fields().is_empty(), "clients would take it for a query");
    for id in [5, 6] {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![id]));
        prepared.set_parameters(RecordBatch::try_from_iter([("$1", column)]).unwrap()).unwrap();
        assert_eq!(prepared.execute_update().await.unwrap(), 1);
    }
    assert_eq!(count(&mut client, "SELECT sum(id) FROM bronze.t").await, 11);
}

#[tokio::test]
async fn a_server_without_permission_changes_nothing() {
    let server = TestServer::start(10).await;
    let mut client = server.client().await;
    for sql in ["INSERT INTO bronze.numbers SELECT * FROM bronze.numbers", "DROP TABLE bronze.numbers"] {
        let refused = client.execute_update(sql.to_owned(), None).await.unwrap_err();
        assert_eq!(status(refused).code(), Code::Unimplemented, "{sql}");
        let refused = query(&mut client, sql).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{sql}");
    }
    assert_eq!(count(&mut client, "SELECT count(*) FROM bronze.numbers").await, 10);
}
