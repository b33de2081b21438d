//! What each answer of a registry means, over real HTTP to a server in the test.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Status and body.
type Answer = (u16, String);

/// A registry that answers what it was told to; a path that it was not told of is not found.
#[derive(Clone, Default)]
pub(crate) struct Server {
    answers: Arc<Mutex<HashMap<String, Vec<Answer>>>>,
    pub(crate) asked: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts it and returns its address.
    pub(crate) async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                        let mut bytes = [0; 4096];
                        match stream.read(&mut bytes).await {
                            Ok(count) if count > 0 => head.extend_from_slice(&bytes[..count]),
                            _ => return,
                        }
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let (status, body) = server.answer(head);
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        address
    }

    /// The next answers to a path; the last one stays.
    pub(crate) fn set(&self, path: &str, answers: &[(u16, &str)]) {
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        self.answers.lock().unwrap().insert(path.to_owned(), answers);
    }

    fn answer(&self, head: String) -> Answer {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        self.heads.lock().unwrap().push(head);
        let mut answers = self.answers.lock().unwrap();
        match answers.get_mut(&path) {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
            None => (404, r#"{"error_code":40403,"message":"Schema not found"}"#.to_owned()),
        }
    }
}

fn registry(url: &str) -> Registry {
    Registry::new(&RegistrySettings { url: url.to_owned(), credential: Credential::None }).unwrap()
}

pub(crate) const HASTY: Patience =
    Patience { first: Duration::from_millis(1), longest: Duration::from_millis(1), asks: 4 };

/// A lookup at a server in the test.
pub(crate) async fn lookup(server: &Server) -> Arc<Lookup> {
    Arc::new(Lookup::new(registry(&server.start().await), HASTY))
}

async fn ask(lookup: &Arc<Lookup>, id: u32) -> Result<Found> {
    let lookup = Arc::clone(lookup);
    tokio::task::spawn_blocking(move || lookup.schema(id)).await.unwrap()
}

#[tokio::test]
async fn a_schema_comes_with_everything_it_refers_to_once() {
    let server = Server::default();
    let to = |name: &str| format!(r#"{{"name":"{name}","subject":"of {name}","version":3}}"#);
    let (a, b) = (to("a"), to("b"));
    server.set("/schemas/ids/7", &[(200, &format!(r#"{{"schema":"S","references":[{a},{b}]}}"#))]);
    server
        .set("/subjects/of%20a/versions/3", &[(200, &format!(r#"{{"schema":"A","references":[{b},{a}]}}"#))]);
    server.set("/subjects/of%20b/versions/3", &[(200, r#"{"schema":"B","schemaType":"AVRO","id":1}"#)]);
    let registry = registry(&server.start().await);
    let schema = registry.schema(7).await.unwrap().unwrap();
    assert_eq!((schema.language, schema.text.as_str()), (Language::Avro, "S"));
    let mut names: Vec<_> = schema.references.iter().map(|(name, text)| format!("{name}={text}")).collect();
    names.sort();
    assert_eq!(names, ["a=A", "b=B"]);
    assert_eq!(server.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_id_is_asked_for_once_and_silence_is_asked_again() {
    let server = Server::default();
    let silent = [(503, "busy"), (200, "<html>"), (429, "{}"), (200, r#"{"schema":"x"}"#)];
    server.set("/schemas/ids/1", &silent);
    let lookup = lookup(&server).await;
    for _ in 0..3 {
        assert!(matches!(ask(&lookup, 1).await, Ok(Found::Schema(schema)) if schema.text == "x"));
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), silent.len());
}

#[tokio::test]
async fn only_a_definite_answer_makes_an_unknown_id() {
    let server = Server::default();
    let lookup = lookup(&server).await;
    assert!(matches!(ask(&lookup, 9).await, Ok(Found::Unknown)));
    assert!(matches!(ask(&lookup, 9).await, Ok(Found::Unknown)));
    assert_eq!(server.asked.load(Ordering::SeqCst), 1, "the answer is believed for a while");
    server.set("/schemas/ids/8", &[(500, "down")]);
    let error = ask(&lookup, 8).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(server.asked.load(Ordering::SeqCst), 1 + HASTY.asks as usize);
    server.set("/schemas/ids/8", &[(200, r#"{"schema":"late"}"#)]);
    assert!(matches!(ask(&lookup, 8).await, Ok(Found::Schema(_))), "an outage is never remembered");
}

#[tokio::test]
async fn a_refusal_is_an_error_that_waiting_does_not_cure() {
    let server = Server::default();
    server.set("/schemas/ids/1", &[(401, r#"{"message":"who are you"}"#)]);
    let error = ask(&lookup(&server).await, 1).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("who are you"), "{error}");
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
    let closed = registry("http://127.0.0.1:1");
    assert!(closed.schema(1).await.unwrap_err().is_transient());
}

#[tokio::test]
async fn what_is_too_large_or_lacks_its_reference_is_a_schema_that_cannot_be_used() {
    let server = Server::default();
    server.set("/schemas/ids/1", &[(200, &" ".repeat(ANSWER_BYTES_MAX + 1))]);
    let lost = r#"{"schema":"S","references":[{"name":"n","subject":"gone","version":1}]}"#;
    server.set("/schemas/ids/2", &[(200, lost)]);
    let lookup = lookup(&server).await;
    let fact = async |id| match ask(&lookup, id).await {
        Ok(Found::Unusable(fact)) => fact.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(fact(1).await.contains("larger than"));
    assert!(fact(2).await.contains("`gone`, which is not there"));
}

#[tokio::test]
async fn credentials_are_sent_and_never_shown() {
    let server = Server::default();
    let url = server.start().await;
    for (credential, header) in [
        (Credential::Basic { user: "me".to_owned(), password: Secret::new("pw") }, "basic bWU6cHc="),
        (Credential::Bearer(Secret::new("tok")), "bearer tok"),
    ] {
        let settings = RegistrySettings { url: url.clone(), credential };
        let registry = Registry::new(&settings).unwrap();
        assert!(registry.schema(1).await.unwrap().is_none());
        let head = server.heads.lock().unwrap().pop().unwrap().to_lowercase();
        assert!(head.contains(&format!("authorization: {}", header.to_lowercase())), "{head}");
        let shown = format!("{settings:?} {registry:?}");
        assert!(!shown.contains("pw\"") && !shown.contains("tok\""), "{shown}");
    }
    for bad in ["", "ftp://x", "http://u:p@h", "http://h?x=1"] {
        let settings = RegistrySettings { url: bad.to_owned(), credential: Credential::None };
        assert!(Registry::new(&settings).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn compatibility_is_what_the_registry_says() {
    let server = Server::default();
    let path = "/compatibility/subjects/s-value/versions/latest?verbose=true";
    let url = server.start().await;
    let ask = async || registry(&url).compatible("s-value", Language::Avro, "{}", &[]).await.unwrap();
    assert_eq!(ask().await, None);
    server.set(path, &[(200, r#"{"is_compatible":false,"messages":["field x"]}"#)]);
    assert_eq!(ask().await, Some(Verdict { compatible: false, messages: vec!["field x".to_owned()] }));
    server.set(path, &[(200, r#"{"is_compatible":true}"#)]);
    assert_eq!(ask().await, Some(Verdict { compatible: true, messages: Vec::new() }));
}
