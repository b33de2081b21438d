//! `sluice profile`: what is in a table or a file, column by column.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use sluice_sql::quality::{Profile, profile, profile_page};

use crate::config::Config;
use crate::failure::Failure;
use crate::{edge, output, subject};

const EXAMPLES: &str = "\
Examples:
  sluice profile bronze.user_events
  sluice profile customers.csv.gz --html customers.html
  sluice profile bronze.orders --json | jq '.columns[] | {name, nulls, distinct}'

All rows are read. Rows, nulls, ranges, means and duplicates are exact; different values and quantiles approximate.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ProfileArgs {
    /// NAMESPACE.TABLE, or a file of CSV, NDJSON or Parquet
    #[arg(value_name = "TABLE|FILE")]
    subject: String,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Write a page with plots, which needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) async fn run(args: ProfileArgs, config: Config) -> Result<ExitCode, Failure> {
    let opened = subject::open(&args.subject, &config).await?;
    let profile = profile(&opened.subject, edge::now()).await?;
    subject::write_page(args.html.as_deref(), || profile_page(&profile))?;
    match args.json {
        true => println!("{}", serde_json::to_string(&profile)?),
        false => print(&profile),
    }
    Ok(ExitCode::SUCCESS)
}

fn print(profile: &Profile) {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let rows = profile.columns.iter().map(|column| {
        let middle = column.quantiles.map_or_else(String::new, |[_, middle, _]| format!("{middle:.4}"));
        vec![
            column.name.clone(),
            column.kind.clone(),
            output::grouped(column.nulls),
            column.distinct.map_or_else(String::new, output::grouped),
            shortened(&text(&column.min)),
            shortened(&text(&column.max)),
            column.mean.map_or_else(String::new, |mean| format!("{mean:.4}")),
            middle,
        ]
    });
    let header = ["column", "type", "nulls", "distinct ≈", "least", "greatest", "mean", "median ≈"];
    output::print_listing(&header, rows.collect());
    println!("{}: {} rows", profile.subject, output::grouped(profile.rows));
    match profile.duplicates {
        Some(duplicates) => {
            println!("duplicates   {} rows equal an earlier one", output::grouped(duplicates))
        }
        None => println!("duplicates   not counted: lists and structs are not compared"),
    }
    if let (Some(at), Some(seconds)) = (profile.freshness.last_commit, profile.freshness.seconds) {
        println!("freshness    rows last came at {} ({seconds} s ago)", at.format("%Y-%m-%d %H:%M:%S"));
    }
    let volume = &profile.volume;
    if let (Some((_, last)), Some(median)) = (volume.commits.last(), volume.median) {
        let verdict = match volume.usual {
            None => "too few commits to say whether that is usual",
            Some(true) => "as usual",
            Some(false) => "unusual",
        };
        println!(
            "volume       {} rows in the last commit, median before {median}: {verdict}",
            output::grouped(*last)
        );
    }
    profile.notes.iter().for_each(|note| println!("{note}"));
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(32) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
