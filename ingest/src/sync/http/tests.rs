//! What each answer of a feed means, over real HTTP to a server in the test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::util::pretty::pretty_format_batches;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::{SecretPlace, Source, Syncs};
use super::*;

/// Answers in turns, the last one again and again; keeps what it was asked.
#[derive(Clone, Default)]
pub(in crate::sync) struct Feed {
    answers: Arc<Mutex<Vec<String>>>,
    pub(in crate::sync) asked: Arc<Mutex<Vec<String>>>,
}

impl Feed {
    /// Starts it; gives its address.
    pub(in crate::sync) async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let feed = self.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    let mut bytes = [0; 4096];
                    let count = stream.read(&mut bytes).await.unwrap_or(0);
                    head.extend_from_slice(&bytes[..count]);
                    if count == 0 {
                        break;
                    }
                }
                feed.asked.lock().unwrap().push(String::from_utf8_lossy(&head).to_lowercase());
                let answer = {
                    let mut answers = feed.answers.lock().unwrap();
                    if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    pub(in crate::sync) fn set(&self, answers: &[(u16, &str, &str)]) {
        let answer = |(status, headers, body): &(u16, &str, &str)| {
            let length = body.len();
            format!(
                "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
        };
        *self.answers.lock().unwrap() = answers.iter().map(answer).collect();
    }
}

fn job(yaml: &str) -> (SyncJob, HttpSource) {
    let job =
        Syncs::parse(&format!("syncs:\n  - name: rates\n    http: {{{yaml}}}\n")).unwrap().jobs.remove(0);
    let Source::Http(source) = job.source.clone() else { panic!("{job:?}") };
    (job, source)
}

async fn ask_once(yaml: &str, known: Option<&State>) -> Result<Fetched> {
    let (job, source) = job(yaml);
    fetch(&job, &source, known, Patience { first: Duration::from_millis(1) }).await
}

fn rows(yaml: &str, answer: &str) -> Result<String> {
    let (job, source) = job(&format!("url: 'http://127.0.0.1', {yaml}"));
    let answer = records::read(&job, &source, answer, None)?;
    Ok(pretty_format_batches(&[answer.batch]).unwrap().to_string())
}

fn lines(table: &str) -> Vec<String> {
    let cells =
        |line: &str| line.split('|').map(str::trim).filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ");
    table.lines().filter(|line| line.starts_with('|')).map(cells).collect()
}

#[test]
fn records_are_found_in_every_shape() {
    let rates = r#"{"base":"EUR","date":"2026-11-20","rates":{"USD":1.1650,"JPY":181.25}}"#;
    let shape = "records: /rates, entries: {key: currency, value: rate}, with: {day: /date}, \
                 columns: {day: date, currency: string, rate: 'decimal(18,6)'}";
    assert_eq!(
        lines(&rows(shape, rates).unwrap()),
        ["day currency rate", "2026-11-20 USD 1.165000", "2026-11-20 JPY 181.250000"]
    );
    let hourly = r#"{"hourly":{"time":["2026-11-20T00:00","2026-11-20T01:00"],"celsius":[4.5,null]}}"#;
    assert_eq!(
        lines(&rows("records: /hourly, arrays: true", hourly).unwrap()),
        ["celsius time", "4.5 2026-11-20T00:00", "2026-11-20T01:00"]
    );
    let list = r#"[{"data":[{"a":1,"b":"x"},{"a":2}]}]"#;
    assert_eq!(lines(&rows("records: /0/data", list).unwrap()), ["a b", "1.0 x", "2.0"]);
    let nested = r#"{"FRA":{"name":"Frankfurt"},"MUC":{"name":"München"}}"#;
    assert_eq!(
        lines(&rows("entries: {key: code}", nested).unwrap()),
        ["code name", "FRA Frankfurt", "MUC München"]
    );
    assert_eq!(lines(&rows("", r#"{"only":true}"#).unwrap()), ["only", "true"]);
}

#[test]
fn an_answer_that_does_not_fit_says_where() {
    let columns = "records: /r, columns: {c: string, n: 'decimal(5,2)'}";
    for (answer, told) in [
        ("<html>", "no JSON"),
        (r#"{"r":[{"c":"x","n":1.5}]"#, "no JSON"),
        (r#"{"error":"quota"}"#, "nothing at `/r`"),
        (r#"{"r":null}"#, "nothing at `/r`"),
        (r#"{"r":[1]}"#, "record 1 is no object"),
        (r#"{"r":[{"c":"x","n":1.5},{"c":"y","n":"soon"}]}"#, "record 2, `n`"),
        (r#"{"r":[{"c":"x","n":1.005}]}"#, "record 1, `n`"),
        (r#"{"r":[{"c":"x"}]}"#, "no record has `n`"),
    ] {
        let error = rows(columns, answer).unwrap_err().to_string();
        assert!(error.contains(told) && error.contains("left as it was"), "{answer}: {error}");
    }
}

#[tokio::test]
async fn silence_is_asked_again_and_refusals_are_told() {
    let feed = Feed::default();
    let address = feed.start().await;
    feed.set(&[(503, "", ""), (429, "retry-after: 0\r\n", ""), (200, "etag: \"e\"\r\n", "[]")]);
    let found = ask_once(&format!("url: '{address}/x'"), None).await.unwrap();
    assert!(
        matches!(&found, Fetched::Body { text, etag: Some(etag), .. } if text == "[]" && etag == "\"e\"")
    );
    assert_eq!(feed.asked.lock().unwrap().len(), 3);
    for (status, headers, told) in [
        (404, "", "404"),
        (401, "", "auth"),
        (500, "", "500"),
        (429, "retry-after: 9999\r\n", "429"),
        (302, "location: http://192.0.2.1/y\r\n", "192.0.2.1"),
        (302, "location: /x\r\n", "more than"),
    ] {
        feed.set(&[(status, headers, "")]);
        let error =
            ask_once(&format!("url: '{address}/x?key=hush-hush'"), None).await.unwrap_err().to_string();
        assert!(error.contains(told) && !error.contains("hush"), "{status}: {error}");
    }
    feed.set(&[(200, "", "[1,2,3,4,5,6,7]")]);
    let error = ask_once(&format!("url: '{address}/x', max_bytes: 8"), None).await.unwrap_err().to_string();
    assert!(error.contains("larger than 8"), "{error}");
}

#[tokio::test]
async fn what_is_known_is_asked_for_and_secrets_stay_at_home() {
    let (feed, other) = (Feed::default(), Feed::default());
    let (address, elsewhere) = (feed.start().await, other.start().await);
    feed.set(&[(304, "", "")]);
    let known = State { etag: Some("\"e7\"".to_owned()), ..State::default() };
    let found = ask_once(&format!("url: '{address}/x'"), Some(&known)).await.unwrap();
    assert!(matches!(found, Fetched::NotModified));
    assert!(feed.asked.lock().unwrap()[0].contains("if-none-match: \"e7\""));

    // Another port of an allowed host is another origin.
    let (job, mut source) = job(&format!("url: '{address}/x', redirect_hosts: ['127.0.0.1']"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), "hush-hush\n").unwrap();
    source.auth = Some((Auth::Header("x-key".to_owned()), SecretPlace::File(dir.path().join("key"))));
    source.headers = BTreeMap::from([("x-team".to_owned(), "blue".to_owned())]);
    feed.set(&[(302, &format!("location: {elsewhere}/y\r\n"), "")]);
    other.set(&[(200, "", "[]")]);
    fetch(&job, &source, None, Patience { first: Duration::from_millis(1) }).await.unwrap();
    assert!(feed.asked.lock().unwrap()[1].contains("x-key: hush-hush"));
    let told = other.asked.lock().unwrap().concat();
    assert!(told.starts_with("get /y") && !told.contains("hush") && !told.contains("blue"), "{told}");
}

#[test]
fn redirects_lead_only_where_they_may() {
    let allowed = ["cdn.example".to_owned()];
    for (from, to, may) in [
        ("https://a.example/x", "https://a.example/y", true),
        ("https://a.example/x", "http://a.example/y", false),
        ("https://a.example/x", "https://cdn.example/y", true),
        ("https://a.example/x", "https://b.example/y", false),
        ("https://a.example/x", "https://a.example:8443/y", false),
        ("http://a.example/x", "https://a.example/y", true),
        ("http://a.example/x", "file:///etc/passwd", false),
    ] {
        let (from, to) = (Url::parse(from).unwrap(), Url::parse(to).unwrap());
        assert_eq!(may_follow(&from, &to, &allowed), may, "{from} -> {to}");
    }
}
