//! The workers: processes of the binary in one group, and what is done to them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::wire::Wire;
use super::{Arguments, Dice};
use crate::ingest::Failure;

/// A member that is silent for so long has left the group; a pause lasts longer.
const SESSION: Duration = Duration::from_secs(6);
/// How long a polite stop may take.
const STOP: Duration = Duration::from_secs(120);
const WORKERS_MAX: usize = 6;

/// Where workers run: program, folder, variables.
#[derive(Debug)]
pub(super) struct Place {
    binary: PathBuf,
    dir: PathBuf,
    variables: Vec<(String, String)>,
    catalog: String,
    logs: std::sync::Arc<AtomicUsize>,
}

/// The parts of a database's URL: scheme, user, address, database.
pub(super) fn parts_of(url: &str) -> Result<(&str, &str, &str, &str), Failure> {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let (user, place) = rest.split_once('@')?;
        let (address, database) = place.split_once('/')?;
        Some((scheme, user, address, database))
    });
    parts.ok_or_else(|| "the catalog must be postgresql://user@host:port/database".into())
}

impl Place {
    pub(super) fn new(arguments: &Arguments, dir: &Path, name: &str) -> Result<Self, Failure> {
        let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name("sluice"));
        let binary = arguments.binary.clone().map_or_else(beside, std::path::absolute)?;
        let options = format!(
            "[kafka.options]\n\"session.timeout.ms\" = \"{}\"\n\"heartbeat.interval.ms\" = \"500\"\n",
            SESSION.as_millis()
        );
        std::fs::write(dir.join("sluice.toml"), options)?;
        let mut variables: Vec<_> = [
            ("SLUICE_KAFKA_BROKERS", arguments.brokers.clone()),
            ("SLUICE_LAKE_WAREHOUSE", format!("s3://{}/{name}", arguments.bucket)),
            ("SLUICE_LAKE_CATALOG", arguments.catalog.clone()),
            ("SLUICE_LAKE_NAME", name.to_owned()),
            ("SLUICE_DATA", dir.display().to_string()),
            ("SLUICE_LOG", "info,sluice_catalog=debug,sluice_ingest=debug".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        if let Ok(password) = std::env::var("POSTGRES_PASSWORD") {
            variables.push(("PGPASSWORD".to_owned(), password));
        }
        let catalog = arguments.catalog.clone();
        Ok(Self { binary, dir: dir.to_owned(), variables, catalog, logs: Default::default() })
    }

    /// The same place behind wires.
    pub(super) fn through(&self, store: &Wire, catalog: &Wire) -> Result<Self, Failure> {
        let (scheme, user, _, database) = parts_of(&self.catalog)?;
        let url = format!("{scheme}://{user}@{}/{database}?sslmode=disable", catalog.address);
        let mut variables = self.variables.clone();
        variables.push(("SLUICE_LAKE_CATALOG".to_owned(), url));
        variables.push(("AWS_ENDPOINT_URL".to_owned(), format!("http://{}", store.address)));
        let (binary, dir, logs) = (self.binary.clone(), self.dir.clone(), self.logs.clone());
        Ok(Self { binary, dir, variables, catalog: self.catalog.clone(), logs })
    }

    /// The variable of the database's password.
    pub(super) fn password(&self) -> impl Iterator<Item = (&str, &str)> {
        let password = self.variables.iter().filter(|(name, _)| name == "PGPASSWORD");
        password.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Lands what the topic holds, in a group of its own.
    pub(super) fn catch_up(&self, group: &str) -> Result<(), Failure> {
        let mut child = self.start(&["--until-caught-up", "--group", group], &[])?;
        let status = child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("`{group}` ended with {status}; see its log").into())
        }
    }

    fn start(&self, arguments: &[&str], variables: &[(&str, String)]) -> Result<Child, Failure> {
        let number = self.logs.fetch_add(1, SeqCst);
        let log = File::create(self.dir.join(format!("worker-{number}.log")))?;
        let started = Command::new(&self.binary)
            .args(["ingest", "--topics", "topics.yaml", "--commit-interval", "500ms"])
            .args(arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        started.map_err(|error| format!("cannot start {}: {error}", self.binary.display()).into())
    }

    /// In how many lines this was said.
    pub(super) fn said(&self, what: &str) -> Result<usize, Failure> {
        let mut count = 0;
        for number in 0..self.logs.load(SeqCst) {
            let log = std::fs::read(self.dir.join(format!("worker-{number}.log")))?;
            count += String::from_utf8_lossy(&log).lines().filter(|line| line.contains(what)).count();
        }
        Ok(count)
    }
}

struct Worker {
    process: Child,
    /// Its name in the group; every second worker has one.
    name: Option<String>,
    /// Until when it is stopped.
    paused: Option<Instant>,
}

/// All workers.
pub(super) struct Crew {
    place: Place,
    workers: Vec<Worker>,
    started: usize,
    by_themselves: usize,
}

/// What became of the workers.
pub(super) struct Ended {
    pub(super) started: usize,
    pub(super) by_themselves: usize,
}

impl Crew {
    pub(super) fn new(place: Place, count: usize) -> Result<Self, Failure> {
        let mut crew = Self { place, workers: Vec::new(), started: 0, by_themselves: 0 };
        for _ in 0..count.clamp(1, WORKERS_MAX) {
            crew.add()?;
        }
        Ok(crew)
    }

    /// One more, as long as there are not too many.
    pub(super) fn add(&mut self) -> Result<&'static str, Failure> {
        if self.workers.len() < WORKERS_MAX {
            let name = self.started.is_multiple_of(2).then(|| format!("worker-{}", self.started));
            let worker = self.start(name)?;
            self.workers.push(worker);
        }
        Ok("worker added")
    }

    fn start(&mut self, name: Option<String>) -> Result<Worker, Failure> {
        self.started += 1;
        let variables: Vec<_> = name.iter().map(|name| ("SLUICE_KAFKA_INSTANCE_ID", name.clone())).collect();
        let process = self.place.start(&["--group", "chaos"], &variables)?;
        Ok(Worker { process, name, paused: None })
    }

    /// SIGKILL; its successor starts at once, under the same name.
    pub(super) fn kill(&mut self, dice: &mut Dice) -> Result<&'static str, Failure> {
        let at = dice.below(self.workers.len() as u64) as usize;
        self.workers[at].process.kill()?;
        self.workers[at].process.wait()?;
        self.workers[at] = self.start(self.workers[at].name.clone())?;
        Ok("kill")
    }

    /// A polite stop and a start.
    pub(super) fn restart(&mut self, dice: &mut Dice) -> Result<&'static str, Failure> {
        let at = dice.below(self.workers.len() as u64) as usize;
        self.stop(at)?;
        self.workers[at] = self.start(self.workers[at].name.clone())?;
        Ok("restart")
    }

    /// A polite stop, as long as there are others.
    pub(super) fn remove(&mut self, dice: &mut Dice) -> Result<&'static str, Failure> {
        if self.workers.len() > 1 {
            let at = dice.below(self.workers.len() as u64) as usize;
            self.stop(at)?;
            self.workers.remove(at);
        }
        Ok("worker removed")
    }

    /// SIGSTOP for longer than the group waits, while another takes over: a zombie when it comes back.
    pub(super) fn pause(&mut self, dice: &mut Dice) -> Result<&'static str, Failure> {
        let at = dice.below(self.workers.len() as u64) as usize;
        let length = SESSION + Duration::from_secs(1 + dice.below(6));
        signal(&self.workers[at].process, "STOP")?;
        self.workers[at].paused = Some(Instant::now() + length);
        Ok("pause")
    }

    /// Wakes who was paused for long enough, and replaces who ended by itself.
    pub(super) fn replace_dead(&mut self) -> Result<(), Failure> {
        for at in 0..self.workers.len() {
            let worker = &mut self.workers[at];
            if worker.paused.is_some_and(|until| until < Instant::now()) {
                worker.paused = None;
                signal(&worker.process, "CONT")?;
            }
            if let Some(status) = worker.process.try_wait()? {
                eprintln!("a worker ended by itself: {status}");
                self.by_themselves += 1;
                self.workers[at] = self.start(self.workers[at].name.clone())?;
            }
        }
        Ok(())
    }

    /// Polite stops.
    pub(super) fn end(mut self) -> Result<Ended, Failure> {
        self.replace_dead()?;
        for at in 0..self.workers.len() {
            self.stop(at)?;
        }
        Ok(Ended { started: self.started, by_themselves: self.by_themselves })
    }

    fn stop(&mut self, at: usize) -> Result<(), Failure> {
        let worker = &mut self.workers[at];
        if worker.paused.take().is_some() {
            signal(&worker.process, "CONT")?;
        }
        if worker.process.try_wait()?.is_none() {
            signal(&worker.process, "TERM")?;
        }
        let until = Instant::now() + STOP;
        loop {
            match worker.process.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    eprintln!("a worker ended with {status} when it was told to stop");
                    self.by_themselves += 1;
                    return Ok(());
                }
                None if Instant::now() > until => return Err("a worker does not stop; see its log".into()),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // Gone already, unless something failed.
            let _ = worker.process.kill();
            let _ = worker.process.wait();
        }
    }
}

fn signal(process: &Child, name: &str) -> Result<(), Failure> {
    let sent = Command::new("kill").args([format!("-{name}"), process.id().to_string()]).status()?;
    if sent.success() { Ok(()) } else { Err(format!("cannot send {name} to a worker").into()) }
}
