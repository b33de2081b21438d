//! Many tables: fifty topics into fifty tables, or one topic into a thousand tables of very different size.
//!
//! Events of about 200 bytes, made from their number alone. In the second shape half of the events go to one table in
//! a hundred, and the smallest tables get a few of a million.

use std::time::Duration;

use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::util::Timeout;
use sluice_ingest::KafkaSettings;
use sluice_ingest::topics::{Topic, Topics};

use super::Failure;

const TOPICS: u64 = 50;
const TABLES: u64 = 1000;

/// What is landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shape {
    /// The shop's user events, of one topic, in two tables
    Events,
    /// Fifty topics by pattern, each in its own table
    Topics,
    /// One topic, a thousand tables by a field, with a skewed share
    Tables,
}

/// The topics to produce into, and those to ingest: by pattern and template.
pub(super) fn topics(shape: Shape) -> Result<(Vec<Topic>, Vec<Topic>), Failure> {
    let columns = "columns: {event_id: string, at: timestamp_ms, kind: string, user: long, amount: 'decimal(12,2)', note: string}";
    let named = |name: &str, partitions: u64, table: &str| {
        format!("  - {{name: {name}, partitions: {partitions}, routes: [{{table: '{table}', max_tables: {TABLES}, {columns}}}]}}\n")
    };
    let parse = |topics: String| Ok::<_, Failure>(Topics::parse(&format!("topics:\n{topics}"))?.topics);
    match shape {
        Shape::Events => Err("the built-in events are no shape of many tables".into()),
        Shape::Topics => {
            let all = (0..TOPICS).map(|n| named(&format!("sluice-bench-many-{n}"), 1, "bronze.{topic}"));
            let pattern = format!(
                "  - {{pattern: 'sluice-bench-many-[0-9]+', routes: [{{table: 'bronze.{{topic}}', {columns}}}]}}\n"
            );
            Ok((parse(all.collect())?, parse(pattern)?))
        }
        Shape::Tables => {
            let one = parse(named("sluice-bench-tables", 6, "bronze.{field:kind}"))?;
            Ok((one.clone(), one))
        }
    }
}

/// Produces the events with these numbers.
pub(super) fn produce(kafka: &KafkaSettings, topics: &[Topic], from: u64, to: u64) -> Result<(), Failure> {
    let mut config = kafka.client_config();
    config.set("linger.ms", "50").set("compression.type", "lz4").set("enable.idempotence", "true");
    let producer: ThreadedProducer<_> = config.create()?;
    for number in from..to {
        let topic = &topics[(number % topics.len() as u64) as usize];
        let payload = event(number);
        let mut record = BaseRecord::<str, str>::to(&topic.name).payload(&payload);
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
    producer.flush(Timeout::After(Duration::from_secs(60)))?;
    Ok(())
}

fn event(number: u64) -> String {
    let (chance, other) = (mixed(number), mixed(number ^ 0x5eed));
    // The seventh power of an even chance: a half of the events goes to the first table in a hundred.
    let share = ((chance >> 11) as f64 / (1_u64 << 53) as f64).powi(7);
    let table = ((share * TABLES as f64) as u64).min(TABLES - 1);
    format!(
        r#"{{"event_id":"{chance:016x}-{number:016x}","at":{},"kind":"kind_{table:04}","user":{},"amount":{}.{:02},"note":"{other:016x}{chance:016x}"}}"#,
        1_700_000_000_000 + number * 7,
        other % 1_000_000,
        other % 500,
        chance % 100,
    )
}

/// A number without pattern (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
