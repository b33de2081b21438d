//! The polling thread: takes messages from Kafka, packs them into raw batches, cuts them into epochs.
//!
//! ```text
//! Kafka -> partition buffers -> RawBatch -> decode threads
//!              |  epoch due: flush, note ranges
//!              +-> Event::Sealed -> pipeline -> commit -> Command::Committed
//! ```
//!
//! Invariants:
//! - This thread never decodes, writes or waits for the lake; it waits at most briefly for room, and
//!   when there is none for long it pauses all partitions and goes on serving the group.
//! - An epoch's ranges are contiguous with the previous epoch's and end at the consumer's position.
//! - At most one epoch is sealed by age or size while another is being committed; a revocation and the
//!   stop may seal one more.
//! - Rebalances are answered by the pipeline's commands: after the commit, or after looking where to start.

pub(crate) mod client;
mod group;
mod messages;
mod partition;
mod ports;
pub(crate) mod probe;
pub(crate) mod raw;
pub(crate) mod start;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, TryRecvError, TrySendError};
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use self::client::{Context, Named};
use self::messages::{Message, Messages};
use self::partition::Partition;
pub(crate) use self::ports::{Command, Event, Parcel, Ports, Seal};
use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::evolve::Plans;
use crate::kafka::redact;
use crate::pipeline::{IngestSettings, now_micros};
use crate::plan::Plan;
use crate::progress::Progress;

/// Messages taken between two looks at commands and clocks, and of these at a time.
const POLLS: usize = 2048;
const POLL: usize = 256;
const POLL_TIMEOUT: Duration = Duration::from_millis(50);
/// A buffer is handed on after this even when it is not full.
const FLUSH_AGE: Duration = Duration::from_millis(200);
/// All buffers are handed on when together they hold this much.
const UNFLUSHED_MAX: usize = 16 << 20;
/// How long reading waits for room before partitions are paused.
const PATIENCE: Duration = Duration::from_secs(2);

/// An answer the group still waits for.
#[derive(Debug)]
enum Owed {
    Assign(Vec<Named>),
    Revoke(Vec<Named>),
}

/// The state of the polling thread.
pub(crate) struct Source {
    messages: Messages,
    forwarded_at: Instant,
    consumer: Arc<BaseConsumer<Context>>,
    plans: Arc<Plans>,
    plan: Arc<Plan>,
    settings: Arc<IngestSettings>,
    progress: Arc<Progress>,
    budget: Arc<Budget>,
    ports: Ports,
    partitions: BTreeMap<(usize, i32), Partition>,
    /// Batches the decode threads had no room for yet.
    waiting: VecDeque<Parcel>,
    seal: Seal,
    /// When the first message of this epoch came, and the bytes since then.
    epoch_began: Option<Instant>,
    epoch_bytes: usize,
    unflushed: usize,
    flushed_at: Instant,
    /// Sealed epochs that are not yet committed.
    outstanding: usize,
    blocked_since: Option<Instant>,
    paused: bool,
    /// Topics that are not read for now.
    paused_topics: BTreeSet<usize>,
    stopping: bool,
    owed: Option<Owed>,
    /// Our numbers of topics by the library's handles.
    topics: HashMap<usize, usize>,
    /// How long the last commit took.
    commit_time: Duration,
    sealed_at: Instant,
    /// By when the epoch must be sealed so that its first message is not older than the target when it lands.
    lag_due: Option<Instant>,
}

impl Source {
    /// Joins the group and subscribes to the plan's topics.
    pub(crate) fn new(
        plans: Arc<Plans>,
        settings: Arc<IngestSettings>,
        progress: Arc<Progress>,
        budget: Arc<Budget>,
        ports: Ports,
    ) -> Result<Self> {
        // The library's own queue may hold a sixteenth of the budget.
        let mut config = settings.kafka.consumer_config(&settings.group, settings.memory_budget / 1024 / 16);
        if let Some(instance) = &settings.instance_id {
            config.set("group.instance.id", instance);
        }
        let context = Context::new(Arc::clone(&progress));
        let fail = |source| Error::Kafka {
            action: format!("join the consumer group `{}`", settings.group),
            brokers: settings.kafka.brokers.clone(),
            source: Box::new(redact(source)),
            remedy: "check the address and the Kafka options",
        };
        let consumer = BaseConsumer::from_config_and_context(&config, context).map_err(fail)?;
        let consumer = Arc::new(consumer);
        let messages = Messages::new(Arc::clone(&consumer)).map_err(fail)?;
        let mut source = Self {
            messages,
            forwarded_at: Instant::now(),
            consumer,
            plan: plans.current(),
            plans,
            progress,
            budget,
            ports,
            partitions: BTreeMap::new(),
            waiting: VecDeque::new(),
            seal: Seal { epoch: 1, ..Seal::default() },
            epoch_began: None,
            epoch_bytes: 0,
            unflushed: 0,
            flushed_at: Instant::now(),
            outstanding: 0,
            blocked_since: None,
            paused: false,
            paused_topics: BTreeSet::new(),
            stopping: false,
            owed: None,
            topics: HashMap::new(),
            commit_time: Duration::ZERO,
            sealed_at: Instant::now(),
            lag_due: None,
            settings,
        };
        source.subscribe()?;
        Ok(source)
    }

    /// Runs until the pipeline drops its end of the command channel, then leaves the group.
    pub(crate) fn run(mut self) {
        if let Err(error) = self.work() {
            // Nobody listening means that the session is over anyway.
            let _ = self.ports.events.send(Event::Failed(error));
        }
        self.leave();
    }

    fn work(&mut self) -> Result<()> {
        loop {
            loop {
                match self.ports.commands.try_recv() {
                    Ok(command) => self.obey(command)?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            while let Some(rebalance) = self.consumer.context().next_rebalance() {
                self.rebalance(rebalance)?;
            }
            self.hand_over();
            if self.flushed_at.elapsed() > FLUSH_AGE || self.unflushed > UNFLUSHED_MAX {
                self.flush_all();
            }
            if self.is_due() {
                self.seal();
            }
            if self.has_room()? {
                self.poll()?;
            } else {
                match self.ports.commands.recv_timeout(Duration::from_millis(5)) {
                    Ok(command) => self.obey(command)?,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                }
            }
        }
    }

    fn obey(&mut self, command: Command) -> Result<()> {
        match command {
            Command::Start(starts) => self.start(&starts).map_err(|source| self.group_error(source)),
            Command::Release(partitions) => self.release(&partitions),
            Command::Subscribe => self.subscribe(),
            Command::Pause { topic, pause } => self.pause_topic(topic, pause),
            Command::Committed(offsets) => {
                self.outstanding = self.outstanding.saturating_sub(1);
                self.commit_time = self.sealed_at.elapsed();
                self.show_offsets(&offsets);
                Ok(())
            }
            Command::Stop => {
                self.stopping = true;
                self.seal();
                let _ = self.ports.events.send(Event::Drained);
                self.set_paused(true)
            }
        }
    }

    /// Waits for room a while, then pauses; resumes when there is room again.
    fn has_room(&mut self) -> Result<bool> {
        let full = !self.waiting.is_empty() || self.budget.is_high();
        if self.paused {
            if self.waiting.is_empty() && self.budget.is_low() && !self.stopping {
                self.set_paused(false)?;
            }
            return Ok(true); // Paused partitions give no messages, and the group must be served.
        }
        if !full {
            self.blocked_since = None;
            return Ok(true);
        }
        if self.blocked_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            self.set_paused(true)?;
        }
        Ok(false)
    }

    fn set_paused(&mut self, pause: bool) -> Result<()> {
        let used = self.budget.used();
        tracing::info!(
            used,
            limit = self.settings.memory_budget,
            stopping = self.stopping,
            pause,
            "partitions"
        );
        self.progress.set_memory_paused(pause && !self.stopping);
        (self.paused, self.blocked_since) = (pause, None);
        let read = self.partitions.keys().filter(|(topic, _)| !self.paused_topics.contains(topic));
        self.pause_partitions(&read.copied().collect::<Vec<_>>(), pause)
    }

    fn poll(&mut self) -> Result<()> {
        self.serve()?;
        for _ in 0..POLLS / POLL {
            let mut taken = self.messages.take(POLL, Duration::ZERO);
            if taken.is_empty() {
                // A wait for more than one would not end with the first.
                taken = self.messages.take(1, POLL_TIMEOUT);
            }
            if taken.is_empty() {
                self.flush_all();
                return Ok(());
            }
            for run in taken.runs() {
                self.push(run)?;
            }
        }
        Ok(())
    }

    /// Messages of one partition that follow each other.
    fn push(&mut self, run: &[Message]) -> Result<()> {
        let Some(first) = run.first() else { return Ok(()) };
        if let Some(fault) = first.fault() {
            return self.fault(fault);
        }
        let (handle, number) = first.source();
        let topic = match self.topics.get(&handle) {
            Some(topic) => *topic,
            None => {
                let Some(topic) = self.plan.topic_index(&first.topic()) else { return Ok(()) };
                self.topics.insert(handle, topic);
                topic
            }
        };
        let mut rest = run;
        while !rest.is_empty() && !self.stopping {
            let Some(partition) = self.partitions.get_mut(&(topic, number)) else { break };
            let before = partition.byte_count();
            let taken = partition.push(rest);
            rest = &rest[taken..];
            let bytes = partition.byte_count() - before;
            let (has_messages, is_full) = (partition.has_messages(), partition.is_full());
            if has_messages && self.epoch_began.is_none() {
                self.begin_epoch(first.timestamp());
            }
            self.epoch_bytes += bytes;
            self.unflushed += bytes;
            if is_full {
                self.flush((topic, number));
                self.hand_over();
            }
        }
        Ok(())
    }

    fn flush_all(&mut self) {
        let keys: Vec<_> =
            self.partitions.iter().filter(|(_, p)| p.has_messages()).map(|(key, _)| *key).collect();
        for key in keys {
            self.flush(key);
        }
        self.flushed_at = Instant::now();
        self.hand_over();
    }

    fn flush(&mut self, key: (usize, i32)) {
        let Some(raw) = self.partitions.get_mut(&key).and_then(|p| p.cut(self.seal.epoch, now_micros()))
        else {
            return;
        };
        self.seal.batches += 1;
        *self.seal.messages.entry(key.0).or_default() += raw.len() as u64;
        self.unflushed = self.unflushed.saturating_sub(raw.byte_count());
        let topic = &self.plan.topics[key.0].name;
        self.progress.add_consumed(topic, raw.len(), raw.byte_count());
        if let Some(last) = raw.len().checked_sub(1) {
            self.progress.set_read(topic, key.1, raw.offset(last) + 1, raw.timestamp(last));
        }
        let reservation = self.budget.reserve(raw.memory());
        self.waiting.push_back(Parcel { raw, reservation });
    }

    fn hand_over(&mut self) {
        while let Some(parcel) = self.waiting.pop_front() {
            match self.ports.batches.try_send(parcel) {
                Ok(()) => {}
                Err(TrySendError::Full(parcel)) => {
                    self.waiting.push_front(parcel);
                    return;
                }
                // The decode threads are gone: the session is ending.
                Err(TrySendError::Disconnected(_)) => return self.waiting.clear(),
            }
        }
    }

    /// The first message of an epoch came; `timestamp` is Kafka's, in milliseconds.
    fn begin_epoch(&mut self, timestamp: Option<i64>) {
        let now = Instant::now();
        self.epoch_began = Some(now);
        let age = timestamp.map_or(0, |at| (now_micros() / 1000).saturating_sub(at));
        let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
        let slack = |target: Duration| target.checked_sub(age)?.checked_sub(self.commit_time);
        self.lag_due = self.settings.target_lag.and_then(slack).map(|slack| now + slack);
    }

    fn is_due(&self) -> bool {
        let Some(began) = self.epoch_began else { return false };
        let full = self.epoch_bytes >= self.settings.commit_bytes || self.budget.needs_commit();
        let late = self.lag_due.is_some_and(|due| Instant::now() >= due);
        self.outstanding == 0 && (full || late || began.elapsed() >= self.settings.commit_interval)
    }

    fn seal(&mut self) {
        self.flush_all();
        if self.seal.messages.is_empty() {
            return;
        }
        for (&(topic, number), partition) in &mut self.partitions {
            if let Some(range) = partition.seal() {
                self.seal.ranges.entry(topic).or_default().insert(number, range);
            }
        }
        let next = Seal { epoch: self.seal.epoch + 1, ..Seal::default() };
        let _ = self.ports.events.send(Event::Sealed(std::mem::replace(&mut self.seal, next)));
        (self.epoch_began, self.epoch_bytes, self.lag_due) = (None, 0, None);
        self.sealed_at = Instant::now();
        self.outstanding += 1;
    }
}
