//! `sluice test`: the tests of a project's models against what was built.

use std::process::ExitCode;

use clap::Args;

use crate::build::{self, Selection};
use crate::config::Config;
use crate::failure::Failure;
use crate::parts;

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sluice test\n  sluice test --project olist --select tag:gold")]
pub(crate) struct TestArgs {
    #[command(flatten)]
    selection: Selection,
    /// One JSON object per test
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: TestArgs, config: Config) -> Result<ExitCode, Failure> {
    let project = args.selection.project(&config)?;
    let options = args.selection.options(&config);
    let engine = parts::engine(&config).await?;
    let report = sluice_models::test(&engine, &project, &options, build::reporter(args.json)).await?;
    build::finish(&report, args.json)
}
