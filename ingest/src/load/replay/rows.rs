//! Rows of any files as JSON events of one topic.
//!
//! A row becomes an object with the columns of its file; what is null is left out. With a column that says when, all
//! events are put in the order of time first; else they follow as the files have them, and memory does not grow.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;
use tokio::sync::mpsc;

use super::{Event, ReplaySettings, Timeline};
use crate::load::columns::{Column, Origin, Spelling};
use crate::load::jobs::jobs;
use crate::load::pieces::pieces;
use crate::load::sets::retail_rocket;
use crate::load::survey::survey;
use crate::load::table::{Job, check_header};
use crate::load::{DataSet, Error, LoadSettings, Progress, Result, What};
use crate::pipeline::now;

/// JSON that is kept in memory to be sorted by time.
const TIMELINE_BYTES_MAX: usize = 2 << 30;
const MICROS_PER_MILLI: i64 = 1000;
const MILLIS_PER_DAY: i64 = 86_400_000;

/// The columns that say when an event was and whose it is.
struct Roles {
    time: Option<String>,
    key: Option<String>,
}

/// Sends the events of all files through `chunks`: as they come, or as one sorted timeline.
pub(super) async fn read(
    settings: &ReplaySettings,
    progress: &Arc<Progress>,
    chunks: mpsc::Sender<Timeline>,
) -> Result<()> {
    let mut roles = Roles { time: settings.time.clone(), key: settings.key.clone() };
    let mut wanted = LoadSettings::new(settings.what, settings.inputs.clone());
    wanted.commit_bytes = u64::MAX;
    let mut jobs = jobs(&wanted, now())?;
    if settings.what == What::Set(DataSet::RetailRocket) {
        roles.time.get_or_insert_with(|| "timestamp".to_owned());
        roles.key.get_or_insert_with(|| "visitorid".to_owned());
        let events = retail_rocket::EVENTS.table()?;
        jobs.retain(|job| job.table == events);
    }
    jobs.iter_mut().for_each(as_written);
    jobs.iter().flat_map(|job| &job.parts).for_each(|part| progress.expect_bytes(2 * part.bytes));
    let mut timeline = Timeline::default();
    for job in &jobs {
        for part in &job.parts {
            let survey = survey(part, job.format, job.declared.is_none(), progress).await?;
            check_header(&survey, job)?;
            let inferred = || survey.columns.iter().map(|(_, column)| column.clone()).collect();
            let columns: Vec<Column> = job.declared.clone().unwrap_or_else(inferred);
            let origin = Origin { file: part.label.clone(), ingested_at: job.now };
            let mut stream = pieces(&survey, job.format, &columns, origin, 0, progress);
            while let Some(piece) = stream.next().await {
                let piece = piece?;
                timeline.rejected += piece.rejected;
                for batch in &piece.rows {
                    let data: Vec<usize> = (0..columns.len()).collect();
                    let batch = batch.project(&data).map_err(|error| part.broken(&error))?;
                    let untimed = timeline.untimed;
                    add(&mut timeline, &batch, &roles, &part.subject())?;
                    progress.expect_rows(batch.num_rows() as u64 - (timeline.untimed - untimed));
                }
                if roles.time.is_none() && chunks.send(std::mem::take(&mut timeline)).await.is_err() {
                    return Ok(()); // Whoever sends has given up and knows why.
                }
                if timeline.bytes.len() > TIMELINE_BYTES_MAX {
                    let fact = format!("its events take more than {} GiB as JSON", TIMELINE_BYTES_MAX >> 30);
                    return Err(part.unfit(fact, "replay it without a time column, or in parts"));
                }
            }
        }
    }
    timeline.sort();
    // Refused only when the sender has given up.
    let _ = chunks.send(timeline).await;
    Ok(())
}

/// Milliseconds stay the numbers that the file has.
fn as_written(job: &mut Job) {
    for column in job.declared.iter_mut().flatten() {
        if column.spelling == Spelling::Millis {
            *column = Column::new(&column.name, DataType::Int64);
        }
    }
}

fn add(timeline: &mut Timeline, batch: &RecordBatch, roles: &Roles, path: &Path) -> Result<()> {
    let broken =
        |error: arrow::error::ArrowError| Error::Broken { path: path.to_path_buf(), fact: error.to_string() };
    let column = |name: &Option<String>| match name {
        None => Ok(None),
        Some(name) => batch.column_by_name(name).map(Some).ok_or_else(|| Error::Input {
            path: path.to_path_buf(),
            fact: format!("it has no column `{name}`"),
            remedy: "name columns as the table would have them, in lower case",
        }),
    };
    let times = match column(&roles.time)? {
        None => None,
        Some(values) => Some(millis(values.as_ref()).ok_or_else(|| Error::Input {
            path: path.to_path_buf(),
            fact: format!("column `{}` holds no times", roles.time.as_deref().unwrap_or_default()),
            remedy: "name one of timestamps, dates, or milliseconds since 1970",
        })?),
    };
    let options = FormatOptions::default();
    let keys = column(&roles.key)?;
    let keys =
        keys.map(|keys| ArrayFormatter::try_new(keys.as_ref(), &options)).transpose().map_err(broken)?;
    let mut begin = timeline.bytes.len();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut timeline.bytes);
    writer.write(batch).and_then(|()| writer.finish()).map_err(broken)?;
    for row in 0..batch.num_rows() {
        let length = memchr::memchr(b'\n', &timeline.bytes[begin..]).unwrap_or(timeline.bytes.len() - begin);
        let (start, end) = (begin, begin + length);
        begin = end + 1;
        let at = match &times {
            None => Some(0),
            Some(times) => times[row],
        };
        match at {
            None => timeline.untimed += 1,
            Some(at) => timeline.events.push(Event { at, topic: 0, start, end, key: (end, end) }),
        }
    }
    if let Some(keys) = keys {
        add_keys(timeline, batch.num_rows(), times.as_deref(), |row| keys.value(row).to_string());
    }
    Ok(())
}

/// Puts the keys of the last events behind their JSON.
fn add_keys(
    timeline: &mut Timeline,
    rows: usize,
    times: Option<&[Option<i64>]>,
    key: impl Fn(usize) -> String,
) {
    let timed = |row: &usize| times.is_none_or(|times| times[*row].is_some());
    let first = timeline.events.len() - (0..rows).filter(timed).count();
    for (row, event) in (0..rows).filter(timed).zip(&mut timeline.events[first..]) {
        let start = timeline.bytes.len();
        timeline.bytes.extend_from_slice(key(row).as_bytes());
        event.key = (start, timeline.bytes.len());
    }
}

/// The values of a column as milliseconds since 1970; none when they are no times.
fn millis(values: &dyn Array) -> Option<Vec<Option<i64>>> {
    Some(match values.data_type() {
        DataType::Int64 => values.as_primitive::<Int64Type>().iter().collect(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = values.as_primitive::<TimestampMicrosecondType>();
            micros.iter().map(|micros| Some(micros?.div_euclid(MICROS_PER_MILLI))).collect()
        }
        DataType::Date32 => {
            let days = values.as_primitive::<Date32Type>();
            days.iter().map(|days| Some(i64::from(days?) * MILLIS_PER_DAY)).collect()
        }
        _ => return None,
    })
}
