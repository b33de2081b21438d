//! Files as JSON events into Kafka, at the speed of their own time or as fast as the broker takes them.
//!
//! ```text
//! olist.rs  three files -> timeline -> topics olist-orders, olist-order-items, olist-payments
//! rows.rs   rows of any files, sorted by a column or as they come -> one topic
//! ```

mod olist;
mod rows;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[cfg(test)]
pub(super) use self::olist::read as olist_timeline;
use super::{DataSet, Error, Progress, Result, What};
use crate::kafka::KafkaSettings;
use crate::produce::send::{Sender, Sent};
use crate::produce::{self, Compression, Speed, TopicCounts};
use crate::topics::{self, Topics};

/// What to replay, and how.
#[derive(Clone, Debug)]
pub struct ReplaySettings {
    /// The cluster.
    pub kafka: KafkaSettings,
    /// Files, patterns, archives; for a data set its folder.
    pub inputs: Vec<PathBuf>,
    /// What they are.
    pub what: What,
    /// The topic, which must exist. The Olist data set has three of its own, which are created.
    pub topic: String,
    /// Seconds of event time in one second.
    pub speed: Speed,
    /// The column that says when an event was. Known for Retail Rocket and Olist.
    pub time: Option<String>,
    /// The column whose value is the key of the message. Known for Retail Rocket and Olist.
    pub key: Option<String>,
    /// Compression of batches.
    pub compression: Compression,
}

/// What was replayed.
#[derive(Clone, Debug, Serialize)]
pub struct ReplayReport {
    /// Events acknowledged by the broker.
    pub sent: u64,
    /// Events given up on; each is missing in Kafka.
    pub failed: u64,
    /// Records of the files that are no events: ragged, or with a value of another type. Not sent.
    pub rejected: u64,
    /// Records without a time, where events are sent by time. Not sent.
    pub untimed: u64,
    /// Counts by topic.
    pub by_topic: BTreeMap<String, TopicCounts>,
    /// Time of the first and the last event.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Wall time of sending.
    pub seconds: f64,
    /// Events sent by wall time.
    pub rows_per_second: f64,
    /// Why the first failed event failed.
    pub first_failure: Option<String>,
}

/// Events back to back.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    pub(super) events: Vec<Event>,
    /// The JSON of all events, and keys that are not part of it.
    bytes: Vec<u8>,
    pub(super) rejected: u64,
    pub(super) untimed: u64,
}

/// One event: where its JSON and its key lie in the timeline's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// Milliseconds since 1970-01-01 UTC.
    pub(super) at: i64,
    /// Index into the topics.
    pub(super) topic: usize,
    start: usize,
    end: usize,
    key: (usize, usize),
}

/// Sends all events, until done or `stop`.
///
/// # Errors
/// When a file is missing or unreadable, or Kafka cannot be reached. An event that could not be delivered
/// is counted in [`ReplayReport::failed`].
pub async fn replay(
    settings: ReplaySettings,
    progress: &Arc<Progress>,
    stop: CancellationToken,
) -> Result<ReplayReport> {
    let is_olist = settings.what == What::Set(DataSet::Olist);
    let mut topics = vec![settings.topic.clone()];
    if is_olist {
        topics::apply(&settings.kafka, &Topics::olist()).await?;
        topics = olist::STREAMS.map(|(_, topic, _)| topic.to_owned()).to_vec();
    }
    let (chunks, received) = mpsc::channel(2);
    let (sending, counters) = (settings.clone(), Arc::clone(progress));
    let sent = tokio::task::spawn_blocking(move || send(&sending, topics, received, &counters, &stop));
    let read = match is_olist {
        true => read_olist(&settings, progress, chunks).await,
        false => rows::read(&settings, progress, chunks).await,
    };
    let sent = sent.await.unwrap_or_else(|ended| Err(broken(&settings, &ended)));
    read.and(sent)
}

async fn read_olist(
    settings: &ReplaySettings,
    progress: &Arc<Progress>,
    chunks: mpsc::Sender<Timeline>,
) -> Result<()> {
    let (inputs, counters) = (settings.inputs.clone(), Arc::clone(progress));
    let read = tokio::task::spawn_blocking(move || match inputs.as_slice() {
        [folder] if folder.is_dir() => olist::read(folder, &counters),
        _ => Err(Error::Input {
            path: inputs.first().cloned().unwrap_or_default(),
            fact: "it is not the folder of the data set".to_owned(),
            remedy: "name the folder that holds orders, items and payments",
        }),
    });
    let timeline = read.await.unwrap_or_else(|ended| Err(broken(settings, &ended)))?;
    progress.expect_rows(timeline.events.len() as u64);
    // Refused only when the sender has given up.
    let _ = chunks.send(timeline).await;
    Ok(())
}

/// Sends the events of each chunk when they are due; blocks.
fn send(
    settings: &ReplaySettings,
    topics: Vec<String>,
    mut chunks: mpsc::Receiver<Timeline>,
    progress: &Progress,
    stop: &CancellationToken,
) -> Result<ReplayReport> {
    let (kafka, compression) = (&settings.kafka, settings.compression);
    let mut sender = Sender::connect(kafka, compression, topics, Arc::default(), "sluice topics apply")?;
    let (mut rejected, mut untimed, mut times) = (0, 0, None::<(i64, i64)>);
    let mut started = None;
    'all: while let Some(chunk) = chunks.blocking_recv() {
        (rejected, untimed) = (rejected + chunk.rejected, untimed + chunk.untimed);
        let started = *started.get_or_insert_with(Instant::now);
        for event in &chunk.events {
            let first = times.map_or(event.at, |(first, _)| first);
            times = Some((first, event.at));
            let due = settings.speed.due(Duration::from_millis(event.at.abs_diff(first)));
            if stop.is_cancelled() || !produce::wait(&mut sender, due, started, stop) {
                break 'all;
            }
            sender.send(event.topic, false, chunk.key(event), chunk.payload(event));
            progress.add_rows(1);
        }
    }
    let sent = sender.finish();
    let seconds = started.map_or(0.0, |started| started.elapsed().as_secs_f64());
    Ok(report(settings, sent, (rejected, untimed), times, seconds))
}

fn report(
    settings: &ReplaySettings,
    sent: Sent,
    (rejected, untimed): (u64, u64),
    times: Option<(i64, i64)>,
    seconds: f64,
) -> ReplayReport {
    let delivered: u64 = sent.by_topic.values().map(|counts| counts.sent).sum();
    let is_timed = settings.time.is_some() || matches!(settings.what, What::Set(_));
    let time = DateTime::from_timestamp_millis;
    ReplayReport {
        sent: delivered,
        failed: sent.by_topic.values().map(|counts| counts.failed).sum(),
        rejected,
        untimed,
        by_topic: sent.by_topic,
        span: times.filter(|_| is_timed).and_then(|(first, last)| time(first).zip(time(last))),
        seconds,
        rows_per_second: delivered as f64 / seconds.max(1e-9),
        first_failure: sent.first_failure,
    }
}

fn broken(settings: &ReplaySettings, cause: &dyn std::fmt::Display) -> Error {
    Error::Broken { path: settings.inputs.first().cloned().unwrap_or_default(), fact: cause.to_string() }
}

impl Timeline {
    /// Puts the events in the order of their time; what happened at once stays in the order of its topics.
    fn sort(&mut self) {
        self.events.sort_by_key(|event| (event.at, event.topic));
    }

    pub(super) fn payload(&self, event: &Event) -> &[u8] {
        &self.bytes[event.start..event.end]
    }

    pub(super) fn key(&self, event: &Event) -> &[u8] {
        &self.bytes[event.key.0..event.key.1]
    }
}
