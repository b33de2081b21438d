//! Events that never end, at a fixed rate from a process of their own: how memory behaves over minutes, and how long
//! nothing lands after `kill -9`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_ingest::Progress;
use tokio_util::sync::CancellationToken;

use super::child::{Role, Running, Said};
use super::{Arguments, Failure, round};
use crate::usage;

/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(500);
/// No worker is silent this long.
const PATIENCE: Duration = Duration::from_secs(300);
/// Commits that a worker makes before it is killed.
const COMMITS: u64 = 2;

/// Ingests for so many minutes and compares the resident memory of the first and the last third.
pub(super) async fn memory(arguments: &Arguments, minutes: f64) -> Result<Value, Failure> {
    let producer = Running::start(arguments, Role::Producer, 0, None)?;
    let (lake, settings) = (arguments.lake().await?, arguments.settings().await?);
    let budget = settings.memory_budget;
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let running = tokio::spawn(sluice_ingest::run(lake, settings, Arc::clone(&progress), stop.clone()));
    let began = Instant::now();
    let mut samples = Vec::new();
    while began.elapsed().as_secs_f64() < minutes * 60.0 && !running.is_finished() {
        tokio::time::sleep(LOOK).await;
        samples.push((usage::resident_bytes(), progress.buffered_bytes()));
    }
    producer.stop()?;
    stop.cancel();
    let report = running.await??;
    let third = samples.len() / 3;
    if third == 0 {
        return Err("too short for three thirds of samples".into());
    }
    let mean = |part: &[(u64, u64)]| part.iter().map(|it| it.0 as f64).sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&samples[..third]), mean(&samples[samples.len() - third..]));
    let peak = samples.iter().map(|it| it.0).max().unwrap_or_default();
    Ok(json!({
        "minutes": minutes,
        "events_per_second_sent": arguments.rate,
        "landed": report.landed,
        "dead_lettered": report.dead_lettered,
        "commits": report.commits,
        "restarts": report.restarts,
        "samples": samples.len(),
        "memory_budget_bytes": budget,
        "buffered_peak_bytes": report.buffered_bytes_peak,
        "resident_first_third_bytes": first.round(),
        "resident_last_third_bytes": last.round(),
        "resident_peak_bytes": peak,
        "drift": round(last / first),
        "peak_to_budget": round(peak as f64 / budget as f64),
        // Thirty points of the curve, for a plot.
        "resident_bytes": samples.iter().step_by((samples.len() / 30).max(1)).map(|it| it.0).collect::<Vec<_>>(),
    }))
}

/// Kills the worker so many times, starts another at once, and measures until that one's first message and commit.
pub(super) fn kills(arguments: &Arguments, kills: usize) -> Result<Value, Failure> {
    let producer = Running::start(arguments, Role::Producer, 0, None)?;
    let (heard, lines) = channel();
    let start = |number| Running::start(arguments, Role::Worker, number, Some(heard.clone()));
    let mut worker = start(0)?;
    let mut times = Vec::new();
    for number in 0..kills {
        wait(&lines, number, |line| line["commits"].as_u64() >= Some(COMMITS))?;
        let killed = Instant::now();
        worker.kill()?;
        worker = start(number + 1)?;
        let message = wait(&lines, number + 1, |line| line["consumed"].as_u64() > Some(0))?;
        let commit = wait(&lines, number + 1, |line| line["commits"].as_u64() > Some(0))?;
        times.push([message, commit].map(|at| round((at - killed).as_secs_f64())));
    }
    worker.stop()?;
    producer.stop()?;
    let middle = |which: usize| {
        let mut seconds: Vec<f64> = times.iter().map(|time| time[which]).collect();
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).copied()
    };
    Ok(json!({
        "kills": kills,
        "named": arguments.named,
        "events_per_second_sent": arguments.rate,
        "commit_interval_seconds": arguments.commit_interval,
        "first_message_seconds": times.iter().map(|time| time[0]).collect::<Vec<_>>(),
        "first_commit_seconds": times.iter().map(|time| time[1]).collect::<Vec<_>>(),
        "first_message_median_seconds": middle(0),
        "first_commit_median_seconds": middle(1),
    }))
}

/// When this worker said what was wanted; lines of the dead are passed over.
fn wait(lines: &Receiver<Said>, worker: usize, wanted: impl Fn(&Value) -> bool) -> Result<Instant, Failure> {
    loop {
        let (number, at, line) = lines.recv_timeout(PATIENCE).map_err(|_| "the worker is silent")?;
        if number == worker && line.is_null() {
            return Err(format!("worker {worker} ended by itself").into());
        }
        if number == worker && wanted(&line) {
            return Ok(at);
        }
    }
}
