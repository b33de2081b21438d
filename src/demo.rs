//! `sluice demo`: the whole flow in one process, over real protocols, ending with proof.
//!
//! ```text
//! producer -> broker (Kafka protocol, loopback) -> ingest -> tables -> models -> Flight SQL
//!                                                              \-> check: every offset exactly once
//! ```

mod check;
mod flow;
mod folder;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::config::Config;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  sluice demo                         one million events, then the results
  sluice demo --events 100000 --json
  sluice demo --for 30s --keep-serving

Exit code 1 when an event was lost or doubled.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Events to produce [default: 1000000]
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    events: Option<u64>,
    /// Produce for this long instead
    #[arg(long = "for", value_name = "DURATION", id = "duration", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// The same seed produces the same events
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Share of events that are broken on purpose and must become dead letters
    #[arg(long, value_name = "SHARE", default_value_t = 0.001)]
    bad: f64,
    /// End with one JSON object on the last line
    #[arg(long)]
    json: bool,
    /// Go on serving Flight SQL and HTTP until Ctrl-C
    #[arg(long)]
    keep_serving: bool,
}

pub(crate) async fn run(args: DemoArgs, config: Config) -> Result<ExitCode, Failure> {
    let mut flow = flow::Flow::start(config).await?;
    let outcome = flow.finish(&args).await?;
    report::print(&outcome, args.json).await?;
    flow.close(args.keep_serving).await?;
    match outcome.check.is_exact() {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}
