//! JSON texts of lists and objects become nested columns of text.
//!
//! The texts come from [`super::json`], which checked their grammar, or from anywhere: what is no list or object
//! where one belongs is reported with its row. Values keep their spelling, as in the flat columns; `fit` then makes
//! the declared types of them. Of a key that is there twice the last counts. Unknown keys are left out here.
//!
//! An empty object takes three bytes and makes a value in each column of its struct, so the values of a row are
//! counted: one that unpacks to more than `VALUES_MAX` is a misfit.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, MapArray, StringArray, StringBuilder, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use arrow::error::ArrowError;

use super::exact::Misfit;

/// Values that a row may unpack to, besides those that stand in its text.
const VALUES_MAX: usize = 4_000_000;

/// The texts as an array with the shape of `target` and text where it has values.
pub(super) fn unfold(texts: &StringArray, target: &DataType) -> Result<(ArrayRef, Vec<Misfit>), ArrowError> {
    let mut found = Found { misfits: Vec::new(), values: vec![0; texts.len()] };
    let values = texts.iter().enumerate().map(|(row, text)| (row as u32, text));
    let made = column(values.collect(), target, &mut found)?;
    Ok((made, found.misfits))
}

/// What was found on the way.
struct Found {
    misfits: Vec<Misfit>,
    /// How many values each row has made so far.
    values: Vec<usize>,
}

impl Found {
    /// Whether there is room for so many more values of a row; if not, it is a misfit.
    fn takes(&mut self, row: u32, more: usize) -> bool {
        let Some(values) = self.values.get_mut(row as usize) else { return false };
        let fitted = *values <= VALUES_MAX;
        *values = values.saturating_add(more);
        if fitted && *values > VALUES_MAX {
            self.misfits.push((row, format!("unpacks to more than {VALUES_MAX} values")));
        }
        *values <= VALUES_MAX
    }
}

/// How many values an element of a type makes where nothing is given.
fn width(data_type: &DataType) -> usize {
    match data_type {
        DataType::Struct(fields) => 1 + fields.iter().map(|field| width(field.data_type())).sum::<usize>(),
        _ => 1,
    }
}

/// JSON values, each with the row that it belongs to.
type Values<'a> = Vec<(u32, Option<&'a str>)>;

/// A column of JSON values.
fn column(values: Values<'_>, target: &DataType, found: &mut Found) -> Result<ArrayRef, ArrowError> {
    match target {
        DataType::Struct(fields) => structs(values, fields, found),
        DataType::List(element) => lists(values, element, found),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(entry) if entry.len() == 2 => maps(values, &entry[1], found),
            _ => Err(ArrowError::SchemaError(format!("{target} is no map"))),
        },
        _ => Ok(texts(values, found)),
    }
}

fn structs(values: Values<'_>, fields: &Fields, found: &mut Found) -> Result<ArrayRef, ArrowError> {
    let mut columns: Vec<Values<'_>> = fields.iter().map(|_| Vec::with_capacity(values.len())).collect();
    let mut valid = Vec::with_capacity(values.len());
    for (row, value) in values {
        let object = object(row, value, found);
        columns.iter_mut().for_each(|column| column.push((row, None)));
        valid.push(object.is_some());
        for (key, value) in object.into_iter().flatten() {
            if let Some(at) = fields.iter().position(|field| *field.name() == key)
                && let Some(last) = columns[at].last_mut()
            {
                last.1 = Some(value);
            }
        }
    }
    let length = valid.len();
    let made =
        columns.into_iter().zip(fields).map(|(values, field)| column(values, field.data_type(), found));
    let made = made.collect::<Result<Vec<_>, _>>()?;
    let texts = fields.iter().zip(&made);
    let fields = texts.map(|(field, made)| Field::new(field.name(), made.data_type().clone(), true));
    let nulls = NullBuffer::from(valid);
    Ok(Arc::new(StructArray::try_new_with_length(fields.collect(), made, Some(nulls), length)?))
}

fn lists(values: Values<'_>, element: &Field, found: &mut Found) -> Result<ArrayRef, ArrowError> {
    let width = width(element.data_type());
    let (mut inside, mut ends, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for (row, value) in values {
        let value = value.filter(|value| !is_null(value));
        let list = value.and_then(elements);
        if let (Some(value), None) = (value, &list) {
            found.misfits.push((row, fault(value, "a list")));
        }
        let list = list.filter(|list| width == 1 || found.takes(row, list.len() * width));
        valid.push(list.is_some());
        inside.extend(list.into_iter().flatten().map(|value| (row, Some(value))));
        ends.push(inside.len());
    }
    let made = column(inside, element.data_type(), found)?;
    let element = Arc::new(Field::new(element.name(), made.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(element, offsets(ends)?, made, Some(NullBuffer::from(valid)))?))
}

fn maps(values: Values<'_>, value: &Field, found: &mut Found) -> Result<ArrayRef, ArrowError> {
    let width = width(value.data_type());
    let (mut keys, mut inside) = (StringBuilder::new(), Vec::new());
    let (mut ends, mut valid) = (Vec::new(), Vec::new());
    for (row, value) in values {
        let object = object(row, value, found);
        let object = object.filter(|object| width == 1 || found.takes(row, object.len() * width));
        valid.push(object.is_some());
        for (key, value) in last_of_each(object.unwrap_or_default()) {
            keys.append_value(key);
            inside.push((row, Some(value)));
        }
        ends.push(inside.len());
    }
    let made = column(inside, value.data_type(), found)?;
    let value = Field::new("value", made.data_type().clone(), true);
    let entry = vec![Field::new("key", DataType::Utf8, false), value];
    let keys: ArrayRef = Arc::new(keys.finish());
    let inner = StructArray::try_new(entry.clone().into(), vec![keys, made], None)?;
    let entries = Arc::new(Field::new("key_value", DataType::Struct(entry.into()), false));
    let nulls = Some(NullBuffer::from(valid));
    Ok(Arc::new(MapArray::try_new(entries, offsets(ends)?, inner, nulls, false)?))
}

fn texts(values: Values<'_>, found: &mut Found) -> ArrayRef {
    let mut texts = StringBuilder::with_capacity(values.len(), values.len() * 8);
    for (row, value) in values {
        match value.filter(|value| !is_null(value)) {
            None => texts.append_null(),
            Some(value) if value.starts_with(['{', '[']) => {
                found.misfits.push((row, fault(value, "a single value")));
                texts.append_null();
            }
            Some(value) => texts.append_value(unquoted(value)),
        }
    }
    Arc::new(texts.finish())
}

fn object<'a>(row: u32, value: Option<&'a str>, found: &mut Found) -> Option<Vec<(Cow<'a, str>, &'a str)>> {
    let value = value.filter(|value| !is_null(value))?;
    let members = members(value);
    if members.is_none() {
        found.misfits.push((row, fault(value, "an object")));
    }
    members
}

fn last_of_each<'a>(members: Vec<(Cow<'a, str>, &'a str)>) -> Vec<(Cow<'a, str>, &'a str)> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut kept: Vec<(Cow<'a, str>, &'a str)> = Vec::with_capacity(members.len());
    for member in members {
        match places.get(member.0.as_ref()) {
            Some(&at) => kept[at] = member,
            None => {
                places.insert(member.0.clone().into_owned(), kept.len());
                kept.push(member);
            }
        }
    }
    kept
}

fn fault(value: &str, wanted: &str) -> String {
    super::exact::describe(value, &format!("is not {wanted}"))
}

fn offsets(ends: Vec<usize>) -> Result<OffsetBuffer<i32>, ArrowError> {
    let ends =
        ends.into_iter().map(|end| i32::try_from(end).map_err(|_| ArrowError::OffsetOverflowError(end)));
    let starts = std::iter::once(Ok(0)).chain(ends).collect::<Result<Vec<_>, _>>()?;
    Ok(OffsetBuffer::new(ScalarBuffer::from(starts)))
}

pub(crate) fn is_null(value: &str) -> bool {
    value == "null"
}

/// A text without its quotes and escapes; another value as it is spelled.
pub(crate) fn unquoted(value: &str) -> Cow<'_, str> {
    let Some(inside) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(value);
    };
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    serde_json::from_str::<String>(value).map_or(Cow::Borrowed(inside), Cow::Owned)
}

/// The members of an object, values as they are spelled; `None` for what is none.
pub(crate) fn members(text: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let mut rest = text.trim_start().strip_prefix('{')?.trim_start();
    let mut members = Vec::new();
    while !rest.starts_with('}') {
        let (key, after) = value(rest)?;
        let (inner, after) = value(after.trim_start().strip_prefix(':')?)?;
        members.push((unquoted(key), inner));
        rest = next(after, '}')?;
    }
    Some(members)
}

/// The elements of a list, as they are spelled; `None` for what is none.
pub(crate) fn elements(text: &str) -> Option<Vec<&str>> {
    let mut rest = text.trim_start().strip_prefix('[')?.trim_start();
    let mut elements = Vec::new();
    while !rest.starts_with(']') {
        let (inner, after) = value(rest)?;
        elements.push(inner);
        rest = next(after, ']')?;
    }
    Some(elements)
}

/// What follows a value: after a comma the next one, else the end.
fn next(after: &str, end: char) -> Option<&str> {
    let after = after.trim_start();
    match after.strip_prefix(',') {
        Some(more) => Some(more.trim_start()),
        None => after.starts_with(end).then_some(after),
    }
}

/// The first value of a text, and what follows it; `None` when it does not end.
fn value(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        match *bytes.get(at)? {
            b'"' => {
                at += 1;
                while *bytes.get(at)? != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            _ if depth > 0 => at += 1,
            _ => {
                let end = bytes[at..].iter().position(|byte| b",:]}{[\" \t\r\n".contains(byte));
                at = end.map_or(bytes.len(), |end| at + end);
                if at == 0 {
                    return None;
                }
            }
        }
        if depth == 0 {
            return text.split_at_checked(at);
        }
    }
}

#[cfg(test)]
mod tests;
