//! The least work for the same bytes: one thread polls, the same number of threads decode as Sluice has,
//! one writes Parquet (zstd 1) into nothing.
//!
//! Messages go through arrow-json's decoder back to back, straight into their types, unchecked. Nothing is
//! routed, remembered, uploaded or committed.

use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use sluice_ingest::KafkaSettings;
use sluice_ingest::topics::{Kind, Topic};

use super::{Failure, Measured};
use crate::usage;

const ROWS: usize = 8192;
const BYTES: usize = 2 << 20;

/// Messages of any partitions, separated by line breaks.
#[derive(Default)]
struct Raw {
    bytes: Vec<u8>,
    rows: usize,
}

/// Swallows what is written.
struct Nothing;

impl io::Write for Nothing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads `total` messages from the start of the topics, whose events have the same columns.
pub(super) fn measure(
    kafka: &KafkaSettings,
    topics: &[Topic],
    total: u64,
    threads: usize,
) -> Result<Measured, Failure> {
    let consumer = consumer(kafka, topics)?;
    let schema = schema(topics.first().ok_or("no topic")?);
    let (raw_in, raw_out) = sync_channel::<Raw>(threads * 2);
    let (batch_in, batch_out) = sync_channel::<RecordBatch>(threads * 2);
    let raw_out = Arc::new(Mutex::new(raw_out));
    thread::scope(|scope| {
        let mut decoders = Vec::new();
        for _ in 0..threads {
            let (raw, out, schema) = (Arc::clone(&raw_out), batch_in.clone(), Arc::clone(&schema));
            decoders.push(scope.spawn(move || decode(&raw, schema, |batch| out.send(batch).is_ok())));
        }
        // A decoder that gives up then ends the reading too, instead of letting it wait for ever.
        drop((batch_in, raw_out));
        let file_schema = Arc::clone(&schema);
        let writer = scope.spawn(move || write(&batch_out, file_schema));
        let mut began = None;
        let (mut messages, mut bytes, mut raw) = (0_u64, 0_u64, Raw::default());
        while messages < total {
            let Some(message) = consumer.poll(Duration::from_secs(10)) else {
                return Err(format!("Kafka gave only {messages} of {total} messages").into());
            };
            let message = message?;
            let payload = message.payload().unwrap_or_default();
            began.get_or_insert_with(|| (Instant::now(), usage::cpu_seconds()));
            raw.bytes.extend_from_slice(payload);
            raw.bytes.push(b'\n');
            raw.rows += 1;
            messages += 1;
            bytes += (payload.len() + message.key_len()) as u64;
            if raw.rows >= ROWS || raw.bytes.len() >= BYTES || messages == total {
                let next = Raw { bytes: Vec::with_capacity(raw.bytes.len()), rows: 0 };
                if raw_in.send(std::mem::replace(&mut raw, next)).is_err() {
                    break; // The decoders say why.
                }
            }
        }
        drop(raw_in);
        let stopped = || Failure::from("a thread of the ceiling stopped");
        for decoder in decoders {
            decoder.join().map_err(|_| stopped())??;
        }
        let rows = writer.join().map_err(|_| stopped())??;
        let (began, cpu) = began.ok_or("the topic is empty")?;
        let (seconds, cpu_seconds) = (began.elapsed().as_secs_f64(), usage::cpu_seconds() - cpu);
        if rows != messages {
            return Err(format!("{messages} messages gave {rows} rows; produce without bad ones").into());
        }
        Ok(Measured { messages, bytes, seconds, cpu_seconds })
    })
}

fn consumer(kafka: &KafkaSettings, topics: &[Topic]) -> Result<BaseConsumer, Failure> {
    let mut config = kafka.client_config();
    config
        .set("group.id", "sluice-bench-ceiling")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .set("queued.max.messages.kbytes", "65536")
        .set("fetch.wait.max.ms", "100");
    let consumer: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    for topic in topics {
        for partition in 0..topic.partitions {
            list.add_partition_offset(&topic.name, partition, Offset::Beginning)?;
        }
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

/// All columns of all routes, in their own types.
fn schema(topic: &Topic) -> SchemaRef {
    let mut fields: Vec<Field> = Vec::new();
    for column in topic.routes.iter().flat_map(|route| &route.columns) {
        if fields.iter().any(|field| *field.name() == column.name) {
            continue;
        }
        // The decoder of the ceiling would take milliseconds for microseconds.
        let kind = match &column.kind {
            Kind::TimestampMillis => DataType::Int64,
            kind => kind.data_type(),
        };
        fields.push(Field::new(&column.name, kind, true));
    }
    Arc::new(Schema::new(fields))
}

fn decode(
    raw: &Mutex<Receiver<Raw>>,
    schema: SchemaRef,
    out: impl Fn(RecordBatch) -> bool,
) -> Result<(), Failure> {
    let mut decoder = ReaderBuilder::new(schema).with_batch_size(ROWS).build_decoder()?;
    loop {
        let next = raw.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Raw { bytes, rows }) = next else { return Ok(()) };
        let used = decoder.decode(&bytes)?;
        let batch = decoder.flush()?.ok_or("an empty batch")?;
        if used != bytes.len() || batch.num_rows() != rows {
            return Err("the topic holds malformed messages; the ceiling is for good ones".into());
        }
        if !out(batch) {
            return Ok(());
        }
    }
}

fn write(batches: &Receiver<RecordBatch>, schema: SchemaRef) -> Result<u64, Failure> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1)?);
    let properties =
        WriterProperties::builder().set_compression(zstd).set_max_row_group_row_count(Some(256 << 10));
    let mut writer = ArrowWriter::try_new(Nothing, schema, Some(properties.build()))?;
    let mut rows = 0;
    for batch in batches {
        rows += batch.num_rows() as u64;
        writer.write(&batch)?;
    }
    writer.close()?;
    Ok(rows)
}
