//! The HTTP routes over a real port.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::flight::tests::{TestServer, count};

/// One request on a connection of its own: status and body.
async fn get(server: &TestServer, path: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(server.http).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.http);
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn probes_answer() {
    let server = TestServer::start(1).await;
    assert_eq!(get(&server, "/healthz").await, (200, "ok\n".to_owned()));
    let (status, body) = get(&server, "/readyz").await;
    assert_eq!((status, body.as_str()), (200, r#"{"ready":true,"catalog":"ok","store":"ok"}"#));
    assert_eq!(get(&server, "/absent").await.0, 404);
}

#[tokio::test]
async fn tables_are_listed_with_their_state() {
    let server = TestServer::start(321).await;
    let (status, body) = get(&server, "/api/tables").await;
    assert_eq!(status, 200);
    let tables: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(tables[0]["namespace"], "bronze");
    assert_eq!(tables[0]["name"], "numbers");
    assert_eq!(tables[0]["kind"], "table");
    assert_eq!(tables[0]["rows"], 321);
    let table = server.lake.load(&"bronze.numbers".parse().unwrap()).await.unwrap();
    assert_eq!(tables[0]["snapshot"], table.snapshot_id().unwrap().to_string());
    assert_eq!(tables[0]["location"], table.metadata().location());
    assert_eq!((&tables[1]["name"], &tables[1]["kind"]), (&"even".into(), &"view".into()));
}

#[tokio::test]
async fn metrics_count_calls() {
    let server = TestServer::start(1).await;
    count(&mut server.client().await, "SELECT count(*) FROM bronze.numbers").await;
    let (status, body) = get(&server, "/metrics").await;
    assert_eq!(status, 200);
    assert!(body.contains(r#"sluice_flight_requests_total{method="DoGet",code="ok"}"#), "{body}");
    assert!(body.contains("sluice_query_plan_seconds_bucket"), "{body}");
}

#[tokio::test]
async fn the_page_says_how_to_connect() {
    let server = TestServer::start(1).await;
    let (status, body) = get(&server, "/").await;
    assert_eq!(status, 200);
    assert!(
        body.contains(&format!("jdbc:arrow-flight-sql://{}?useEncryption=false", server.flight)),
        "{body}"
    );
    assert!(!body.contains("{{"), "a placeholder is left");
}
