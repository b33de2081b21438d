//! Real clients of the servers: the Flight SQL JDBC driver and ADBC against `sluice serve`, and a browser's view.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command};

use crate::parts::{parts, root};
use crate::sluice::Lake;

/// Rows that a client must be able to fetch in one result.
const ROWS: u64 = 1_000_000;

#[test]
fn adbc_lists_prepares_and_fetches() {
    let server = Server::start();
    let script = root().join("tests/clients/adbc_check.py");
    client(Command::new(parts().get("PYTHON")).arg(script).arg(&server.flight));
}

#[test]
fn jdbc_lists_prepares_and_fetches() {
    let server = Server::start();
    client(Command::new(root().join("tests/clients/jdbc/check")).arg(&server.flight));
}

#[test]
fn http_answers_probes_and_metrics() {
    let server = Server::start();
    let get = |path: &str| {
        let url = format!("http://{}{path}", server.http);
        let output =
            Command::new("curl").args(["-sS", "-w", "\n%{http_code}", "--max-time", "20", &url]).output();
        let text = String::from_utf8(output.expect("the tests need curl").stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.to_owned(), body.to_owned())
    };
    assert_eq!(get("/readyz").0, "200");
    let (status, tables) = get("/api/tables");
    assert_eq!(status, "200", "{tables}");
    assert!(tables.contains("million"), "{tables}");
    let (status, metrics) = get("/metrics");
    assert_eq!(status, "200");
    assert!(metrics.contains("# TYPE "), "{metrics}");
    assert_eq!(get("/absent").0, "404");
}

#[test]
fn a_stop_ends_the_server_and_frees_its_ports() {
    let mut server = Server::start();
    let sent = Command::new("kill").arg(server.process.id().to_string()).status().unwrap();
    assert!(sent.success());
    assert!(server.process.wait().unwrap().success());
    let address = &server.flight;
    std::net::TcpListener::bind(address).unwrap_or_else(|cause| panic!("{address} is still held: {cause}"));
}

/// Runs a client's check to its end; what it found is shown when it fails.
fn client(command: &mut Command) {
    let output = command.output().unwrap_or_else(|cause| panic!("{command:?} does not start: {cause}"));
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{complained}", output.status);
    println!("{said}");
}

/// A running `sluice serve`, ended with the test.
struct Server {
    process: Child,
    flight: String,
    http: String,
    _lake: Lake,
}

impl Server {
    /// On a lake with `bronze.million`: id, name, amount (null where id % 100 = 7), day.
    fn start() -> Self {
        let lake = Lake::on_disk();
        lake.file("million.csv", &million());
        lake.succeed(&["load", "csv", "million.csv", "--table", "bronze.million"]);
        let mut process = lake.start(&["serve", "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut address = |scheme: &str| -> String {
            let found = lines.find_map(|line| Some(line.unwrap().split_once(scheme)?.1.trim().to_owned()));
            found.unwrap_or_else(|| panic!("serve ended without naming its {scheme} address"))
        };
        let (flight, http) = (address("grpc://"), address("http://"));
        // keeps the pipe empty, so that the server never waits for a reader
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, flight, http, _lake: lake }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // one that was stopped by its test is gone already
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn million() -> String {
    let mut text = String::from("id,name,amount,day\n");
    for id in 0..ROWS {
        let amount = if id % 100 == 7 { String::new() } else { format!("{:.3}", id as f64 / 8.0) };
        writeln!(text, "{id},name-{},{amount},2026-01-{:02}", id % 1000, id % 28 + 1).unwrap();
    }
    text
}
