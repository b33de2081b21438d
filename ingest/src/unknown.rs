//! Fields that a message has and its table has not.
//!
//! Whatever the format, they come to one JSON object a row, nested as the fields are: that is what the column
//! `_rest` keeps, what a dead letter shows, and what types are inferred from where a format has none. A field that is
//! null is no field. Formats with a schema of their own also give the unknown fields as columns with their types.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatchOptions, StringArray, StructArray,
};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use arrow::record_batch::RecordBatch;
use sluice_catalog::Alteration;

use crate::decode::fit;
use crate::decode::nested::{elements, is_null, members};
use crate::plan::{RoutePlan, TopicPlan};
use crate::reject::{Cause, Reject};
use crate::route::Share;
use crate::topics::{Format, REST_COLUMN, SchemaPolicy};
use crate::{evolve, infer};

/// What the rows of a route have and its table has not.
#[derive(Debug, Default)]
pub(crate) struct Unknown {
    /// Each row's unknown fields as a JSON object; empty when no row has any.
    texts: Vec<Option<String>>,
    /// Why neither the table nor JSON can hold some field; then no row can land.
    hidden: Option<String>,
    /// What would make room for them.
    pub(crate) alterations: Vec<Alteration>,
}

impl Unknown {
    /// Looks as far as the table's policy asks for it. `refused` is what the table would not become.
    pub(crate) fn new(
        topic: &TopicPlan,
        route: &RoutePlan,
        share: &Share,
        refused: &[Alteration],
    ) -> Result<Self, ArrowError> {
        if route.policy == SchemaPolicy::Ignore {
            return Ok(Self::default());
        }
        let evolves = route.policy == SchemaPolicy::Evolve;
        if topic.format == Format::Json {
            let texts = of_share(route, &share.batch);
            let mut alterations = Vec::new();
            if evolves && texts.iter().any(Option::is_some) {
                let fields = infer::fields(texts.iter().flatten().map(String::as_str));
                alterations = evolve::alterations(&route.known, &fields, refused);
            }
            return Ok(Self { texts, hidden: None, alterations });
        }
        let given = share.batch.schema();
        let alterations = match evolves {
            true => evolve::alterations(&route.known, given.fields(), refused),
            false => Vec::new(),
        };
        let unknown = columns(&share.batch, &route.known)?;
        let (Some(unknown), true) = (unknown, alterations.is_empty()) else {
            return Ok(Self { alterations, ..Self::default() });
        };
        let odd = unknown.schema().fields().iter().find(|field| !is_shown(field.data_type())).cloned();
        if let Some(odd) = odd {
            let hidden = format!(
                "field `{}` is {}, which neither the table nor JSON can hold",
                odd.name(),
                fit::name(odd.data_type())
            );
            return Ok(Self { hidden: Some(hidden), ..Self::default() });
        }
        Ok(Self { texts: texts(&unknown)?, ..Self::default() })
    }

    /// The rows that the policy does not let land.
    pub(crate) fn faults(&self, policy: SchemaPolicy, messages: &[u32]) -> BTreeMap<u32, Reject> {
        let all = |cause, text: &str| {
            let rejects = messages.iter().map(|message| Reject::new(*message, cause, text));
            (0..).zip(rejects).collect()
        };
        if let Some(hidden) = &self.hidden {
            return all(Cause::Schema, hidden);
        }
        let (cause, fact) = match policy {
            SchemaPolicy::Ignore | SchemaPolicy::Keep => return BTreeMap::new(),
            SchemaPolicy::Evolve => (Cause::Schema, "fields that cannot become columns of the table"),
            SchemaPolicy::Reject => (Cause::UnknownField, "fields that the table does not have"),
        };
        let rows = self.texts.iter().zip(messages).zip(0..);
        let bad = rows.filter_map(|((text, message), row)| {
            let text = text.as_deref()?;
            Some((row, Reject::new(*message, cause, format!("{fact}: {text}"))))
        });
        bad.collect()
    }

    /// The column `_rest`.
    pub(crate) fn rest(&self, rows: usize) -> StringArray {
        if self.texts.is_empty() {
            return StringArray::new_null(rows);
        }
        self.texts.iter().map(Option::as_deref).collect()
    }
}

/// The unknown part of the rows of a JSON topic.
fn of_share(route: &RoutePlan, batch: &RecordBatch) -> Vec<Option<String>> {
    let text = |name: &str| batch.column_by_name(name).map(|column| column.as_string::<i32>());
    let nested = route.columns.iter().filter(|column| column.data_type.is_nested());
    let nested: Vec<_> =
        nested.filter_map(|column| Some((column.name.as_str(), text(&column.name)?))).collect();
    of_json(text(REST_COLUMN), &nested, batch.num_rows(), &route.known)
}

/// The columns of a batch, and what is inside of them, that `known` lacks; `None` when it has all.
fn columns(batch: &RecordBatch, known: &Fields) -> Result<Option<RecordBatch>, ArrowError> {
    let (fields, columns) = beyond(batch.schema_ref().fields(), batch.columns(), known)?;
    if fields.is_empty() {
        return Ok(None);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map(Some)
}

/// The fields that `known` has not, and the unknown part of those that it has.
fn beyond(
    fields: &Fields,
    columns: &[ArrayRef],
    known: &Fields,
) -> Result<(Vec<FieldRef>, Vec<ArrayRef>), ArrowError> {
    let (mut names, mut arrays) = (Vec::new(), Vec::new());
    for (field, column) in fields.iter().zip(columns) {
        let part = match known.iter().find(|known| known.name() == field.name()) {
            None => Some(Arc::clone(column)),
            Some(known) => part(column, known.data_type())?,
        };
        if let Some(part) = part {
            names.push(Arc::new(Field::new(field.name(), part.data_type().clone(), true)));
            arrays.push(part);
        }
    }
    Ok((names, arrays))
}

/// The part of a column that `known` lacks, in the same lists, maps and structs.
fn part(column: &ArrayRef, known: &DataType) -> Result<Option<ArrayRef>, ArrowError> {
    let inside = |name: &str, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
    Ok(match (column.data_type(), known) {
        (DataType::Struct(fields), DataType::Struct(known)) => {
            let source = column.as_struct();
            let (names, arrays) = beyond(fields, source.columns(), known)?;
            if names.is_empty() {
                return Ok(None);
            }
            Some(Arc::new(StructArray::try_new(names.into(), arrays, source.nulls().cloned())?))
        }
        (DataType::List(_), DataType::List(known)) => {
            let source = column.as_list::<i32>();
            let Some(values) = part(source.values(), known.data_type())? else { return Ok(None) };
            let (offsets, nulls) = (source.offsets().clone(), source.nulls().cloned());
            Some(Arc::new(ListArray::try_new(inside("element", &values), offsets, values, nulls)?))
        }
        (DataType::Map(entries, _), DataType::Map(known, _)) => {
            let (source, DataType::Struct(known)) = (column.as_map(), known.data_type()) else {
                return Ok(None);
            };
            let DataType::Struct(entry) = entries.data_type() else { return Ok(None) };
            let (Some(key), Some(known)) = (entry.first(), known.get(1)) else { return Ok(None) };
            let Some(values) = part(source.values(), known.data_type())? else { return Ok(None) };
            let fields = Fields::from(vec![Arc::clone(key), inside("value", &values)]);
            let inner = StructArray::try_new(fields.clone(), vec![Arc::clone(source.keys()), values], None)?;
            let entries = Arc::new(Field::new(entries.name(), DataType::Struct(fields), false));
            let (offsets, nulls) = (source.offsets().clone(), source.nulls().cloned());
            Some(Arc::new(MapArray::try_new(entries, offsets, inner, nulls, false)?))
        }
        _ => None,
    })
}

/// Each row of unknown columns as a JSON object; `None` for a row where all of them are null.
fn texts(unknown: &RecordBatch) -> Result<Vec<Option<String>>, ArrowError> {
    let mut lines = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut lines);
    writer.write(unknown)?;
    writer.finish()?;
    drop(writer);
    let text = String::from_utf8(lines).map_err(|error| ArrowError::JsonError(error.to_string()))?;
    Ok(text.lines().map(|line| (!is_empty(line)).then(|| line.to_owned())).collect())
}

/// Whether a JSON text holds no value at all.
fn is_empty(text: &str) -> bool {
    is_null(text)
        || members(text).is_some_and(|members| members.iter().all(|(_, value)| is_empty(value)))
        || elements(text).is_some_and(|elements| elements.iter().all(|value| is_empty(value)))
}

/// Which columns of unknown ones JSON can show.
fn is_shown(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(..) | DataType::Interval(_) | DataType::Duration(_) => false,
        DataType::List(inner) => is_shown(inner.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(entry) => {
                entry.first().is_some_and(|key| *key.data_type() == DataType::Utf8)
                    && is_shown(entries.data_type())
            }
            _ => false,
        },
        DataType::Struct(fields) => fields.iter().all(|field| is_shown(field.data_type())),
        _ => true,
    }
}

/// The unknown part of the rows of a JSON topic.
///
/// `others` holds the members that some table does not know, as an object each; `nested` the columns with lists and
/// objects, whose inside may be unknown.
fn of_json(
    others: Option<&StringArray>,
    nested: &[(&str, &StringArray)],
    rows: usize,
    known: &Fields,
) -> Vec<Option<String>> {
    let one = |row: usize| {
        let text = others.filter(|others| others.is_valid(row)).map(|others| others.value(row));
        let mut found = Members::default();
        for (key, value) in text.and_then(members).into_iter().flatten() {
            if known.find(&key).is_none() && !is_null(value) {
                found.put(key, Some(Cow::Borrowed(value)));
            }
        }
        for (name, values) in nested {
            let Some((_, field)) = known.find(name).filter(|_| values.is_valid(row)) else { continue };
            if let Some(part) = part_of(values.value(row), field.data_type()) {
                found.put(Cow::Borrowed(name), Some(Cow::Owned(part)));
            }
        }
        found.object()
    };
    (0..rows).map(one).collect()
}

/// The unknown part of a JSON value whose known part has this type.
fn part_of(value: &str, known: &DataType) -> Option<String> {
    match known {
        DataType::Struct(fields) => {
            let mut found = Members::default();
            for (key, value) in members(value)? {
                let part = match fields.find(&key) {
                    None => (!is_null(value)).then_some(Cow::Borrowed(value)),
                    Some((_, field)) => part_of(value, field.data_type()).map(Cow::Owned),
                };
                found.put(key, part);
            }
            found.object()
        }
        DataType::List(element) => {
            let parts: Vec<_> =
                elements(value)?.into_iter().map(|value| part_of(value, element.data_type())).collect();
            if parts.iter().all(Option::is_none) {
                return None;
            }
            let parts: Vec<_> = parts.iter().map(|part| part.as_deref().unwrap_or("null")).collect();
            Some(format!("[{}]", parts.join(",")))
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(entry) = entries.data_type() else { return None };
            let inner = entry.get(1)?.data_type();
            let parts =
                members(value)?.into_iter().filter_map(|(key, value)| Some((key, part_of(value, inner)?)));
            let parts: Vec<_> = parts.collect();
            (!parts.is_empty())
                .then(|| object(parts.iter().map(|(key, value)| (key.as_ref(), value.as_str()))))
        }
        _ => None,
    }
}

/// Members of an object; of a key that is there twice the last value counts.
#[derive(Default)]
struct Members<'a> {
    found: Vec<(Cow<'a, str>, Option<Cow<'a, str>>)>,
    /// Where each key is, once there are many.
    places: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Members<'a> {
    /// So many are looked through one by one.
    const FEW: usize = 16;

    fn put(&mut self, key: Cow<'a, str>, value: Option<Cow<'a, str>>) {
        let at = match self.places.is_empty() {
            true => self.found.iter().position(|(known, _)| *known == key),
            false => self.places.get(&key).copied(),
        };
        if let Some(at) = at {
            self.found[at].1 = value;
            return;
        }
        self.found.push((key, value));
        if self.found.len() > Self::FEW {
            for (at, (key, _)) in self.found.iter().enumerate().skip(self.places.len()) {
                self.places.insert(key.clone(), at);
            }
        }
    }

    /// The object; `None` when it has no values.
    fn object(&self) -> Option<String> {
        let mut members =
            self.found.iter().filter_map(|(key, value)| Some((key.as_ref(), value.as_deref()?))).peekable();
        members.peek()?;
        Some(object(members))
    }
}

fn object<'a>(members: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let members = members.map(|(key, value)| format!("{}:{value}", serde_json::Value::from(key)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests;
