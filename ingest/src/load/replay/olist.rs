//! Olist's orders, items and payments as JSON events: three files joined into one timeline.
//!
//! The time of an order is when it was bought. Items and payments have no time of their own: they take that
//! of their order and follow it. The key is the order's id. Times without zone are taken as UTC. A field that
//! is empty in the file is left out of the event.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::DataType;
use chrono::NaiveDateTime;

use super::{Event, Timeline};
use crate::load::blocks::{self, Ends};
use crate::load::columns::{Column, misfit};
use crate::load::csv::{self, Fields, Records};
use crate::load::part::Part;
use crate::load::sets::olist::{ITEMS, ORDERS, PAYMENTS};
use crate::load::sets::{self, SetFile};
use crate::load::{Progress, Result, table};

/// The files, their topics and the `event_type` of their events.
pub(super) const STREAMS: [(SetFile, &str, &str); 3] = [
    (ORDERS, "olist-orders", "order"),
    (ITEMS, "olist-order-items", "order_item"),
    (PAYMENTS, "olist-payments", "payment"),
];

/// One of the files while it is read.
struct Stream<'a> {
    topic: usize,
    columns: Vec<Column>,
    /// The column that says when; the other files take the time of their order.
    time: Option<usize>,
    /// When each order was bought, filled by the first file.
    bought: &'a mut HashMap<Vec<u8>, i64>,
}

/// The events of the three files in a folder, in the order of their time.
pub(in crate::load) fn read(folder: &Path, progress: &Arc<Progress>) -> Result<Timeline> {
    let files = sets::in_folder(folder, &STREAMS.map(|(file, _, _)| file))?;
    files.iter().for_each(|(_, part)| progress.expect_bytes(part.bytes));
    let (mut timeline, mut bought) = (Timeline::default(), HashMap::new());
    for (topic, (file, part)) in files.into_iter().enumerate() {
        let columns = file.columns();
        let time = columns.iter().position(|column| column.name == "order_purchase_timestamp");
        let mut stream = Stream { topic, columns, time, bought: &mut bought };
        add_file(&mut timeline, &mut stream, &part, progress)?;
    }
    // An order comes before its items and payments: the streams are in that order.
    timeline.sort();
    Ok(timeline)
}

fn add_file(
    timeline: &mut Timeline,
    stream: &mut Stream<'_>,
    part: &Part,
    progress: &Arc<Progress>,
) -> Result<()> {
    let (mut data_start, mut failed) = (None, None);
    blocks::read(part, Ends::Csv(b','), None, progress, |block| {
        let start = match data_start {
            Some(start) => start,
            None => match header(part, &block, stream) {
                Ok(start) => *data_start.insert(start),
                Err(error) => {
                    failed = Some(error);
                    return false;
                }
            },
        };
        let Some(block) = block.from(start) else { return true };
        let mut records = Records::new(&block, b',', stream.columns.len());
        while let Some(record) = records.next() {
            match record.fault.is_some() || block.too_long || misfit(record.fields, &stream.columns).is_some()
            {
                true => timeline.rejected += 1,
                false => add_record(timeline, stream, record.fields),
            }
        }
        true
    })?;
    failed.map_or(Ok(()), Err)
}

fn header(part: &Part, block: &blocks::Block, stream: &Stream<'_>) -> Result<u64> {
    let (names, start) = csv::header(part, Some(block), b',')?;
    table::check_names(part, &stream.columns, names.iter())?;
    Ok(start)
}

fn add_record(timeline: &mut Timeline, stream: &mut Stream<'_>, fields: Fields<'_>) {
    let order = fields.get(0);
    let at = match stream.time {
        Some(column) => text(fields.get(column)).and_then(millis),
        None => stream.bought.get(order).copied(),
    };
    let Some(at) = at else {
        timeline.untimed += 1;
        return;
    };
    if stream.time.is_some() {
        stream.bought.insert(order.to_vec(), at);
    }
    add_event(timeline, at, stream, fields);
}

fn add_event(timeline: &mut Timeline, at: i64, stream: &Stream<'_>, fields: Fields<'_>) {
    let out = &mut timeline.bytes;
    let start = out.len();
    // Writing to memory does not fail.
    let _ = write!(out, "{{\"event_type\":\"{}\",\"timestamp\":{at}", STREAMS[stream.topic].2);
    let mut key = (start, start);
    for (index, (column, field)) in stream.columns.iter().zip(fields.iter()).enumerate() {
        let Some(value) = text(field).filter(|_| Some(index) != stream.time) else { continue };
        let _ = write!(out, ",\"{}\":", column.name);
        let begin = out.len();
        match column.data_type {
            DataType::Timestamp(..) => {
                let _ = write!(out, "{}", millis(value).unwrap_or_default());
            }
            DataType::Utf8 => {
                let _ = serde_json::to_writer(&mut *out, value);
            }
            _ => number(out, value),
        }
        if index == 0 {
            key = (begin + 1, out.len() - 1);
        }
    }
    out.push(b'}');
    let end = out.len();
    timeline.events.push(Event { at, topic: stream.topic, start, end, key });
}

/// A field's text; none when it is empty.
fn text(field: &[u8]) -> Option<&str> {
    std::str::from_utf8(field).ok().filter(|text| !text.is_empty())
}

/// Milliseconds of a time that `infer::fits` took for a timestamp.
fn millis(text: &str) -> Option<i64> {
    let text = if text.len() == 10 { format!("{text} 00:00:00") } else { text.replace('T', " ") };
    let time = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    Some(time.and_utc().timestamp_millis())
}

/// A number as JSON has it: `.5` gets its zero.
fn number(out: &mut Vec<u8>, text: &str) {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    out.extend_from_slice(sign.as_bytes());
    if digits.starts_with('.') {
        out.push(b'0');
    }
    out.extend_from_slice(digits.as_bytes());
}
