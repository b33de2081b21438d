//! `sluice produce`: synthetic shop events into Kafka, the same for the same seed.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use sluice_ingest::produce::{self, Compression, ProduceSettings, Progress, Report, Speed};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::failure::Failure;
use crate::{edge, output, progress, stop};

const EXAMPLES: &str = "\
Examples:
  sluice produce --events 1000000 --brokers localhost:9092
  sluice produce --for 5m --speed 10x          ten times as fast as the clock
  sluice produce --topic user-events --events 5000000 --seed 7 --start 2026-01-01T00:00:00Z

Mix: view 50 %, addtocart 20, transaction 10, search 10, filter 7, review 3. A transaction brings a payment, an order and a
stock change on their topics. The same seed and start produce the same bytes.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ProduceArgs {
    /// Messages to send over all topics [default: until stopped]
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// Stop after this long
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// The same seed produces the same events
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Event time against the clock: 1x, 10x, 100x, any N or Nx, or max
    #[arg(long, default_value = "max", value_name = "FACTOR")]
    speed: Speed,
    /// Events of people per second of event time
    #[arg(long, default_value_t = 1000.0, value_name = "N")]
    rate: f64,
    /// Time of the first event [default: now]
    #[arg(long, value_name = "TIME")]
    start: Option<DateTime<Utc>>,
    /// Only these topics
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,
    /// Compression of batches
    #[arg(long, value_enum, default_value = "lz4")]
    compression: Codec,
    /// Share of events that are broken on purpose, 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    bad: f64,
    /// Number of people
    #[arg(long, default_value_t = 10_000)]
    users: u32,
    /// Number of items
    #[arg(long, default_value_t = 2_000)]
    items: u32,
    /// End with one JSON object
    #[arg(long)]
    json: bool,
}

/// The codecs by the names Kafka uses.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Codec {
    None,
    Lz4,
    Snappy,
    Zstd,
}

pub(crate) async fn run(args: ProduceArgs, config: Config) -> Result<ExitCode, Failure> {
    let settings = args.settings(&config)?;
    let stop = stop::on_signal()?;
    if let Some(duration) = args.duration {
        progress::cancel_after(stop.clone(), duration);
    }
    let report = with_line(settings, stop).await?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print_report(&report);
    }
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl ProduceArgs {
    fn settings(&self, config: &Config) -> Result<ProduceSettings, Failure> {
        let start = self.start.unwrap_or_else(edge::now);
        Ok(ProduceSettings {
            topics: self.topic.clone(),
            events: self.events,
            rate: self.rate,
            speed: self.speed,
            compression: self.compression.into(),
            bad_share: self.bad,
            users: self.users,
            items: self.items,
            ..ProduceSettings::new(config.kafka_settings()?, self.seed, start)
        })
    }
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::None => Self::None,
            Codec::Lz4 => Self::Lz4,
            Codec::Snappy => Self::Snappy,
            Codec::Zstd => Self::Zstd,
        }
    }
}

async fn with_line(settings: ProduceSettings, stop: CancellationToken) -> Result<Report, Failure> {
    let (counters, done) = (Arc::new(Progress::default()), CancellationToken::new());
    let shown = Arc::clone(&counters);
    let line = tokio::spawn(progress::show(done.clone(), move |elapsed| {
        let (sent, failed) = (shown.sent(), shown.failed());
        let rate = output::grouped(progress::rate(sent, elapsed));
        format!("sent {} ({rate}/s) · failed {failed}", output::grouped(sent))
    }));
    let report = produce::produce(settings, counters, stop).await;
    done.cancel();
    line.await?;
    Ok(report?)
}

fn print_report(report: &Report) {
    let rows = report.by_topic.iter().map(|(topic, counts)| {
        vec![topic.clone(), output::grouped(counts.sent), output::grouped(counts.failed)]
    });
    output::print_listing(&["topic", "sent", "failed"], rows.collect());
    println!(
        "sent {} in {:.1} s ({}/s), failed {}, malformed on purpose {}",
        output::grouped(report.sent),
        report.seconds,
        output::grouped(report.per_second as u64),
        report.failed,
        report.bad
    );
    if let Some(reason) = &report.first_failure {
        println!("first failure: {reason}");
    }
}
