//! `sluice build`: the models of a project, in dependency order, several at a time.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use sluice_models::{BuildOptions, BuildReport, Event, Project, Reporter, Silent, allowed_environment};
use sluice_sql::Engine;

use crate::config::Config;
use crate::failure::Failure;
use crate::{edge, parts};

const EXAMPLES: &str = "\
Examples:
  sluice build                                 the shop's models
  sluice build --project ./my-project
  sluice build --select +revenue_by_day        a model and all that it needs
  sluice build --select tag:daily --full-refresh

A model whose tests fail is not published, and neither is what depends on it.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Build incremental models from nothing
    #[arg(long)]
    full_refresh: bool,
    /// Models built at the same time [default: 2]
    #[arg(long)]
    threads: Option<usize>,
    /// Write the compiled SQL of every model below this folder
    #[arg(long, value_name = "DIR")]
    target: Option<PathBuf>,
    /// One JSON object per model
    #[arg(long)]
    json: bool,
}

/// Which models of which project.
#[derive(Args, Debug)]
pub(crate) struct Selection {
    /// `shop`, `olist` (both built in) or a folder with a dbt_project.yml [default: shop]
    #[arg(long, value_name = "NAME|DIR")]
    pub(crate) project: Option<String>,
    /// MODEL, +MODEL, MODEL+, tag:NAME or path:FOLDER; several mean any of them
    #[arg(long, short, value_name = "SELECTOR")]
    pub(crate) select: Vec<String>,
    /// What to leave out of the selection
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) exclude: Vec<String>,
    /// Set a variable of the project
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) vars: Vec<(String, String)>,
}

pub(crate) async fn run(args: BuildArgs, config: Config) -> Result<ExitCode, Failure> {
    let project = args.selection.project(&config)?;
    let mut options = args.selection.options(&config);
    options.inputs.full_refresh = args.full_refresh;
    options.target_dir = args.target;
    options.threads = args.threads.unwrap_or(config.models.threads);
    let engine = parts::engine(&config).await?;
    let report = sluice_models::build(&engine, &project, &options, reporter(args.json)).await?;
    finish(&report, args.json)
}

/// Builds a whole project; the error names the first model that was not published.
pub(crate) async fn project(engine: &Engine, name: &str, threads: usize) -> Result<BuildReport, Failure> {
    let mut options = BuildOptions::new(edge::new_id(), edge::now());
    options.threads = threads;
    options.inputs.environment = allowed_environment(std::env::vars());
    let report = sluice_models::build(engine, &parts::project(name)?, &options, &Silent).await?;
    match report.results.iter().find(|result| result.message.is_some()) {
        Some(result) if !report.succeeded() => Err(Failure::new(result)),
        _ => Ok(report),
    }
}

impl Selection {
    /// The named project, or the configured one.
    pub(crate) fn project(&self, config: &Config) -> Result<Project, Failure> {
        parts::project(self.project.as_ref().unwrap_or(&config.models.project))
    }

    /// Options with this selection and these variables.
    pub(crate) fn options(&self, config: &Config) -> BuildOptions {
        let mut options = BuildOptions::new(edge::new_id(), edge::now());
        options.threads = config.models.threads;
        options.selection.select.clone_from(&self.select);
        options.selection.exclude.clone_from(&self.exclude);
        options.inputs.environment = allowed_environment(std::env::vars());
        options.inputs.vars = self.vars.iter().map(|(name, value)| (name.clone(), parsed(value))).collect();
        options
    }
}

/// Tells each event on standard output; with `json` only the results, at the end.
pub(crate) fn reporter(json: bool) -> &'static dyn Reporter {
    match json {
        true => &Silent,
        false => &|event: Event<'_>| println!("{event}"),
    }
}

/// Prints the results and turns them into an exit code.
pub(crate) fn finish(report: &BuildReport, json: bool) -> Result<ExitCode, Failure> {
    if json {
        for result in &report.results {
            println!("{}", serde_json::to_string(result)?);
        }
    } else {
        println!("{report}");
    }
    Ok(if report.succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `3` is a number and `true` a truth value, as in the project file; anything else is text.
fn parsed(value: &str) -> serde_json::Value {
    serde_json::from_str(value).unwrap_or_else(|_| value.into())
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}
