//! Messages into columns: one column a field, nested as the messages are.
//!
//! A message is read into the occurrences of its fields first, then each field takes what is its own: of a plain
//! field the last occurrence counts, several occurrences of a message are one message, of a oneof only the member
//! that came last is there. An absent field is null where the schema tells absence from zero, else zero.
//!
//! When a message turns out damaged half-way, all columns are cut back to where they were.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field as ArrowField, Fields};
use arrow::error::ArrowError;

use super::leaf::{Read, Values};
use super::wire::{Raw, Reader};
use crate::topics::map_of;

/// Columns of the fields of one message type.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) fields: Vec<Field>,
    /// Index in `fields` by number.
    pub(super) numbers: HashMap<u32, usize>,
    pub(super) len: usize,
}

/// A field and its column.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    /// Which oneof it belongs to.
    pub(super) oneof: Option<usize>,
    pub(super) column: Column,
}

/// The column of a field.
#[derive(Debug)]
pub(super) enum Column {
    /// One value or none; `nullable` when none is not zero.
    One {
        item: Item,
        nullable: bool,
        valid: Vec<bool>,
    },
    Many {
        item: Item,
        ends: Vec<i32>,
    },
    Map {
        key: Read,
        keys: Values,
        value: Item,
        ends: Vec<i32>,
    },
}

/// What one occurrence holds.
#[derive(Debug)]
pub(super) enum Item {
    Leaf(Read, Values),
    Message(Message),
}

/// How many more values one message may unpack to: an empty message inside of it takes two bytes and makes a
/// value in each of its columns.
pub(super) type Budget = u64;

impl Message {
    /// Appends one message, given as the bytes of its occurrences.
    pub(super) fn push(&mut self, parts: &[&[u8]], budget: &mut Budget) -> Result<(), String> {
        let mut found: Vec<(usize, Raw<'_>)> = Vec::with_capacity(self.fields.len());
        let mut last_of: Vec<(usize, usize)> = Vec::new();
        for part in parts {
            let mut reader = Reader(part);
            while let Some((number, raw)) = reader.field()? {
                let Some(&at) = self.numbers.get(&number) else { continue };
                found.push((at, raw));
                if let Some(oneof) = self.fields[at].oneof {
                    last_of.retain(|(known, _)| *known != oneof);
                    last_of.push((oneof, at));
                }
            }
        }
        // Stable: occurrences of one field stay in their order. Most writers write in order already.
        if !found.is_sorted_by_key(|(at, _)| *at) {
            found.sort_by_key(|(at, _)| *at);
        }
        *budget = budget.checked_sub(self.fields.len() as u64 + 1).ok_or("it unpacks to too many values")?;
        let mut rest = found.as_slice();
        for (at, field) in self.fields.iter_mut().enumerate() {
            let count = rest.iter().take_while(|(of, _)| *of == at).count();
            let (own, later) = rest.split_at(count);
            rest = later;
            let replaced =
                field.oneof.is_some_and(|oneof| last_of.iter().any(|(of, last)| *of == oneof && *last != at));
            let own = if replaced { &[] } else { own };
            field.column.push(own, budget).map_err(|fault| format!("{}: {fault}", field.name))?;
        }
        self.len += 1;
        Ok(())
    }

    /// Appends a message that is not there.
    fn push_absent(&mut self) -> Result<(), String> {
        self.fields.iter_mut().try_for_each(|field| field.column.push_absent())?;
        self.len += 1;
        Ok(())
    }

    /// Forgets all but the first `len` messages.
    pub(super) fn truncate(&mut self, len: usize) {
        self.fields.iter_mut().for_each(|field| field.column.truncate(len));
        self.len = len;
    }

    pub(super) fn arrow_fields(&self) -> Fields {
        self.fields.iter().map(|field| ArrowField::new(&field.name, field.column.data_type(), true)).collect()
    }

    /// All columns as arrays; empty afterwards.
    pub(super) fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.len = 0;
        self.fields.iter_mut().map(|field| field.column.finish()).collect()
    }
}

impl Column {
    fn push(&mut self, own: &[(usize, Raw<'_>)], budget: &mut Budget) -> Result<(), String> {
        match self {
            Self::One { item, nullable, valid } => {
                match item {
                    Item::Leaf(read, values) => read.push(own.last().map(|(_, raw)| *raw), values)?,
                    Item::Message(message) if own.is_empty() => message.push_absent()?,
                    Item::Message(message) => {
                        let parts = own.iter().map(|(_, raw)| bytes(*raw)).collect::<Result<Vec<_>, _>>()?;
                        message.push(&parts, budget)?;
                    }
                }
                valid.push(!own.is_empty() || !*nullable);
            }
            Self::Many { item, ends } => {
                for (_, raw) in own {
                    item.push(*raw, budget)?;
                }
                ends.push(end(item.len())?);
            }
            Self::Map { key, keys, value, ends } => {
                let mut entries: Vec<(Option<Raw<'_>>, Option<Raw<'_>>)> = Vec::with_capacity(own.len());
                for (_, raw) in own {
                    let (mut of_key, mut of_value) = (None, None);
                    let mut reader = Reader(bytes(*raw)?);
                    while let Some((number, raw)) = reader.field()? {
                        match number {
                            1 => of_key = Some(raw),
                            2 => of_value = Some(raw),
                            _ => {}
                        }
                    }
                    entries.push((of_key, of_value));
                }
                for (of_key, of_value) in unique(entries) {
                    *budget = budget.checked_sub(1).ok_or("it unpacks to too many values")?;
                    key.push(of_key, keys)?;
                    value.push_one(of_value, budget)?;
                }
                ends.push(end(keys.len())?);
            }
        }
        Ok(())
    }

    fn push_absent(&mut self) -> Result<(), String> {
        match self {
            Self::One { item, valid, .. } => {
                match item {
                    Item::Leaf(read, values) => read.push(None, values)?,
                    Item::Message(message) => message.push_absent()?,
                }
                valid.push(false);
            }
            Self::Many { item, ends } => ends.push(end(item.len())?),
            Self::Map { keys, ends, .. } => ends.push(end(keys.len())?),
        }
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Self::One { item, valid, .. } => {
                item.truncate(len);
                valid.truncate(len);
            }
            Self::Many { item, ends } => {
                ends.truncate(len);
                item.truncate(ends.last().map_or(0, |end| *end as usize));
            }
            Self::Map { keys, value, ends, .. } => {
                ends.truncate(len);
                let inside = ends.last().map_or(0, |end| *end as usize);
                keys.truncate(inside);
                value.truncate(inside);
            }
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::One { item, .. } => item.data_type(),
            Self::Many { item, .. } => {
                DataType::List(Arc::new(ArrowField::new("element", item.data_type(), true)))
            }
            Self::Map { keys, value, .. } => {
                map_with_key(keys.data_type(), ArrowField::new("value", value.data_type(), true))
            }
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let data_type = self.data_type();
        match self {
            Self::One { item, valid, .. } => {
                let nulls = NullBuffer::from(std::mem::take(valid));
                item.finish(Some(nulls).filter(|nulls| nulls.null_count() > 0))
            }
            Self::Many { item, ends } => {
                let DataType::List(element) = data_type else { return Err(inconsistent()) };
                let offsets = offsets(ends);
                Ok(Arc::new(ListArray::try_new(element, offsets, item.finish(None)?, None)?))
            }
            Self::Map { keys, value, ends, .. } => {
                let DataType::Map(entry, _) = data_type else { return Err(inconsistent()) };
                let DataType::Struct(fields) = entry.data_type() else { return Err(inconsistent()) };
                let offsets = offsets(ends);
                let entries = vec![keys.finish(None)?, value.finish(None)?];
                let entries = StructArray::try_new(fields.clone(), entries, None)?;
                Ok(Arc::new(MapArray::try_new(entry, offsets, entries, None, false)?))
            }
        }
    }
}

impl Item {
    /// Appends what an occurrence of a repeated field holds: one value, or many that are packed.
    fn push(&mut self, raw: Raw<'_>, budget: &mut Budget) -> Result<(), String> {
        if let (Self::Leaf(read, values), Raw::Bytes(bytes)) = (&mut *self, raw)
            && read.is_packable()
        {
            let mut packed = Reader(bytes);
            while !packed.0.is_empty() {
                let raw = read.packed(&mut packed)?;
                read.push(Some(raw), values)?;
            }
            return Ok(());
        }
        self.push_one(Some(raw), budget)
    }

    fn push_one(&mut self, raw: Option<Raw<'_>>, budget: &mut Budget) -> Result<(), String> {
        match self {
            Self::Leaf(read, values) => read.push(raw, values),
            Self::Message(message) => {
                let part = raw.map_or(Ok(&[][..]), bytes)?;
                message.push(&[part], budget)
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Leaf(_, values) => values.len(),
            Self::Message(message) => message.len,
        }
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Self::Leaf(_, values) => values.truncate(len),
            Self::Message(message) => message.truncate(len),
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Leaf(_, values) => values.data_type(),
            Self::Message(message) => DataType::Struct(message.arrow_fields()),
        }
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Leaf(_, values) => values.finish(nulls),
            Self::Message(message) => {
                let (fields, len) = (message.arrow_fields(), message.len);
                let made = StructArray::try_new_with_length(fields, message.finish()?, nulls, len)?;
                Ok(Arc::new(made))
            }
        }
    }
}

/// The entries of a map; of a key that is there twice the last counts.
fn unique<'a>(entries: Vec<(Option<Raw<'a>>, Option<Raw<'a>>)>) -> Vec<(Option<Raw<'a>>, Option<Raw<'a>>)> {
    if entries.len() < 2 {
        return entries;
    }
    let mut last: HashMap<Vec<u8>, usize> = HashMap::with_capacity(entries.len());
    let mut kept: Vec<(Option<Raw<'a>>, Option<Raw<'a>>)> = Vec::with_capacity(entries.len());
    for entry in entries {
        // An absent key is the zero of its type, which the empty bytes and the zero numbers stand for too.
        let name = match entry.0 {
            None => Vec::new(),
            Some(Raw::Bytes(bytes)) => bytes.to_vec(),
            Some(Raw::Varint(0) | Raw::Fixed32(0) | Raw::Fixed64(0)) => Vec::new(),
            Some(Raw::Varint(number) | Raw::Fixed64(number)) => number.to_le_bytes().to_vec(),
            Some(Raw::Fixed32(number)) => number.to_le_bytes().to_vec(),
        };
        match last.get(&name) {
            Some(&at) => kept[at] = entry,
            None => {
                last.insert(name, kept.len());
                kept.push(entry);
            }
        }
    }
    kept
}

fn map_with_key(key: DataType, value: ArrowField) -> DataType {
    if key == DataType::Utf8 {
        return map_of(value);
    }
    let entry = vec![ArrowField::new("key", key, false), value];
    DataType::Map(Arc::new(ArrowField::new("key_value", DataType::Struct(entry.into()), false)), false)
}

fn bytes(raw: Raw<'_>) -> Result<&[u8], String> {
    match raw {
        Raw::Bytes(bytes) => Ok(bytes),
        _ => Err("its wire type is not that of the schema".to_owned()),
    }
}

fn end(len: usize) -> Result<i32, String> {
    i32::try_from(len).map_err(|_| "a column grows beyond 2^31 values".to_owned())
}

fn offsets(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let starts = std::iter::once(0).chain(std::mem::take(ends)).collect::<Vec<_>>();
    OffsetBuffer::new(ScalarBuffer::from(starts))
}

fn inconsistent() -> ArrowError {
    ArrowError::SchemaError("a column is not of its own type".to_owned())
}
