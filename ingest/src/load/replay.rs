//! Olist's orders, items and payments as JSON events into Kafka, in the order of their time.
//!
//! ```text
//! three files -> Timeline (events sorted by time) -> topics olist-orders, olist-order-items, olist-payments
//! ```
//!
//! The time of an order is when it was bought. Items and payments have no time of their own: they take that
//! of their order and follow it. The key is the order's id. Times without zone are taken as UTC. A field that
//! is empty in the file is left out of the event.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::DataType;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::olist::{self, ITEMS, ORDERS, OlistFile, PAYMENTS};
use super::records::Records;
use super::table::misfit;
use super::{Error, Progress, Result};
use crate::kafka::KafkaSettings;
use crate::produce::send::Sender;
use crate::produce::{self, Compression, Speed, TopicCounts};
use crate::topics::{self, Topics};

/// The files, their topics and the `event_type` of their events.
const STREAMS: [(OlistFile, &str, &str); 3] = [
    (ORDERS, "olist-orders", "order"),
    (ITEMS, "olist-order-items", "order_item"),
    (PAYMENTS, "olist-payments", "payment"),
];

/// What to replay, and how.
#[derive(Clone, Debug)]
pub struct ReplaySettings {
    /// The cluster.
    pub kafka: KafkaSettings,
    /// The folder of the Olist files.
    pub folder: PathBuf,
    /// Seconds of event time in one second; the data set spans two years.
    pub speed: Speed,
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
    /// Items and payments whose order is not in the files: they have no time. Not sent.
    pub without_order: u64,
    /// Counts by topic.
    pub by_topic: BTreeMap<String, TopicCounts>,
    /// Time of the first and the last event.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Wall time of sending.
    pub seconds: f64,
    /// Why the first failed event failed.
    pub first_failure: Option<String>,
}

/// All events, sorted by time.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    pub(super) events: Vec<Event>,
    /// The JSON of all events, one after the other.
    bytes: Vec<u8>,
    pub(super) rejected: u64,
    pub(super) without_order: u64,
}

/// One event: where its JSON and, within that, its key lie in the timeline's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// Milliseconds since 1970-01-01 UTC.
    pub(super) at: i64,
    /// Index into the streams.
    pub(super) topic: usize,
    start: usize,
    end: usize,
    key: (usize, usize),
}

/// Creates the three topics where they are missing and sends all events, until done or `stop`.
///
/// # Errors
/// When a file is missing or unreadable, or Kafka cannot be reached. An event that could not be delivered
/// is counted in [`ReplayReport::failed`].
pub async fn replay(
    settings: ReplaySettings,
    progress: &Arc<Progress>,
    stop: CancellationToken,
) -> Result<ReplayReport> {
    topics::apply(&settings.kafka, &Topics::olist()).await?;
    let (folder, counters) = (settings.folder.clone(), Arc::clone(progress));
    let run = tokio::task::spawn_blocking(move || {
        let timeline = Timeline::read(&settings.folder, &counters)?;
        send(&settings, &timeline, &counters, &stop)
    });
    run.await.unwrap_or_else(|ended| Err(Error::Broken { path: folder, fact: ended.to_string() }))
}

fn send(
    settings: &ReplaySettings,
    timeline: &Timeline,
    progress: &Progress,
    stop: &CancellationToken,
) -> Result<ReplayReport> {
    let topics = STREAMS.map(|(_, topic, _)| topic.to_owned()).to_vec();
    let (kafka, compression) = (&settings.kafka, settings.compression);
    let mut sender = Sender::connect(kafka, compression, topics, Arc::default(), "sluice topics apply")?;
    progress.expect_rows(timeline.events.len() as u64);
    let started = Instant::now();
    let first = timeline.events.first().map_or(0, |event| event.at);
    for event in &timeline.events {
        let due = settings.speed.due(Duration::from_millis(event.at.abs_diff(first)));
        if stop.is_cancelled() || !produce::wait(&mut sender, due, started, stop) {
            break;
        }
        sender.send(event.topic, false, timeline.key(event), timeline.payload(event));
        progress.add_rows(1);
    }
    let sent = sender.finish();
    let time = |event: Option<&Event>| event.and_then(|event| DateTime::from_timestamp_millis(event.at));
    Ok(ReplayReport {
        sent: sent.by_topic.values().map(|counts| counts.sent).sum(),
        failed: sent.by_topic.values().map(|counts| counts.failed).sum(),
        rejected: timeline.rejected,
        without_order: timeline.without_order,
        by_topic: sent.by_topic,
        span: time(timeline.events.first()).zip(time(timeline.events.last())),
        seconds: started.elapsed().as_secs_f64(),
        first_failure: sent.first_failure,
    })
}

impl Timeline {
    pub(super) fn read(folder: &Path, progress: &Arc<Progress>) -> Result<Self> {
        let files = olist::find(folder, &STREAMS.map(|(file, _, _)| file))?;
        for (_, path) in &files {
            progress.expect_bytes(super::table::size(path)?);
        }
        let mut timeline = Self::default();
        // When each order was bought, filled by the first file.
        let mut bought: HashMap<Vec<u8>, i64> = HashMap::new();
        for (topic, (file, path)) in files.into_iter().enumerate() {
            timeline.add_file(topic, &file.columns(), &path, &mut bought, progress)?;
        }
        // An order comes before its items and payments: the streams are in that order.
        timeline.events.sort_by_key(|event| (event.at, event.topic));
        Ok(timeline)
    }

    fn add_file(
        &mut self,
        topic: usize,
        columns: &[(String, DataType)],
        path: &Path,
        bought: &mut HashMap<Vec<u8>, i64>,
        progress: &Arc<Progress>,
    ) -> Result<()> {
        let mut records = Records::open(path, b',', progress)?;
        super::table::check_header(path, columns, &records.names)?;
        let time_column = columns.iter().position(|(name, _)| name == "order_purchase_timestamp");
        while let Some(row) = records.next()? {
            if row.fault.is_some() || misfit(&row, columns).is_some() {
                self.rejected += 1;
                continue;
            }
            let order = &row.record[0];
            let at = match time_column {
                Some(column) => text(&row.record[column]).and_then(millis),
                None => bought.get(order).copied(),
            };
            let Some(at) = at else {
                self.without_order += 1;
                continue;
            };
            if time_column.is_some() {
                bought.insert(order.to_vec(), at);
            }
            self.add_event(at, topic, columns, row.record, time_column);
        }
        Ok(())
    }

    fn add_event(
        &mut self,
        at: i64,
        topic: usize,
        columns: &[(String, DataType)],
        record: &csv::ByteRecord,
        time_column: Option<usize>,
    ) {
        let start = self.bytes.len();
        // Writing to memory does not fail.
        let _ = write!(self.bytes, "{{\"event_type\":\"{}\",\"timestamp\":{at}", STREAMS[topic].2);
        let mut key = (start, start);
        for (column, ((name, data_type), field)) in columns.iter().zip(record).enumerate() {
            let Some(value) = text(field).filter(|_| Some(column) != time_column) else { continue };
            let _ = write!(self.bytes, ",\"{name}\":");
            let begin = self.bytes.len();
            match data_type {
                DataType::Timestamp(..) => {
                    let _ = write!(self.bytes, "{}", millis(value).unwrap_or_default());
                }
                DataType::Utf8 => {
                    let _ = serde_json::to_writer(&mut self.bytes, value);
                }
                _ => number(&mut self.bytes, value),
            }
            if column == 0 {
                key = (begin + 1, self.bytes.len() - 1);
            }
        }
        self.bytes.push(b'}');
        self.events.push(Event { at, topic, start, end: self.bytes.len(), key });
    }

    pub(super) fn payload(&self, event: &Event) -> &[u8] {
        &self.bytes[event.start..event.end]
    }

    pub(super) fn key(&self, event: &Event) -> &[u8] {
        &self.bytes[event.key.0..event.key.1]
    }
}

/// A field's text; none when it is empty.
fn text(field: &[u8]) -> Option<&str> {
    std::str::from_utf8(field).ok().filter(|text| !text.is_empty())
}

/// Milliseconds of a time that `infer::fits` took for a timestamp.
fn millis(text: &str) -> Option<i64> {
    let text = if text.len() == 10 { format!("{text} 00:00:00") } else { text.replace('T', " ") };
    let time = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    Some(time.and_utc().timestamp_millis())
}

/// A number as JSON has it: `.5` gets its zero.
fn number(out: &mut Vec<u8>, text: &str) {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    out.extend_from_slice(sign.as_bytes());
    if digits.starts_with('.') {
        out.push(b'0');
    }
    out.extend_from_slice(digits.as_bytes());
}
