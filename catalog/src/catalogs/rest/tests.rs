//! The client against a stub that answers as told, loses answers, and counts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::error::Error;
use crate::settings::Secret;
use crate::testing::{name, swap};

/// What the stub does with a request.
enum Step {
    Answer(u16, Value),
    /// Closes the connection without an answer.
    Hang,
}

/// A server of scripted answers; what it was asked, line and body.
struct Stub {
    uri: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    async fn start(steps: impl IntoIterator<Item = Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/iceberg", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut steps: VecDeque<_> = steps.into_iter().collect();
        let log = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let request = read(&mut connection).await;
                log.lock().unwrap().push(request);
                if let Some(Step::Answer(status, body)) = steps.pop_front() {
                    let body = body.to_string();
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n\
                         Content-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    let _ = connection.write_all(answer.as_bytes()).await;
                }
            }
        });
        Self { uri, asked }
    }

    fn settings(&self) -> RestSettings {
        RestSettings { uri: self.uri.clone(), ..RestSettings::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A whole request as text.
async fn read(connection: &mut tokio::net::TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let size = connection.read(&mut buffer).await.unwrap();
        text.push_str(&String::from_utf8_lossy(&buffer[..size]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .to_lowercase()
            .lines()
            .find_map(|line| Some(line.strip_prefix("content-length: ")?.to_owned()));
        let length = length.map_or(0, |length| length.trim().parse::<usize>().unwrap());
        if size == 0 || body.len() >= length {
            return text;
        }
    }
}

fn config() -> Step {
    Step::Answer(
        200,
        json!({"defaults": {}, "overrides": {"prefix": "p"}, "endpoints": [
            "POST /v1/{prefix}/transactions/commit"
        ]}),
    )
}

fn error(status: u16) -> Step {
    Step::Answer(status, json!({"error": {"message": "no", "type": "X", "code": status}}))
}

async fn swapped(step: Step) -> Result<SwapOutcome> {
    let stub = Stub::start([config(), step]).await;
    let catalog = RestCatalog::open(&stub.settings()).await.unwrap();
    let outcome = catalog.swap(&[swap(&name("a.b.t"), "m0", "m1")]).await;
    let asked = stub.asked();
    assert_eq!(asked.len(), 2, "a change is sent once: {asked:?}");
    assert!(asked[1].starts_with("POST /iceberg/v1/p/namespaces/a%1Fb/tables/t "), "{}", asked[1]);
    outcome
}

#[tokio::test]
async fn only_a_definite_answer_is_taken_for_one() {
    assert!(matches!(swapped(error(409)).await, Ok(SwapOutcome::Lost { .. })));
    assert!(matches!(swapped(error(400)).await, Err(Error::Catalog { transient: false, .. })));
    assert!(matches!(swapped(error(403)).await, Err(Error::Catalog { transient: false, .. })));
    for status in [408, 429, 500, 502, 503, 504] {
        assert!(matches!(swapped(error(status)).await, Ok(SwapOutcome::Unknown(_))), "{status}");
    }
    assert!(matches!(swapped(Step::Hang).await, Ok(SwapOutcome::Unknown(_))));
    let redirect = swapped(error(307)).await;
    assert!(matches!(redirect, Err(Error::Catalog { .. })), "a redirect is not followed");
    let garbled = swapped(Step::Answer(200, json!({"x": 1}))).await;
    assert!(matches!(garbled, Ok(SwapOutcome::Unknown(_))), "done, but nobody can tell what");
}

#[tokio::test]
async fn several_tables_go_in_one_transaction_where_it_is_offered() {
    let both = [swap(&name("a.t"), "m0", "m1"), swap(&name("a.u"), "m0", "m1")];
    let stub = Stub::start([config(), error(409)]).await;
    let catalog = RestCatalog::open(&stub.settings()).await.unwrap();
    assert!(matches!(catalog.swap(&both).await, Ok(SwapOutcome::Lost { .. })));
    assert!(stub.asked()[1].starts_with("POST /iceberg/v1/p/transactions/commit "));
    let stub = Stub::start([Step::Answer(200, json!({"defaults": {}, "overrides": {}}))]).await;
    let catalog = RestCatalog::open(&stub.settings()).await.unwrap();
    let refused = catalog.swap(&both).await.unwrap_err().to_string();
    assert!(refused.contains("no transactions over several tables"), "{refused}");
    assert_eq!(stub.asked().len(), 1, "nothing was sent");
}

#[tokio::test]
async fn a_question_is_asked_again_and_a_missing_thing_is_no_error() {
    let stub = Stub::start([config(), Step::Hang, error(503), error(404)]).await;
    let catalog = RestCatalog::open(&stub.settings()).await.unwrap();
    assert!(catalog.table(&name("a.t")).await.unwrap().is_none());
    assert_eq!(stub.asked().len(), 4);
}

#[tokio::test]
async fn credentials_are_exchanged_and_a_refused_token_is_renewed_once() {
    let token = |token: &str| Step::Answer(200, json!({"access_token": token, "expires_in": 3600}));
    let steps =
        [token("t1"), config(), error(401), token("t2"), error(404), error(401), token("t3"), error(401)];
    let stub = Stub::start(steps).await;
    let settings = RestSettings { credential: Some(Secret::new("me:hush-hush")), ..stub.settings() };
    let catalog = RestCatalog::open(&settings).await.unwrap();
    assert!(catalog.table(&name("a.t")).await.unwrap().is_none());
    let refused = catalog.table(&name("a.t")).await.unwrap_err().to_string();
    assert!(refused.contains("check the token") && !refused.contains("hush-hush"), "{refused}");
    let asked = stub.asked();
    assert!(
        asked[0].starts_with("POST /iceberg/v1/oauth/tokens ")
            && asked[0].contains("client_secret=hush-hush")
    );
    let bearer = |at: usize, token: &str| asked[at].contains(&format!("Bearer {token}"));
    assert!(bearer(1, "t1") && bearer(2, "t1") && bearer(4, "t2") && bearer(5, "t2") && bearer(7, "t3"));
    assert!(!format!("{catalog:?}").contains("hush-hush"));
}
