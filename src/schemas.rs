//! `sluice schemas`: what a new schema of a producer would do, before it is used.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use sluice_ingest::registry::{Reference, Registry};
use sluice_ingest::schemas::{self, Findings, Proposal};

use crate::config::Config;
use crate::failure::Failure;
use crate::{output, parts};

const EXAMPLES: &str = "\
Examples:
  sluice schemas check order.avsc --topic orders
  sluice schemas check order.proto --topic orders --topics topics.yaml --json

Ends with 0 when the registry takes the schema and no event would become a dead letter for it, else with 1.";

#[derive(Args, Debug)]
pub(crate) struct SchemasArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Ask the registry whether a schema may follow, and say what would happen to the tables
    #[command(after_help = EXAMPLES)]
    Check(CheckArgs),
}

#[derive(Args, Debug)]
struct CheckArgs {
    /// The new schema: Avro or Protobuf, as the topic's format is
    schema: PathBuf,
    /// The topic whose producer would use it
    #[arg(long)]
    topic: String,
    /// Its subject in the registry [default: TOPIC-value]
    #[arg(long)]
    subject: Option<String>,
    /// A schema that it refers to, as NAME=SUBJECT:VERSION
    #[arg(long = "reference", value_name = "NAME=SUBJECT:VERSION", value_parser = reference)]
    references: Vec<Reference>,
    /// Topics file, or a built-in one by name: shop, olist [default: shop]
    #[arg(long, value_name = "FILE|NAME")]
    topics: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

fn reference(text: &str) -> Result<Reference, String> {
    let parts = text.split_once('=').and_then(|(name, rest)| {
        let (subject, version) = rest.rsplit_once(':')?;
        Some(Reference { name: name.to_owned(), subject: subject.to_owned(), version: version.parse().ok()? })
    });
    parts.ok_or_else(|| "write NAME=SUBJECT:VERSION".to_owned())
}

pub(crate) async fn run(args: SchemasArgs, mut config: Config) -> Result<ExitCode, Failure> {
    let Action::Check(args) = args.action;
    config.kafka.topics = args.topics.clone().or(config.kafka.topics);
    let topics = config.topics()?;
    let topic = topics.of(&args.topic).ok_or_else(|| {
        let known: Vec<_> = topics.topics.iter().map(|topic| topic.name.as_str()).collect();
        Failure::usage(format!("topic `{}` is not in the topics file", args.topic))
            .hint(format!("it declares: {}", known.join(", ")))
    })?;
    let settings = config.registry_settings()?.ok_or_else(|| {
        Failure::usage("no schema registry is configured")
            .hint("set ingest.registry.url, or SLUICE_INGEST_REGISTRY_URL")
    })?;
    let text = std::fs::read_to_string(&args.schema).map_err(|cause| {
        Failure::usage(format!("cannot read the schema `{}`: {cause}", args.schema.display()))
    })?;
    let proposal = Proposal {
        subject: args.subject.unwrap_or_else(|| format!("{}-value", args.topic)),
        text,
        references: args.references,
        message: Vec::new(),
    };
    let lake = parts::lake(&config).await?;
    let findings = schemas::check(&Registry::new(&settings)?, &lake, &topic, proposal).await?;
    if args.json {
        println!("{}", serde_json::to_string(&findings)?);
    } else {
        print(&findings);
    }
    Ok(if findings.is_safe() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(findings: &Findings) {
    println!(
        "{}",
        match findings.registry {
            None => "the registry does not know the subject yet",
            Some(true) => "the registry takes it",
            Some(false) => "the registry does not take it",
        }
    );
    for message in &findings.messages {
        println!("  {message}");
    }
    let rows = findings.tables.iter().map(|effect| {
        vec![effect.table.clone(), effect.field.clone(), effect.what.to_string(), effect.detail.clone()]
    });
    match findings.tables.is_empty() {
        true => println!("the tables stay as they are"),
        false => output::print_listing(&["table", "field", "what", ""], rows.collect()),
    }
}
