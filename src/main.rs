//! The binary `sluice`: one subcommand, one file; it wires the crates and holds no logic of its own.
//!
//! ```text
//! arguments -> cli -> config (file, environment, flags) -> settings -> the crate that does the work
//! ```

mod broker;
mod build;
mod cli;
mod compare;
mod config;
mod dead_letters;
mod demo;
mod doctor;
mod edge;
mod failure;
mod ingest;
mod load;
mod logging;
mod maintain;
mod output;
mod parts;
mod produce;
mod profile;
mod progress;
mod run;
mod schedule;
mod schemas;
mod serve;
mod sql;
mod stop;
mod subject;
mod sync;
mod tables;
mod test;
mod topics;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::failure::Failure;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(cli.global.verbose);
    match dispatch(cli).await {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}

async fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let config = Config::load(&cli.global.overrides())?;
    match cli.command {
        Command::Demo(args) => demo::run(args, config).await,
        Command::Run(args) => run::run(args, config).await,
        Command::Ingest(args) => ingest::run(args, config).await,
        Command::Produce(args) => produce::run(args, config).await,
        Command::Topics(args) => topics::run(args, config).await,
        Command::Schemas(args) => schemas::run(args, config).await,
        Command::DeadLetters(args) => dead_letters::run(args, config).await,
        Command::Load(args) => load::run(args, config).await,
        Command::Sync(args) => sync::run(args, config).await,
        Command::Maintain(args) => maintain::run(args, config).await,
        Command::Build(args) => build::run(args, config).await,
        Command::Test(args) => test::run(args, config).await,
        Command::Serve(args) => serve::run(args, config).await,
        Command::Sql(args) => sql::run(args, config).await,
        Command::Profile(args) => profile::run(args, config).await,
        Command::Compare(args) => compare::run(args, config).await,
        Command::Tables(args) => tables::run(args, config).await,
        Command::Doctor(args) => doctor::run(args, config).await,
    }
}
