//! SQL over a Sluice table, against plain DataFusion on the very same Parquet files.
//!
//! Order: write a table with Sluice's own writer, then run each query on all sides in turn, many times, the
//! sides changing places; compare the medians. A side's time is from the text to the last batch. Plain
//! DataFusion has its defaults and the same number of partitions.

pub(crate) mod data;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use futures::TryStreamExt;
use serde_json::{Value, json};
use sluice_catalog::{Lake, LakeSettings, TableSnapshot};
use sluice_sql::{Engine, EngineSettings, SendableRecordBatchStream, Session};

use crate::ingest::Failure;

/// What is measured: a name and the text, with the table as `events`.
const QUERIES: [(&str, &str); 2] = [
    (
        "scan",
        "SELECT count(*), sum(user_id), sum(item_id), sum(quantity), sum(price), max(at), max(event_id), \
         max(event_type) FROM events",
    ),
    (
        "aggregate",
        "SELECT event_type, user_id % 1000 AS bucket, count(*) AS events, sum(price) AS revenue, \
         avg(quantity) AS quantity, max(at) AS latest FROM events GROUP BY event_type, user_id % 1000",
    ),
];

#[derive(Args)]
pub(crate) struct Arguments {
    /// Rows of the table
    #[arg(long, default_value_t = 10_000_000)]
    rows: usize,
    /// Times that each query runs on each side
    #[arg(long, default_value_t = 9)]
    runs: usize,
    /// Parallel parts of a query; the number of cores unless told otherwise
    #[arg(long)]
    partitions: Option<usize>,
    /// The folder for the table; a fresh one is made in it
    #[arg(long, default_value = "./sluice-bench")]
    dir: PathBuf,
    /// Leave the table there
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Value, Failure> {
    let dir = arguments.dir.join(format!("query-{}", std::process::id()));
    let lake = Lake::open(LakeSettings::local(&dir)).await?;
    eprintln!("writing {} rows to {}", arguments.rows, dir.display());
    let table = data::write(&lake, arguments.rows).await?;
    let measured = compare(&arguments, lake, &table).await;
    if !arguments.keep {
        tokio::fs::remove_dir_all(&dir).await?;
    }
    measured
}

async fn compare(arguments: &Arguments, lake: Lake, table: &TableSnapshot) -> Result<Value, Failure> {
    let defaults = EngineSettings::default();
    let settings = EngineSettings {
        target_partitions: arguments.partitions.unwrap_or(defaults.target_partitions),
        ..defaults
    };
    let partitions = settings.target_partitions;
    let folder = format!("{}/data/", table.metadata().location());
    let sluice = Side::Sluice(Engine::new(lake, settings)?.session());
    let settings = SessionConfig::new().with_target_partitions(partitions);
    let sides = [sluice, Side::Plain(plain(settings, &folder).await?)];
    let mut line = json!({ "benchmark": "query", "rows": arguments.rows, "runs": arguments.runs });
    line["partitions"] = json!(partitions);
    let files = table.files().await?;
    line["files"] = json!(files.len());
    line["bytes"] = json!(files.iter().map(|file| file.parts().0.file_size_in_bytes()).sum::<u64>());
    let mut lowest = f64::INFINITY;
    for (name, sql) in QUERIES {
        let [sluice, plain] = medians(&sides, sql, arguments.runs).await?.map(|median| median.as_secs_f64());
        lowest = lowest.min(plain / sluice);
        line[name] = json!({
            "sluice_seconds": sluice,
            "datafusion_seconds": plain,
            "ratio": plain / sluice,
            "rows_per_second": arguments.rows as f64 / sluice,
        });
    }
    line["ratio"] = json!(lowest);
    Ok(line)
}

/// One of those that are compared.
enum Side {
    Sluice(Session),
    Plain(SessionContext),
}

async fn plain(config: SessionConfig, folder: &str) -> Result<SessionContext, Failure> {
    let context = SessionContext::new_with_config(config);
    context.register_parquet("events", folder, ParquetReadOptions::default()).await?;
    Ok(context)
}

/// The median of each side. The order turns with every run, and the first run, which warms caches, counts
/// for nobody.
async fn medians(sides: &[Side; 2], sql: &str, runs: usize) -> Result<[Duration; 2], Failure> {
    let mut times: [Vec<Duration>; 2] = Default::default();
    let mut answers: [Option<usize>; 2] = [None; 2];
    for run in 0..=runs.max(1) {
        for turn in 0..sides.len() {
            let at = (run + turn) % sides.len();
            let start = Instant::now();
            let rows = drain(&sides[at], sql).await?;
            let took = start.elapsed();
            if run > 0 {
                times[at].push(took);
            }
            answers[at] = Some(rows);
        }
    }
    if answers.iter().any(|rows| *rows != answers[0]) {
        return Err(format!("the sides do not agree on the number of rows: {answers:?}\n  {sql}").into());
    }
    Ok(times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    }))
}

async fn drain(side: &Side, sql: &str) -> Result<usize, Failure> {
    let stream: SendableRecordBatchStream = match side {
        Side::Sluice(session) => session.sql(sql).await?,
        Side::Plain(context) => context.sql(sql).await?.execute_stream().await?,
    };
    Ok(stream.try_fold(0, async |rows, batch| Ok(rows + batch.num_rows())).await?)
}
