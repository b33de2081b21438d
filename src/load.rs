//! `sluice load`: files into tables, or replayed into Kafka.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use sluice_catalog::TableName;
use sluice_ingest::load::{self, CsvSettings, LoadReport, Progress, ReplayReport, ReplaySettings};
use sluice_ingest::produce::{Compression, Speed};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::failure::Failure;
use crate::{edge, output, parts, progress, stop};

const EXAMPLES: &str = "\
Examples:
  sluice load csv customers.csv --table bronze.customers
  sluice load csv export.csv.zst --table bronze.export --delimiter ';'
  sluice load olist ./olist
  sluice load olist ./olist --to-topics --speed 1000x --brokers localhost:9092

A file is loaded in one commit. One that was loaded before is recognised by its content and skipped. Rows that
cannot be read become rows of bronze.dead_letters with file, line and cause.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LoadArgs {
    #[command(subcommand)]
    what: What,
    /// Load files again that were loaded before
    #[arg(long, global = true)]
    again: bool,
    /// One JSON object per file
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A CSV file with a header: FILE, FILE.zst or FILE.gz
    Csv {
        /// The file
        file: PathBuf,
        /// Where it goes, NAMESPACE.NAME
        #[arg(long)]
        table: TableName,
        /// What separates the fields
        #[arg(long, default_value = ",", value_name = "CHARACTER")]
        delimiter: char,
    },
    /// The nine files of the Brazilian E-Commerce data set by Olist
    Olist {
        /// Their folder
        folder: PathBuf,
        /// Replay orders, items and payments as events into Kafka instead
        #[arg(long)]
        to_topics: bool,
        /// Event time against the clock when replaying: N, Nx or max
        #[arg(long, default_value = "max", requires = "to_topics", value_name = "FACTOR")]
        speed: Speed,
    },
}

pub(crate) async fn run(args: LoadArgs, config: Config) -> Result<ExitCode, Failure> {
    let (again, json) = (args.again, args.json);
    let counters = Arc::new(Progress::default());
    match args.what {
        What::Csv { file, table, delimiter } => {
            let delimiter = u8::try_from(delimiter).map_err(|_| {
                Failure::usage(format!("`{delimiter}` cannot separate fields"))
                    .hint("name one ASCII character")
            })?;
            let lake = parts::lake(&config).await?;
            let settings = CsvSettings { delimiter, again, ..CsvSettings::new(file, table) };
            let report = with_bar(&counters, load::csv(&lake, settings, edge::now(), &counters)).await?;
            print_loaded(&[report], json)?;
        }
        What::Olist { folder, to_topics: false, .. } => {
            let lake = parts::lake(&config).await?;
            let loading = load::olist(&lake, &folder, again, edge::now(), &counters);
            print_loaded(&with_bar(&counters, loading).await?, json)?;
        }
        What::Olist { folder, to_topics: true, speed } => {
            let kafka = config.kafka_settings()?;
            let settings = ReplaySettings { kafka, folder, speed, compression: Compression::default() };
            let replay = load::replay(settings, &counters, stop::on_signal()?);
            return print_replayed(&with_bar(&counters, replay).await?, json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Drives `work` beside a bar that follows its counters.
async fn with_bar<T, E>(
    counters: &Arc<Progress>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure>
where
    E: Into<Failure>,
{
    let done = CancellationToken::new();
    let bar = progress::bar("reading");
    let follower = tokio::spawn(follow(bar, Arc::clone(counters), done.clone()));
    let result = work.await;
    done.cancel();
    follower.await?;
    result.map_err(Into::into)
}

async fn follow(bar: ProgressBar, counters: Arc<Progress>, done: CancellationToken) {
    let mut ticks = interval(Duration::from_millis(200));
    while !done.is_cancelled() {
        tokio::select! {
            () = done.cancelled() => {}
            _ = ticks.tick() => {
                // A replay first reads the files and then sends their events.
                let sending = counters.rows_total() > 0;
                bar.set_length(if sending { counters.rows_total() } else { counters.bytes_total() });
                bar.set_position(if sending { counters.rows() } else { counters.bytes() });
                if sending {
                    bar.set_prefix("sending events");
                }
            }
        }
    }
    bar.finish_and_clear();
}

fn print_loaded(reports: &[LoadReport], json: bool) -> Result<(), Failure> {
    if json {
        for report in reports {
            println!("{}", serde_json::to_string(report)?);
        }
        return Ok(());
    }
    let rows = reports.iter().map(|report| {
        let file =
            report.file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let seconds =
            if report.skipped { "loaded before".to_owned() } else { format!("{:.1}", report.seconds) };
        vec![
            file,
            report.table.clone(),
            output::grouped(report.rows),
            output::grouped(report.rejected),
            seconds,
        ]
    });
    output::print_listing(&["file", "table", "rows", "rejected", "seconds"], rows.collect());
    let rejected: u64 = reports.iter().map(|report| report.rejected).sum();
    if rejected > 0 {
        println!(
            "{} rejected rows are in bronze.dead_letters; _src_topic is the file's name",
            output::grouped(rejected)
        );
    }
    Ok(())
}

fn print_replayed(report: &ReplayReport, json: bool) -> Result<ExitCode, Failure> {
    if json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        let rows = report.by_topic.iter().map(|(topic, counts)| {
            vec![topic.clone(), output::grouped(counts.sent), output::grouped(counts.failed)]
        });
        output::print_listing(&["topic", "sent", "failed"], rows.collect());
        println!("sent {} in {:.1} s", output::grouped(report.sent), report.seconds);
        if let Some(reason) = &report.first_failure {
            println!("first failure: {reason}");
        }
    }
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
