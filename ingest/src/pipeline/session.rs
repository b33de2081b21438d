//! One session: from joining the group to leaving it.
//!
//! ```text
//! source thread --Parcel--> decode threads --Landing--> this task --spawned--> commit
//!       ^--Command-- this task <--Event--                   ^--------outcome-----'
//! ```
//!
//! This task never decodes and never polls. Whatever ends the session, uncommitted files are given up, the
//! threads end because their channels close, and a commit under way is awaited first.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sluice_catalog::TableSnapshot;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Shared, tables};
use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::evolve::Plans;
use crate::land::{Landed, Lander, Landing, Outcome};
use crate::progress::Progress;
use crate::registry::Lookup;
use crate::rows::Rows;
use crate::source::probe::Probe;
use crate::source::start::{self, Start};
use crate::source::{Command, Event, Parcel, Ports, Source};

/// How often Kafka is asked how much waits in topics that pause.
const LOOK: Duration = Duration::from_secs(5);
/// How long a session waits for its threads to leave the group.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How a session ended without an error.
#[derive(Debug)]
pub(crate) enum End {
    /// As it was told: everything read is committed.
    Stopped,
    /// Another writer owns what was read; the reason says who was found where.
    Fenced(String),
}

/// Work that runs beside the session's loop.
enum Done {
    Discovered(Result<bool>),
    Planned(Result<Vec<Start>>),
    Committed(Outcome),
    Looked,
}

struct Session<'a> {
    shared: &'a Shared,
    plans: Arc<Plans>,
    lander: Lander,
    commands: Sender<Command>,
    jobs: JoinSet<Done>,
    /// Partitions to give back as soon as everything sealed is committed.
    release: Vec<Vec<(usize, i32)>>,
    /// Topics that are not read for now.
    paused: BTreeSet<usize>,
    /// Whether Kafka is being asked how much of them waits.
    looking: bool,
    drained: bool,
    /// Topics are being looked for.
    discovering: bool,
}

/// Runs a session to its end.
pub(crate) async fn run(shared: &Shared, budget: Arc<Budget>, stop: &CancellationToken) -> Result<End> {
    let snapshots = tables::load(&shared.lake, &shared.plan).await?;
    let schemas: Vec<_> = snapshots.iter().map(TableSnapshot::schema).collect();
    let plan = Arc::new(shared.plan.adopted(schemas.iter().map(AsRef::as_ref)));
    let plans = Arc::new(Plans::new(shared.lake.clone(), plan));
    if !shared.plan.patterns.is_empty() {
        discover(Arc::clone(&shared.probe), Arc::clone(&plans)).await?;
    }
    let (commands, obeyed) = channel();
    let (events_in, events) = mpsc::unbounded_channel();
    let threads = shared.settings.decode_threads.max(1);
    let (raw_in, raw_out) = sync_channel(threads * 2);
    let (landings_in, landings) = mpsc::channel(threads * 2);
    let ports = Ports { commands: obeyed, events: events_in.clone(), batches: raw_in };
    let settings = Arc::clone(&shared.settings);
    let source = Source::new(
        Arc::clone(&plans),
        Arc::clone(&settings),
        Arc::clone(&shared.progress),
        Arc::clone(&budget),
        ports,
    )?;
    let raw_out = Arc::new(Mutex::new(raw_out));
    let mut handles = vec![spawn("sluice-poll", events_in.clone(), move || source.run())?];
    for _ in 0..threads {
        let (plans, raw, out) = (Arc::clone(&plans), Arc::clone(&raw_out), landings_in.clone());
        let (events, schemas) = (events_in.clone(), shared.schemas.clone());
        let (progress, bytes_max) = (Arc::clone(&shared.progress), settings.max_message_bytes);
        let work = move || {
            if let Err(error) = decode((&plans, schemas, bytes_max), &progress, &raw, &out) {
                let _ = events.send(Event::Failed(error));
            }
        };
        handles.push(spawn("sluice-decode", events_in.clone(), work)?);
    }
    drop((events_in, landings_in, raw_out));
    let context = (shared.cluster.clone(), snapshots);
    let (lake, progress) = (shared.lake.clone(), Arc::clone(&shared.progress));
    let lander = Lander::new(lake, Arc::clone(&plans), settings, progress, budget, context)
        .with_limits(Arc::clone(&shared.limits));
    let mut session = Session {
        shared,
        plans,
        lander,
        commands,
        jobs: JoinSet::new(),
        release: Vec::new(),
        paused: BTreeSet::new(),
        looking: false,
        drained: false,
        discovering: false,
    };
    session.pause_topics();
    let end = session.work(events, landings, stop).await;
    session.close(handles).await;
    shared.progress.stop_reading();
    end
}

impl Session<'_> {
    async fn work(
        &mut self,
        mut events: UnboundedReceiver<Event>,
        mut landings: mpsc::Receiver<Landing>,
        stop: &CancellationToken,
    ) -> Result<End> {
        let mut stopping = false;
        let mut look = interval(self.shared.settings.discover_interval.max(Duration::from_millis(100)));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let looks = !self.shared.plan.patterns.is_empty();
        look.tick().await; // The session began with a look.
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.tell(Command::Stop);
                }
                event = events.recv() => match event {
                    Some(event) => if let Some(end) = self.event(event, stopping)? { return Ok(end) },
                    None => return Err(Error::Broken { part: "reading" }),
                },
                Some(done) = self.jobs.join_next() => {
                    if let Some(end) = self.done(done)? { return Ok(end) }
                }
                _ = look.tick(), if looks && !stopping && !self.discovering => {
                    self.discovering = true;
                    let (probe, plans) = (Arc::clone(&self.shared.probe), Arc::clone(&self.plans));
                    self.jobs.spawn(async move { Done::Discovered(discover(probe, plans).await) });
                }
                Some(landing) = landings.recv() => self.lander.write(landing).await?,
                () = until(self.shared.limits.next_end()) => {}
                () = tokio::time::sleep(LOOK), if !self.paused.is_empty() && !self.looking => self.look(),
            }
            if let Some(commit) = self.lander.next_commit()? {
                self.jobs.spawn(async move { Done::Committed(commit.await) });
            }
            self.pause_topics();
            if self.lander.is_idle() {
                for partitions in std::mem::take(&mut self.release) {
                    self.tell(Command::Release(partitions));
                }
                if self.drained {
                    return Ok(End::Stopped);
                }
            }
        }
    }

    fn event(&mut self, event: Event, stopping: bool) -> Result<Option<End>> {
        match event {
            // The closing consumer answers this one.
            Event::Assigned(_) if stopping => {}
            Event::Assigned(partitions) => {
                let (lake, cluster) = (self.shared.lake.clone(), self.shared.cluster.clone());
                let (plan, probe) = (self.plans.current(), Arc::clone(&self.shared.probe));
                self.jobs.spawn(async move {
                    Done::Planned(start::plan(&lake, plan, probe, &cluster, partitions).await)
                });
            }
            Event::Revoked { lost: true, .. } => {
                return Ok(Some(End::Fenced("the group gave this worker's partitions to others".to_owned())));
            }
            Event::Revoked { partitions, lost: false } => self.release.push(partitions),
            Event::Sealed(seal) => self.lander.seal(seal),
            Event::Drained => self.drained = true,
            Event::Failed(error) => return Err(error),
        }
        Ok(None)
    }

    fn done(&mut self, done: Result<Done, JoinError>) -> Result<Option<End>> {
        match done.map_err(|_| Error::Broken { part: "a commit or the check of offsets" })? {
            Done::Discovered(found) => {
                self.discovering = false;
                match found {
                    Ok(true) => self.tell(Command::Subscribe),
                    Ok(false) => {}
                    Err(error) => tracing::warn!(%error, "topics are looked for again later"),
                }
            }
            Done::Planned(starts) => {
                let starts = starts?;
                self.lander.assign(&starts);
                self.tell(Command::Start(starts));
            }
            Done::Looked => self.looking = false,
            Done::Committed(outcome) => match self.lander.committed(outcome)? {
                Landed::Done(offsets) => self.tell(Command::Committed(offsets)),
                Landed::Fenced(reason) => return Ok(Some(End::Fenced(reason))),
            },
        }
        Ok(None)
    }

    /// Tells the polling thread which topics pause by now.
    fn pause_topics(&mut self) {
        let names = self.shared.limits.paused(Instant::now());
        let plan = self.plans.current();
        let paused = names.iter().filter_map(|name| plan.topic_index(name)).collect();
        let before = std::mem::replace(&mut self.paused, paused);
        for &topic in self.paused.symmetric_difference(&before) {
            self.tell(Command::Pause { topic, pause: self.paused.contains(&topic) });
        }
    }

    /// Asks Kafka how much waits in topics that pause: a consumer learns it only while it reads.
    fn look(&mut self) {
        self.looking = true;
        let (probe, progress) = (Arc::clone(&self.shared.probe), Arc::clone(&self.shared.progress));
        let plan = self.plans.current();
        let names: BTreeSet<_> = self.paused.iter().map(|topic| plan.topics[*topic].name.clone()).collect();
        let ask = move || {
            let partitions = progress.partitions().into_keys().filter(|(topic, _)| names.contains(topic));
            for (topic, partition) in partitions {
                match probe.watermarks(&topic, partition) {
                    Ok((_, end)) => progress.set_end(&topic, partition, end),
                    Err(error) => tracing::debug!(%error, "how much waits in a topic that pauses"),
                }
            }
        };
        self.jobs.spawn(async move {
            // A panic leaves the figures as they are.
            let _ = tokio::task::spawn_blocking(ask).await;
            Done::Looked
        });
    }

    fn tell(&self, command: Command) {
        // A polling thread that is gone has said why in an event.
        let _ = self.commands.send(command);
    }

    /// Awaits a commit under way, gives up the rest, and waits for the threads.
    async fn close(mut self, handles: Vec<JoinHandle<()>>) {
        while let Some(done) = self.jobs.join_next().await {
            if let Ok(Done::Committed(outcome)) = done
                && let Ok(Landed::Done(offsets)) = self.lander.committed(outcome)
            {
                self.tell(Command::Committed(offsets));
            }
        }
        self.lander.abort().await;
        drop(self.commands);
        let join = tokio::task::spawn_blocking(move || {
            for handle in handles {
                let _ = handle.join(); // A panic was reported as an event.
            }
        });
        if tokio::time::timeout(LEAVE_TIMEOUT, join).await.is_err() {
            tracing::warn!("Kafka does not answer; the consumer group will notice the departure by itself");
        }
    }
}

/// Takes up the topics that match a pattern and are new; whether there were any. Off the session's task, because it
/// waits while a table is created.
async fn discover(probe: Arc<Probe>, plans: Arc<Plans>) -> Result<bool> {
    let asked = tokio::task::spawn_blocking(move || plans.admit(&probe.topics()?)).await;
    asked.map_err(|_| Error::Broken { part: "the search for topics" })?
}

/// Waits until that time; for ever when there is none.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// Starts a thread that reports when it panics.
fn spawn(
    name: &'static str,
    events: UnboundedSender<Event>,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>> {
    struct Alarm(&'static str, UnboundedSender<Event>);
    impl Drop for Alarm {
        fn drop(&mut self) {
            if thread::panicking() {
                let _ = self.1.send(Event::Failed(Error::Broken { part: self.0 }));
            }
        }
    }
    let body = move || {
        let _alarm = Alarm(name, events);
        work();
    };
    thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|source| Error::Thread { name, source })
}

/// A decode thread: raw batches in, rows of tables out, until either end is closed.
fn decode(
    (plans, schemas, bytes_max): (&Plans, Option<Arc<Lookup>>, usize),
    progress: &Progress,
    raw: &Mutex<Receiver<Parcel>>,
    out: &mpsc::Sender<Landing>,
) -> Result<()> {
    let mut rows = Rows::new(plans, schemas)?.with_limit(bytes_max);
    loop {
        let next = raw.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Parcel { raw, mut reservation }) = next else { return Ok(()) };
        let began = Instant::now();
        let routed = rows.of(&raw)?;
        progress.add_batch(began.elapsed().as_secs_f64());
        reservation.resize(routed.memory());
        let (topic, partition, epoch) = (raw.topic, raw.partition, raw.epoch);
        let first_offset = raw.first_offset().unwrap_or_default();
        let landing = Landing { topic, partition, epoch, first_offset, routed, reservation };
        if out.blocking_send(landing).is_err() {
            return Ok(());
        }
    }
}
