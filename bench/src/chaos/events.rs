//! Events at a steady pace: sales and returns in turns, and each fiftieth is no event at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use sluice_ingest::KafkaSettings;

use crate::ingest::Failure;

/// Partitions of the topic.
pub(super) const PARTITIONS: i32 = 8;
const FLUSH: Duration = Duration::from_secs(60);

/// Sends until `over`; gives how many the broker has.
pub(super) fn send(
    brokers: &str,
    topic: &str,
    rate: u64,
    over: Arc<AtomicBool>,
) -> Result<JoinHandle<Result<u64, Failure>>, Failure> {
    let mut config = KafkaSettings::new(brokers).client_config();
    config.set("enable.idempotence", "true").set("linger.ms", "20");
    let (producer, topic): (BaseProducer, String) = (config.create()?, topic.to_owned());
    Ok(std::thread::spawn(move || {
        let (began, mut sent) = (Instant::now(), 0_u64);
        while !over.load(SeqCst) {
            while (sent as f64) < began.elapsed().as_secs_f64() * rate as f64 {
                let kind = if sent.is_multiple_of(2) { "sale" } else { "return" };
                let event = match sent % 50 {
                    0 => "no event".to_owned(),
                    _ => format!(r#"{{"id":"{sent}","event_type":"{kind}"}}"#),
                };
                let key = sent.to_string();
                let partition = (sent % PARTITIONS as u64) as i32;
                let record = BaseRecord::to(&topic).partition(partition).key(&key).payload(&event);
                match producer.send(record) {
                    Ok(()) => sent += 1,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => break,
                    Err((error, _)) => return Err(error.into()),
                }
            }
            producer.poll(Duration::from_millis(20));
        }
        producer.flush(FLUSH)?;
        Ok(sent)
    }))
}
