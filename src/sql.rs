//! `sluice sql`: one statement over the lake, its rows or what it changed on standard output.

use std::io::Read;
use std::process::ExitCode;

use clap::Args;
use sluice_sql::{Changed, Command};

use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::parts;

const EXAMPLES: &str = "\
Examples:
  sluice sql \"select event_type, count(*) from bronze.user_events group by 1\"
  sluice sql \"select * from gold.revenue_by_day\" --csv > revenue.csv
  echo \"show tables\" | sluice sql -
  sluice sql \"delete from bronze.user_events where user_id = 7\"";

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
    let session = parts::engine(&config).await?.session().with_writes(parts::writes());
    let format = Format::of(args.json, args.csv);
    match session.command(&text).await? {
        Command::Read(statement) => {
            let rows = session.execute(&statement, Vec::new()).await?;
            output::print(statement.schema(), rows, format).await?;
        }
        Command::Write(change) => {
            let changed = session.change(&change, Vec::new()).await?;
            match format {
                Format::Table => println!("{}", told(&changed)),
                _ => output::print(Changed::schema(), changed.stream(), format).await?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One line: what was done, to what, and the rows it changed.
fn told(changed: &Changed) -> String {
    let counts = [(changed.inserted, "inserted"), (changed.updated, "updated"), (changed.deleted, "deleted")];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(rows, _)| *rows > 0)
        .map(|(rows, what)| {
            format!("{} {} {what}", output::grouped(rows), if rows == 1 { "row" } else { "rows" })
        })
        .collect();
    let changes_rows =
        ["INSERT", "INSERT OVERWRITE", "UPDATE", "DELETE", "MERGE"].contains(&changed.statement);
    let counts = match (counts.is_empty(), changes_rows) {
        (false, _) => counts.join(", "),
        (true, true) => "no rows changed".to_owned(),
        (true, false) => "done".to_owned(),
    };
    format!("{} {}: {counts}", changed.statement, changed.subject)
}

fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}
