//! The parts of the demo, started in the order of the flow and ended in the same order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sluice_catalog::Lake;
use sluice_ingest::produce::{self, ProduceSettings};
use sluice_ingest::{IngestSettings, KafkaSettings, Progress, Report, topics};
use sluice_query::{ServeSettings, Server};
use sluice_sql::Engine;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{DemoArgs, check, folder};
use crate::broker::Broker;
use crate::config::Config;
use crate::failure::Failure;
use crate::{build, edge, output, parts, progress, stop};

/// Events of a bare demo: enough to see the speed, done well within a minute.
const DEFAULT_EVENTS: u64 = 1_000_000;

/// Commits come often, so that rows are seen soon.
const COMMIT_INTERVAL: Duration = Duration::from_secs(3);

/// Ingest is given up when nothing arrives for this long.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The running demo.
pub(super) struct Flow {
    config: Config,
    kafka: KafkaSettings,
    lake: Lake,
    engine: Engine,
    started: Instant,
    produced: Arc<produce::Progress>,
    landed: Arc<Progress>,
    ingest: JoinHandle<Result<Report, sluice_ingest::Error>>,
    stop_ingest: CancellationToken,
    server: JoinHandle<Result<(), sluice_query::Error>>,
    stop_server: CancellationToken,
    told_to_stop: CancellationToken,
    pub(super) addresses: (SocketAddr, SocketAddr),
    _broker: Broker,
}

/// What the demo showed.
pub(super) struct Outcome {
    pub(super) check: check::Check,
    pub(super) seconds: f64,
    pub(super) events_per_second: u64,
    pub(super) tables: Vec<crate::tables::Entry>,
    pub(super) engine: Engine,
    pub(super) config: Config,
    pub(super) addresses: (SocketAddr, SocketAddr),
}

impl Flow {
    /// Starts broker, topics, lake, ingest and servers.
    pub(super) async fn start(config: Config) -> Result<Self, Failure> {
        let told_to_stop = stop::on_signal()?;
        folder::prepare(&config.data_dir())?;
        let broker = Broker::start().await?;
        let kafka = KafkaSettings::new(broker.address());
        let shop = topics::Topics::shop();
        topics::apply(&kafka, &shop).await?;

        let lake = parts::lake(&config).await?;
        let engine = parts::engine_over(lake.clone(), &config)?;
        let server = bind(&engine, &config).await?;
        let addresses = (server.flight_addr(), server.http_addr());
        let stop_server = CancellationToken::new();
        let landing = shop.topics.into_iter().filter(|topic| !topic.routes.is_empty()).collect();
        let mut settings = IngestSettings::new(kafka.clone(), landing);
        settings.commit_interval = COMMIT_INTERVAL.min(config.ingest.commit_interval);
        settings.memory_budget = config.ingest.memory.as_u64() as usize;
        let (landed, stop_ingest) = (Arc::new(Progress::default()), CancellationToken::new());
        let ingest = sluice_ingest::run(lake.clone(), settings, Arc::clone(&landed), stop_ingest.clone());
        Ok(Self {
            config,
            kafka,
            lake,
            engine,
            started: Instant::now(),
            produced: Arc::default(),
            landed,
            ingest: tokio::spawn(ingest),
            stop_ingest,
            server: tokio::spawn(server.run(stop_server.clone())),
            stop_server,
            told_to_stop,
            addresses,
            _broker: broker,
        })
    }

    /// Produces, lands everything, builds the models and checks every offset.
    pub(super) async fn finish(&mut self, args: &DemoArgs) -> Result<Outcome, Failure> {
        let done = CancellationToken::new();
        let line = tokio::spawn(progress::show(done.clone(), self.line()));
        self.started = Instant::now();
        let landed = self.land_all(args).await;
        done.cancel();
        line.await?;
        let sent = landed?;
        let seconds = self.started.elapsed().as_secs_f64();

        eprintln!("landed everything; building the models");
        build::project(&self.engine, "shop", self.config.models.threads).await?;
        let check = check::run(&self.lake, &self.engine.session(), sent).await?;
        Ok(Outcome {
            check,
            seconds,
            events_per_second: (sent as f64 / seconds) as u64,
            tables: crate::tables::list(&self.lake).await?,
            engine: self.engine.clone(),
            config: self.config.clone(),
            addresses: self.addresses,
        })
    }

    /// Ends the servers; with `keep`, only after Ctrl-C.
    pub(super) async fn close(self, keep: bool) -> Result<(), Failure> {
        if keep {
            eprintln!("serving until Ctrl-C");
            self.told_to_stop.cancelled().await;
        }
        self.stop_server.cancel();
        Ok(self.server.await??)
    }

    /// Produces, waits until ingest has seen every message, then lets it commit and end.
    async fn land_all(&mut self, args: &DemoArgs) -> Result<u64, Failure> {
        let stop = self.told_to_stop.child_token();
        if let Some(duration) = args.duration {
            progress::cancel_after(stop.clone(), duration);
        }
        let settings = produce_settings(args, self.kafka.clone());
        let produced = produce::produce(settings, Arc::clone(&self.produced), stop).await?;
        if produced.failed > 0 {
            return Err(Failure::new(format!("{} events were refused by the broker", produced.failed)));
        }
        self.wait_for(produced.sent).await?;
        self.stop_ingest.cancel();
        (&mut self.ingest).await??;
        Ok(produced.sent)
    }

    /// Returns when ingest has consumed `sent` messages, or has ended, or stands still.
    async fn wait_for(&self, sent: u64) -> Result<(), Failure> {
        let mut last = (0, Instant::now());
        loop {
            let consumed = self.landed.consumed();
            if consumed >= sent || self.ingest.is_finished() {
                return Ok(());
            }
            if consumed > last.0 {
                last = (consumed, Instant::now());
            }
            if last.1.elapsed() > STALL_TIMEOUT {
                return Err(Failure::new(format!("ingest stands still at {consumed} of {sent} events"))
                    .hint("run again with -v to see why"));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn line(&self) -> impl Fn(Duration) -> String + use<> {
        let (produced, landed) = (Arc::clone(&self.produced), Arc::clone(&self.landed));
        move |elapsed| {
            let sent = produced.sent();
            format!(
                "produced {} ({}/s) · landed {} · dead letters {} · commits {}",
                output::grouped(sent),
                output::grouped(progress::rate(sent, elapsed)),
                output::grouped(landed.landed()),
                output::grouped(landed.dead_lettered()),
                landed.commits()
            )
        }
    }
}

fn produce_settings(args: &DemoArgs, kafka: KafkaSettings) -> ProduceSettings {
    let events = match (args.events, args.duration) {
        (None, Some(_)) => None,
        (events, _) => Some(events.unwrap_or(DEFAULT_EVENTS)),
    };
    ProduceSettings { events, bad_share: args.bad, ..ProduceSettings::new(kafka, args.seed, edge::now()) }
}

/// The configured addresses; where one is taken, a free port instead: the demo must not fail for that.
async fn bind(engine: &Engine, config: &Config) -> Result<Server, Failure> {
    let settings = |flight, http| ServeSettings { flight, http, ..ServeSettings::default() };
    let (flight, http) = (config.serve.flight, config.serve.http);
    match Server::bind(engine.clone(), settings(flight, http)).await {
        Err(sluice_query::Error::AddressInUse { .. }) => {
            let free = |address: SocketAddr| SocketAddr::new(address.ip(), 0);
            Ok(Server::bind(engine.clone(), settings(free(flight), free(http))).await?)
        }
        bound => Ok(bound?),
    }
}
