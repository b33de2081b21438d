//! A wire between the binary and a server that ends the binary at a chosen request.
//!
//! ```text
//! sluice --request--> Wire --request--> MinIO, PostgreSQL, `sluice serve`
//!                      |   before: the request is held back     after: the answer is held back
//!                      v
//!                   SIGKILL
//! ```
//!
//! All that a killed process leaves behind is what it made servers do. So the states in which it can die are
//! told apart by its requests, and a point is a request and the moment before or after it. The binary is the one
//! that users run: nothing in it knows of these tests. `docs/decisions/0006-kill-points.md` says more.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::sluice::Started;

/// How long a process may take to come to its point.
const PATIENCE: Duration = Duration::from_secs(90);

/// When at a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The server never sees the request.
    Before,
    /// The server has answered, and nobody hears it.
    After,
}

/// A request and a moment: `request` is a beginning and, after a `*`, a part of its first line; `number` counts
/// from one. Objects are deleted by `DELETE` and their names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) moment: Moment,
    pub(crate) number: usize,
    pub(crate) request: &'static str,
}

/// What is spoken on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    Http,
    Postgres,
}

/// A listening wire.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    point: Option<Point>,
    met: AtomicUsize,
    reached: AtomicBool,
    victim: Mutex<Option<Child>>,
    armed: Condvar,
    requests: Mutex<Vec<String>>,
}

/// What the answer to the request under way is for.
#[derive(Default)]
struct Answer {
    cut: AtomicBool,
    aged: AtomicBool,
}

impl Wire {
    /// Listens on loopback for a server. Objects that it lists are a year older than they are, so that the removal
    /// of orphans finds them old enough.
    pub(crate) fn new(speech: Speech, server: &str, point: Option<Point>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server: SocketAddr = server.parse().unwrap();
        let shared = Arc::new(Shared {
            point,
            met: AtomicUsize::new(0),
            reached: AtomicBool::new(false),
            victim: Mutex::default(),
            armed: Condvar::new(),
            requests: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (shared, client) = (Arc::clone(&accepting), client.unwrap());
                // A connection that breaks is what this is about.
                thread::spawn(move || shared.carry(speech, &client, server).ok());
            }
        });
        Self { address, shared }
    }

    /// Waits until the process has died at the point; one that ends otherwise fails the test.
    pub(crate) fn kills(&self, started: Started, name: &str) {
        *self.shared.victim.lock().unwrap() = Some(started.process);
        self.shared.armed.notify_all();
        let began = Instant::now();
        while !self.shared.reached.load(SeqCst) {
            let ended =
                self.shared.victim.lock().unwrap().as_mut().and_then(|child| child.try_wait().unwrap());
            let late = began.elapsed() > PATIENCE;
            if (ended.is_some() || late) && !self.shared.reached.load(SeqCst) {
                let requests = self.shared.requests.lock().unwrap();
                let last = requests[requests.len().saturating_sub(40)..].join("\n");
                panic!("{name}: the point was not reached (ended: {ended:?}); the last requests:\n{last}");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(mut child) = self.shared.victim.lock().unwrap().take() {
            // Gone already, unless its test failed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Shared {
    /// Carries one connection.
    fn carry(
        self: &Arc<Self>,
        speech: Speech,
        client: &TcpStream,
        server: SocketAddr,
    ) -> std::io::Result<()> {
        let server = TcpStream::connect(server)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let answer = Arc::new(Answer::default());
        let back = (Arc::clone(self), server.try_clone()?, client.try_clone()?, Arc::clone(&answer));
        let back = thread::spawn(move || back.0.answers(&back.1, &back.2, &back.3).ok());
        let sent = match speech {
            Speech::Http => self.http(client, &server, &answer),
            Speech::Postgres => self.postgres(client, &server, &answer),
        };
        // Without this an answer would be waited for that never comes.
        let _ = server.shutdown(Shutdown::Both);
        let _ = client.shutdown(Shutdown::Both);
        let _ = back.join();
        sent
    }

    /// Requests with bodies of a length that is told.
    fn http(&self, client: &TcpStream, mut server: &TcpStream, answer: &Answer) -> std::io::Result<()> {
        let mut client = BufReader::new(client);
        loop {
            let (mut head, mut body) = (String::new(), 0);
            loop {
                let start = head.len();
                if client.read_line(&mut head)? == 0 {
                    return Ok(());
                }
                let line = head[start..].to_ascii_lowercase();
                assert!(!line.starts_with("transfer-encoding"), "a body whose length is not told: {head}");
                if let Some(length) = line.strip_prefix("content-length:") {
                    body = length.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
            }
            let mut request = head.lines().next().unwrap_or_default().to_owned();
            let mut content = Vec::new();
            // What is deleted stands in the body.
            if request.contains("?delete") {
                client.by_ref().take(std::mem::take(&mut body)).read_to_end(&mut content)?;
                request = deletion(&content);
            }
            answer.aged.store(request.contains("list-type=2"), SeqCst);
            if !self.meet(&request, answer) {
                return Ok(());
            }
            server.write_all(head.as_bytes())?;
            server.write_all(&content)?;
            std::io::copy(&mut client.by_ref().take(body), &mut server)?;
        }
    }

    /// Messages with their lengths. Only the statements that swap pointers have names.
    fn postgres(
        &self,
        mut client: &TcpStream,
        mut server: &TcpStream,
        answer: &Answer,
    ) -> std::io::Result<()> {
        let (mut swaps, mut first) = (false, true);
        loop {
            // The first message has no type.
            let mut head = vec![0; if first { 4 } else { 5 }];
            client.read_exact(&mut head)?;
            let length: [u8; 4] = head[head.len() - 4..].try_into().unwrap();
            let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
            client.read_exact(&mut body)?;
            let text = String::from_utf8_lossy(&body);
            let request = match head[0] {
                _ if first => "",
                b'P' if text.contains("UPDATE iceberg_tables SET metadata_location") => "UPDATE pointers",
                b'Q' if text.starts_with("COMMIT") && swaps => "COMMIT pointers",
                _ => "",
            };
            (swaps, first) = ((swaps || request.starts_with('U')) && !request.starts_with('C'), false);
            if !request.is_empty() && !self.meet(request, answer) {
                return Ok(());
            }
            server.write_all(&head)?;
            server.write_all(&body)?;
        }
    }

    fn answers(
        &self,
        mut server: &TcpStream,
        mut client: &TcpStream,
        answer: &Answer,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = server.read(&mut buffer)?;
            if answer.cut.load(SeqCst) {
                self.strike();
            }
            if read == 0 || answer.cut.load(SeqCst) {
                return client.shutdown(Shutdown::Both);
            }
            if !answer.aged.load(SeqCst) {
                client.write_all(&buffer[..read])?;
                continue;
            }
            let mut whole = buffer[..read].to_vec();
            while !is_whole(&whole) {
                let read = server.read(&mut buffer)?;
                whole.extend_from_slice(&buffer[..read]);
            }
            age(&mut whole);
            client.write_all(&whole)?;
        }
    }

    /// Notes a request; whether it may go on. One whose answer is to be held back is marked.
    fn meet(&self, request: &str, answer: &Answer) -> bool {
        self.requests.lock().unwrap().push(request.to_owned());
        let Some(point) = self.point else { return true };
        let (beginning, part) = point.request.split_once('*').unwrap_or((point.request, ""));
        if !request.starts_with(beginning) || !request.contains(part) {
            return true;
        }
        if self.met.fetch_add(1, SeqCst) + 1 != point.number {
            return true;
        }
        answer.cut.store(point.moment == Moment::After, SeqCst);
        if point.moment == Moment::Before {
            self.strike();
        }
        point.moment == Moment::After
    }

    /// SIGKILL.
    fn strike(&self) {
        let victim = self.victim.lock().unwrap();
        let mut victim = self.armed.wait_while(victim, |victim| victim.is_none()).unwrap();
        let child = victim.as_mut().unwrap();
        assert_eq!(child.try_wait().unwrap(), None, "the process ended before it was killed");
        child.kill().unwrap();
        child.wait().unwrap();
        self.reached.store(true, SeqCst);
    }
}

/// The request that deletes objects as if it named them in its first line.
fn deletion(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let keys = body.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
    let keys: Vec<_> = keys.map(|(key, _)| key).collect();
    format!("DELETE {}", keys.join(" "))
}

/// Whether an answer has come to its end.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    match head.lines().find_map(|line| line.strip_prefix("content-length:")) {
        Some(length) => answer.len() >= end + 4 + length.trim().parse::<usize>().unwrap(),
        None => answer.ends_with(b"0\r\n\r\n"),
    }
}

/// Makes the objects of a listing a year older.
fn age(listing: &mut [u8]) {
    const TAG: &[u8] = b"<LastModified>";
    for at in 0..listing.len().saturating_sub(TAG.len() + 4) {
        if listing[at..].starts_with(TAG) {
            let year = &mut listing[at + TAG.len()..at + TAG.len() + 4];
            let before: u16 = std::str::from_utf8(year).unwrap().parse().unwrap();
            year.copy_from_slice((before - 1).to_string().as_bytes());
        }
    }
}
