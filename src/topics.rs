//! `sluice topics`: the topics of a topics file, created in Kafka or compared with it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use sluice_ingest::topics::Outcome;

use crate::config::Config;
use crate::failure::Failure;
use crate::output;

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  sluice topics list\n  sluice topics apply --brokers localhost:9092\n  sluice topics apply --topics topics.yaml"
)]
pub(crate) struct TopicsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create the topics that do not exist yet; those that do are compared
    Apply {
        /// Topics file, or a built-in one by name: shop, olist [default: shop]
        #[arg(long, value_name = "FILE|NAME")]
        topics: Option<PathBuf>,
        /// One JSON object per topic
        #[arg(long)]
        json: bool,
    },
    /// Print the topics file in use
    List {
        /// Topics file, or a built-in one by name: shop, olist [default: shop]
        #[arg(long, value_name = "FILE|NAME")]
        topics: Option<PathBuf>,
    },
}

pub(crate) async fn run(args: TopicsArgs, mut config: Config) -> Result<ExitCode, Failure> {
    match args.action {
        Action::Apply { topics, json } => {
            config.kafka.topics = topics.or(config.kafka.topics);
            apply(&config, json).await
        }
        Action::List { topics } => {
            config.kafka.topics = topics.or(config.kafka.topics);
            list(&config)
        }
    }
}

async fn apply(config: &Config, json: bool) -> Result<ExitCode, Failure> {
    let applied = sluice_ingest::topics::apply(&config.kafka_settings()?, &config.topics()?).await?;
    if json {
        for topic in &applied {
            println!("{}", serde_json::to_string(topic)?);
        }
    } else {
        let rows = applied.iter().map(|topic| vec![topic.topic.clone(), described(&topic.outcome)]);
        output::print_listing(&["topic", "outcome"], rows.collect());
    }
    Ok(ExitCode::SUCCESS)
}

fn described(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Created => "created".to_owned(),
        Outcome::Existed => "exists".to_owned(),
        Outcome::Differs(differences) => {
            let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
            format!("left as it is: {}", differences.join("; "))
        }
    }
}

fn list(config: &Config) -> Result<ExitCode, Failure> {
    let topics = config.topics()?;
    let rows = topics.topics.iter().map(|topic| {
        let tables: Vec<String> = topic.routes.iter().map(|route| route.table.to_string()).collect();
        vec![
            topic.name.clone(),
            topic.partitions.to_string(),
            topic.replication.to_string(),
            tables.join(", "),
        ]
    });
    output::print_listing(&["topic", "partitions", "replication", "lands in"], rows.collect());
    Ok(ExitCode::SUCCESS)
}
