//! A file into a table, against a plain reader and writer of the same file, and against DuckDB.
//!
//! The file has the shape of Retail Rocket's `events.csv`. The sides take turns; each line is the median of its runs.
//! DuckDB runs in the Python that `--duckdb` names: `COPY (FROM read_csv(…)) TO … (FORMAT parquet)` with the
//! columns named, zstd, and as many threads as there are cores.

mod ceiling;
mod retail_rocket;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use chrono::DateTime;
use clap::Args;
use serde_json::{Value, json};
use sluice_catalog::{Lake, LakeSettings};
use sluice_ingest::load::{self, DataSet, LoadSettings, What};

use crate::ingest::Failure;
use crate::usage;

/// What `rows_per_second` has to reach: twenty times 39,000.
const GOAL: f64 = 780_000.0;

const DUCKDB: &str = "
import duckdb, sys, time
began = time.perf_counter()
duckdb.sql(f\"\"\"COPY (FROM read_csv('{sys.argv[1]}', header = true, auto_detect = false, columns = {{
  'timestamp': 'BIGINT', 'visitorid': 'BIGINT', 'event': 'VARCHAR', 'itemid': 'BIGINT', 'transactionid': 'BIGINT'}}))
  TO '{sys.argv[2]}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)\"\"\")
print(time.perf_counter() - began)
";

#[derive(Args)]
pub(crate) struct Arguments {
    /// Events of the file
    #[arg(long, default_value_t = retail_rocket::EVENTS)]
    rows: u64,
    /// Times that each side loads it
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// The same seed makes the same file
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// A Python with duckdb, to compare with it too
    #[arg(long, value_name = "PYTHON")]
    duckdb: Option<PathBuf>,
    /// The folder for files and tables; a fresh one is made in it and removed
    #[arg(long, default_value = "./sluice-bench")]
    dir: PathBuf,
}

#[derive(Args)]
pub(crate) struct Generate {
    /// Where the four files go
    folder: PathBuf,
    /// Events
    #[arg(long, default_value_t = retail_rocket::EVENTS)]
    events: u64,
    /// Properties of items; the original has 20,275,902
    #[arg(long, default_value_t = 1_000_000)]
    properties: u64,
    /// The same seed makes the same files
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// One side of one run.
#[derive(Clone, Copy, Debug)]
struct Measured {
    rows: u64,
    seconds: f64,
    cpu_seconds: f64,
}

/// Writes the files and says how many.
pub(crate) fn generate(arguments: &Generate) -> Result<Value, Failure> {
    std::fs::create_dir_all(&arguments.folder)?;
    retail_rocket::events(&arguments.folder, arguments.events, arguments.seed)?;
    retail_rocket::items(&arguments.folder, arguments.properties, arguments.seed)?;
    let seed = arguments.seed;
    Ok(json!({ "events": arguments.events, "properties": arguments.properties, "seed": seed }))
}

pub(crate) async fn run(arguments: Arguments) -> Result<Value, Failure> {
    let dir = arguments.dir.join(format!("load-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let measured = measure(&arguments, &dir).await;
    tokio::fs::remove_dir_all(&dir).await?;
    measured
}

async fn measure(arguments: &Arguments, dir: &Path) -> Result<Value, Failure> {
    retail_rocket::events(dir, arguments.rows, arguments.seed)?;
    let bytes = std::fs::metadata(dir.join("events.csv"))?.len();
    let (mut sluice, mut ceiling, mut duckdb) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..arguments.runs.max(1) {
        let folder = dir.to_owned();
        ceiling.push(tokio::task::spawn_blocking(move || ceiling::measure(&folder)).await??);
        sluice.push(loaded(dir, run).await?);
        if let Some(python) = &arguments.duckdb {
            duckdb.push(copied(python, dir, arguments.rows)?);
        }
    }
    let (sluice, ceiling) = (median(sluice), median(ceiling));
    if sluice.rows != arguments.rows || ceiling.rows != arguments.rows {
        return Err(format!("{} and {} of {} rows", sluice.rows, ceiling.rows, arguments.rows).into());
    }
    let rate = |side: Measured| side.rows as f64 / side.seconds;
    let mut line = json!({
        "benchmark": "load",
        "rows": arguments.rows,
        "bytes": bytes,
        "runs": arguments.runs,
        "sluice": figures(sluice),
        "ceiling": figures(ceiling),
        "ratio": rate(sluice) / rate(ceiling),
        "goal_ratio": rate(sluice) / GOAL,
        "peak_resident_bytes": usage::peak_resident_bytes(),
    });
    if !duckdb.is_empty() {
        let duckdb = median(duckdb);
        line["duckdb"] = json!({ "seconds": duckdb.seconds, "rows_per_second": rate(duckdb) });
        line["duckdb_ratio"] = json!(rate(sluice) / rate(duckdb));
    }
    Ok(line)
}

fn figures(side: Measured) -> Value {
    json!({
        "seconds": side.seconds,
        "rows_per_second": side.rows as f64 / side.seconds,
        "cpu_seconds": side.cpu_seconds,
    })
}

fn median(mut runs: Vec<Measured>) -> Measured {
    runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    runs[runs.len() / 2]
}

/// Loads the file into a lake of its own, from opening the lake to the last commit.
async fn loaded(dir: &Path, run: usize) -> Result<Measured, Failure> {
    let (began, cpu) = (Instant::now(), usage::cpu_seconds());
    let lake = Lake::open(LakeSettings::local(&dir.join(format!("lake-{run}")))).await?;
    let settings = LoadSettings::new(What::Set(DataSet::RetailRocket), vec![dir.join("events.csv")]);
    let report = load::load(&lake, settings, DateTime::UNIX_EPOCH, &Arc::default()).await?;
    Ok(Measured {
        rows: report.rows,
        seconds: began.elapsed().as_secs_f64(),
        cpu_seconds: usage::cpu_seconds() - cpu,
    })
}

/// DuckDB's own time for the statement, without its start.
fn copied(python: &Path, dir: &Path, rows: u64) -> Result<Measured, Failure> {
    let files = [dir.join("events.csv"), dir.join("duckdb.parquet")];
    let run = Command::new(python).arg("-c").arg(DUCKDB).args(files).output()?;
    let said = String::from_utf8_lossy(&run.stdout);
    let seconds = said.trim().parse().map_err(|_| {
        format!("{} did not measure DuckDB: {}", python.display(), String::from_utf8_lossy(&run.stderr))
    })?;
    Ok(Measured { rows, seconds, cpu_seconds: 0.0 })
}
