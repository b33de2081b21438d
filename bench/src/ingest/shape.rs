//! What is landed: the shop's events, or events made from their number alone, in one topic or many.
//!
//! | shape | topics | tables |
//! |---|---|---|
//! | shop | the shop's user events | two |
//! | one | one of six partitions | one |
//! | topics N | N by pattern | N by template |
//! | tables N | one of six partitions | N by a field, of very different size |
//!
//! In the last shape half of the events go to one table in a hundred, and the smallest tables get a few of a million.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::util::Timeout;
use sluice_ingest::KafkaSettings;
use sluice_ingest::topics::{Topic, Topics};

use super::Failure;

/// The id of the one Avro schema.
pub(super) const SCHEMA_ID: u32 = 1;
/// The Avro schema of the events.
pub(super) const SCHEMA: &str = r#"{"type":"record","name":"Event","fields":[
    {"name":"event_id","type":"string"},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"kind","type":"string"},
    {"name":"user","type":"long"},
    {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
    {"name":"note","type":"string"}]}"#;

const COLUMNS: &str = "columns: {event_id: string, at: timestamp_ms, kind: string, user: long, amount: 'decimal(12,2)', note: string}";
/// Events between two looks at the clock.
const STEP: u64 = 200;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One JSON object
    Json,
    /// Avro, framed as a schema registry wants it
    Avro,
}

/// Topics and tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Shop,
    One,
    Topics(u64),
    Tables(u64),
}

/// Topics and tables, and how messages are written.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) layout: Layout,
    pub(super) format: Format,
    /// Part of the names of topics, for runs that need topics of their own.
    pub(super) suffix: String,
}

impl Format {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Avro => "avro",
        }
    }
}

impl Shape {
    /// The topics to produce into, and those to ingest: by pattern and template.
    pub(super) fn topics(&self) -> Result<(Vec<Topic>, Vec<Topic>), Failure> {
        let (format, suffix) = (self.format.name(), &self.suffix);
        let topic = |key: &str, partitions: u64, table: &str, max_tables: &str| {
            format!(
                "  - {{{key}, format: {format}, partitions: {partitions}, \
                 routes: [{{table: '{table}', {max_tables}{COLUMNS}}}]}}\n"
            )
        };
        let parse = |topics: String| Ok::<_, Failure>(Topics::parse(&format!("topics:\n{topics}"))?.topics);
        match self.layout {
            Layout::Shop => {
                let topic = Topics::shop().get(super::TOPIC).cloned();
                let topics = vec![topic.ok_or("the built-in topics file has no `user-events`")?];
                Ok((topics.clone(), topics))
            }
            Layout::One => {
                let one =
                    parse(topic(&format!("name: sluice-bench-{format}{suffix}"), 6, "bronze.events", ""))?;
                Ok((one.clone(), one))
            }
            Layout::Topics(count) => {
                let name = format!("sluice-bench-{count}-topics-{format}{suffix}");
                let all = (0..count).map(|n| topic(&format!("name: {name}-{n}"), 1, "bronze.{topic}", ""));
                let max = format!("max_tables: {count}, ");
                let pattern = topic(&format!("pattern: '{name}-[0-9]+'"), 1, "bronze.{topic}", &max);
                Ok((parse(all.collect())?, parse(pattern)?))
            }
            Layout::Tables(count) => {
                let name = format!("name: sluice-bench-{count}-tables-{format}{suffix}");
                let max = format!("max_tables: {count}, ");
                let one = parse(topic(&name, 6, "bronze.{field:kind}", &max))?;
                Ok((one.clone(), one))
            }
        }
    }

    /// Produces the events with these numbers, at most so many a second, until it is told to stop.
    pub(super) fn produce(
        &self,
        kafka: &KafkaSettings,
        numbers: std::ops::Range<u64>,
        rate: Option<f64>,
        stop: &AtomicBool,
    ) -> Result<(), Failure> {
        let (topics, _) = self.topics()?;
        let tables = if let Layout::Tables(count) = self.layout { count } else { 10 };
        let mut config = kafka.client_config();
        config.set("linger.ms", "50").set("compression.type", "lz4").set("enable.idempotence", "true");
        let producer: ThreadedProducer<_> = config.create()?;
        let (began, first) = (Instant::now(), numbers.start);
        for number in numbers {
            if (number - first).is_multiple_of(STEP) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let due = rate.map_or(0.0, |rate| (number - first) as f64 / rate);
                std::thread::sleep(Duration::from_secs_f64(due).saturating_sub(began.elapsed()));
            }
            let topic = &topics[(number % topics.len() as u64) as usize];
            let payload = Event::new(number, tables).payload(self.format);
            let mut record = BaseRecord::<str, [u8]>::to(&topic.name).payload(&payload);
            while let Err((error, back)) = producer.send(record) {
                match error.rdkafka_error_code() {
                    Some(rdkafka::types::RDKafkaErrorCode::QueueFull) => {
                        std::thread::sleep(Duration::from_millis(10));
                        record = back;
                    }
                    _ => return Err(error.into()),
                }
            }
        }
        Ok(producer.flush(Timeout::After(Duration::from_secs(60)))?)
    }
}

/// An event of about 200 bytes as JSON.
struct Event {
    id: String,
    at: i64,
    kind: String,
    user: i64,
    cents: i64,
    note: String,
}

impl Event {
    fn new(number: u64, tables: u64) -> Self {
        let (chance, other) = (mixed(number), mixed(number ^ 0x5eed));
        // The seventh power of an even chance: a half of the events goes to the first table in a hundred.
        let share = ((chance >> 11) as f64 / (1_u64 << 53) as f64).powi(7);
        let table = ((share * tables as f64) as u64).min(tables - 1);
        Self {
            id: format!("{chance:016x}-{number:016x}"),
            at: 1_700_000_000_000 + number as i64 * 7,
            kind: format!("kind_{table:04}"),
            user: (other % 1_000_000) as i64,
            cents: (other % 500 * 100 + chance % 100) as i64,
            note: format!("{other:016x}{chance:016x}{:032x}", u128::from(other) * u128::from(chance)),
        }
    }

    fn payload(&self, format: Format) -> Vec<u8> {
        let Self { id, at, kind, user, cents, note } = self;
        match format {
            Format::Json => format!(
                r#"{{"event_id":"{id}","at":{at},"kind":"{kind}","user":{user},"amount":{}.{:02},"note":"{note}"}}"#,
                cents / 100,
                cents % 100,
            )
            .into_bytes(),
            Format::Avro => {
                let mut bytes = vec![0];
                bytes.extend(SCHEMA_ID.to_be_bytes());
                text(&mut bytes, id.as_bytes());
                long(&mut bytes, *at);
                text(&mut bytes, kind.as_bytes());
                long(&mut bytes, *user);
                text(&mut bytes, &cents.to_be_bytes());
                text(&mut bytes, note.as_bytes());
                bytes
            }
        }
    }
}

/// Avro's variable-length number: signs in the lowest bit, seven bits a byte, the lowest first.
fn long(bytes: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        bytes.push((rest as u8 & 0x7f) | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

/// Avro's text or bytes.
fn text(bytes: &mut Vec<u8>, value: &[u8]) {
    long(bytes, value.len() as i64);
    bytes.extend(value);
}

/// A number without pattern (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
