//! The command line: what can be asked for. What each command does stands in the file of its name.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Overrides;
use crate::{
    build, compare, dead_letters, demo, doctor, ingest, load, maintain, produce, profile, run, schemas,
    serve, sql, sync, tables, test, topics,
};

const EXAMPLES: &str = "\
Examples:
  sluice demo                                      the whole flow, nothing else needed
  sluice topics apply --brokers localhost:9092     create the shop's topics
  sluice run --brokers localhost:9092              ingest, build models, serve
  sluice load olist ./olist                        load the nine Olist files
  sluice sql \"select count(*) from bronze.user_events\"

Exit codes: 0 done, 1 failed, 2 wrong usage.
Configuration: sluice.toml, SLUICE_… variables and flags; see docs/configuration.md.";

/// Kafka events, exactly once, in Iceberg tables; SQL models on them; answers over Arrow Flight SQL.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, about, after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// Configuration file [default: ./sluice.toml when it exists]
    #[arg(long, global = true, value_name = "FILE", env = "SLUICE_CONFIG")]
    config: Option<PathBuf>,
    /// Folder of the embedded lake [default: ./sluice-data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where tables live: a folder or s3://BUCKET/PREFIX [default: DATA/warehouse]
    #[arg(long, global = true, value_name = "URL")]
    warehouse: Option<String>,
    /// Kafka brokers, HOST:PORT[,HOST:PORT…]
    #[arg(long, global = true, value_name = "LIST")]
    brokers: Option<String>,
    /// More log lines (-v: info, -vv: debug)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl Global {
    /// The configuration keys among the flags.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            config: self.config.clone(),
            data: self.data.clone(),
            warehouse: self.warehouse.clone(),
            brokers: self.brokers.clone(),
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole flow in one process, with a broker of its own, and check that nothing was lost
    Demo(demo::DemoArgs),
    /// Ingest, build models and serve, all in one process, until told to stop
    Run(run::RunArgs),
    /// Land Kafka events in tables, exactly once, until told to stop or caught up
    Ingest(ingest::IngestArgs),
    /// Write synthetic shop events to Kafka
    Produce(produce::ProduceArgs),
    /// Create or compare Kafka topics
    Topics(topics::TopicsArgs),
    /// Check what a new schema of a producer would do
    Schemas(schemas::SchemasArgs),
    /// Look at messages that could not land, and land them after all
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Load files into tables, or replay them into Kafka
    Load(load::LoadArgs),
    /// Pull PostgreSQL tables and JSON feeds into tables, on a schedule
    Sync(sync::SyncArgs),
    /// Compact files, expire snapshots, remove orphans
    Maintain(maintain::MaintainArgs),
    /// Build SQL models
    Build(build::BuildArgs),
    /// Test what was built
    Test(test::TestArgs),
    /// Answer BI tools over Flight SQL and HTTP
    Serve(serve::ServeArgs),
    /// Run one SQL statement
    Sql(sql::SqlArgs),
    /// What is in a table or file: nulls, ranges, duplicates, freshness, volume
    Profile(profile::ProfileArgs),
    /// How two tables or files differ: columns, counts, distributions
    Compare(compare::CompareArgs),
    /// List the tables of the lake
    Tables(tables::TablesArgs),
    /// Check every configured part and say what to do
    Doctor(doctor::DoctorArgs),
}
