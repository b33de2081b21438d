//! `sluice maintain`: tables are maintained (`sluice_sql::Maintenance`) and what came of it is shown; and the same
//! in turns for `sluice run`.
//!
//! A table that fails is reported, and the others are maintained all the same.

use std::process::ExitCode;
use std::time::Duration;

use bytesize::ByteSize;
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use sluice_catalog::maintain::{Cursors, Policy};
use sluice_catalog::{Lake, TableName};
use sluice_sql::{Engine, Maintained, Maintenance};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::failure::Failure;
use crate::{edge, output, parts};

const EXAMPLES: &str = "\
Examples:
  sluice maintain bronze.user_events
  sluice maintain --all --dry-run            what would be done, changing nothing
  sluice maintain --all --json | jq .orphans_removed

What a table may lose is set by its properties, such as history.expire.max-snapshot-age-ms, and by [maintain] in
sluice.toml; see docs/maintenance.md. `sluice run` does all this by itself.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct MaintainArgs {
    /// NAMESPACE.TABLE
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "TABLE")]
    tables: Vec<TableName>,
    /// All tables of the lake
    #[arg(long)]
    all: bool,
    /// Say what would be done and change nothing
    #[arg(long)]
    dry_run: bool,
    /// One JSON object per table
    #[arg(long)]
    json: bool,
}

/// What was done to one table, or would be.
#[derive(Debug, Serialize)]
struct Report {
    table: String,
    dry_run: bool,
    #[serde(flatten)]
    done: Maintained,
    error: Option<String>,
}

pub(crate) async fn run(args: MaintainArgs, config: Config) -> Result<ExitCode, Failure> {
    let engine = parts::engine(&config).await?;
    let names = if args.all { tables(engine.lake()).await? } else { args.tables };
    let cursors = Cursors::of(engine.lake()).await?;
    let (engine, policy, dry_run) = (&engine, &config.policy(), args.dry_run);
    let round = Maintenance { engine, policy, cursors: &cursors, orphans: true, dry_run };
    let mut reports = Vec::new();
    for name in names {
        let report = maintain(&round, &name).await;
        if args.json {
            println!("{}", serde_json::to_string(&report)?);
        }
        reports.push(report);
    }
    let failed = reports.iter().any(|report| report.error.is_some());
    if !args.json {
        print(reports);
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Maintains all tables in turns until told to stop. What fails is logged and tried again at its next turn.
pub(crate) async fn again_and_again(engine: &Engine, config: &Config, stop: &CancellationToken) {
    let every = config.maintain.every;
    if every.is_zero() {
        return;
    }
    let policy = config.policy();
    let mut turns = Turns::new(config.maintain.orphans_every, edge::now());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        let orphans = turns.next(edge::now());
        tokio::select! {
            // A run that is cut short leaves nothing worse than orphans.
            () = stop.cancelled() => return,
            () = everything(engine, &policy, orphans) => {}
        }
    }
}

async fn everything(engine: &Engine, policy: &Policy, orphans: bool) {
    let found = async { Ok::<_, Failure>((tables(engine.lake()).await?, Cursors::of(engine.lake()).await?)) };
    let (names, cursors) = match found.await {
        Ok(found) => found,
        Err(failure) => return tracing::error!("maintenance: {}", failure.detail()),
    };
    let round = Maintenance { engine, policy, cursors: &cursors, orphans, dry_run: false };
    let waiting = metrics::gauge!("sluice_maintenance_waiting_tables");
    waiting.set(names.len() as f64);
    for name in names {
        let report = maintain(&round, &name).await;
        waiting.decrement(1.0);
        match &report.error {
            Some(error) => tracing::error!("maintenance of {name}: {error}"),
            None => tracing::info!(
                table = %name,
                files = report.done.files_before,
                rewritten = report.done.files_rewritten,
                manifests = report.done.manifests_rewritten,
                expired = report.done.snapshots_expired,
                orphans = report.done.orphans_removed,
                "maintained"
            ),
        }
    }
}

/// When orphans are due; the time is an argument.
#[derive(Debug)]
struct Turns {
    orphans_every: Duration,
    orphans_at: DateTime<Utc>,
}

impl Turns {
    /// The first removal of orphans comes one period after the start: a restart must not list all folders.
    fn new(orphans_every: Duration, start: DateTime<Utc>) -> Self {
        Self { orphans_every, orphans_at: start + orphans_every }
    }

    /// Whether they are due now.
    fn next(&mut self, now: DateTime<Utc>) -> bool {
        let orphans = !self.orphans_every.is_zero() && now >= self.orphans_at;
        if orphans {
            self.orphans_at = now + self.orphans_every;
        }
        orphans
    }
}

async fn tables(lake: &Lake) -> Result<Vec<TableName>, Failure> {
    let mut tables = Vec::new();
    for namespace in lake.namespaces().await? {
        tables.extend(lake.tables(&namespace).await?);
    }
    Ok(tables)
}

/// Maintains one table; what fails is in the report.
async fn maintain(round: &Maintenance<'_>, name: &TableName) -> Report {
    let (done, ended) = round.run(name, edge::now(), edge::new_id).await;
    let error = ended.err().map(|error| Failure::from(error).detail());
    Report { table: name.to_string(), dry_run: round.dry_run, done, error }
}

fn print(reports: Vec<Report>) {
    let counted = |count: usize| output::grouped(count as u64);
    let rows = reports.into_iter().map(|Report { table, done, error, .. }| {
        let after = done.files_after.map_or_else(|| "-".to_owned(), counted);
        vec![
            table,
            format!("{} -> {after}", counted(done.files_before)),
            ByteSize::b(done.bytes_after.unwrap_or(done.bytes_before)).to_string(),
            counted(done.files_rewritten),
            counted(done.manifests_rewritten),
            format!("{} of {}", counted(done.snapshots_expired), counted(done.snapshots_before)),
            counted(done.orphans_removed),
            error.or(done.note).unwrap_or_default(),
        ]
    });
    let header =
        ["table", "files", "bytes", "rewritten", "manifests", "snapshots expired", "orphans", "note"];
    output::print_listing(&header, rows.collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orphans_are_due_once_a_period_and_not_at_the_start() {
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let mut turns = Turns::new(Duration::from_secs(100), at(0));
        let due: Vec<_> = [0, 60, 120, 180, 219, 220].map(|now| turns.next(at(now))).to_vec();
        assert_eq!(due, [false, false, true, false, false, true]);
        let mut never = Turns::new(Duration::ZERO, at(0));
        assert!(!never.next(at(1_000_000)));
    }
}
