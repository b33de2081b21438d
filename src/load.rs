//! `sluice load`: files into tables, or replayed into Kafka.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use sluice_catalog::TableName;
use sluice_ingest::load::{
    self, DataSet, Format, LoadReport, LoadSettings, Progress, ReplayReport, ReplaySettings, What,
};
use sluice_ingest::produce::{Compression, Speed};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::failure::Failure;
use crate::{edge, output, parts, progress, stop};

const EXAMPLES: &str = "\
Examples:
  sluice load csv customers.csv                             into bronze.customers
  sluice load csv 'exports/*.csv.zst' --table bronze.exports --delimiter ';'
  sluice load ndjson events.ndjson.gz
  sluice load retail-rocket archive.zip
  sluice load olist ./olist
  sluice load retail-rocket events.csv --to-topic clicks --speed 1000x --brokers localhost:9092

A load that is killed goes on where its last commit ended when it is run again. A file that was loaded before is
recognised by its content and skipped. Records that cannot be rows become rows of bronze.dead_letters with file,
line and cause.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LoadArgs {
    #[command(subcommand)]
    what: Kind,
    /// The table, NAMESPACE.NAME [default: bronze.NAME OF THE FILE, or that of the data set]
    #[arg(long, global = true)]
    table: Option<TableName>,
    /// Load contents again that were loaded before
    #[arg(long, global = true)]
    again: bool,
    /// Commit after so much unpacked data
    #[arg(long, global = true, default_value = "1GiB", value_name = "SIZE")]
    commit_every: ByteSize,
    /// Replay the rows as JSON events into this topic instead
    #[arg(long, global = true, value_name = "TOPIC", conflicts_with_all = ["table", "again"])]
    to_topic: Option<String>,
    /// Event time against the clock when replaying: N, Nx or max
    #[arg(long, global = true, default_value = "max", value_name = "FACTOR")]
    speed: Speed,
    /// The column that says when an event was, for the order and the speed of a replay
    #[arg(long, global = true, value_name = "COLUMN")]
    time: Option<String>,
    /// The column whose value is the key of a replayed message
    #[arg(long, global = true, value_name = "COLUMN")]
    key: Option<String>,
    /// One JSON object per file, and one for all at the end
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// CSV files with a header; plain, .gz, .zst or .zip
    Csv {
        /// Files or patterns
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// What separates the fields
        #[arg(long, default_value = ",", value_name = "CHARACTER")]
        delimiter: char,
    },
    /// Files of JSON objects, one a line; plain, .gz, .zst or .zip
    Ndjson {
        /// Files or patterns
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Parquet files
    Parquet {
        /// Files or patterns
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// The Retail Rocket data set: events, item properties, category tree
    RetailRocket {
        /// Its folder, its archive, or some of its files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// The Instacart data set of 2017: orders, their lines, products
    Instacart {
        /// Its folder, its archive, or some of its files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// The Brazilian E-Commerce data set by Olist: nine files
    Olist {
        /// Its folder, its archive, or some of its files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Replay orders, items and payments as events into their three topics instead
        #[arg(long, conflicts_with_all = ["to_topic", "table", "again"])]
        to_topics: bool,
    },
}

impl Kind {
    /// What the files are, which they are, and whether they have topics of their own.
    fn parts(self) -> Result<(What, Vec<PathBuf>, bool), Failure> {
        Ok(match self {
            Self::Csv { files, delimiter } => {
                let delimiter = u8::try_from(delimiter).ok().filter(|byte| byte.is_ascii() && *byte != b'"');
                let delimiter = delimiter.ok_or_else(|| {
                    Failure::usage("the delimiter cannot separate fields")
                        .hint("name one ASCII character that is no quote")
                })?;
                (What::Files(Format::Csv { delimiter }), files, false)
            }
            Self::Ndjson { files } => (What::Files(Format::Ndjson), files, false),
            Self::Parquet { files } => (What::Files(Format::Parquet), files, false),
            Self::RetailRocket { files } => (What::Set(DataSet::RetailRocket), files, false),
            Self::Instacart { files } => (What::Set(DataSet::Instacart), files, false),
            Self::Olist { files, to_topics } => (What::Set(DataSet::Olist), files, to_topics),
        })
    }
}

pub(crate) async fn run(args: LoadArgs, config: Config) -> Result<ExitCode, Failure> {
    let (what, inputs, to_topics) = args.what.parts()?;
    let counters = Arc::new(Progress::default());
    let topic = match (args.to_topic, what) {
        (None, _) if to_topics => String::new(),
        (Some(_), What::Set(DataSet::Olist)) => {
            return Err(Failure::usage("the Olist data set has three topics of its own")
                .hint("replay it with --to-topics, or one of its files with `load csv FILE --to-topic`"));
        }
        (Some(topic), _) => topic,
        (None, _) => {
            let settings = LoadSettings {
                table: args.table,
                again: args.again,
                commit_bytes: args.commit_every.as_u64(),
                ..LoadSettings::new(what, inputs)
            };
            let lake = parts::lake(&config).await?;
            let report = with_bar(&counters, load::load(&lake, settings, edge::now(), &counters)).await?;
            print_loaded(&report, args.json)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let is_timed = matches!(what, What::Set(DataSet::Olist | DataSet::RetailRocket)) || args.time.is_some();
    if args.speed != Speed::Max && !is_timed {
        return Err(Failure::usage("--speed needs to know when each event was")
            .hint("name the column with --time, or leave out --speed"));
    }
    let settings = ReplaySettings {
        kafka: config.kafka_settings()?,
        inputs,
        what,
        topic,
        speed: args.speed,
        time: args.time,
        key: args.key,
        compression: Compression::default(),
    };
    let replay = load::replay(settings, &counters, stop::on_signal()?);
    print_replayed(&with_bar(&counters, replay).await?, args.json)
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
    let bar = progress::byte_bar("reading");
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
                bar.set_length(counters.bytes_total());
                bar.set_position(counters.bytes());
                // A load reads each file twice, and a replay reads before it sends.
                if counters.rows() > 0 {
                    bar.set_prefix(if counters.rows_total() > 0 { "sending" } else { "loading" });
                    let rate = progress::rate(counters.rows(), bar.elapsed());
                    let (rows, rate) = (output::grouped(counters.rows()), output::grouped(rate));
                    bar.set_message(format!("{rows} rows ({rate}/s)"));
                }
            }
        }
    }
    bar.finish_and_clear();
}

fn print_loaded(report: &LoadReport, json: bool) -> Result<(), Failure> {
    if json {
        for file in &report.files {
            println!("{}", serde_json::to_string(file)?);
        }
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    let rows = report.files.iter().map(|file| {
        let name = file.file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let rows = if file.skipped { "loaded before".to_owned() } else { output::grouped(file.rows) };
        vec![name, file.table.clone(), rows, output::grouped(file.rejected)]
    });
    output::print_listing(&["file", "table", "rows", "rejected"], rows.collect());
    let rate = output::grouped(report.rows_per_second as u64);
    println!("{} rows in {:.1} s ({rate}/s)", output::grouped(report.rows), report.seconds);
    if report.rejected > 0 {
        println!(
            "{} rejected records are in bronze.dead_letters; _src_topic is the file's name, _src_offset the line",
            output::grouped(report.rejected)
        );
    }
    Ok(())
}

fn print_replayed(report: &ReplayReport, json: bool) -> Result<ExitCode, Failure> {
    if json {
        let mut line = serde_json::to_value(report)?;
        line["rows"] = report.sent.into();
        println!("{line}");
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
