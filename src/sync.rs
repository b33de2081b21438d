//! `sluice sync`: reference data is pulled (`sluice_ingest::sync`), once or by its schedule; the same for `sluice
//! run`.
//!
//! A sync that fails is reported and tried again at its next turn; the others go on.

use std::process::ExitCode;

use clap::Args;
use futures::future::join_all;
use serde::Serialize;
use sluice_catalog::Lake;
use sluice_ingest::sync::{Outcome, SyncJob, SyncReport, Syncs};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::failure::Failure;
use crate::schedule::Schedule;
use crate::{output, parts, stop};

const EXAMPLES: &str = "\
Examples:
  sluice sync rates --once                   pull one source now
  sluice sync --all                          pull all, each again after its `every`, until told to stop
  sluice sync products --dry-run             read the source, say what would change, write nothing
  sluice sync --all --once --json | jq .outcome

Sources and tables stand in sync.yaml (sync.file); secrets in files or variables that it names; see docs/sync.md.
`sluice run` does all this by itself.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SyncArgs {
    /// Names of the sync file
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "NAME")]
    names: Vec<String>,
    /// All of the sync file
    #[arg(long)]
    all: bool,
    /// Pull each once and end, whatever its schedule
    #[arg(long)]
    once: bool,
    /// Read the sources once, say what would change, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// One JSON object per run
    #[arg(long)]
    json: bool,
}

/// What a run came to, for programs: a report, or an error.
#[derive(Debug, Serialize)]
struct Line<'a> {
    name: &'a str,
    table: String,
    dry_run: bool,
    #[serde(flatten)]
    report: Option<SyncReport>,
    error: Option<String>,
}

/// How runs are told.
#[derive(Clone, Copy)]
struct Telling {
    json: bool,
    dry_run: bool,
}

pub(crate) async fn run(args: SyncArgs, config: Config) -> Result<ExitCode, Failure> {
    let syncs = config.syncs()?.ok_or_else(|| {
        Failure::usage("there is no sync file").hint(
            "put a sync.yaml into the working folder, or name one with sync.file; docs/sync.md has examples",
        )
    })?;
    let jobs = chosen(&syncs, &args)?;
    let lake = parts::lake(&config).await?;
    let telling = Telling { json: args.json, dry_run: args.dry_run };
    if args.once || args.dry_run || jobs.iter().all(|job| job.every.is_none()) {
        let mut failed = false;
        for job in &jobs {
            failed |= !pull(&lake, job, telling).await?;
        }
        return Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    let stop = stop::on_signal()?;
    for ended in join_all(jobs.iter().map(|job| in_turns(&lake, job, telling, &stop))).await {
        ended?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Pulls every source that has a schedule in turns until told to stop, for `sluice run`.
pub(crate) async fn again_and_again(lake: &Lake, syncs: Option<Syncs>, stop: &CancellationToken) {
    let jobs: Vec<_> = syncs.map(|syncs| syncs.jobs).unwrap_or_default();
    let scheduled = jobs.iter().filter_map(|job| Some((job, job.every?)));
    join_all(scheduled.map(|(job, every)| async move {
        let mut schedule = Schedule::new(every, stop);
        while schedule.turn().await {
            // A run that is cut short leaves nothing worse than orphans.
            match stop.run_until_cancelled(sluice_ingest::sync::sync(lake, job, false)).await {
                Some(Ok(SyncReport { outcome, written, .. })) => {
                    tracing::info!(sync = %job.name, %outcome, rows = written, "synced");
                }
                Some(Err(error)) => tracing::error!("sync: {}", Failure::from(error).detail()),
                None => {}
            }
        }
    }))
    .await;
}

fn chosen<'a>(syncs: &'a Syncs, args: &SyncArgs) -> Result<Vec<&'a SyncJob>, Failure> {
    if args.all {
        return Ok(syncs.jobs.iter().collect());
    }
    args.names.iter().map(|name| syncs.get(name).map_err(Failure::usage)).collect()
}

async fn in_turns(
    lake: &Lake,
    job: &SyncJob,
    telling: Telling,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let Some(every) = job.every else { return pull(lake, job, telling).await.map(|_| ()) };
    let mut schedule = Schedule::new(every, stop);
    while schedule.turn().await {
        stop.run_until_cancelled(pull(lake, job, telling)).await.transpose()?;
    }
    Ok(())
}

/// Runs one sync and tells; whether it went well.
async fn pull(lake: &Lake, job: &SyncJob, telling: Telling) -> Result<bool, Failure> {
    let done = sluice_ingest::sync::sync(lake, job, telling.dry_run).await.map_err(Failure::from);
    let went_well = done.is_ok();
    match (telling.json, done) {
        (false, Ok(report)) => println!("{}", sentence(&report, telling.dry_run)),
        (false, Err(failure)) => eprintln!("{failure}"),
        (true, done) => {
            let (report, error) = match done {
                Ok(report) => (Some(report), None),
                Err(failure) => (None, Some(failure.detail())),
            };
            let (name, table, dry_run) = (job.name.as_str(), job.table.to_string(), telling.dry_run);
            println!("{}", serde_json::to_string(&Line { name, table, dry_run, report, error })?);
        }
    }
    Ok(went_well)
}

fn sentence(report: &SyncReport, dry_run: bool) -> String {
    let would = if dry_run { " (nothing was written)" } else { "" };
    let mut text = match report.outcome {
        Outcome::Unchanged => format!("{}: {} is up to date", report.name, report.table),
        outcome => {
            format!("{}: {} {outcome}, {} rows", report.name, report.table, output::grouped(report.written))
        }
    };
    if let Some(replaced) = report.replaced.filter(|replaced| *replaced > 0) {
        text.push_str(&format!(", {} of them in place of older ones", output::grouped(replaced)));
    }
    if let Some(cursor) = &report.cursor {
        text.push_str(&format!(", cursor {cursor}"));
    }
    if !report.ignored.is_empty() {
        text.push_str(&format!("; no column takes {}", report.ignored.join(", ")));
    }
    text + would
}
