//! `sluice doctor`: looks at every configured part and says what is wrong and what to do.

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use sluice_catalog::CatalogSettings;

use crate::config::Config;
use crate::failure::Failure;
use crate::{edge, parts, tables};

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  sluice doctor\n  sluice doctor --brokers localhost:9092 --json\n\nExit code 1 when a part is not well."
)]
pub(crate) struct DoctorArgs {
    /// One JSON object per part
    #[arg(long)]
    json: bool,
}

/// What was found about one part.
#[derive(Debug, Serialize)]
struct Finding {
    part: &'static str,
    state: State,
    detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Well,
    Unwell,
    /// Not configured, so not looked at.
    Unused,
}

pub(crate) async fn run(args: DoctorArgs, config: Config) -> Result<ExitCode, Failure> {
    let findings = [
        finding("lake", lake(&config).await),
        kafka(&config).await,
        finding("topics file", topics_file(&config)),
        finding("models", models(&config)),
        finding("flight", address(config.serve.flight, "serve.flight")),
        finding("http", address(config.serve.http, "serve.http")),
    ];
    for finding in &findings {
        match args.json {
            true => println!("{}", serde_json::to_string(finding)?),
            false => println!("{} {:<12} {}", finding.state.mark(), finding.part, finding.detail),
        }
    }
    let well = findings.iter().all(|finding| finding.state != State::Unwell);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl State {
    fn mark(self) -> char {
        match self {
            Self::Well => '✔',
            Self::Unwell => '✖',
            Self::Unused => '-',
        }
    }
}

fn finding(part: &'static str, looked: Result<String, Failure>) -> Finding {
    match looked {
        Ok(detail) => Finding { part, state: State::Well, detail },
        Err(failure) => Finding { part, state: State::Unwell, detail: failure.detail() },
    }
}

async fn lake(config: &Config) -> Result<String, Failure> {
    let lake = parts::lake(config).await?;
    let count = tables::list(&lake).await?.len();
    let settings = lake.settings();
    let catalog = match &settings.catalog {
        CatalogSettings::Sqlite { path } => format!("SQLite {}", path.display()),
        CatalogSettings::Postgres(_) => "PostgreSQL".to_owned(),
        CatalogSettings::Rest(rest) => format!("REST {}", rest.uri),
    };
    Ok(format!("{count} tables and views in {} (catalog: {catalog})", settings.warehouse))
}

async fn kafka(config: &Config) -> Finding {
    let Ok(kafka) = config.kafka_settings() else {
        let detail = "not configured: give --brokers or set kafka.brokers to ingest".to_owned();
        return Finding { part: "kafka", state: State::Unused, detail };
    };
    finding("kafka", reach(config, &kafka).await)
}

async fn reach(config: &Config, kafka: &sluice_ingest::KafkaSettings) -> Result<String, Failure> {
    let present = sluice_ingest::topics::list(kafka).await?;
    let wanted = config.topics()?.topics;
    let missing: Vec<_> = wanted
        .iter()
        .filter(|topic| present.iter().all(|found| found.name != topic.name))
        .map(|topic| topic.name.as_str())
        .collect();
    if !missing.is_empty() {
        return Err(Failure::new(format!(
            "{} answers, but lacks the topics {}",
            kafka.brokers,
            missing.join(", ")
        ))
        .hint("create them: sluice topics apply"));
    }
    Ok(format!("{} answers, {} topics", kafka.brokers, present.len()))
}

fn topics_file(config: &Config) -> Result<String, Failure> {
    let name = config.kafka.topics.as_ref().map_or("built in".to_owned(), |path| path.display().to_string());
    Ok(format!("{} topics ({name})", config.topics()?.topics.len()))
}

fn models(config: &Config) -> Result<String, Failure> {
    let project = parts::project(&config.models.project)?;
    let inputs = sluice_models::Inputs::new(edge::new_id(), edge::now());
    let plan = sluice_models::plan(&project, &inputs, &sluice_models::Selection::all())?;
    Ok(format!("{} models in `{}`", plan.steps.len(), config.models.project))
}

fn address(address: SocketAddr, key: &str) -> Result<String, Failure> {
    TcpListener::bind(address).map(|_| format!("{address} is free")).map_err(|cause| {
        Failure::new(format!("cannot listen on {address}: {cause}"))
            .hint(format!("end the program that holds it, or set {key} to another address"))
    })
}
