//! `sluice tables`: what the lake holds, from metadata alone.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use sluice_catalog::{Lake, TableName, TableSnapshot};

use crate::config::Config;
use crate::failure::Failure;
use crate::{output, parts};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sluice tables\n  sluice tables --json | jq .location")]
pub(crate) struct TablesArgs {
    /// One JSON object per table
    #[arg(long)]
    json: bool,
}

/// One line of the listing.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) table: String,
    pub(crate) kind: &'static str,
    /// Exact rows when metadata knows them.
    pub(crate) rows: Option<u64>,
    pub(crate) snapshots: usize,
    pub(crate) location: Option<String>,
}

pub(crate) async fn run(args: TablesArgs, config: Config) -> Result<ExitCode, Failure> {
    let entries = list(&parts::lake(&config).await?).await?;
    if args.json {
        for entry in &entries {
            println!("{}", serde_json::to_string(entry)?);
        }
    } else {
        print_entries(entries);
    }
    Ok(ExitCode::SUCCESS)
}

/// All tables and views, by namespace and name.
pub(crate) async fn list(lake: &Lake) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for namespace in lake.namespaces().await? {
        for name in lake.tables(&namespace).await? {
            entries.push(Entry::table(&lake.load(&name).await?));
        }
        entries.extend(lake.views(&namespace).await?.iter().map(Entry::view));
    }
    Ok(entries)
}

impl Entry {
    fn table(table: &TableSnapshot) -> Self {
        Self {
            table: table.name().to_string(),
            kind: "table",
            rows: table.row_count(),
            snapshots: table.history().len(),
            location: Some(table.metadata().location().to_owned()),
        }
    }

    fn view(name: &TableName) -> Self {
        Self { table: name.to_string(), kind: "view", rows: None, snapshots: 0, location: None }
    }
}

fn print_entries(entries: Vec<Entry>) {
    if entries.is_empty() {
        println!("The lake is empty. `sluice demo` fills one; `sluice load` and `sluice ingest` do too.");
        return;
    }
    let rows = entries.into_iter().map(|entry| {
        vec![
            entry.table,
            entry.kind.to_owned(),
            entry.rows.map_or_else(String::new, output::grouped),
            entry.snapshots.to_string(),
            entry.location.unwrap_or_default(),
        ]
    });
    output::print_listing(&["table", "kind", "rows", "snapshots", "location"], rows.collect());
}
