//! How many dead letters of a topic are too many, and which topics pause for it.
//!
//! | limit | of | when it is exceeded |
//! |---|---|---|
//! | share | a topic's messages of the last minutes, the commit to come included | nothing of the commit lands, the session ends, and the next one does not read the topic |
//! | rate | a topic's dead letters a minute | the commit lands, and the topic is not read until that many were due |
//!
//! Only the topic pauses, the others go on. What it holds stays in Kafka and is read when the pause is over, so
//! nothing is lost or skipped. After a pause by share the same messages are tried again; each further pause in a
//! row is twice as long, up to [`LONGER_MAX`] times.
//!
//! The share is counted over commits, because the bad messages of a slow topic come few at a time: what landed counts
//! half after each [`HALF_LIFE`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::progress::{PauseReason, Progress};

/// After this time a message counts half in the share.
const HALF_LIFE: Duration = Duration::from_secs(300);
/// A pause is at most so many times as long as the first.
const LONGER_MAX: u32 = 16;

/// What is taken for a broken producer or a wrong topics file rather than for single bad messages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeadLetterLimit {
    /// From how many dead letters on the share counts (default 1,000).
    pub messages: u64,
    /// The share of a topic's messages, 0 to 1 (default 0.5).
    pub share: f64,
    /// Dead letters of a topic that may land within a minute; `None` for any number (the default).
    pub per_minute: Option<u64>,
    /// How long a topic pauses before the same messages are tried again (default 30 s).
    pub pause: Duration,
}

impl Default for DeadLetterLimit {
    fn default() -> Self {
        Self { messages: 1000, share: 0.5, per_minute: None, pause: Duration::from_secs(30) }
    }
}

/// The messages of a topic in one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) topic: String,
    pub(crate) dead: u64,
    pub(crate) messages: u64,
    /// The error of one of the dead letters.
    pub(crate) last: String,
}

/// The topics that have dead letters, as far as the limit is concerned. Outlives sessions.
#[derive(Debug)]
pub(crate) struct Limits {
    limit: Option<DeadLetterLimit>,
    /// Whether pauses by share never end: for a run that ends by itself.
    for_good: bool,
    progress: Arc<Progress>,
    topics: Mutex<BTreeMap<String, Topic>>,
}

#[derive(Debug)]
struct Topic {
    share: Share,
    rate: Rate,
    /// Pauses by share in a row.
    floods: u32,
    /// The last of them.
    flood: Option<Count>,
    pause: Option<Pause>,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    /// `None` for ever.
    until: Option<Instant>,
}

impl Limits {
    pub(crate) fn new(limit: Option<DeadLetterLimit>, progress: Arc<Progress>) -> Self {
        Self { limit, for_good: false, progress, topics: Mutex::default() }
    }

    /// The same, but a topic that paused by share is not tried again.
    pub(crate) fn for_good(self) -> Self {
        Self { for_good: true, ..self }
    }

    /// Looks at an epoch before its commit; topics with too large a share of dead letters pause.
    ///
    /// # Errors
    /// [`Error::TooManyDeadLetters`] for the first of them: the epoch must not land.
    pub(crate) fn check(&self, counts: &[Count], now: Instant) -> Result<()> {
        let Some(limit) = self.limit else { return Ok(()) };
        let mut error = None;
        for count in counts.iter().filter(|count| count.dead > 0) {
            let seen = self.lock().get_mut(&count.topic).map(|topic| topic.share.as_of(now));
            let seen = seen.unwrap_or_default();
            if limit.is_exceeded(seen.dead + count.dead as f64, seen.messages + count.messages as f64) {
                self.pause(limit, count, now);
                error.get_or_insert_with(|| count.error());
            }
        }
        error.map_or(Ok(()), Err)
    }

    /// Notes what landed; a topic whose dead letters came too fast pauses.
    pub(crate) fn landed(&self, counts: &[Count], now: Instant) {
        let Some(limit) = self.limit else { return };
        let mut topics = self.lock();
        for Count { topic: name, dead, messages, .. } in counts {
            if *dead > 0 && !topics.contains_key(name) {
                topics.insert(name.clone(), Topic::new(limit, now));
            }
            let Some(topic) = topics.get_mut(name) else { continue };
            topic.share.add(*dead, *messages, now);
            (topic.floods, topic.flood) = (0, None);
            if let Some(due) = topic.rate.take(*dead, now)
                && topic.pause.is_none()
            {
                topic.pause = Some(Pause { until: now.checked_add(due) });
                self.progress.set_topic_paused(name, Some(PauseReason::DeadLetterRate));
                tracing::warn!(
                    "topic `{name}` pauses for {due:.0?}: {dead} dead letters in one commit are more than \
                     ingest.dead_letters.max_per_minute allows; other topics go on"
                );
            }
        }
    }

    fn pause(&self, limit: DeadLetterLimit, count: &Count, now: Instant) {
        let mut topics = self.lock();
        let topic = topics.entry(count.topic.clone()).or_insert_with(|| Topic::new(limit, now));
        let longer = 1_u32.checked_shl(topic.floods).unwrap_or(LONGER_MAX).min(LONGER_MAX);
        let pause = limit.pause.saturating_mul(longer);
        topic.floods = topic.floods.saturating_add(1);
        topic.flood = Some(count.clone());
        topic.pause = Some(Pause { until: now.checked_add(pause).filter(|_| !self.for_good) });
        self.progress.set_topic_paused(&count.topic, Some(PauseReason::DeadLetterShare));
        let error = count.error();
        if self.for_good {
            tracing::warn!("topic `{}` pauses, the others go on: {error}", count.topic);
        } else {
            tracing::warn!(
                "topic `{}` pauses, the others go on: {error}. It is tried again in {pause:?}, and when the topics \
                 file or the limits change",
                count.topic
            );
        }
    }

    /// The topics that pause for good.
    pub(crate) fn given_up(&self) -> BTreeSet<String> {
        let topics = self.lock();
        let paused = topics.iter().filter(|(_, topic)| topic.is_given_up());
        paused.map(|(name, _)| name.clone()).collect()
    }

    /// The last flood of a topic that pauses for good.
    pub(crate) fn flood(&self) -> Option<Error> {
        let topics = self.lock();
        let mut given_up = topics.values().filter(|topic| topic.is_given_up());
        given_up.find_map(|topic| topic.flood.as_ref().map(Count::error))
    }

    /// The topics that pause. Pauses that are over end here.
    pub(crate) fn paused(&self, now: Instant) -> BTreeSet<String> {
        let mut paused = BTreeSet::new();
        for (name, topic) in self.lock().iter_mut() {
            let Some(pause) = topic.pause else { continue };
            if pause.until.is_none_or(|until| now < until) {
                paused.insert(name.clone());
            } else {
                topic.pause = None;
                self.progress.set_topic_paused(name, None);
                tracing::warn!("topic `{name}` goes on");
            }
        }
        paused
    }

    /// When the next pause is over.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.lock().values().filter_map(|topic| topic.pause?.until).min()
    }

    /// The run is over: nothing pauses any more.
    pub(crate) fn close(&self) {
        self.lock().keys().for_each(|name| self.progress.set_topic_paused(name, None));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Topic>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    fn error(&self) -> Error {
        let Self { topic, dead, messages, last } = self.clone();
        Error::TooManyDeadLetters { topic, dead, consumed: messages, last }
    }
}

impl DeadLetterLimit {
    /// Whether so many messages have too many dead letters.
    fn is_exceeded(&self, dead: f64, messages: f64) -> bool {
        dead > self.messages as f64 && dead > self.share * messages
    }
}

impl Topic {
    fn new(limit: DeadLetterLimit, now: Instant) -> Self {
        let share = Share { seen: Seen::default(), as_of: now };
        Self { share, rate: Rate::new(limit.per_minute, now), floods: 0, flood: None, pause: None }
    }

    fn is_given_up(&self) -> bool {
        self.pause.is_some_and(|pause| pause.until.is_none())
    }
}

/// Messages, the older the less.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    dead: f64,
    messages: f64,
}

#[derive(Debug)]
struct Share {
    seen: Seen,
    as_of: Instant,
}

impl Share {
    fn as_of(&mut self, now: Instant) -> Seen {
        let passed = now.saturating_duration_since(self.as_of).as_secs_f64();
        let left = (-passed / HALF_LIFE.as_secs_f64()).exp2();
        self.seen = Seen { dead: self.seen.dead * left, messages: self.seen.messages * left };
        self.as_of = now;
        self.seen
    }

    fn add(&mut self, dead: u64, messages: u64, now: Instant) {
        let Seen { dead: before, messages: all } = self.as_of(now);
        self.seen = Seen { dead: before + dead as f64, messages: all + messages as f64 };
    }
}

/// The letters that may land now: a bucket of one minute's letters that is filled evenly.
#[derive(Debug)]
struct Rate {
    per_minute: Option<f64>,
    /// Negative while letters landed ahead of their time.
    left: f64,
    as_of: Instant,
}

impl Rate {
    fn new(per_minute: Option<u64>, now: Instant) -> Self {
        let per_minute = per_minute.map(|letters| letters.max(1) as f64);
        Self { per_minute, left: per_minute.unwrap_or(0.0), as_of: now }
    }

    /// Takes letters; says when they are due if that is not yet.
    fn take(&mut self, letters: u64, now: Instant) -> Option<Duration> {
        let per_minute = self.per_minute?;
        let passed = now.saturating_duration_since(self.as_of).as_secs_f64();
        self.left = (self.left + passed * per_minute / 60.0).min(per_minute) - letters as f64;
        self.as_of = now;
        (self.left < 0.0).then(|| Duration::from_secs_f64(-self.left * 60.0 / per_minute))
    }
}

#[cfg(test)]
mod tests;
