//! Compaction of small files, against plain DataFusion and DuckDB that rewrite the very same files.
//!
//! Order: write many small files, let each side write their rows into large files of the same compression with the
//! same number of threads, Sluice last, because it removes the small files from the table. DuckDB takes part when a
//! Python that has it is named.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use datafusion::config::TableParquetOptions;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use serde_json::{Value, json};
use sluice_catalog::maintain::Policy;
use sluice_catalog::{Lake, LakeSettings};
use sluice_sql::{Engine, EngineSettings, compact};

use crate::commits::{new_token, now};
use crate::ingest::Failure;
use crate::query::data;
use crate::usage;

/// Copies the Parquet files named on standard input, one a line; arguments: target, threads. Prints seconds.
const DUCKDB: &str = "\
import duckdb, sys, time
files = sys.stdin.read().split()
target, threads = sys.argv[1:]
db = duckdb.connect(config={'threads': int(threads)})
db.execute('SET enable_progress_bar = false')
began = time.monotonic()
db.execute(f\"COPY (SELECT * FROM read_parquet({files!r})) TO '{target}' \"
           \"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)\")
print(time.monotonic() - began)
";

#[derive(Args)]
pub(crate) struct Arguments {
    /// Rows of the table
    #[arg(long, default_value_t = 10_000_000)]
    rows: usize,
    /// Files they are in at first
    #[arg(long, default_value_t = 200)]
    files: usize,
    /// Threads of each side; the number of cores unless told otherwise
    #[arg(long)]
    threads: Option<usize>,
    /// A Python with the package `duckdb`
    #[arg(long)]
    duckdb: Option<PathBuf>,
    /// The folder for the table; a fresh one is made in it and removed
    #[arg(long, default_value = "./sluice-bench")]
    dir: PathBuf,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Value, Failure> {
    let dir = arguments.dir.join(format!("compaction-{}", std::process::id()));
    let measured = measure(&arguments, &dir).await;
    tokio::fs::remove_dir_all(&dir).await?;
    measured
}

async fn measure(arguments: &Arguments, dir: &Path) -> Result<Value, Failure> {
    let lake = Lake::open(LakeSettings::local(dir)).await?;
    let dir = std::path::absolute(dir)?;
    let name = data::create(&lake).await?;
    let each = arguments.rows.div_ceil(arguments.files);
    for first in (0..arguments.rows).step_by(each) {
        data::append(&lake, first..arguments.rows.min(first + each), new_token(), now()).await?;
    }
    let mut settings = EngineSettings::default();
    if let Some(threads) = arguments.threads {
        settings.target_partitions = threads;
    }
    let threads = settings.target_partitions;
    let table = lake.load(&name).await?;
    let files = table.files().await?;
    let bytes: u64 = files.iter().map(|file| file.parts().0.file_size_in_bytes()).sum();
    let paths = files.iter().map(|file| file.parts().0.file_path().trim_start_matches("file://").to_owned());
    let paths: Vec<String> = paths.collect();

    let megabytes = bytes as f64 / 1e6;
    let mut line = json!({
        "benchmark": "compaction", "rows": arguments.rows, "files": paths.len(), "megabytes": megabytes,
        "threads": threads,
    });
    let (cpu, began) = (usage::cpu_seconds(), Instant::now());
    datafusion(&paths, &dir.join("datafusion"), threads).await?;
    let plain = began.elapsed().as_secs_f64();
    line["datafusion"] = rate(megabytes, plain);
    line["datafusion"]["cpu_seconds"] = json!(usage::cpu_seconds() - cpu);
    let duckdb = match &arguments.duckdb {
        Some(python) => Some(duckdb(python, &paths, &dir.join("duckdb.parquet"), threads)?),
        None => None,
    };
    let engine = Engine::new(lake.clone(), settings)?;
    let policy = Policy { max_bytes: u64::MAX, ..Policy::default() };
    let (cpu, began) = (usage::cpu_seconds(), Instant::now());
    let done = compact(&engine, &name, &policy, new_token, now(), false).await?;
    let own = began.elapsed().as_secs_f64();
    if done.files_in != paths.len() || lake.load(&name).await?.row_count() != Some(arguments.rows as u64) {
        return Err(format!("compaction took {} of {} files", done.files_in, paths.len()).into());
    }
    line["sluice"] = rate(megabytes, own);
    line["sluice"]["cpu_seconds"] = json!(usage::cpu_seconds() - cpu);
    line["sluice"]["files_out"] = json!(done.files_out);
    line["sluice"]["bytes_out"] = json!(done.bytes_out);
    line["of_datafusion"] = json!(plain / own);
    if let Some(duckdb) = duckdb {
        line["duckdb"] = rate(megabytes, duckdb);
        line["of_duckdb"] = json!(duckdb / own);
    }
    Ok(line)
}

fn rate(megabytes: f64, seconds: f64) -> Value {
    json!({ "seconds": seconds, "megabytes_per_second": megabytes / seconds })
}

async fn datafusion(paths: &[String], target: &Path, threads: usize) -> Result<(), Failure> {
    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(threads));
    let rows = session.read_parquet(paths.to_vec(), ParquetReadOptions::default()).await?;
    let mut options = TableParquetOptions::default();
    options.global.compression = Some("zstd(1)".to_owned());
    let target = target.to_str().ok_or("the folder's name is no text")?;
    rows.write_parquet(&format!("{target}/"), DataFrameWriteOptions::new(), Some(options)).await?;
    Ok(())
}

fn duckdb(python: &Path, paths: &[String], target: &Path, threads: usize) -> Result<f64, Failure> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new(python)
        .args(["-c", DUCKDB])
        .arg(target)
        .arg(threads.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(paths.join("\n").as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let seconds = String::from_utf8_lossy(&output.stdout).trim().parse::<f64>();
    seconds.map_err(|_| "DuckDB did not copy the files; its message is above".into())
}
