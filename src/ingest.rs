//! `sluice ingest`: Kafka events land in tables until the process is told to stop, or until it has caught up.

mod view;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use sluice_ingest::{DeadLetterLimit, IngestSettings, Progress, Report};
use sluice_query::Monitor;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::failure::Failure;
use crate::{edge, output, parts, progress, stop};

const EXAMPLES: &str = "\
Examples:
  sluice ingest --brokers localhost:9092
  sluice ingest --brokers localhost:9092 --warehouse s3://lake/warehouse --commit-interval 5s
  sluice ingest --topics topics.yaml --only user-events
  sluice ingest --until-caught-up
  sluice ingest --http 127.0.0.1:9090

Progress is kept in the tables, never in Kafka: a second start goes on exactly where the tables stand.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct IngestArgs {
    /// Topics file, or a built-in one by name: shop, olist [default: shop]
    #[arg(long, value_name = "FILE|NAME")]
    topics: Option<PathBuf>,
    /// Only these topics of the file
    #[arg(long, value_name = "TOPIC")]
    only: Vec<String>,
    /// Consumer group [default: sluice]
    #[arg(long)]
    group: Option<String>,
    /// Commit at least this often [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    commit_interval: Option<Duration>,
    /// Memory for buffers and writers; partitions pause beyond it [default: 1GiB]
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Answer /metrics, /healthz and /readyz on this address
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// Land what the topics hold now, then end
    #[arg(long)]
    until_caught_up: bool,
    /// End with one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: IngestArgs, mut config: Config) -> Result<ExitCode, Failure> {
    let json = args.json;
    args.override_config(&mut config);
    let stop = stop::on_signal()?;
    settings(&config, &args.only)?;
    let lake = parts::lake(&config).await?;
    let monitor = match config.ingest.http {
        Some(address) => Some(Monitor::bind(lake.clone(), address).await?),
        None => None,
    };
    let probes = async {
        match monitor {
            Some(monitor) => answer(monitor, &stop).await,
            None => Ok(()),
        }
    };
    let landing = stop::ending(land(lake, &args, config, stop.clone()), &stop);
    let (report, answered) = tokio::join!(landing, probes);
    let report = report?;
    answered?;
    if json {
        println!("{}", object(&report));
    } else {
        println!(
            "consumed {}, landed {}, dead letters {}, commits {}",
            output::grouped(report.consumed),
            output::grouped(report.landed),
            output::grouped(report.dead_lettered),
            report.commits
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Answers scrapes and probes until `stop`; landing ends with it when it cannot.
async fn answer(monitor: Monitor, stop: &CancellationToken) -> Result<(), Failure> {
    tracing::info!(address = %monitor.addr(), "HTTP: /metrics, /healthz, /readyz");
    Ok(stop::ending(monitor.run(stop.clone()), stop).await?)
}

/// The report as one JSON object.
fn object(report: &Report) -> serde_json::Value {
    serde_json::json!({
        "consumed": report.consumed,
        "landed": report.landed,
        "dead_lettered": report.dead_lettered,
        "commits": report.commits,
        "restarts": report.restarts,
        "buffered_bytes_peak": report.buffered_bytes_peak,
        "seconds": report.elapsed.as_secs_f64(),
    })
}

impl IngestArgs {
    fn override_config(&self, config: &mut Config) {
        config.kafka.topics = self.topics.clone().or(config.kafka.topics.take());
        config.kafka.group = self.group.clone().unwrap_or_else(|| config.kafka.group.clone());
        config.ingest.commit_interval = self.commit_interval.unwrap_or(config.ingest.commit_interval);
        config.ingest.memory = self.memory.unwrap_or(config.ingest.memory);
        config.ingest.http = self.http.or(config.ingest.http);
    }
}

/// The settings of the configured ingest, for all topics with a table or only the named ones.
pub(crate) fn settings(config: &Config, only: &[String]) -> Result<IngestSettings, Failure> {
    let mut topics = config.topics()?.topics;
    if let Some(unknown) = only.iter().find(|name| topics.iter().all(|topic| topic.name != **name)) {
        let known: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
        return Err(Failure::usage(format!("topic `{unknown}` is not in the topics file"))
            .hint(format!("it declares: {}", known.join(", "))));
    }
    // A topic that lands nowhere stays, so that no pattern means it.
    topics.retain(|topic| only.is_empty() || only.contains(&topic.name) || topic.routes.is_empty());
    let mut settings = IngestSettings::new(config.kafka_settings()?, topics);
    settings.group.clone_from(&config.kafka.group);
    settings.instance_id.clone_from(&config.kafka.instance_id);
    settings.commit_interval = config.ingest.commit_interval;
    settings.commit_bytes = config.ingest.commit_bytes.as_u64() as usize;
    settings.memory_budget = config.ingest.memory.as_u64() as usize;
    settings.target_lag = (!config.ingest.target_lag.is_zero()).then_some(config.ingest.target_lag);
    settings.open_files_max = config.ingest.open_files;
    settings.discover_interval = config.ingest.discover_every;
    settings.registry = config.registry_settings()?;
    settings.max_message_bytes = config.ingest.max_message_bytes.as_u64() as usize;
    let limit = &config.ingest.dead_letters;
    if !(0.0..=1.0).contains(&limit.max_share) {
        return Err(Failure::usage(format!("ingest.dead_letters.max_share is {}", limit.max_share))
            .hint("give a share from 0 to 1; 1 never pauses"));
    }
    settings.dead_letter_limit = Some(DeadLetterLimit {
        messages: limit.min_messages,
        share: limit.max_share,
        per_minute: limit.max_per_minute,
        pause: limit.pause,
    });
    Ok(settings)
}

/// Runs ingest with a view of its progress until `stop`, or until it has caught up.
async fn land(
    lake: sluice_catalog::Lake,
    args: &IngestArgs,
    config: Config,
    stop: CancellationToken,
) -> Result<Report, Failure> {
    let counters = Arc::new(Progress::default());
    let done = CancellationToken::new();
    let shown = tokio::spawn(watch(Arc::clone(&counters), done.clone()));
    let report = if args.until_caught_up {
        let settings = settings(&config, &args.only)?;
        sluice_ingest::catch_up(lake, settings, counters, stop).await.map_err(Failure::from)
    } else {
        let settings = || {
            let mut config = config.reloaded()?;
            args.override_config(&mut config);
            settings(&config, &args.only)
        };
        sluice_ingest::run_with_settings(lake, settings, counters, stop).await
    };
    done.cancel();
    shown.await?;
    report
}

/// Shows how landing goes on: topic by topic on a terminal, a line now and then elsewhere.
pub(crate) async fn watch(counters: Arc<Progress>, done: CancellationToken) {
    let mut view = view::View::default();
    let lines = |elapsed| view.lines(&counters, elapsed, edge::now());
    progress::show_lines(done, lines, |_| view::line(&counters)).await;
}
