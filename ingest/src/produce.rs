//! The synthetic producer: a shop's events into Kafka, the same ones for the same seed.
//!
//! ```text
//! seed -> Shop (shop.rs) -> JSON (encode.rs) -> spoilt now and then (spoil.rs)
//!      -> paced by event time (pace.rs) -> Kafka, accounted for by delivery reports (send.rs)
//! ```
//!
//! Invariants:
//! - the settings decide every byte: seed, start, sizes and rate; neither clock nor machine does;
//! - `sent + failed` is the number of messages made, exactly `events` when that is given and nobody stops it;
//! - the key is the person (`user_id`, `customer_id`), so a person's events stay in order; that of a stock
//!   change is the item, for the same reason.

mod encode;
mod error;
pub(crate) mod pace;
pub(crate) mod send;
mod shop;
mod spoil;
mod zipf;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::kafka::KafkaSettings;
use encode::Encoder;
use shop::{Draft, Shop, ShopSize, Stream};
use spoil::Spoiler;

pub use error::Error;
pub use pace::Speed;
pub use send::{Progress, TopicCounts};
pub use spoil::Fault;

/// What to produce, and how.
#[derive(Clone, Debug)]
pub struct ProduceSettings {
    /// The cluster.
    pub kafka: KafkaSettings,
    /// Topics to write to, of `user-events`, `payments`, `orders`, `inventory`; empty for all.
    pub topics: Vec<String>,
    /// Decides everything random.
    pub seed: u64,
    /// The time of the first event. Part of what names a run: other times, other ids.
    pub start: DateTime<Utc>,
    /// Messages to send, over all topics; `None` to go on until stopped.
    pub events: Option<u64>,
    /// Events of people per second of event time (default 1,000).
    pub rate: f64,
    /// Event time against the clock (default [`Speed::Max`]).
    pub speed: Speed,
    /// Compression of batches (default lz4).
    pub compression: Compression,
    /// Share of messages to make malformed, 0 to 1 (default 0).
    pub bad_share: f64,
    /// Number of people (default 10,000).
    pub users: u32,
    /// Number of items (default 2,000).
    pub items: u32,
}

/// How batches are compressed on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Fast.
    #[default]
    Lz4,
    /// Fast.
    Snappy,
    /// Small.
    Zstd,
}

/// What was produced.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Messages acknowledged by the broker, malformed ones included.
    pub sent: u64,
    /// Messages given up on; each is missing in Kafka.
    pub failed: u64,
    /// Messages malformed on purpose, among those sent: they must end in the dead letters.
    pub bad: u64,
    /// Malformed messages by kind, as made.
    pub bad_by_kind: BTreeMap<Fault, u64>,
    /// Counts by topic.
    pub by_topic: BTreeMap<String, TopicCounts>,
    /// Bytes of payload acknowledged.
    pub bytes: u64,
    /// Wall time, until the last acknowledgement.
    pub seconds: f64,
    /// `sent / seconds`.
    pub per_second: f64,
    /// The time of the last event made; none when there was none.
    pub last_event: Option<DateTime<Utc>>,
    /// Why the first failed message failed.
    pub first_failure: Option<String>,
}

impl ProduceSettings {
    /// The defaults, for a cluster, a seed and a start.
    pub fn new(kafka: KafkaSettings, seed: u64, start: DateTime<Utc>) -> Self {
        Self {
            kafka,
            topics: Vec::new(),
            seed,
            start,
            events: None,
            rate: 1000.0,
            speed: Speed::Max,
            compression: Compression::default(),
            bad_share: 0.0,
            users: 10_000,
            items: 2_000,
        }
    }
}

/// Produces until `events` are sent or `stop` is cancelled, then waits for every acknowledgement.
///
/// # Errors
/// Only before the first message: settings out of range, no broker, a topic that does not exist. A message
/// that could not be delivered is counted in [`Report::failed`].
pub async fn produce(
    settings: ProduceSettings,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<Report, Error> {
    let streams = streams(&settings)?;
    let run = tokio::task::spawn_blocking(move || run(&settings, &streams, progress, &stop));
    run.await.unwrap_or_else(|ended| Err(Error::Thread { reason: ended.to_string() }))
}

fn run(
    settings: &ProduceSettings,
    streams: &[Stream],
    progress: Arc<Progress>,
    stop: &CancellationToken,
) -> Result<Report, Error> {
    let topics = streams.iter().map(|stream| stream.topic().to_owned()).collect();
    let (kafka, compression) = (&settings.kafka, settings.compression);
    let mut sender =
        send::Sender::connect(kafka, compression, topics, Arc::clone(&progress), "sluice topics apply")?;
    let mut messages = Messages::new(settings, streams);
    let mut bad_by_kind = BTreeMap::new();
    let started = Instant::now();
    let mut made = 0;
    while settings.events.is_none_or(|events| made < events) && !stop.is_cancelled() {
        let message = messages.advance();
        let event_time = Duration::from_millis(message.due.abs_diff(settings.start.timestamp_millis()));
        if !wait(&mut sender, settings.speed.due(event_time), started, stop) {
            break;
        }
        sender.send(message.topic, message.fault.is_some(), &messages.encoder.key, &messages.encoder.payload);
        if let Some(fault) = message.fault {
            *bad_by_kind.entry(fault).or_default() += 1;
        }
        made += 1;
    }
    let sent = sender.finish();
    let seconds = started.elapsed().as_secs_f64();
    let total = |count: fn(&TopicCounts) -> u64| sent.by_topic.values().map(count).sum::<u64>();
    let last_event = messages.last.and_then(DateTime::from_timestamp_millis);
    Ok(Report {
        sent: total(|counts| counts.sent),
        failed: total(|counts| counts.failed),
        bad: total(|counts| counts.bad),
        bad_by_kind,
        bytes: progress.bytes(),
        seconds,
        per_second: total(|counts| counts.sent) as f64 / seconds.max(1e-9),
        last_event,
        first_failure: sent.first_failure,
        by_topic: sent.by_topic,
    })
}

/// Serves the sender until `due` after `started`; false when stopped before.
pub(crate) fn wait(
    sender: &mut send::Sender,
    due: Duration,
    started: Instant,
    stop: &CancellationToken,
) -> bool {
    if due.is_zero() {
        // Most events are due at once: the clock is not read for them.
        return true;
    }
    loop {
        let ahead = due.saturating_sub(started.elapsed());
        if ahead.is_zero() {
            return true;
        }
        if stop.is_cancelled() {
            return false;
        }
        sender.serve(ahead.min(Duration::from_millis(50)));
    }
}

/// The messages of a run, one after the other: what is selected of the shop, encoded, spoilt now and then.
struct Messages {
    shop: Shop,
    encoder: Encoder,
    spoiler: Spoiler,
    /// Index into the chosen topics by stream; none for a stream that is left out.
    topics: [Option<usize>; Stream::ALL.len()],
    last: Option<i64>,
}

/// What is known of a message besides its bytes, which are in the encoder.
struct Message {
    topic: usize,
    /// When it is due, in event time. An order or a payment is due with its sale, although dated after it.
    due: i64,
    fault: Option<Fault>,
}

impl Messages {
    fn new(settings: &ProduceSettings, streams: &[Stream]) -> Self {
        let start = settings.start.timestamp_millis();
        let size = ShopSize { users: settings.users, items: settings.items, rate: settings.rate };
        Self {
            shop: Shop::new(settings.seed, start, size),
            encoder: Encoder::new(shop::scatter(settings.seed ^ shop::scatter(start.cast_unsigned()))),
            spoiler: Spoiler::new(settings.seed, settings.bad_share),
            topics: Stream::ALL.map(|stream| streams.iter().position(|chosen| *chosen == stream)),
            last: None,
        }
    }

    fn advance(&mut self) -> Message {
        let (draft, topic) = self.next_draft();
        self.encoder.write(&draft);
        let fault = self.spoiler.pass(draft.stream(), &mut self.encoder.payload);
        self.last = self.last.max(Some(draft.at));
        Message { topic, due: self.shop.now(), fault }
    }

    fn next_draft(&mut self) -> (Draft, usize) {
        loop {
            let draft = self.shop.next();
            if let Some(topic) = self.topics[draft.stream() as usize] {
                return (draft, topic);
            }
        }
    }
}

/// The chosen streams, once each; checks the other settings too.
fn streams(settings: &ProduceSettings) -> Result<Vec<Stream>, Error> {
    let out_of_range =
        |what, value: f64, remedy| Err(Error::Setting { what, value: value.to_string(), remedy });
    if !(settings.rate.is_finite() && settings.rate > 0.0) {
        return out_of_range("the rate", settings.rate, "give a positive number of events per second");
    }
    if !(0.0..=1.0).contains(&settings.bad_share) {
        return out_of_range("the share of bad messages", settings.bad_share, "give a number from 0 to 1");
    }
    if settings.users > 10_000_000 {
        return out_of_range("the number of users", settings.users.into(), "give at most 10,000,000");
    }
    if settings.items > 1_000_000 {
        return out_of_range("the number of items", settings.items.into(), "give at most 1,000,000");
    }
    let known = Stream::ALL.map(Stream::topic);
    if let Some(topic) = settings.topics.iter().find(|topic| !known.contains(&topic.as_str())) {
        return Err(Error::UnknownTopic { topic: topic.clone(), known: known.join(", ") });
    }
    let chosen = |stream: &Stream| {
        settings.topics.is_empty() || settings.topics.iter().any(|topic| topic == stream.topic())
    };
    Ok(Stream::ALL.into_iter().filter(chosen).collect())
}

impl Compression {
    /// Kafka's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Snappy => "snappy",
            Self::Zstd => "zstd",
        }
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::None, Self::Lz4, Self::Snappy, Self::Zstd];
        let found = all.into_iter().find(|compression| compression.name() == text);
        found.ok_or_else(|| format!("`{text}` is not a compression\n  use lz4, snappy, zstd or none"))
    }
}
