//! Makes `bronze.numbers`, the table that the real clients' tests read.
//!
//! ```text
//! cargo run -p sluice-query --example numbers -- write DIR [ROWS]   into the lake in DIR
//! cargo run -p sluice-query --example numbers -- serve [ROWS]       into memory, and serves it until Ctrl-C
//! ```
//! `serve` prints one line of JSON with the addresses. ROWS is 1000000 unless told otherwise.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use chrono::Utc;
use sluice_catalog::{Lake, LakeSettings};
use sluice_query::{ServeSettings, Server};
use sluice_sql::{Engine, EngineSettings};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[path = "../src/flight/tests/numbers.rs"]
mod numbers;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["write", dir] => write(dir, "1000000").await,
        ["write", dir, rows] => write(dir, rows).await,
        ["serve"] => serve("1000000").await,
        ["serve", rows] => serve(rows).await,
        _ => {
            eprintln!("usage: numbers write DIR [ROWS] | numbers serve [ROWS]");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn write(dir: &str, rows: &str) -> Result<(), Failure> {
    let dir = std::path::absolute(Path::new(dir))?;
    fill(&Lake::open(LakeSettings::local(&dir)).await?, rows).await
}

async fn serve(rows: &str) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let settings = LakeSettings { warehouse: "memory:///".to_owned(), ..LakeSettings::local(dir.path()) };
    let lake = Lake::open(settings).await?;
    fill(&lake, rows).await?;
    let engine = Engine::new(lake, EngineSettings::default())?;
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server =
        Server::bind(engine, ServeSettings { flight: any_port, http: any_port, ..Default::default() })
            .await?;
    println!(r#"{{"flight": "{}", "http": "{}"}}"#, server.flight_addr(), server.http_addr());
    let stop = CancellationToken::new();
    let signal = stop.clone();
    tokio::spawn(async move {
        // Without a handler for the signal, the process simply ends by it.
        if tokio::signal::ctrl_c().await.is_ok() {
            signal.cancel();
        }
    });
    Ok(server.run(stop).await?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command line tool: the clock is read and ids are drawn here"
)]
async fn fill(lake: &Lake, rows: &str) -> Result<(), Failure> {
    let rows = rows.parse().map_err(|error| format!("`{rows}` is not a number of rows: {error}"))?;
    numbers::create(lake, rows, Uuid::new_v4(), Utc::now()).await
}
