//! Real clients of the servers: the Flight SQL JDBC driver and ADBC against `sluice serve`, and a browser's view.

use std::io::{BufRead, BufReader};
use std::process::Command;

use crate::judge::judge;
use crate::parts::{parts, root};
use crate::sluice::{Lake, Started};

#[test]
fn adbc_lists_prepares_and_fetches() {
    let server = Server::start(million_rows());
    let script = root().join("tests/clients/adbc_check.py");
    client(Command::new(parts().get("PYTHON")).arg(script).arg(&server.flight));
}

#[test]
fn jdbc_lists_prepares_and_fetches() {
    let server = Server::start(million_rows());
    client(Command::new(root().join("tests/clients/jdbc/check")).arg(&server.flight));
}

#[test]
fn http_answers_probes_and_metrics() {
    let server = Server::start(three_rows());
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
    assert!(tables.contains("three"), "{tables}");
    let (status, metrics) = get("/metrics");
    assert_eq!(status, "200");
    assert!(metrics.contains("# TYPE "), "{metrics}");
    assert_eq!(get("/absent").0, "404");
}

#[test]
fn a_stop_ends_the_server_and_frees_its_ports() {
    let mut server = Server::start(three_rows());
    server.running.take().unwrap().stop();
    for address in [&server.flight, &server.http] {
        std::net::TcpListener::bind(address)
            .unwrap_or_else(|cause| panic!("{address} is still held: {cause}"));
    }
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
pub(crate) struct Server {
    running: Option<Started>,
    flight: String,
    pub(crate) http: String,
    _lake: Lake,
}

impl Server {
    pub(crate) fn start(lake: Lake) -> Self {
        let mut running = lake.start(&["serve", "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        let mut lines = BufReader::new(running.process.stderr.take().unwrap()).lines();
        let mut address = |scheme: &str| -> String {
            let found = lines.find_map(|line| Some(line.unwrap().split_once(scheme)?.1.trim().to_owned()));
            found.unwrap_or_else(|| panic!("serve ended without naming its {scheme} address"))
        };
        let (flight, http) = (address("grpc://"), address("http://"));
        // keeps the pipe empty, so that the server never waits for a reader
        std::thread::spawn(move || lines.for_each(drop));
        Self { running: Some(running), flight, http, _lake: lake }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // one that was stopped by its test is gone already
        if let Some(running) = self.running.take() {
            running.kill();
        }
    }
}

/// A lake with the table `bronze.numbers` that the clients check row by row.
fn million_rows() -> Lake {
    let lake = three_rows();
    judge("million_rows.py", &lake, &[lake.dir().to_str().unwrap()]);
    lake
}

fn three_rows() -> Lake {
    let lake = Lake::on_disk();
    lake.file("three.csv", "id,name\n1,a\n2,b\n3,c\n");
    lake.succeed(&["load", "csv", "three.csv", "--table", "bronze.three"]);
    lake
}
