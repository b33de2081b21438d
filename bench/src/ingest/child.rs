//! Processes of this program that a benchmark starts: workers that ingest, and a producer.
//!
//! A child runs until its standard input is closed. A worker says on standard output how it stands, one JSON object a
//! line, after its first message and every commit, and twenty times a second; the parent notes when it reads a line.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::{Value, json};
use sluice_ingest::Progress;
use tokio_util::sync::CancellationToken;

use super::{Arguments, Failure};
use crate::usage;

/// Between two lines of a worker.
const TELL: Duration = Duration::from_millis(50);

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Worker,
    Producer,
}

/// A line of a worker: who, when it was read, what. The last one is null.
pub(super) type Said = (usize, Instant, Value);

/// A running child.
pub(super) struct Running {
    process: Child,
    input: Option<ChildStdin>,
}

impl Running {
    /// Starts this program again with the same arguments. `heard` gets the lines of a worker.
    pub(super) fn start(
        arguments: &Arguments,
        role: Role,
        number: usize,
        heard: Option<Sender<Said>>,
    ) -> Result<Self, Failure> {
        let role = role.to_possible_value().ok_or("a role without a name")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(std::env::args_os().skip(1)).args(["--child", role.get_name()]);
        command.args(["--run", &arguments.run]);
        command.stdin(Stdio::piped()).stdout(if heard.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut process = command.spawn()?;
        let input = process.stdin.take();
        if let (Some(heard), Some(output)) = (heard, process.stdout.take()) {
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let said = serde_json::from_str(&line).unwrap_or(Value::Null);
                    if heard.send((number, Instant::now(), said)).is_err() {
                        return;
                    }
                }
                let _ = heard.send((number, Instant::now(), Value::Null));
            });
        }
        Ok(Self { process, input })
    }

    /// SIGKILL; what it held is gone.
    pub(super) fn kill(mut self) -> Result<(), Failure> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Lets it end by itself, without waiting for it.
    pub(super) fn ask_to_stop(&mut self) {
        self.input = None;
    }

    /// Lets it end by itself.
    pub(super) fn stop(mut self) -> Result<(), Failure> {
        self.ask_to_stop();
        let status = self.process.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("a process of the benchmark failed: {status}").into())
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After an error elsewhere; a child that has ended is no longer there to be killed.
        let _ = self.process.kill();
    }
}

/// Does what a child does, until standard input is closed.
pub(super) async fn run(arguments: Arguments, role: Role) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    let stopped = Arc::new(AtomicBool::new(false));
    let (token, flag) = (stop.clone(), Arc::clone(&stopped));
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        flag.store(true, Ordering::Relaxed);
        token.cancel();
    });
    match role {
        Role::Producer => {
            let (kafka, shape, rate) = (arguments.kafka(), arguments.shape(), arguments.rate);
            let produce = move || shape.produce(&kafka, 0..u64::MAX, Some(rate), &stopped);
            tokio::task::spawn_blocking(produce).await?
        }
        Role::Worker => work(arguments, stop).await,
    }
}

async fn work(arguments: Arguments, stop: CancellationToken) -> Result<(), Failure> {
    let (lake, settings) = (arguments.lake().await?, arguments.settings().await?);
    let progress = Arc::new(Progress::default());
    let running = tokio::spawn(sluice_ingest::run(lake, settings, Arc::clone(&progress), stop));
    let (mut told, mut told_at) = ((0, false), Instant::now());
    loop {
        let ended = running.is_finished();
        let stands = (progress.commits(), progress.consumed() > 0);
        if stands != told || (stands.1 && told_at.elapsed() >= TELL) {
            let line = json!({
                "commits": stands.0,
                "committed": progress.committed(),
                "consumed": progress.consumed(),
                "bytes": progress.consumed_bytes(),
                "restarts": progress.restarts(),
                "cpu_seconds": usage::cpu_seconds(),
                "resident_peak_bytes": usage::peak_resident_bytes(),
            });
            println!("{line}");
            (told, told_at) = (stands, Instant::now());
        }
        if ended {
            running.await??;
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
