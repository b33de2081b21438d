//! The records of NDJSON: one object a line; its fields become columns, nested ones lists and structs.
//!
//! Inference looks at every value. A field that is a number, a truth value or nothing everywhere is typed as CSV is
//! (`infer.rs`); one that is a text anywhere is text. Where some records have a list or an object and others a
//! plain value, the nested type holds and the plain values are wrong. Inside of lists and objects there are
//! texts, longs, doubles and booleans only.
//!
//! Decoding is that of messages (`decode/json.rs`), on the lines of a block: plain fields are read as text and
//! cast when each value fits, so that nothing is rounded or cut. Lists and objects are read by arrow-json after it;
//! where they have another shape than the column, the rows at fault are found one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::record_batch::RecordBatch;
use serde_json::{Map, Value};

use super::blocks::Block;
use super::columns::{Column, Origin, Rejects, cast, table_schema, wrong_type};
use super::csv::{COLUMNS_MAX, Fault, column_name};
use super::infer::Guess;
use crate::decode::Decode;
use crate::decode::json::Json;
use crate::source::raw::RawBatch;

/// Numbers from here on have digits that a double does not keep.
const EXACT_MAX: f64 = 1e15;

/// What the values of a field seen so far are.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Plain(Guess),
    List(Box<Kind>),
    Object(BTreeMap<String, Kind>),
}

impl Kind {
    pub(super) fn new() -> Self {
        Self::Plain(Guess::new())
    }

    fn of(value: &Value) -> Self {
        let mut guess = Guess::new();
        match value {
            Value::Null => {}
            Value::Bool(_) => guess.see("true"),
            Value::String(_) => guess.see_text(),
            Value::Number(number)
                if number.is_f64() && number.as_f64().is_none_or(|n| n.abs() >= EXACT_MAX) =>
            {
                guess.see_text();
            }
            Value::Number(number) => guess.see(&number.to_string()),
            Value::Array(values) => {
                let mut element = Self::new();
                values.iter().for_each(|value| element.merge(&Self::of(value)));
                return Self::List(Box::new(element));
            }
            Value::Object(fields) => {
                return Self::Object(
                    fields.iter().map(|(name, value)| (name.clone(), Self::of(value))).collect(),
                );
            }
        }
        Self::Plain(guess)
    }

    /// Takes the values of another record, or another part of the file, into account.
    pub(super) fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Plain(own), Self::Plain(other)) => own.merge(other),
            (Self::List(own), Self::List(other)) => own.merge(other),
            (Self::Object(own), Self::Object(other)) => {
                for (name, kind) in other {
                    own.entry(name.clone()).or_insert_with(Self::new).merge(kind);
                }
            }
            (own, other) if other.rank() > own.rank() => *self = other.clone(),
            _ => {}
        }
    }

    /// Objects hold against lists, lists against plain values, whatever comes first.
    fn rank(&self) -> u8 {
        match self {
            Self::Plain(_) => 0,
            Self::List(_) => 1,
            Self::Object(_) => 2,
        }
    }

    /// The type of a column; none when there are only objects without fields, which no column can hold.
    pub(super) fn settle(&self, nested: bool) -> Option<DataType> {
        match self {
            Self::Plain(guess) => Some(match guess.settle() {
                DataType::Decimal128(..) if nested => DataType::Float64,
                other => other,
            }),
            Self::List(element) => {
                Some(DataType::List(Arc::new(Field::new_list_field(element.settle(true)?, true))))
            }
            Self::Object(fields) => {
                let fields =
                    fields.iter().filter_map(|(name, kind)| Some(Field::new(name, kind.settle(true)?, true)));
                let fields: Fields = fields.collect();
                (!fields.is_empty()).then_some(DataType::Struct(fields))
            }
        }
    }
}

/// The fields of a file's records by name, in the order of the names.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    pub(super) fields: BTreeMap<String, Kind>,
    pub(super) rows: u64,
    pub(super) rejected: u64,
    pub(super) first_fault: Option<(u64, String)>,
}

impl Shape {
    /// What the records of a block are.
    pub(super) fn of(block: &Block) -> Self {
        let mut shape = Self::default();
        if block.too_long {
            shape.fault(block.line, Fault::too_long().text);
            return shape;
        }
        for (line, text) in lines(block) {
            match serde_json::from_slice::<Map<String, Value>>(text) {
                Ok(fields) => {
                    shape.rows += 1;
                    for (name, value) in &fields {
                        shape.add(name, &Kind::of(value));
                    }
                }
                Err(error) => shape.fault(line, error.to_string()),
            }
        }
        shape
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.fields.iter().for_each(|(name, kind)| self.add(name, kind));
        self.rows += other.rows;
        self.rejected += other.rejected;
        self.first_fault = self.first_fault.take().or_else(|| other.first_fault.clone());
    }

    fn add(&mut self, name: &str, kind: &Kind) {
        if let Some(own) = self.fields.get_mut(name) {
            own.merge(kind);
        } else if self.fields.len() <= COLUMNS_MAX {
            // One more than a file may have, so that it is noticed; not as many as a hostile file has.
            self.fields.insert(name.to_owned(), kind.clone());
        }
    }

    fn fault(&mut self, line: u64, text: String) {
        self.rejected += 1;
        self.first_fault.get_or_insert((line, text));
    }

    /// The fields that can be columns, by their names in the file, and the columns with what they hold.
    pub(super) fn columns(&self) -> Vec<((String, Column), Kind)> {
        let column = |(name, kind): (&String, &Kind)| {
            Some(((name.clone(), Column::new(column_name(name), kind.settle(false)?)), kind.clone()))
        };
        self.fields.iter().filter_map(column).collect()
    }
}

/// The lines of a block that hold anything, without their ends.
fn lines(block: &Block) -> impl Iterator<Item = (u64, &[u8])> {
    let numbered = (block.line..).zip(block.bytes.split(|byte| *byte == b'\n'));
    numbered
        .map(|(line, text)| (line, text.strip_suffix(b"\r").unwrap_or(text)))
        .filter(|(_, text)| !text.iter().all(u8::is_ascii_whitespace))
}

/// How the objects of one file become rows of a table.
#[derive(Clone, Debug)]
pub(super) struct Decoder {
    columns: Vec<Column>,
    /// The fields as the file names them: plain ones as text, and lists and objects with their types.
    plain: SchemaRef,
    nested: SchemaRef,
}

/// A place for the rows of a file that has no plain fields: no object has a field of this name.
const NO_FIELD: &str = "\u{0}";

impl Decoder {
    /// A decoder of `fields`, which become `columns` in this order.
    pub(super) fn new(fields: &[String], columns: &[Column]) -> Self {
        let (mut plain, mut nested) = (Vec::new(), Vec::new());
        for (name, column) in fields.iter().zip(columns) {
            match column.data_type.is_nested() {
                true => nested.push(Field::new(name, column.data_type.clone(), true)),
                false => plain.push(Field::new(name, DataType::Utf8, true)),
            }
        }
        if plain.is_empty() {
            plain.push(Field::new(NO_FIELD, DataType::Utf8, true));
        }
        let (plain, nested) = (Arc::new(Schema::new(plain)), Arc::new(Schema::new(nested)));
        Self { columns: columns.to_vec(), plain, nested }
    }

    /// The rows of a block; what is none goes to `rejects`.
    pub(super) fn decode(
        &self,
        block: &Block,
        origin: &Origin,
        rejects: &mut Rejects,
    ) -> Result<Vec<RecordBatch>, ArrowError> {
        let mut batches = Vec::new();
        let mut json = Json::new(&self.plain);
        let mut raw = RawBatch::new(0, 0);
        for (line, text) in lines(block) {
            raw.push(line as i64, None, None, Some(text));
            if raw.is_full() {
                batches.extend(self.rows(&mut json, &raw, origin, rejects)?);
                raw = raw.successor();
            }
        }
        if !raw.is_empty() {
            batches.extend(self.rows(&mut json, &raw, origin, rejects)?);
        }
        Ok(batches)
    }

    fn rows(
        &self,
        json: &mut Json,
        raw: &RawBatch,
        origin: &Origin,
        rejects: &mut Rejects,
    ) -> Result<Option<RecordBatch>, ArrowError> {
        let decoded = json.decode(raw)?;
        let rejected = decoded.rejects.into_iter();
        let mut faults: Vec<(u32, Fault)> = rejected
            .map(|reject| (reject.message, Fault::new(reject.cause.to_string(), reject.text)))
            .collect();
        let mut good = vec![true; decoded.rows.len()];
        for (column, texts) in
            self.columns.iter().filter(|column| !column.data_type.is_nested()).zip(decoded.batch.columns())
        {
            for (row, text) in texts.as_string::<i32>().iter().enumerate() {
                if let Some(text) = text.filter(|text| good[row] && !column.fits_json(text)) {
                    good[row] = false;
                    faults.push((decoded.rows[row], wrong_type(column, text)));
                }
            }
        }
        let mut kept: Vec<u32> = (0..good.len() as u32).filter(|row| good[*row as usize]).collect();
        let nested = self.nested_values(raw, &decoded.rows, &mut kept, &mut faults)?;
        faults.sort_unstable_by_key(|(message, _)| *message);
        for (message, fault) in &faults {
            let message = *message as usize;
            rejects.push(raw.offset(message) as u64, fault, raw.payload(message).unwrap_or_default())?;
        }
        if kept.is_empty() {
            return Ok(None);
        }
        let lines = kept.iter().map(|row| raw.offset(decoded.rows[*row as usize] as usize)).collect();
        let plain = match kept.len() == good.len() {
            true => decoded.batch,
            false => take_record_batch(&decoded.batch, &UInt32Array::from(kept))?,
        };
        let (mut plain, mut nested) = (plain.columns().iter(), nested.iter());
        let values = self.columns.iter().filter_map(|column| match column.data_type.is_nested() {
            true => nested.next().map(|values| Ok(Arc::clone(values))),
            false => plain.next().map(|texts| cast(texts.as_string(), column)),
        });
        let mut values = values.collect::<Result<Vec<_>, _>>()?;
        values.extend(origin.columns(lines));
        RecordBatch::try_new(table_schema(&self.columns), values).map(Some)
    }

    /// The lists and objects of the kept rows. Rows whose values have another shape are taken out of `kept`.
    fn nested_values(
        &self,
        raw: &RawBatch,
        messages: &[u32],
        kept: &mut Vec<u32>,
        faults: &mut Vec<(u32, Fault)>,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        if self.nested.fields().is_empty() || kept.is_empty() {
            return Ok(Vec::new());
        }
        if let Ok(batch) = self.read_nested(raw, messages, kept) {
            return Ok(batch.columns().to_vec());
        }
        let mut batches = Vec::new();
        kept.retain(|row| match self.read_nested(raw, messages, &[*row]) {
            Ok(batch) => {
                batches.push(batch);
                true
            }
            Err(error) => {
                faults.push((messages[*row as usize], Fault::new("wrong_type", error.to_string())));
                false
            }
        });
        Ok(concat_batches(&self.nested, &batches)?.columns().to_vec())
    }

    fn read_nested(&self, raw: &RawBatch, messages: &[u32], rows: &[u32]) -> Result<RecordBatch, ArrowError> {
        let builder = ReaderBuilder::new(Arc::clone(&self.nested)).with_coerce_primitive(true);
        let mut decoder = builder.with_batch_size(rows.len() + 1).build_decoder()?;
        for row in rows {
            decoder.decode(raw.payload(messages[*row as usize] as usize).unwrap_or_default())?;
        }
        let batch = decoder.flush()?.filter(|batch| batch.num_rows() == rows.len());
        batch.ok_or_else(|| ArrowError::JsonError("not one object a line".to_owned()))
    }
}

impl Column {
    /// As `fits`; but what is written as a text may be an empty one only in a column of texts.
    fn fits_json(&self, text: &str) -> bool {
        self.data_type == DataType::Utf8 || (!text.is_empty() && self.fits(text))
    }
}
