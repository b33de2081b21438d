//! `sluice dead-letters`: messages that could not land are listed, shown, and landed after all.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::{Args, Subcommand};
use futures::TryStreamExt;
use serde_json::json;
use sluice_ingest::IngestSettings;
use sluice_ingest::dead_letters::{self, Place, ReplayReport, ReplaySettings, Selection, TABLE};
use sluice_sql::Engine;

use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::{edge, ingest, parts};

const EXAMPLES: &str = "\
Examples:
  sluice dead-letters list                                   how many, by topic and cause
  sluice dead-letters list --topic orders --since 2h --each
  sluice dead-letters show orders/0/1234
  sluice dead-letters replay --cause unknown_event_type --dry-run
  sluice dead-letters replay --topic orders --topics topics.yaml

A replay decodes the kept bytes by the topics file as it is now. What can land becomes rows in the same commit in which
the dead letters go, so it is safe to kill and to repeat. What is still bad stays.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Count them by topic and cause, or list each
    List {
        #[command(flatten)]
        filter: Filter,
        /// One line per dead letter, the newest first
        #[arg(long)]
        each: bool,
        /// Lines of --each
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Show one with its payload
    Show {
        /// TOPIC/PARTITION/OFFSET, as `list --each` prints it
        place: Place,
        /// Bytes of key and payload that are shown
        #[arg(long, default_value_t = 4096, value_name = "N")]
        bytes: usize,
        /// As hexadecimal digits, also what is text
        #[arg(long)]
        hex: bool,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Land those that can land today
    Replay {
        #[command(flatten)]
        filter: Filter,
        /// Only these, as `list --each` prints them
        #[arg(long, value_name = "TOPIC/PARTITION/OFFSET")]
        id: Vec<Place>,
        /// Topics file, or a built-in one by name: shop, olist [default: shop]
        #[arg(long, value_name = "FILE|NAME")]
        topics: Option<PathBuf>,
        /// Land also messages that their table holds already, which makes second rows
        #[arg(long)]
        again: bool,
        /// Change nothing, only say what would happen
        #[arg(long)]
        dry_run: bool,
        /// End with one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Which dead letters.
#[derive(Args, Debug)]
struct Filter {
    /// Only of this topic; may be repeated
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,
    /// Only with this cause; may be repeated
    #[arg(long, value_name = "CAUSE")]
    cause: Vec<String>,
    /// Only those set aside since then: an RFC 3339 time, or an age such as 2h
    #[arg(long, value_name = "TIME|AGE")]
    since: Option<When>,
    /// Only those set aside before then
    #[arg(long, value_name = "TIME|AGE")]
    until: Option<When>,
}

/// A time, or an age.
#[derive(Clone, Copy, Debug)]
enum When {
    At(DateTime<Utc>),
    Ago(Duration),
}

impl std::str::FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match DateTime::parse_from_rfc3339(text) {
            Ok(time) => Ok(Self::At(time.to_utc())),
            Err(_) => humantime::parse_duration(text).map(Self::Ago).map_err(|_| {
                "it is neither a time such as 2026-01-31T12:00:00Z nor an age such as 2h".to_owned()
            }),
        }
    }
}

impl When {
    fn time(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(time) => time,
            Self::Ago(age) => now - TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX),
        }
    }
}

impl Filter {
    fn selection(self, places: Vec<Place>) -> Selection {
        let now = edge::now();
        Selection {
            topics: self.topic,
            causes: self.cause,
            since: self.since.map(|when| when.time(now)),
            until: self.until.map(|when| when.time(now)),
            places,
        }
    }
}

pub(crate) async fn run(args: DeadLettersArgs, config: Config) -> Result<ExitCode, Failure> {
    match args.what {
        What::List { filter, each, limit, json } => {
            let selection = filter.selection(Vec::new());
            list(&config, &selection, each.then_some(limit), json).await
        }
        What::Show { place, bytes, hex, json } => show(&config, &place, (bytes, hex), json).await,
        What::Replay { filter, id, topics, again, dry_run, json } => {
            let mut config = config;
            config.kafka.topics = topics.or(config.kafka.topics.take());
            let settings = replay_settings(&config, filter.selection(id), (again, dry_run))?;
            let lake = parts::lake(&config).await?;
            print_report(&dead_letters::replay(&lake, &settings).await?, json)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Replays need no broker: only what ingest lands, and how.
fn replay_settings(
    config: &Config,
    selection: Selection,
    (again, dry_run): (bool, bool),
) -> Result<ReplaySettings, Failure> {
    let mut offline = config.clone();
    offline.kafka.brokers.get_or_insert_with(|| "localhost:9092".to_owned());
    let IngestSettings { topics, dead_letters, registry, max_message_bytes, writer, .. } =
        ingest::settings(&offline, &[])?;
    Ok(ReplaySettings {
        topics,
        dead_letters,
        registry,
        max_message_bytes,
        writer,
        selection,
        again,
        dry_run,
    })
}

/// A text in SQL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The condition of a selection in SQL.
fn condition(selection: &Selection) -> String {
    let any = |column: &str, texts: &[String]| {
        let texts: Vec<_> = texts.iter().map(|text| literal(text)).collect();
        format!(" and {column} in ({})", texts.join(", "))
    };
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let mut text = "true".to_owned();
    if !selection.topics.is_empty() {
        text += &any("_src_topic", &selection.topics);
    }
    if !selection.causes.is_empty() {
        text += &any("cause", &selection.causes);
    }
    if let Some(since) = selection.since {
        text += &format!(" and _ingested_at >= timestamp '{}'", time(since));
    }
    if let Some(until) = selection.until {
        text += &format!(" and _ingested_at < timestamp '{}'", time(until));
    }
    text
}

/// An engine over a lake with dead letters; `None` where nothing ever landed, so that there is no table of them.
async fn engine(config: &Config) -> Result<Option<Engine>, Failure> {
    let lake = parts::lake(config).await?;
    let is_there = lake.find(&dead_letters::table()).await?.is_some();
    if is_there { parts::engine_over(lake, config).map(Some) } else { Ok(None) }
}

async fn list(
    config: &Config,
    selection: &Selection,
    each: Option<usize>,
    json: bool,
) -> Result<ExitCode, Failure> {
    let condition = condition(selection);
    let text = match each {
        None => format!(
            "select _src_topic as topic, cause, count(*) as letters, min(_ingested_at) as oldest, \
             max(_ingested_at) as newest from {TABLE} where {condition} group by 1, 2 order by 1, 2"
        ),
        Some(limit) => format!(
            "select _src_topic || '/' || _src_partition || '/' || _src_offset as id, cause, _ingested_at as at, \
             octet_length(encode(payload, 'hex')) / 2 as bytes, \
             case when character_length(error) > 200 then substr(error, 1, 199) || '…' else error end as error \
             from {TABLE} where {condition} order by _ingested_at desc, 1 limit {limit}"
        ),
    };
    let Some(engine) = engine(config).await? else {
        if !json {
            println!("no dead letters: nothing has landed in this lake yet");
        }
        return Ok(ExitCode::SUCCESS);
    };
    let session = engine.session();
    let statement = session.prepare(&text).await?;
    let rows = session.execute(&statement, Vec::new()).await?;
    output::print(statement.schema(), rows, Format::of(json, false)).await?;
    Ok(ExitCode::SUCCESS)
}

async fn show(config: &Config, place: &Place, how: (usize, bool), json: bool) -> Result<ExitCode, Failure> {
    let text = format!(
        "select cause, error, kafka_timestamp, _ingested_at, key, payload from {TABLE} where _src_topic = {} \
         and _src_partition = {} and _src_offset = {} limit 1",
        literal(&place.topic),
        place.partition,
        place.offset
    );
    let mut found = None;
    if let Some(engine) = engine(config).await? {
        let session = engine.session();
        let statement = session.prepare(&text).await?;
        let mut rows = session.execute(&statement, Vec::new()).await?;
        while let Some(batch) = rows.try_next().await? {
            found = found.or((batch.num_rows() > 0).then_some(batch));
        }
    }
    let Some(row) = found else {
        return Err(Failure::new(format!("there is no dead letter {place}"))
            .hint("`sluice dead-letters list --each` names them; one that was replayed is gone"));
    };
    let options = FormatOptions::default();
    let text = |column: &str| -> Result<Option<String>, Failure> {
        let column = row.column_by_name(column).filter(|column| column.is_valid(0));
        let text =
            column.map(|column| ArrayFormatter::try_new(column, &options).map(|it| it.value(0).to_string()));
        Ok(text.transpose()?)
    };
    let (key, payload) = (Bytes::of(&row, "key", how)?, Bytes::of(&row, "payload", how)?);
    let (cause, error) = (text("cause")?, text("error")?);
    let (sent, set_aside) = (text("kafka_timestamp")?, text("_ingested_at")?);
    if json {
        let object = json!({
            "topic": place.topic, "partition": place.partition, "offset": place.offset, "cause": cause,
            "error": error, "kafka_timestamp": sent, "ingested_at": set_aside,
            "key": key.as_ref().map(Bytes::json), "payload": payload.as_ref().map(Bytes::json),
        });
        println!("{object}");
        return Ok(ExitCode::SUCCESS);
    }
    println!("from      {} partition {} offset {}", place.topic, place.partition, place.offset);
    println!("cause     {}", cause.unwrap_or_default());
    println!("error     {}", error.unwrap_or_default());
    println!("sent      {}", sent.unwrap_or_else(|| "unknown".to_owned()));
    println!("set aside {}", set_aside.unwrap_or_default());
    println!("key       {}", key.map_or_else(|| "none".to_owned(), |key| key.told()));
    println!(
        "payload   {}",
        payload.map_or_else(|| "none (a tombstone)".to_owned(), |payload| payload.told())
    );
    Ok(ExitCode::SUCCESS)
}

/// A key or payload, as far as it is shown.
struct Bytes {
    length: usize,
    /// Text, or hexadecimal digits.
    shown: String,
    is_text: bool,
    cut: bool,
}

impl Bytes {
    fn of(row: &RecordBatch, column: &str, (limit, hex): (usize, bool)) -> Result<Option<Self>, Failure> {
        let Some(column) = row.column_by_name(column).filter(|column| column.is_valid(0)) else {
            return Ok(None);
        };
        let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Binary)?;
        let bytes = column.as_binary::<i32>().value(0);
        let cut = bytes.len() > limit;
        let text = std::str::from_utf8(bytes).ok().filter(|_| !hex);
        // What a terminal would obey is no text to show.
        let text = text.filter(|text| !text.chars().any(|it| it.is_control() && !"\n\r\t".contains(it)));
        let shown = match text {
            Some(text) => text[..text.floor_char_boundary(limit.min(text.len()))].to_owned(),
            None => bytes.iter().take(limit).fold(String::new(), |mut digits, byte| {
                let _ = write!(digits, "{byte:02x}");
                digits
            }),
        };
        Ok(Some(Self { length: bytes.len(), shown, is_text: text.is_some(), cut }))
    }

    fn json(&self) -> serde_json::Value {
        let kind = if self.is_text { "text" } else { "hex" };
        json!({ "bytes": self.length, kind: self.shown, "cut": self.cut })
    }

    fn told(&self) -> String {
        let kind = if self.is_text { "text" } else { "hex" };
        let cut = if self.cut { ", cut: --bytes shows more" } else { "" };
        format!("{} bytes, {kind}{cut}\n{}", output::grouped(self.length as u64), self.shown)
    }
}

fn print_report(report: &ReplayReport, json: bool) -> Result<(), Failure> {
    if json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    let listing = |header: [&str; 2], counts: &BTreeMap<String, u64>| {
        if !counts.is_empty() {
            let rows = counts.iter().map(|(name, count)| vec![name.clone(), output::grouped(*count)]);
            output::print_listing(&header, rows.collect());
        }
    };
    listing(["table", "new rows"], &report.tables);
    listing(["still bad", "letters"], &report.causes);
    let would = if report.dry_run { "would be " } else { "" };
    println!(
        "{} of {} dead letters {would}landed; {} are still bad",
        output::grouped(report.landed),
        output::grouped(report.selected),
        output::grouped(report.bad)
    );
    for (count, what) in [
        (report.present, "were in their tables already, or were there twice: only the dead letter goes"),
        (report.waiting, "wait for ingest, which has not brought all tables of their topic so far"),
        (report.keyed, "belong into tables with a key, where later events may have landed: they stay"),
        (report.foreign, "come from files or from topics that the topics file does not land"),
    ] {
        if count > 0 {
            println!("{} {what}", output::grouped(count));
        }
    }
    Ok(())
}
