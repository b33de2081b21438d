//! The least work for the same bytes: one thread polls, the same number of threads decode as Sluice has,
//! one writes Parquet (zstd 1) into nothing. For several workers all of it several times, each with its share of the
//! partitions.
//!
//! Messages go through the decoders of arrow-json and arrow-avro back to back, straight into their types, unchecked.
//! Nothing is routed, remembered, uploaded or committed, and all rows become one file.

use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use sluice_ingest::KafkaSettings;
use sluice_ingest::topics::{Kind, Topic};

use super::shape::{Format, SCHEMA, SCHEMA_ID};
use super::{Failure, Measured, watermarks};
use crate::usage;

const ROWS: usize = 8192;
const BYTES: usize = 2 << 20;

/// Messages of any partitions, back to back.
#[derive(Default)]
struct Raw {
    bytes: Vec<u8>,
    rows: usize,
}

/// The partitions of a worker, and how many messages they hold.
#[derive(Default)]
struct Share {
    partitions: Vec<(String, i32)>,
    messages: u64,
}

/// When the first message came, and the processor time until then.
type Began = OnceLock<(Instant, f64)>;

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

/// Reads the topics from their start, whose events have the same columns, with so many threads a worker.
pub(super) fn measure(
    kafka: &KafkaSettings,
    topics: &[Topic],
    format: Format,
    (workers, threads): (usize, usize),
) -> Result<Measured, Failure> {
    let schema = schema(topics.first().ok_or("no topic")?);
    let began = Began::new();
    let mut whole = Measured::default();
    thread::scope(|scope| {
        let mut readers = Vec::new();
        for share in shares(kafka, topics, workers)? {
            let (schema, began) = (Arc::clone(&schema), &began);
            readers.push(scope.spawn(move || read(kafka, &share, (format, schema), threads, began)));
        }
        for reader in readers {
            let (messages, bytes) = reader.join().map_err(|_| "a thread of the ceiling stopped")??;
            whole.messages += messages;
            whole.bytes += bytes;
        }
        Ok::<_, Failure>(())
    })?;
    let (instant, cpu) = began.get().ok_or("the topics are empty")?;
    (whole.seconds, whole.cpu_seconds) = (instant.elapsed().as_secs_f64(), usage::cpu_seconds() - cpu);
    Ok(whole)
}

/// Deals the partitions out, the largest first, each to whom has least.
fn shares(kafka: &KafkaSettings, topics: &[Topic], workers: usize) -> Result<Vec<Share>, Failure> {
    let consumer: BaseConsumer = kafka.client_config().create()?;
    let mut partitions = Vec::new();
    for topic in topics {
        for partition in 0..topic.partitions {
            let (low, high) = watermarks(&consumer, &topic.name, partition)?;
            partitions.push((u64::try_from(high - low)?, (topic.name.clone(), partition)));
        }
    }
    partitions.sort_unstable_by(|one, other| other.cmp(one));
    let mut shares: Vec<Share> = (0..workers.max(1)).map(|_| Share::default()).collect();
    for (messages, partition) in partitions {
        let Some(least) = shares.iter_mut().min_by_key(|share| share.messages) else { continue };
        least.messages += messages;
        least.partitions.push(partition);
    }
    shares.retain(|share| share.messages > 0);
    Ok(shares)
}

/// One worker; returns how many messages and bytes it read.
fn read(
    kafka: &KafkaSettings,
    share: &Share,
    (format, schema): (Format, SchemaRef),
    threads: usize,
    began: &Began,
) -> Result<(u64, u64), Failure> {
    let consumer = consumer(kafka, share)?;
    let (raw_in, raw_out) = sync_channel::<Raw>(threads * 2);
    let (batch_in, batch_out) = sync_channel::<RecordBatch>(threads * 2);
    let raw_out = Arc::new(Mutex::new(raw_out));
    thread::scope(|scope| {
        let mut decoders = Vec::new();
        for _ in 0..threads {
            let (raw, out) = (Arc::clone(&raw_out), batch_in.clone());
            let decoder = Decoder::new(format, Arc::clone(&schema))?;
            decoders.push(scope.spawn(move || decode(&raw, decoder, |batch| out.send(batch).is_ok())));
        }
        // A decoder that gives up then ends the reading too, instead of letting it wait for ever.
        drop((batch_in, raw_out));
        let writer = scope.spawn(move || write(&batch_out));
        let (mut messages, mut bytes, mut raw) = (0_u64, 0_u64, Raw::default());
        while messages < share.messages {
            let Some(message) = consumer.poll(Duration::from_secs(10)) else {
                return Err(format!("Kafka gave only {messages} of {} messages", share.messages).into());
            };
            let message = message?;
            let payload = message.payload().unwrap_or_default();
            began.get_or_init(|| (Instant::now(), usage::cpu_seconds()));
            raw.bytes.extend_from_slice(payload);
            if format == Format::Json {
                raw.bytes.push(b'\n');
            }
            raw.rows += 1;
            messages += 1;
            bytes += (payload.len() + message.key_len()) as u64;
            if raw.rows >= ROWS || raw.bytes.len() >= BYTES || messages == share.messages {
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
        if rows != messages {
            return Err(format!("{messages} messages gave {rows} rows; produce without bad ones").into());
        }
        Ok((messages, bytes))
    })
}

fn consumer(kafka: &KafkaSettings, share: &Share) -> Result<BaseConsumer, Failure> {
    let mut config = kafka.client_config();
    config
        .set("group.id", "sluice-bench-ceiling")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .set("queued.max.messages.kbytes", "65536")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "10");
    let consumer: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    for (topic, partition) in &share.partitions {
        list.add_partition_offset(topic, *partition, Offset::Beginning)?;
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

/// The libraries' decoders as they are.
enum Decoder {
    Json(arrow::json::reader::Decoder),
    Avro(arrow_avro::reader::Decoder),
}

impl Decoder {
    fn new(format: Format, schema: SchemaRef) -> Result<Self, Failure> {
        Ok(match format {
            Format::Json => {
                Self::Json(arrow::json::ReaderBuilder::new(schema).with_batch_size(ROWS).build_decoder()?)
            }
            Format::Avro => {
                let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
                store.set(Fingerprint::Id(SCHEMA_ID), AvroSchema::new(SCHEMA.to_owned()))?;
                let builder = arrow_avro::reader::ReaderBuilder::new().with_writer_schema_store(store);
                Self::Avro(builder.with_batch_size(ROWS + 1).build_decoder()?)
            }
        })
    }

    /// All rows of the messages.
    fn rows(&mut self, bytes: &[u8]) -> Result<RecordBatch, Failure> {
        let (used, batch) = match self {
            Self::Json(decoder) => (decoder.decode(bytes)?, decoder.flush()?),
            Self::Avro(decoder) => (decoder.decode(bytes)?, decoder.flush()?),
        };
        if used != bytes.len() {
            return Err("the topic holds malformed messages; the ceiling is for good ones".into());
        }
        Ok(batch.ok_or("an empty batch")?)
    }
}

fn decode(
    raw: &Mutex<Receiver<Raw>>,
    mut decoder: Decoder,
    out: impl Fn(RecordBatch) -> bool,
) -> Result<(), Failure> {
    loop {
        let next = raw.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Raw { bytes, rows }) = next else { return Ok(()) };
        let batch = decoder.rows(&bytes)?;
        if batch.num_rows() != rows {
            return Err("the topic holds malformed messages; the ceiling is for good ones".into());
        }
        if !out(batch) {
            return Ok(());
        }
    }
}

fn write(batches: &Receiver<RecordBatch>) -> Result<u64, Failure> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1)?);
    let properties =
        WriterProperties::builder().set_compression(zstd).set_max_row_group_row_count(Some(256 << 10));
    let properties = properties.build();
    let Ok(first) = batches.recv() else { return Ok(0) };
    let mut writer = ArrowWriter::try_new(Nothing, first.schema(), Some(properties))?;
    let mut rows = 0;
    for batch in std::iter::once(first).chain(batches) {
        rows += batch.num_rows() as u64;
        writer.write(&batch)?;
    }
    writer.close()?;
    Ok(rows)
}
