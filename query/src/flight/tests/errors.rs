//! What clients are told when something is wrong: the right code, and a message that names the cause.

use arrow_flight::Ticket;
use arrow_flight::sql::{ActionBeginTransactionRequest, Any, ProstMessageExt, TicketStatementQuery};
use futures::StreamExt;
use prost::Message;
use tonic::Code;

use super::client::{TestServer, any_ports, query, status, ticket};
use crate::flight::handle::{HandleKey, State};
use crate::{Error, ServeSettings, Server};

#[tokio::test]
async fn sql_errors_have_their_codes() {
    let server = TestServer::start(10).await;
    let mut client = server.client().await;
    for (sql, code, says) in [
        ("SELEC 1", Code::InvalidArgument, "SELEC"),
        ("SELECT nothing FROM bronze.numbers", Code::InvalidArgument, "nothing"),
        ("SELECT * FROM bronze.absent", Code::NotFound, "absent"),
        ("SELECT 1; SELECT 2", Code::InvalidArgument, ""),
        ("INSERT INTO bronze.numbers (id) VALUES (1)", Code::Unimplemented, ""),
        ("DROP TABLE bronze.numbers", Code::Unimplemented, ""),
        ("SELECT id / (id - 5) FROM bronze.numbers", Code::InvalidArgument, "zero"),
        ("SELECT CAST(name AS BIGINT) FROM bronze.numbers", Code::InvalidArgument, "n"),
    ] {
        let error = query(&mut client, sql).await.unwrap_err();
        assert_eq!(error.code(), code, "{sql}: {error:?}");
        assert!(error.message().contains(says), "{sql}: {error:?}");
    }
    assert_eq!(query(&mut client, "SELECT 1").await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_error_after_the_first_rows_ends_in_a_status() {
    let server = TestServer::start(200_000).await;
    let mut client = server.client().await;
    // The scan meets the bad row last: everything before it has left by then.
    let sql = "SELECT 100 / (id - 199999) FROM bronze.numbers";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    let mut rows = 0;
    let error = loop {
        match stream.next().await.expect("the stream ended without an error") {
            Ok(batch) => rows += batch.num_rows(),
            Err(error) => break status(error),
        }
    };
    assert!(rows < 200_000);
    assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn writing_through_the_protocol_is_refused() {
    let server = TestServer::start(1).await;
    let mut client = server.client().await;
    let error = client.execute_update("DELETE FROM bronze.numbers".to_owned(), None).await.unwrap_err();
    let error = status(error);
    assert_eq!(error.code(), Code::Unimplemented);
    assert!(error.message().contains("reads only"), "{error:?}");
    assert_eq!(status(client.begin_transaction().await.unwrap_err()).code(), Code::Unimplemented);
}

#[tokio::test]
async fn forged_and_damaged_messages_are_refused() {
    let server = TestServer::start(1).await;
    let mut client = server.client().await;
    let forged = HandleKey::new([7; 32]).seal(&State { sql: "SELECT 1".to_owned(), ..State::default() });
    let ticket_of = |statement_handle| TicketStatementQuery { statement_handle }.as_any().encode_to_vec();
    let unknown = Any { type_url: "type.googleapis.com/other.Message".to_owned(), value: Default::default() };
    for (ticket, code) in [
        (ticket_of(forged), Code::NotFound),
        (ticket_of(Default::default()), Code::NotFound),
        (b"\xff\xff not protobuf".to_vec(), Code::InvalidArgument),
        (unknown.encode_to_vec(), Code::Unimplemented),
        (ActionBeginTransactionRequest {}.as_any().encode_to_vec(), Code::Unimplemented),
    ] {
        let error = client.do_get(Ticket::new(ticket)).await.map(|_| ()).unwrap_err();
        assert_eq!(status(error).code(), code);
    }
}

#[tokio::test]
async fn sql_beyond_the_limit_is_refused() {
    let server = TestServer::with(1, ServeSettings { sql_bytes_max: 100, ..any_ports() }).await;
    let mut client = server.client().await;
    let error = query(&mut client, &format!("SELECT '{}'", "x".repeat(100))).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("109 bytes"), "{error:?}");
}

#[tokio::test]
async fn a_long_message_is_cut_to_what_headers_carry() {
    let server = TestServer::start(1).await;
    let mut client = server.client().await;
    let error = query(&mut client, &format!("SELECT \"{}\"", "ä".repeat(20_000))).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().len() < 2100 && error.message().ends_with('…'), "{}", error.message().len());
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_remedy() {
    let server = TestServer::start(1).await;
    let (engine, _catalog) = super::client::engine(1).await;
    let settings = ServeSettings { flight: server.flight, ..any_ports() };
    let error = Server::bind(engine, settings).await.unwrap_err();
    assert!(matches!(error, Error::AddressInUse { .. }));
    let text = error.to_string();
    let address = server.flight.to_string();
    assert!([&address, "--flight", "SLUICE_SERVE_FLIGHT"].iter().all(|part| text.contains(*part)), "{text}");
}
