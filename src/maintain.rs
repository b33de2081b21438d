//! `sluice maintain`: files compacted, snapshots expired, orphans removed; and the same in turns for `sluice
//! run`.
//!
//! ```text
//! table -> compact (sql) -> expire (catalog) -> remove orphans (catalog) -> one report
//! ```
//!
//! A table that fails is reported, and the others are maintained all the same.

use std::process::ExitCode;
use std::time::Duration;

use bytesize::ByteSize;
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use sluice_catalog::maintain::{Cursors, Policy, expire, remove_orphans};
use sluice_catalog::{Lake, TableName, TableSnapshot};
use sluice_sql::{Engine, compact};
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
#[derive(Debug, Default, Serialize)]
struct Report {
    table: String,
    dry_run: bool,
    /// Live data files and their bytes.
    files_before: usize,
    files_after: Option<usize>,
    bytes_before: u64,
    bytes_after: Option<u64>,
    /// Data files that compaction rewrote, and their bytes.
    files_rewritten: usize,
    bytes_rewritten: u64,
    delete_files_removed: usize,
    snapshots_before: usize,
    snapshots_expired: usize,
    refs_expired: Vec<String>,
    /// Files that only expired snapshots led to.
    files_expired: usize,
    bytes_expired: u64,
    orphans_removed: usize,
    orphan_bytes: u64,
    /// Files that could not be deleted; a later run tries again.
    files_left: usize,
    /// Why a part was not done, though nothing is wrong: the table changed meanwhile, or cannot be compacted.
    note: Option<String>,
    error: Option<String>,
}

/// What is done in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Work {
    orphans: bool,
    dry_run: bool,
}

/// One run over some tables: where, by which rules, and what.
struct Round<'a> {
    engine: &'a Engine,
    policy: &'a Policy,
    cursors: &'a Cursors,
    work: Work,
}

pub(crate) async fn run(args: MaintainArgs, config: Config) -> Result<ExitCode, Failure> {
    let engine = parts::engine(&config).await?;
    let names = if args.all { tables(engine.lake()).await? } else { args.tables };
    let cursors = Cursors::of(engine.lake()).await?;
    let work = Work { orphans: true, dry_run: args.dry_run };
    let round = Round { engine: &engine, policy: &config.policy(), cursors: &cursors, work };
    let mut reports = Vec::new();
    for name in names {
        let report = round.maintain(&name, edge::now()).await;
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
        let work = turns.next(edge::now());
        tokio::select! {
            // A run that is cut short leaves nothing worse than orphans.
            () = stop.cancelled() => return,
            () = everything(engine, &policy, work) => {}
        }
    }
}

async fn everything(engine: &Engine, policy: &Policy, work: Work) {
    let found = async { Ok::<_, Failure>((tables(engine.lake()).await?, Cursors::of(engine.lake()).await?)) };
    let (names, cursors) = match found.await {
        Ok(found) => found,
        Err(failure) => return tracing::error!("maintenance: {}", failure.detail()),
    };
    let round = Round { engine, policy, cursors: &cursors, work };
    for name in names {
        let report = round.maintain(&name, edge::now()).await;
        match &report.error {
            Some(error) => tracing::error!("maintenance of {name}: {error}"),
            None => tracing::info!(
                table = %name,
                files = report.files_before,
                rewritten = report.files_rewritten,
                expired = report.snapshots_expired,
                orphans = report.orphans_removed,
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

    fn next(&mut self, now: DateTime<Utc>) -> Work {
        let orphans = !self.orphans_every.is_zero() && now >= self.orphans_at;
        if orphans {
            self.orphans_at = now + self.orphans_every;
        }
        Work { orphans, dry_run: false }
    }
}

async fn tables(lake: &Lake) -> Result<Vec<TableName>, Failure> {
    let mut tables = Vec::new();
    for namespace in lake.namespaces().await? {
        tables.extend(lake.tables(&namespace).await?);
    }
    Ok(tables)
}

impl Round<'_> {
    /// Maintains one table; what fails is in the report.
    async fn maintain(&self, name: &TableName, now: DateTime<Utc>) -> Report {
        let dry_run = self.work.dry_run;
        let mut report = Report { table: name.to_string(), dry_run, ..Report::default() };
        if let Err(failure) = self.steps(name, now, &mut report).await {
            report.error = Some(failure.detail());
        }
        report
    }

    async fn steps(&self, name: &TableName, now: DateTime<Utc>, report: &mut Report) -> Result<(), Failure> {
        let Self { engine, policy, cursors, work } = *self;
        let lake = engine.lake();
        let table = lake.load(name).await?;
        report.snapshots_before = table.metadata().snapshots().len();
        (report.files_before, report.bytes_before) = live(&table).await?;

        let compacted = compact(engine, name, policy, edge::new_id, now, work.dry_run).await?;
        report.files_rewritten = compacted.files_in;
        report.bytes_rewritten = compacted.bytes_in;
        report.delete_files_removed = compacted.delete_files;
        let conflict = compacted.conflict.map(|reason| format!("left for the next run: {reason}"));
        report.note = conflict.or(compacted.skipped);

        let expired = expire(lake, name, policy, cursors, now, work.dry_run).await?;
        report.snapshots_expired = expired.snapshots;
        report.refs_expired = expired.refs;
        report.files_expired = expired.files;
        report.bytes_expired = expired.bytes;
        report.files_left = expired.left;

        if work.orphans {
            let orphans = remove_orphans(lake, name, policy, (now, edge::new_id()), work.dry_run).await?;
            report.orphans_removed = orphans.files;
            report.orphan_bytes = orphans.bytes;
            report.files_left += orphans.left;
        }
        if !work.dry_run {
            let (files, bytes) = live(&lake.load(name).await?).await?;
            (report.files_after, report.bytes_after) = (Some(files), Some(bytes));
        }
        Ok(())
    }
}

/// The live data files and their bytes.
async fn live(table: &TableSnapshot) -> Result<(usize, u64), Failure> {
    let files = table.files().await?;
    let bytes = files.iter().map(|file| file.parts().0.file_size_in_bytes()).sum();
    Ok((files.len(), bytes))
}

fn print(reports: Vec<Report>) {
    let counted = |count: usize| output::grouped(count as u64);
    let rows = reports.into_iter().map(|report| {
        let after = report.files_after.map_or_else(|| "-".to_owned(), counted);
        vec![
            report.table,
            format!("{} -> {after}", counted(report.files_before)),
            ByteSize::b(report.bytes_after.unwrap_or(report.bytes_before)).to_string(),
            counted(report.files_rewritten),
            format!("{} of {}", counted(report.snapshots_expired), counted(report.snapshots_before)),
            counted(report.orphans_removed),
            report.error.or(report.note).unwrap_or_default(),
        ]
    });
    let header = ["table", "files", "bytes", "rewritten", "snapshots expired", "orphans", "note"];
    output::print_listing(&header, rows.collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orphans_are_due_once_a_period_and_not_at_the_start() {
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let mut turns = Turns::new(Duration::from_secs(100), at(0));
        let due: Vec<_> = [0, 60, 120, 180, 219, 220].map(|now| turns.next(at(now)).orphans).to_vec();
        assert_eq!(due, [false, false, true, false, false, true]);
        let mut never = Turns::new(Duration::ZERO, at(0));
        assert!(!never.next(at(1_000_000)).orphans);
    }
}
