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
mod partition;
mod ports;
pub(crate) mod probe;
pub(crate) mod raw;
pub(crate) mod start;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, TryRecvError, TrySendError};
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};

use self::client::{Context, Named};
use self::partition::Partition;
pub(crate) use self::ports::{Command, Event, Parcel, Ports, Seal};
use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::kafka::redact;
use crate::pipeline::{IngestSettings, now_micros};
use crate::plan::Plan;
use crate::progress::Progress;

/// Messages taken between two looks at commands and clocks.
const POLLS: usize = 2048;
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
    consumer: Arc<BaseConsumer<Context>>,
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
    /// The topic of the last message: the library's handle and our number.
    last_topic: Option<(usize, usize)>,
}

impl Source {
    /// Joins the group and subscribes to the plan's topics.
    pub(crate) fn new(
        plan: Arc<Plan>,
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
        let topics: Vec<&str> = plan.topics.iter().map(|topic| topic.name.as_str()).collect();
        consumer.subscribe(&topics).map_err(fail)?;
        Ok(Self {
            consumer: Arc::new(consumer),
            plan,
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
            last_topic: None,
            settings,
        })
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
            Command::Pause { topic, pause } => self.pause_topic(topic, pause),
            Command::Committed(offsets) => {
                self.outstanding = self.outstanding.saturating_sub(1);
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
        let consumer = Arc::clone(&self.consumer);
        for _ in 0..POLLS {
            match consumer.poll(POLL_TIMEOUT) {
                None => {
                    self.flush_all();
                    return Ok(());
                }
                Some(Ok(message)) => self.push(&message),
                Some(Err(error)) => self.fault(error)?,
            }
        }
        Ok(())
    }

    fn push(&mut self, message: &BorrowedMessage<'_>) {
        let handle = message.topic_ptr() as usize;
        let topic = match self.last_topic {
            Some((known, topic)) if known == handle => topic,
            _ => {
                let Some(topic) = self.plan.topic_index(message.topic()) else { return };
                self.last_topic = Some((handle, topic));
                topic
            }
        };
        let Some(partition) = self.partitions.get_mut(&(topic, message.partition())) else { return };
        if self.stopping || !partition.push(message) {
            return;
        }
        let bytes = message.payload_len() + message.key_len();
        self.epoch_began.get_or_insert_with(Instant::now);
        self.epoch_bytes += bytes;
        self.unflushed += bytes;
        if partition.is_full() {
            self.flush((topic, message.partition()));
            self.hand_over();
        }
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

    fn is_due(&self) -> bool {
        let Some(began) = self.epoch_began else { return false };
        let full = self.epoch_bytes >= self.settings.commit_bytes || self.budget.needs_commit();
        self.outstanding == 0 && (full || began.elapsed() >= self.settings.commit_interval)
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
        (self.epoch_began, self.epoch_bytes) = (None, 0);
        self.outstanding += 1;
    }
}
