//! COPY's binary form becomes columns: a header, then rows of fields with their length, then an end.
//!
//! A batch ends at [`ROWS_MAX`] rows or [`BYTES_MAX`] bytes, so memory does not grow with the table. The server waits
//! while a batch is written.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, Int32Builder, Int64Builder, ListArray, StringBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{Field, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;

use super::super::error::{Error, Result};
use super::numeric;
use super::types::{Column, Take};
use super::{answered, remedy, said};

const ROWS_MAX: usize = 1 << 15;
const BYTES_MAX: usize = 16 << 20;
/// A larger row is refused.
const ROW_MAX: usize = 64 << 20;
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// PostgreSQL counts from 2000-01-01.
const DAYS: i32 = 10_957;
const MICROS: i64 = 946_684_800_000_000;
/// 0001-01-01 and 10000-01-01, in days since 1970.
const YEARS: std::ops::Range<i64> = -719_162..2_932_897;
const DAY_MICROS: i64 = 86_400_000_000;

/// The bytes of a COPY as they come.
pub(super) type Chunks<'a, B> = BoxStream<'a, sqlx::Result<B>>;

/// A COPY under way.
pub(super) struct Copy<'a, B> {
    chunks: Chunks<'a, B>,
    rows: Rows,
    schema: SchemaRef,
    sync: String,
    location: String,
    ended: bool,
}

/// Bytes not yet read, and the columns of the batch under way.
pub(super) struct Rows {
    columns: Vec<Column>,
    builders: Vec<Builder>,
    buffer: Vec<u8>,
    begun: bool,
    finished: bool,
    count: usize,
    bytes: usize,
}

impl<'a, B: AsRef<[u8]>> Copy<'a, B> {
    pub(super) fn new(
        chunks: Chunks<'a, B>,
        columns: Vec<Column>,
        schema: SchemaRef,
        sync: String,
        location: String,
    ) -> Self {
        Self { chunks, rows: Rows::new(columns), schema, sync, location, ended: false }
    }

    /// The next batch; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while !self.rows.is_full() && !self.ended {
            let next = async { self.chunks.next().await.transpose() };
            let chunk = answered(next).await;
            let chunk = chunk
                .map_err(|error| Error::source(&self.sync, &self.location, said(&error), remedy(&error)))?;
            match chunk {
                Some(chunk) => self.rows.add(chunk.as_ref()).map_err(|fact| self.wrong(fact))?,
                None => self.ended = true,
            }
        }
        if self.ended && !self.rows.finished {
            return Err(self.wrong("the copy ended before its last row".to_owned()));
        }
        if self.rows.count == 0 {
            return Ok(None);
        }
        Ok(Some(self.rows.batch(&self.schema)?))
    }

    fn wrong(&self, fact: String) -> Error {
        let remedy =
            "correct the value, give the column another type under `types`, or leave it out of `columns`";
        Error::content(&self.sync, fact, remedy)
    }
}

impl Rows {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        let builders = columns.iter().map(|column| Builder::new(&column.take)).collect();
        Self { columns, builders, buffer: Vec::new(), begun: false, finished: false, count: 0, bytes: 0 }
    }

    fn is_full(&self) -> bool {
        self.count >= ROWS_MAX || self.bytes >= BYTES_MAX
    }

    /// Reads all whole rows that are there by now.
    pub(super) fn add(&mut self, chunk: &[u8]) -> Result<(), String> {
        self.buffer.extend_from_slice(chunk);
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = buffer.as_slice();
        if !self.begun {
            let Some(after) = header(rest)? else {
                self.buffer = buffer;
                return Ok(());
            };
            (self.begun, rest) = (true, after);
        }
        while !self.finished {
            match whole(rest, self.columns.len())? {
                Whole::Row(length) => {
                    self.row(&rest[..length])?;
                    rest = &rest[length..];
                }
                Whole::End => (self.finished, rest) = (true, &rest[2..]),
                Whole::No => break,
            }
        }
        if rest.len() > ROW_MAX {
            return Err(format!("a row is larger than {} MiB", ROW_MAX >> 20));
        }
        self.buffer = rest.to_vec();
        Ok(())
    }

    fn row(&mut self, row: &[u8]) -> Result<(), String> {
        let mut rest = &row[2..];
        for (builder, column) in self.builders.iter_mut().zip(&self.columns) {
            let (value, after) = field(rest).ok_or("a row is cut short")?;
            builder
                .push(value, &column.take)
                .map_err(|fact| format!("column `{}` holds {fact}", column.name))?;
            rest = after;
        }
        (self.count, self.bytes) = (self.count + 1, self.bytes + row.len());
        Ok(())
    }

    pub(super) fn batch(&mut self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        (self.count, self.bytes) = (0, 0);
        let arrays = self.builders.iter_mut().map(Builder::finish).collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(Arc::clone(schema), arrays)
    }
}

/// What follows the header; `None` when it is not there whole.
fn header(bytes: &[u8]) -> Result<Option<&[u8]>, String> {
    let Some((start, rest)) = bytes.split_at_checked(19) else { return Ok(None) };
    let extension = u32::from_be_bytes([start[15], start[16], start[17], start[18]]) as usize;
    match start.starts_with(SIGNATURE) && extension <= ROW_MAX {
        true => Ok(rest.get(extension..)),
        false => Err("the answer is no binary copy".to_owned()),
    }
}

enum Whole {
    Row(usize),
    End,
    No,
}

/// Whether the bytes begin with a whole row, and how long it is.
fn whole(bytes: &[u8], columns: usize) -> Result<Whole, String> {
    let Some(count) = bytes.first_chunk::<2>() else { return Ok(Whole::No) };
    match i16::from_be_bytes(*count) {
        -1 => return Ok(Whole::End),
        count if usize::try_from(count) == Ok(columns) => {}
        count => return Err(format!("a row has {count} fields instead of {columns}")),
    }
    let mut rest = &bytes[2..];
    for _ in 0..columns {
        match field(rest) {
            Some((_, after)) => rest = after,
            None => return Ok(Whole::No),
        }
    }
    Ok(Whole::Row(bytes.len() - rest.len()))
}

/// The first field, `None` inside for a null, and what follows it.
fn field(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    match usize::try_from(i32::from_be_bytes(*length)) {
        Ok(length) => rest.split_at_checked(length).map(|(value, rest)| (Some(value), rest)),
        Err(_) => Some((None, rest)),
    }
}

/// A column of the batch under way.
enum Builder {
    Boolean(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    List { inside: Box<Builder>, length: usize, ends: Vec<i32>, valid: Vec<bool> },
}

impl Builder {
    fn new(take: &Take) -> Self {
        match take {
            Take::Boolean => Self::Boolean(BooleanBuilder::new()),
            Take::Int2 | Take::Int4 => Self::Int(Int32Builder::new()),
            Take::Int8 => Self::Long(Int64Builder::new()),
            Take::Float4 => Self::Float(Float32Builder::new()),
            Take::Float8 => Self::Double(Float64Builder::new()),
            Take::Numeric(..) => Self::Decimal(Decimal128Builder::new().with_data_type(take.data_type())),
            Take::Text => Self::Text(StringBuilder::new()),
            Take::Bytes => Self::Bytes(BinaryBuilder::new()),
            Take::Date => Self::Date(Date32Builder::new()),
            Take::Time => Self::Time(Time64MicrosecondBuilder::new()),
            Take::Timestamp | Take::TimestampUtc => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(take.data_type()))
            }
            Take::List(element) => {
                let inside = Box::new(Self::new(element));
                Self::List { inside, length: 0, ends: Vec::new(), valid: Vec::new() }
            }
        }
    }

    fn push(&mut self, value: Option<&[u8]>, take: &Take) -> Result<(), String> {
        match self {
            Self::Boolean(it) => it.append_option(value.map(fixed::<1>).transpose()?.map(|[byte]| byte != 0)),
            Self::Int(it) if *take == Take::Int2 => {
                it.append_option(
                    value.map(fixed).transpose()?.map(|bytes| i32::from(i16::from_be_bytes(bytes))),
                );
            }
            Self::Int(it) => it.append_option(value.map(fixed).transpose()?.map(i32::from_be_bytes)),
            Self::Long(it) => it.append_option(value.map(fixed).transpose()?.map(i64::from_be_bytes)),
            Self::Float(it) => it.append_option(value.map(fixed).transpose()?.map(f32::from_be_bytes)),
            Self::Double(it) => it.append_option(value.map(fixed).transpose()?.map(f64::from_be_bytes)),
            Self::Decimal(it) => {
                let Take::Numeric(precision, scale) = *take else { return Err("another type".to_owned()) };
                it.append_option(value.map(|bytes| numeric::decimal(bytes, precision, scale)).transpose()?);
            }
            Self::Text(it) => {
                let text = value.map(std::str::from_utf8).transpose();
                it.append_option(text.map_err(|_| "text that is no UTF-8")?);
            }
            Self::Bytes(it) => it.append_option(value),
            Self::Date(it) => it.append_option(value.map(date).transpose()?),
            Self::Time(it) => it.append_option(value.map(time).transpose()?),
            Self::Timestamp(it) => it.append_option(value.map(timestamp).transpose()?),
            Self::List { inside, length, ends, valid } => {
                let Take::List(element) = take else { return Err("another type".to_owned()) };
                if let Some(value) = value {
                    *length += elements(value, inside, element)?;
                }
                valid.push(value.is_some());
                ends.push(i32::try_from(*length).map_err(|_| "too many elements")?);
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Boolean(it) => Arc::new(it.finish()),
            Self::Int(it) => Arc::new(it.finish()),
            Self::Long(it) => Arc::new(it.finish()),
            Self::Float(it) => Arc::new(it.finish()),
            Self::Double(it) => Arc::new(it.finish()),
            Self::Decimal(it) => Arc::new(it.finish()),
            Self::Text(it) => Arc::new(it.finish()),
            Self::Bytes(it) => Arc::new(it.finish()),
            Self::Date(it) => Arc::new(it.finish()),
            Self::Time(it) => Arc::new(it.finish()),
            Self::Timestamp(it) => Arc::new(it.finish()),
            Self::List { inside, length, ends, valid } => {
                let values = inside.finish()?;
                *length = 0;
                let offsets = std::iter::once(0).chain(std::mem::take(ends)).collect::<Vec<_>>();
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let nulls = NullBuffer::from(std::mem::take(valid));
                let field = Arc::new(Field::new("element", values.data_type().clone(), true));
                Arc::new(ListArray::try_new(field, offsets, values, Some(nulls))?)
            }
        })
    }
}

/// Adds the elements of an array: dimensions, flags, type; then for each dimension its length and first index.
fn elements(bytes: &[u8], inside: &mut Builder, take: &Take) -> Result<usize, String> {
    let cut = "an array that is cut short";
    let (dimensions, rest) = bytes.split_first_chunk::<4>().ok_or(cut)?;
    match i32::from_be_bytes(*dimensions) {
        0 => return Ok(0),
        1 => {}
        more => return Err(format!("an array of {more} dimensions")),
    }
    let (length, mut rest) = rest.get(8..).and_then(<[u8]>::split_first_chunk::<4>).ok_or(cut)?;
    rest = rest.get(4..).ok_or(cut)?;
    let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| cut)?;
    for _ in 0..length {
        let (value, after) = field(rest).ok_or(cut)?;
        inside.push(value, take)?;
        rest = after;
    }
    Ok(length)
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
    bytes.try_into().map_err(|_| format!("a value of {} bytes instead of {N}", bytes.len()))
}

fn time(bytes: &[u8]) -> Result<i64, String> {
    let micros = Some(i64::from_be_bytes(fixed(bytes)?)).filter(|micros| (0..DAY_MICROS).contains(micros));
    micros.ok_or_else(|| "the time 24:00".to_owned())
}

fn date(bytes: &[u8]) -> Result<i32, String> {
    let days = i32::from_be_bytes(fixed(bytes)?);
    let days = days.checked_add(DAYS).filter(|days| YEARS.contains(&i64::from(*days)));
    days.ok_or_else(|| "a date that is infinite or outside the years 1 to 9999".to_owned())
}

fn timestamp(bytes: &[u8]) -> Result<i64, String> {
    let micros = i64::from_be_bytes(fixed(bytes)?).checked_add(MICROS);
    let micros = micros.filter(|micros| YEARS.contains(&micros.div_euclid(DAY_MICROS)));
    micros.ok_or_else(|| "a time that is infinite or outside the years 1 to 9999".to_owned())
}
