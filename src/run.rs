//! `sluice run`: ingest, reference data, model builds, maintenance and servers in one process.
//!
//! A failed sync, build or maintenance is reported and tried again at its next turn; a failed ingest or server ends
//! the process, so that whoever supervises it can restart it: the tables say where to go on.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use sluice_ingest::Progress;
use sluice_query::Server;
use sluice_sql::Engine;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::failure::Failure;
use crate::schedule::Schedule;
use crate::serve::ServeArgs;
use crate::{build, ingest, maintain, parts, serve, stop, sync};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sluice run --brokers localhost:9092\n  sluice run --config sluice.toml")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    serve: ServeArgs,
}

pub(crate) async fn run(args: RunArgs, mut config: Config) -> Result<ExitCode, Failure> {
    args.serve.override_config(&mut config);
    let stop = stop::on_signal()?;
    let settings = ingest::settings(&config, &[])?;
    let syncs = config.syncs()?;
    sluice_ingest::topics::apply(&settings.kafka, &config.topics()?).await?;
    let engine = parts::engine(&config).await?;
    let server = Server::bind(engine.clone(), serve::settings(&config)?).await?;
    serve::announce(&server);

    let counters = Arc::new(Progress::default());
    let shown = ingest::watch(Arc::clone(&counters), stop.clone());
    let settings = || ingest::settings(&config.reloaded()?, &[]);
    let landing = sluice_ingest::run_with_settings(engine.lake().clone(), settings, counters, stop.clone());
    let ((), (), (), (), ingested, served) = tokio::join!(
        shown,
        build_again_and_again(&engine, &config, &stop),
        sync::again_and_again(engine.lake(), syncs, &stop),
        maintain::again_and_again(&engine, &config, &stop),
        stop::ending(landing, &stop),
        stop::ending(server.run(stop.clone()), &stop),
    );
    ingested?;
    served?;
    Ok(ExitCode::SUCCESS)
}

async fn build_again_and_again(engine: &Engine, config: &Config, stop: &CancellationToken) {
    let mut schedule = Schedule::new(config.models.every, stop);
    schedule.turn().await; // The first build comes one period after the start.
    while schedule.turn().await {
        if let Err(failure) = build::project(engine, &config.models.project, config.models.threads).await {
            tracing::error!("build: {}", failure.detail());
        }
    }
}
