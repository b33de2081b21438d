//! `sluice compare`: how two tables or files differ.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use sluice_sql::quality::{Comparison, Verdict, compare, comparison_page};

use crate::config::Config;
use crate::failure::Failure;
use crate::{output, subject};

const EXAMPLES: &str = "\
Examples:
  sluice compare bronze.orders orders.csv
  sluice compare bronze.orders bronze.orders_before --html orders.html
  sluice compare last.parquet this.parquet --json | jq -r .verdict

Numbers and times are compared by the Kolmogorov-Smirnov distance, texts and booleans by the population stability
index; see docs/quality.md.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompareArgs {
    /// NAMESPACE.TABLE, or a file
    a: String,
    /// NAMESPACE.TABLE, or a file
    b: String,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Write a page with plots, which needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) async fn run(args: CompareArgs, config: Config) -> Result<ExitCode, Failure> {
    let (a, b) = (subject::open(&args.a, &config).await?, subject::open(&args.b, &config).await?);
    let comparison = compare(&a.subject, &b.subject).await?;
    subject::write_page(args.html.as_deref(), || comparison_page(&comparison))?;
    match args.json {
        true => println!("{}", serde_json::to_string(&comparison)?),
        false => print(&comparison),
    }
    Ok(ExitCode::SUCCESS)
}

fn print(comparison: &Comparison) {
    for difference in &comparison.differences {
        let shown = |kind: &Option<String>| kind.clone().unwrap_or_else(|| "not there".to_owned());
        println!("column {}: {} | {}", difference.column, shown(&difference.a), shown(&difference.b));
    }
    let rows = comparison.columns.iter().map(|column| {
        let [a, b] = column.null_share.map(|share| format!("{:.2} %", share * 100.0));
        vec![
            column.column.clone(),
            column.statistic.unwrap_or_default().to_owned(),
            column.value.map_or_else(String::new, |value| format!("{value:.4}")),
            column.p_value.map_or_else(String::new, |value| match value < 0.001 {
                true => format!("{value:.1e}"),
                false => format!("{value:.3}"),
            }),
            format!("{a} | {b}"),
            word(column.verdict).to_owned(),
        ]
    });
    output::print_listing(&["column", "statistic", "value", "p", "nulls", "verdict"], rows.collect());
    let [a, b] = comparison.rows.map(output::grouped);
    println!("{}: {a} rows · {}: {b} rows · {}", comparison.a, comparison.b, word(comparison.verdict));
    comparison.notes.iter().for_each(|note| println!("{note}"));
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Same => "same",
        Verdict::Shifted => "shifted",
        Verdict::Changed => "changed",
    }
}
