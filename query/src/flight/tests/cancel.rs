//! Queries that end before their result does: the client leaves, somebody cancels, the server stops.

use std::time::Duration;

use arrow_flight::sql::{ActionCancelQueryRequest, ProstMessageExt};
use arrow_flight::{Action, CancelFlightInfoRequest, FlightInfo};
use futures::StreamExt;
use prost::Message;
use tonic::{Code, Status};

use super::client::{Client, TestServer, any_ports, count, query, soon, status, ticket};
use crate::ServeSettings;

/// Endless for a test: ten thousand million rows.
const ENDLESS: &str = "SELECT a.id, b.name FROM bronze.numbers a CROSS JOIN bronze.numbers b";
const ROWS: i64 = 100_000;

/// One query at a time, and a long wait for one's turn.
fn one_at_a_time() -> ServeSettings {
    ServeSettings { queries_max: 1, queue_wait_max: Duration::from_secs(60), ..any_ports() }
}

async fn start(client: &mut Client) -> (FlightInfo, arrow_flight::decode::FlightRecordBatchStream) {
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    stream.next().await.unwrap().unwrap();
    (info, stream)
}

/// Reads on until the stream ends in an error.
async fn end(mut stream: arrow_flight::decode::FlightRecordBatchStream) -> Status {
    loop {
        match stream.next().await.expect("the stream ended without an error") {
            Ok(_) => {}
            Err(error) => return status(error),
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_stops_its_query() {
    let server = TestServer::with(ROWS, one_at_a_time()).await;
    let mut client = server.client().await;
    let (_, stream) = start(&mut client).await;
    drop(stream);
    // The only place comes free although the query had hours to go.
    assert_eq!(soon(count(&mut client, "SELECT count(*) FROM bronze.numbers")).await, ROWS);
}

#[tokio::test]
async fn cancel_flight_info_ends_the_stream() {
    let server = TestServer::with(ROWS, one_at_a_time()).await;
    let mut client = server.client().await;
    for deprecated in [false, true] {
        let (info, stream) = start(&mut client).await;
        let (name, body) = match deprecated {
            false => ("CancelFlightInfo", CancelFlightInfoRequest { info: Some(info) }.encode_to_vec()),
            true => {
                let info = info.encode_to_vec().into();
                ("CancelQuery", ActionCancelQueryRequest { info }.as_any().encode_to_vec())
            }
        };
        let action = Action::new(name, body);
        let mut results = client.do_action(action.clone()).await.unwrap();
        assert!(results.message().await.unwrap().is_some());
        assert_eq!(soon(end(stream)).await.code(), Code::Cancelled);
        assert_eq!(soon(count(&mut client, "SELECT count(*) FROM bronze.numbers")).await, ROWS);
        let error = client.do_action(action).await.map(|_| ()).unwrap_err();
        assert_eq!(status(error).code(), Code::NotFound);
    }
}

#[tokio::test]
async fn too_many_queries_are_refused() {
    let settings = ServeSettings { queries_max: 1, queue_wait_max: Duration::from_millis(20), ..any_ports() };
    let server = TestServer::with(ROWS, settings).await;
    let mut client = server.client().await;
    let (_, stream) = start(&mut client).await;
    let error = soon(query(&mut client, "SELECT 1")).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
    drop(stream);
}

#[tokio::test]
async fn a_result_that_nobody_reads_is_stopped() {
    let settings = ServeSettings { stream_idle_max: Duration::from_millis(50), ..one_at_a_time() };
    let server = TestServer::with(ROWS, settings).await;
    let mut client = server.client().await;
    let (_, stream) = start(&mut client).await;
    // Its place comes free while the stream is held, unread.
    assert_eq!(soon(count(&mut client, "SELECT count(*) FROM bronze.numbers")).await, ROWS);
    assert_eq!(soon(end(stream)).await.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_stop_lets_open_results_go_on() {
    let server = TestServer::start(ROWS).await;
    let mut client = server.client().await;
    let info = client.execute("SELECT * FROM bronze.numbers".to_owned(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    let mut rows = stream.next().await.unwrap().unwrap().num_rows();
    server.stop.cancel();
    while let Some(batch) = soon(stream.next()).await {
        rows += batch.unwrap().num_rows();
    }
    assert_eq!(rows as i64, ROWS);
    drop(client);
    soon(server.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_cuts_what_goes_on_beyond_the_grace_period() {
    let server =
        TestServer::with(ROWS, ServeSettings { grace: Duration::from_millis(50), ..any_ports() }).await;
    let mut client = server.client().await;
    let (_, stream) = start(&mut client).await;
    server.stop.cancel();
    // The status says so, unless the connection was reset before the client had read it: an error, never an end.
    let status = soon(end(stream)).await;
    assert!(matches!(status.code(), Code::Unavailable | Code::Unknown), "{status:?}");
    soon(server.served).await.unwrap().unwrap();
    // The ports are free again.
    std::net::TcpListener::bind(server.flight).unwrap();
    std::net::TcpListener::bind(server.http).unwrap();
}
