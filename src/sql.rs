//! `sluice sql`: one statement over the lake, rows on standard output.

use std::io::Read;
use std::process::ExitCode;

use clap::Args;

use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::parts;

const EXAMPLES: &str = "\
Examples:
  sluice sql \"select event_type, count(*) from bronze.user_events group by 1\"
  sluice sql \"select * from gold.revenue_by_day\" --csv > revenue.csv
  echo \"show tables\" | sluice sql -";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SqlArgs {
    /// The statement; `-` reads it from standard input
    statement: String,
    /// One JSON object per row
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Comma-separated values with a header
    #[arg(long)]
    csv: bool,
}

pub(crate) async fn run(args: SqlArgs, config: Config) -> Result<ExitCode, Failure> {
    let text = match args.statement.as_str() {
        "-" => read_stdin()?,
        text => text.to_owned(),
    };
    let session = parts::engine(&config).await?.session();
    let statement = session.prepare(&text).await?;
    let rows = session.execute(&statement, Vec::new()).await?;
    output::print(statement.schema(), rows, Format::of(args.json, args.csv)).await?;
    Ok(ExitCode::SUCCESS)
}

fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}
