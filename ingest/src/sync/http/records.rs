//! The records of an answer become columns, exactly or not at all.
//!
//! | `records` leads to | with | rows |
//! |---|---|---|
//! | a list of objects | | one an object |
//! | an object | | one |
//! | an object | `entries` | one a member: its name, and its value or the fields of its value |
//! | an object of lists | `arrays` | as many as the lists are long |
//!
//! Values are kept as they are spelled until they are columns, so no digit is lost. The columns are those of the sync
//! file; else those of the table; else they follow from the values and are the table's from then on.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use chrono::{DateTime, Utc};
use serde::de::IgnoredAny;

use super::super::error::{Error, Result};
use super::super::{HttpSource, SYNCED_AT, SyncJob};
use crate::decode::fit;
use crate::decode::json::Json;
use crate::decode::nested::{elements, is_null, members};
use crate::decode::{Decode, Decoded};
use crate::infer;
use crate::source::raw::RawBatch;

/// The rows of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) batch: RecordBatch,
    /// Fields that no column takes.
    pub(super) ignored: Vec<String>,
}

const REMEDY: &str = "look at the answer, then correct `records`, `entries`, `arrays`, `with` or `columns`";

pub(super) fn read(
    job: &SyncJob,
    source: &HttpSource,
    text: &str,
    table: Option<SchemaRef>,
) -> Result<Answer> {
    let wrong = |fact: String| Error::content(&job.name, fact, REMEDY);
    serde_json::from_str::<IgnoredAny>(text)
        .map_err(|error| wrong(format!("the answer is no JSON: {error}")))?;
    let records = objects(source, text).map_err(wrong)?;
    let schema = schema(source, table, &records);
    if schema.fields().is_empty() && !records.is_empty() {
        return Err(wrong("the records have no values to infer columns from".to_owned()));
    }
    let batch = columns(&schema, &records).map_err(|fault| match fault {
        Fault::Content(fact) => wrong(fact),
        Fault::Columns(error) => error.into(),
    })?;
    let known: BTreeSet<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut ignored = BTreeSet::new();
    for (name, _) in records.iter().filter_map(|record| members(record)).flatten() {
        if !known.contains(name.as_ref()) {
            ignored.insert(name.into_owned());
        }
    }
    // A feed that lost a field for good would otherwise empty the column.
    let named =
        |record: &String, name: &str| members(record).into_iter().flatten().any(|(key, _)| key == name);
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let empty = !records.is_empty() && column.null_count() == column.len();
        if empty && !records.iter().any(|record| named(record, field.name())) {
            return Err(wrong(format!("no record has `{}`", field.name())));
        }
    }
    Ok(Answer { batch, ignored: ignored.into_iter().collect() })
}

/// The batch with the time of its answer in a last column.
pub(super) fn stamped(batch: &RecordBatch, now: DateTime<Utc>) -> Result<RecordBatch, ArrowError> {
    let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = batch.schema_ref().fields().to_vec();
    fields.push(Arc::new(Field::new(SYNCED_AT, zone, true)));
    let times = TimestampMicrosecondArray::from_value(now.timestamp_micros(), batch.num_rows());
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(times.with_timezone("UTC")));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn schema(source: &HttpSource, table: Option<SchemaRef>, records: &[String]) -> SchemaRef {
    if let Some(columns) = &source.columns {
        let fields = columns.iter().map(|(name, kind)| Field::new(name, kind.data_type(), true));
        return Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    }
    let fields: Fields = match table {
        Some(table) => {
            let fields = table.fields().iter().filter(|field| field.name() != SYNCED_AT);
            fields.map(|field| Field::new(field.name(), field.data_type().clone(), true)).collect()
        }
        None => infer::fields(records.iter().map(String::as_str)),
    };
    Arc::new(Schema::new(fields))
}

/// The records as texts of JSON objects.
fn objects(source: &HttpSource, text: &str) -> Result<Vec<String>, String> {
    let at = pointed(text, &source.records)
        .ok_or_else(|| format!("the answer has nothing at `{}`", source.records))?;
    let rows = if let Some(entries) = &source.entries {
        let members = members(at).ok_or_else(|| format!("what is at `{}` is no object", source.records))?;
        let rows = members.into_iter().map(|(name, value)| {
            let key = (Cow::Borrowed(entries.key.as_str()), quoted(&name));
            let mut row = vec![key];
            match &entries.value {
                Some(column) => row.push((Cow::Borrowed(column.as_str()), value.to_owned())),
                None => row.extend(owned(value).ok_or_else(|| {
                    format!("the value of `{name}` is no object; name its column with `entries.value`")
                })?),
            }
            Ok(row)
        });
        rows.collect::<Result<Vec<_>, String>>()?
    } else if source.arrays {
        arrays(at)
            .ok_or_else(|| format!("what is at `{}` is no object of lists of one length", source.records))?
    } else if let Some(list) = elements(at) {
        let rows = list.into_iter().enumerate();
        let rows =
            rows.map(|(row, value)| owned(value).ok_or_else(|| format!("record {} is no object", row + 1)));
        rows.collect::<Result<Vec<_>, String>>()?
    } else {
        vec![owned(at).ok_or_else(|| format!("what is at `{}` is no list and no object", source.records))?]
    };
    let mut same = Vec::new();
    for (column, pointer) in &source.with {
        let value = pointed(text, pointer).ok_or_else(|| format!("the answer has nothing at `{pointer}`"))?;
        same.push((Cow::Borrowed(column.as_str()), value.to_owned()));
    }
    let object = |row: Vec<Member<'_>>| {
        let members = row.iter().chain(&same).map(|(name, value)| format!("{}:{value}", quoted(name)));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    };
    Ok(rows.into_iter().map(object).collect())
}

type Member<'a> = (Cow<'a, str>, String);

fn owned(object: &str) -> Option<Vec<Member<'_>>> {
    Some(members(object)?.into_iter().map(|(name, value)| (name, value.to_owned())).collect())
}

fn arrays(object: &str) -> Option<Vec<Vec<Member<'_>>>> {
    let columns = members(object)?;
    let columns = columns.into_iter().map(|(name, value)| Some((name, elements(value)?)));
    let columns = columns.collect::<Option<Vec<_>>>()?;
    let length = columns.first().map_or(0, |(_, values)| values.len());
    if columns.iter().any(|(_, values)| values.len() != length) {
        return None;
    }
    let row =
        |at: usize| columns.iter().map(|(name, values)| (name.clone(), values[at].to_owned())).collect();
    Some((0..length).map(row).collect())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What a JSON pointer (RFC 6901) leads to.
fn pointed<'a>(text: &'a str, pointer: &str) -> Option<&'a str> {
    let mut at = text.trim();
    for part in pointer.split('/').skip(1) {
        let name = part.replace("~1", "/").replace("~0", "~");
        at = match elements(at) {
            Some(list) => list.get(name.parse::<usize>().ok()?)?,
            None => members(at)?.into_iter().rev().find(|(key, _)| *key == name)?.1,
        };
    }
    (!is_null(at)).then_some(at)
}

enum Fault {
    Content(String),
    Columns(ArrowError),
}

impl From<ArrowError> for Fault {
    fn from(error: ArrowError) -> Self {
        Self::Columns(error)
    }
}

fn columns(schema: &SchemaRef, records: &[String]) -> Result<RecordBatch, Fault> {
    let mut raw = RawBatch::new(0, 0);
    for (row, record) in records.iter().enumerate() {
        raw.push(row as i64, None, None, Some(record.as_bytes()));
    }
    let Decoded { batch, rejects, .. } = Json::new(schema).decode(&raw)?;
    if let Some(reject) = rejects.first() {
        return Err(Fault::Content(format!("record {}: {}", reject.message + 1, reject.text)));
    }
    let mut made = Vec::with_capacity(schema.fields().len());
    for (field, texts) in schema.fields().iter().zip(batch.columns()) {
        let (column, misfits) = fit::column(texts, field.data_type())?;
        if let Some((row, fault)) = misfits.first() {
            return Err(Fault::Content(format!("record {}, `{}`: {fault}", row + 1, field.name())));
        }
        made.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), made, &options)?)
}
