//! A server of scripted answers, in place of a catalog or a store.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What the stub does with a request.
pub(crate) enum Step {
    Answer(u16, Value),
    /// With more headers, each ended by a line break.
    Told(u16, &'static str, Value),
    /// Closes the connection without an answer.
    Hang,
}

/// A server of scripted answers; what it was asked, line and body.
pub(crate) struct Stub {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    pub(crate) async fn start(steps: impl IntoIterator<Item = Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut steps: VecDeque<_> = steps.into_iter().collect();
        let log = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let request = read(&mut connection).await;
                log.lock().unwrap().push(request);
                let (status, headers, body) = match steps.pop_front() {
                    Some(Step::Answer(status, body)) => (status, "", body),
                    Some(Step::Told(status, headers, body)) => (status, headers, body),
                    Some(Step::Hang) | None => continue,
                };
                let body = body.to_string();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}\
                     Content-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = connection.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, asked }
    }

    /// Its address without a path.
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it stands in for a catalog.
    pub(crate) fn uri(&self) -> String {
        format!("http://{}/iceberg", self.address)
    }

    /// The requests so far, each as text.
    pub(crate) fn asked(&self) -> Vec<String> {
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
