//! Commits: how long one takes as a table grows, how many writers get along, and how long planning takes.
//!
//! - `growth`: one writer appends every ten seconds of an injected clock, with a file for each partition; the time of
//!   a commit at each size of the history. Once without any maintenance, once with snapshots expired and manifests
//!   rewritten every ten minutes by the default policy (files are not compacted, so that their number grows).
//! - `storm`: writers commit to one table at the same time, each with a catalog of its own as if in a process of its
//!   own, and then all with one; all land, none twice.
//! - `planning`: a statement that needs one file is planned on the grown tables, with a filter that partitions know
//!   and one that they do not.
//!
//! Files are small on purpose: what is measured is the commit, not the rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use clap::Args;
use futures::TryStreamExt;
use serde_json::{Value, json};
use sluice_catalog::maintain::{Cursors, Policy, expire, rewrite_manifests};
use sluice_catalog::{
    Commit, CommitOutcome, Created, Lake, LakeSettings, Operation, PartitionBy, TableName, TableSnapshot,
    TableSpec, TableWriter, Transform, WriterSettings,
};
use sluice_sql::{Engine, EngineSettings};
use uuid::Uuid;

use crate::ingest::Failure;

/// Time between commits.
const EVERY: Duration = Duration::from_secs(10);
/// Commits between two rounds of maintenance.
const COMMITS_PER_ROUND: u64 = 60;

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
    let mut line = json!({ "benchmark": "commits", "files": arguments.commits * arguments.files });
    for (table, maintained) in [("kept", false), ("maintained", true)] {
        let growth = growth(&lake, table, arguments, maintained).await?;
        // A lake of its own, which has nothing in memory.
        let fresh = Lake::open(LakeSettings::local(dir)).await?;
        line[table] = json!({ "growth": growth, "planning": planning(&fresh, table, arguments).await? });
    }
    let mut own = Vec::new();
    for _ in 0..arguments.writers {
        own.push(Lake::open(LakeSettings::local(dir)).await?);
    }
    line["storm"] = storm(&lake, "storm", own, arguments).await?;
    let shared = vec![lake.clone(); usize::try_from(arguments.writers)?];
    line["storm_in_one_process"] = storm(&lake, "queue", shared, arguments).await?;
    Ok(line)
}

/// The time of a commit by the number of snapshots before it.
async fn growth(lake: &Lake, table: &str, arguments: &Arguments, maintained: bool) -> Result<Value, Failure> {
    let table = create(lake, table).await?;
    let (start, policy, cursors) = (now(), Policy::default(), Cursors::of(lake).await?);
    let (mut times, mut curve) = (Vec::new(), Vec::new());
    let mut steps = [10, 100, 1_000, 2_000, 5_000].into_iter().filter(|step| *step < arguments.commits);
    let mut step = steps.next().unwrap_or(arguments.commits);
    for number in 0..arguments.commits {
        let at = start + EVERY * u32::try_from(number)?;
        times.push(append(lake, &table, number * arguments.files, arguments.files, at).await?);
        if maintained && (number + 1) % COMMITS_PER_ROUND == 0 {
            rewrite_manifests(lake, &table, &policy, new_token(), at, false).await?;
            expire(lake, &table, &policy, &cursors, at, false).await?;
        }
        if number + 1 == step {
            // The later half, so that the figure belongs to this size.
            let recent = times.split_off(times.len() - times.len() / 2);
            let state = lake.load(&table).await?;
            let snapshots = state.metadata().snapshots().len();
            let line = json!({ "commits": step, "snapshots": snapshots, "files": step * arguments.files });
            curve.push(quantiles(recent, line));
            times.clear();
            step = steps.next().unwrap_or(arguments.commits);
            eprintln!("{} commits", number + 1);
        }
    }
    Ok(json!(curve))
}

/// All writers at once, each with its lake.
async fn storm(lake: &Lake, table: &str, lakes: Vec<Lake>, arguments: &Arguments) -> Result<Value, Failure> {
    let table = create(lake, table).await?;
    let began = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for (writer, lake) in lakes.into_iter().enumerate() {
        let (commits, table, writer) = (arguments.storm, table.clone(), writer as u64);
        writers.spawn(async move {
            let mut times = Vec::new();
            for number in 0..commits {
                let took = append(&lake, &table, writer * commits + number, 1, now()).await;
                times.push(took.map_err(|error| error.to_string())?);
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
    let distinct = count(&engine, &format!("SELECT count(DISTINCT id) FROM {table}")).await?;
    if rows != wanted || distinct != wanted {
        return Err(format!("{wanted} commits left {rows} rows, {distinct} of them different").into());
    }
    let line = json!({ "writers": arguments.writers, "commits": wanted, "commits_per_second": wanted as f64 / seconds });
    Ok(quantiles(times, line))
}

/// A statement that needs one file of many: the first time, and again with the manifests in memory.
async fn planning(lake: &Lake, table: &str, arguments: &Arguments) -> Result<Value, Failure> {
    let files = arguments.commits * arguments.files;
    let manifests = lake.load(&TableName::new("bronze", table)?).await?.manifests().await?.data().len();
    let mut line = json!({ "files": files, "manifests": manifests });
    let id = files / 2;
    for (name, filter) in [
        ("by_partition", format!("shard = {} AND id = {id}", id % arguments.files)),
        ("by_bounds", format!("id = {id}")),
    ] {
        let engine = Engine::new(lake.clone(), EngineSettings::default())?;
        let mut seconds = Vec::new();
        for _ in 0..5 {
            let began = Instant::now();
            let found =
                count(&engine, &format!("SELECT count(*) FROM bronze.{table} WHERE {filter}")).await?;
            seconds.push(began.elapsed().as_secs_f64());
            if found != 1 {
                return Err(format!("{found} rows have one id").into());
            }
        }
        let again = seconds.iter().skip(1).copied().fold(f64::MAX, f64::min);
        line[name] = json!({ "first_seconds": seconds[0], "again_seconds": again });
    }
    Ok(line)
}

async fn count(engine: &Engine, sql: &str) -> Result<u64, Failure> {
    let batches: Vec<RecordBatch> = engine.session().sql(sql).await?.try_collect().await?;
    let column = batches.first().map(|batch| Arc::clone(batch.column(0))).ok_or("no row")?;
    let numbers = column.as_any().downcast_ref::<Int64Array>().ok_or("not a count")?;
    Ok(u64::try_from(numbers.value(0))?)
}

async fn create(lake: &Lake, name: &str) -> Result<TableName, Failure> {
    let field = |name: &str| Field::new(name, DataType::Int64, false);
    let schema = Schema::new(vec![field("id"), field("shard")]);
    let name = TableName::new("bronze", name)?;
    let partition_by = vec![PartitionBy { column: "shard".to_owned(), transform: Transform::Identity }];
    match lake.create(&name, TableSpec { partition_by, ..TableSpec::new(Arc::new(schema)) }).await? {
        Created::New(_) => Ok(name),
        Created::Existed(_) => Err(format!("{name} exists").into()),
    }
}

/// Writes `files` files of one row each, in as many partitions, and commits them; the time of the commit alone.
async fn append(
    lake: &Lake,
    name: &TableName,
    first: u64,
    files: u64,
    at: DateTime<Utc>,
) -> Result<Duration, Failure> {
    let table: TableSnapshot = lake.load(name).await?;
    let token = new_token();
    let mut writer = TableWriter::new(lake, &table, token, WriterSettings::default())?;
    let column = |number: fn(u64, u64) -> u64| {
        let numbers = (first..first + files).map(|id| number(id, files) as i64);
        Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef
    };
    let columns = vec![column(|id, _| id), column(|id, files| id % files)];
    writer.write(RecordBatch::try_new(table.schema(), columns)?).await?;
    let staged = writer.finish().await?;
    let commit = Commit { files: Some(staged), ..Commit::new(name.clone(), Operation::Append, token) };
    let began = Instant::now();
    match lake.commit(vec![commit], at).await? {
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
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

#[expect(clippy::disallowed_methods, reason = "each commit of a run has a name of its own")]
pub(crate) fn new_token() -> Uuid {
    Uuid::now_v7()
}
