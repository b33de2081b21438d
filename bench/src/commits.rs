//! Commits: how long one takes as a table grows, how many writers get along, and how long planning takes.
//!
//! - `growth`: one writer appends again and again; the time of a commit at each size of the history.
//! - `storm`: writers with catalogs of their own commit to one table at the same time; all land, none twice.
//! - `planning`: a statement that needs one file is planned on the grown table.
//!
//! Files are small on purpose: what is measured is the commit, not the rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::Int64Array;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use clap::Args;
use futures::TryStreamExt;
use serde_json::{Value, json};
use sluice_catalog::{
    Commit, CommitOutcome, Created, Lake, LakeSettings, Operation, TableName, TableSnapshot, TableSpec,
    TableWriter, WriterSettings,
};
use sluice_sql::{Engine, EngineSettings};
use uuid::Uuid;

use crate::ingest::Failure;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Commits of the growing table
    #[arg(long, default_value_t = 1_000)]
    commits: u64,
    /// Files of each of them
    #[arg(long, default_value_t = 10)]
    files: u64,
    /// Writers of the storm
    #[arg(long, default_value_t = 8)]
    writers: u64,
    /// Commits of each of them
    #[arg(long, default_value_t = 200)]
    storm: u64,
    /// The folder for the tables; a fresh one is made in it and removed
    #[arg(long, default_value = "./sluice-bench")]
    dir: PathBuf,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Value, Failure> {
    let dir = arguments.dir.join(format!("commits-{}", std::process::id()));
    let measured = measure(&arguments, &dir).await;
    tokio::fs::remove_dir_all(&dir).await?;
    measured
}

async fn measure(arguments: &Arguments, dir: &Path) -> Result<Value, Failure> {
    let lake = Lake::open(LakeSettings::local(dir)).await?;
    let growth = growth(&lake, arguments).await?;
    let planning = planning(&lake, arguments.commits * arguments.files).await?;
    let storm = storm(&lake, dir, arguments).await?;
    Ok(json!({
        "benchmark": "commits",
        "files": arguments.commits * arguments.files,
        "growth": growth,
        "planning": planning,
        "storm": storm,
    }))
}

/// The time of a commit by the number of snapshots before it.
async fn growth(lake: &Lake, arguments: &Arguments) -> Result<Value, Failure> {
    let table = create(lake, "growth").await?;
    let (mut times, mut curve, mut step) = (Vec::new(), Vec::new(), 10);
    for number in 0..arguments.commits {
        let first = number * arguments.files;
        times.push(append(lake, &table, first, arguments.files).await?);
        if number + 1 == step || number + 1 == arguments.commits {
            // The later half, so that the figure belongs to this size.
            let recent = times.split_off(times.len() - times.len() / 2);
            curve.push(quantiles(recent, json!({ "snapshots": number + 1 })));
            times.clear();
            step *= 10;
            eprintln!("{} commits", number + 1);
        }
    }
    Ok(json!(curve))
}

/// All writers at once, each with a catalog connection and caches of its own.
async fn storm(lake: &Lake, dir: &Path, arguments: &Arguments) -> Result<Value, Failure> {
    let table = create(lake, "storm").await?;
    let began = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..arguments.writers {
        let (lake, table) = (Lake::open(LakeSettings::local(dir)).await?, table.clone());
        let commits = arguments.storm;
        writers.spawn(async move {
            let mut times = Vec::new();
            for number in 0..commits {
                times.push(
                    append(&lake, &table, writer * commits + number, 1).await.map_err(|e| e.to_string())?,
                );
            }
            Ok::<_, String>(times)
        });
    }
    let mut times = Vec::new();
    while let Some(writer) = writers.join_next().await {
        times.extend(writer??);
    }
    let seconds = began.elapsed().as_secs_f64();
    let wanted = arguments.writers * arguments.storm;
    let landed = lake.load(&table).await?;
    let rows = landed.row_count().ok_or("the table does not know its rows")?;
    let engine = Engine::new(lake.clone(), EngineSettings::default())?;
    let distinct = count(&engine, "SELECT count(DISTINCT id) FROM bronze.storm").await?;
    if rows != wanted || distinct != wanted {
        return Err(format!("{wanted} commits left {rows} rows, {distinct} of them different").into());
    }
    let line = json!({ "writers": arguments.writers, "commits": wanted, "commits_per_second": wanted as f64 / seconds });
    Ok(quantiles(times, line))
}

/// A statement that needs one file of many: the first time, and again with the manifests in memory.
async fn planning(lake: &Lake, files: u64) -> Result<Value, Failure> {
    let engine = Engine::new(lake.clone(), EngineSettings::default())?;
    let mut seconds = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        let found =
            count(&engine, &format!("SELECT count(*) FROM bronze.growth WHERE id = {}", files / 2)).await?;
        seconds.push(began.elapsed().as_secs_f64());
        if found != 1 {
            return Err(format!("{found} rows have one id").into());
        }
    }
    Ok(json!({ "files": files, "first_seconds": seconds[0], "again_seconds": seconds[2] }))
}

async fn count(engine: &Engine, sql: &str) -> Result<u64, Failure> {
    let batches: Vec<RecordBatch> = engine.session().sql(sql).await?.try_collect().await?;
    let column = batches.first().map(|batch| Arc::clone(batch.column(0))).ok_or("no row")?;
    let numbers = column.as_any().downcast_ref::<Int64Array>().ok_or("not a count")?;
    Ok(u64::try_from(numbers.value(0))?)
}

async fn create(lake: &Lake, name: &str) -> Result<TableName, Failure> {
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false)]);
    let name = TableName::new("bronze", name)?;
    match lake.create(&name, TableSpec::new(Arc::new(schema))).await? {
        Created::New(_) => Ok(name),
        Created::Existed(_) => Err(format!("{name} exists").into()),
    }
}

/// Writes `files` files of one row each and commits them; the time of the commit alone.
async fn append(lake: &Lake, name: &TableName, first: u64, files: u64) -> Result<Duration, Failure> {
    let table: TableSnapshot = lake.load(name).await?;
    let token = new_token();
    // A row is larger than the target, so each gets a file of its own.
    let settings = WriterSettings { target_file_bytes: 1, ..WriterSettings::default() };
    let mut writer = TableWriter::new(lake, &table, token, settings)?;
    for id in first..first + files {
        let column = Int64Array::from(vec![i64::try_from(id)?]);
        writer.write(RecordBatch::try_new(table.schema(), vec![Arc::new(column)])?).await?;
    }
    let staged = writer.finish().await?;
    let commit = Commit { files: Some(staged), ..Commit::new(name.clone(), Operation::Append, token) };
    let began = Instant::now();
    match lake.commit(vec![commit], now()).await? {
        CommitOutcome::Committed(_) => Ok(began.elapsed()),
        other => Err(format!("an append ended as {other:?}").into()),
    }
}

fn quantiles(mut times: Vec<Duration>, mut line: Value) -> Value {
    times.sort_unstable();
    let at =
        |share: f64| times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)));
    for (name, share) in [("p50_ms", 0.5), ("p99_ms", 0.99)] {
        line[name] = json!(at(share).map(|time| (time.as_secs_f64() * 1e5).round() / 100.0));
    }
    line
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures the clock's time")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

#[expect(clippy::disallowed_methods, reason = "each commit of a run has a name of its own")]
fn new_token() -> Uuid {
    Uuid::now_v7()
}
