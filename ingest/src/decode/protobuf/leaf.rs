//! Values without fields of their own: how they are read off the wire, and the column they are kept in.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, TimeUnit};
use prost_reflect::Kind;

use super::wire::{Raw, Reader};

/// Names of an enumeration by number.
pub(super) type Names = Arc<HashMap<i32, String>>;

/// How a value is read.
#[derive(Clone, Debug)]
pub(super) enum Read {
    Number(Kind),
    Enum(Names),
    Text,
    Bytes,
    /// `google.protobuf.Timestamp`.
    Time,
    /// A message whose field 1 is the value, such as `google.protobuf.Int64Value`.
    Wrapped(Box<Read>),
}

/// A column of values. All of it can be cut back to an earlier length.
#[derive(Debug)]
pub(super) enum Values {
    Bool(Vec<bool>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U64(Vec<u64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Micros(Vec<i64>),
    Text(Vec<i32>, Vec<u8>),
    Bytes(Vec<i32>, Vec<u8>),
}

/// A value of a [`Values`].
enum Value<'a> {
    Bool(bool),
    I32(i32),
    I64(i64),
    U64(u64),
    F32(f32),
    F64(f64),
    Bytes(&'a [u8]),
}

impl Read {
    /// An empty column for such values.
    pub(super) fn column(&self) -> Values {
        match self {
            Self::Number(kind) => match kind {
                Kind::Bool => Values::Bool(Vec::new()),
                Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Values::I32(Vec::new()),
                Kind::Uint64 | Kind::Fixed64 => Values::U64(Vec::new()),
                Kind::Float => Values::F32(Vec::new()),
                Kind::Double => Values::F64(Vec::new()),
                _ => Values::I64(Vec::new()),
            },
            Self::Enum(_) | Self::Text => Values::Text(Vec::new(), Vec::new()),
            Self::Bytes => Values::Bytes(Vec::new(), Vec::new()),
            Self::Time => Values::Micros(Vec::new()),
            Self::Wrapped(inner) => inner.column(),
        }
    }

    /// Whether many values may share one occurrence.
    pub(super) fn is_packable(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Enum(_))
    }

    /// The next of packed values.
    pub(super) fn packed<'a>(&self, bytes: &mut Reader<'a>) -> Result<Raw<'a>, String> {
        Ok(match self {
            Self::Number(Kind::Double | Kind::Fixed64 | Kind::Sfixed64) => Raw::Fixed64(bytes.fixed64()?),
            Self::Number(Kind::Float | Kind::Fixed32 | Kind::Sfixed32) => Raw::Fixed32(bytes.fixed32()?),
            _ => Raw::Varint(bytes.varint()?),
        })
    }

    /// Appends the value of an occurrence, or what an absent one stands for.
    pub(super) fn push(&self, raw: Option<Raw<'_>>, into: &mut Values) -> Result<(), String> {
        match self {
            Self::Wrapped(inner) => {
                let mut value = None;
                if let Some(raw) = raw {
                    let mut fields = Reader(bytes(raw)?);
                    while let Some((number, raw)) = fields.field()? {
                        value = if number == 1 { Some(raw) } else { value };
                    }
                }
                inner.push(value, into)
            }
            Self::Time => {
                let micros = raw.map_or(Ok(0), time)?;
                into.append(Value::I64(micros))
            }
            Self::Enum(names) => {
                let number = match raw {
                    Some(Raw::Varint(number)) => number as i32,
                    None => 0,
                    Some(_) => return Err(other_wire()),
                };
                match names.get(&number) {
                    Some(name) => into.append(Value::Bytes(name.as_bytes())),
                    None => into.append(Value::Bytes(number.to_string().as_bytes())),
                }
            }
            Self::Text => {
                let bytes = raw.map_or(Ok(&[][..]), bytes)?;
                std::str::from_utf8(bytes).map_err(|_| "text is not UTF-8".to_owned())?;
                into.append(Value::Bytes(bytes))
            }
            Self::Bytes => into.append(Value::Bytes(raw.map_or(Ok(&[][..]), bytes)?)),
            Self::Number(kind) => into.append(number(kind, raw)?),
        }
    }
}

fn other_wire() -> String {
    "its wire type is not that of the schema".to_owned()
}

fn bytes(raw: Raw<'_>) -> Result<&[u8], String> {
    match raw {
        Raw::Bytes(bytes) => Ok(bytes),
        _ => Err(other_wire()),
    }
}

fn number<'a>(kind: &Kind, raw: Option<Raw<'_>>) -> Result<Value<'a>, String> {
    let (small, large) = match (kind, raw) {
        (_, None) => (0, 0),
        (Kind::Double | Kind::Fixed64 | Kind::Sfixed64, Some(Raw::Fixed64(value))) => (0, value),
        (Kind::Float | Kind::Fixed32 | Kind::Sfixed32, Some(Raw::Fixed32(value))) => {
            (value, u64::from(value))
        }
        (
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 | Kind::Float | Kind::Fixed32 | Kind::Sfixed32,
            Some(_),
        ) => return Err(other_wire()),
        (_, Some(Raw::Varint(value))) => (value as u32, value),
        _ => return Err(other_wire()),
    };
    Ok(match kind {
        Kind::Double => Value::F64(f64::from_bits(large)),
        Kind::Float => Value::F32(f32::from_bits(small)),
        Kind::Int32 | Kind::Sfixed32 => Value::I32(small as i32),
        Kind::Sint32 => Value::I32((small >> 1) as i32 ^ -((small & 1) as i32)),
        Kind::Uint32 | Kind::Fixed32 => Value::I64(i64::from(small)),
        Kind::Sint64 => Value::I64((large >> 1) as i64 ^ -((large & 1) as i64)),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(large),
        Kind::Bool => Value::Bool(large != 0),
        _ => Value::I64(large as i64),
    })
}

/// Microseconds of a `google.protobuf.Timestamp`; nanoseconds are cut.
fn time(raw: Raw<'_>) -> Result<i64, String> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    let mut fields = Reader(bytes(raw)?);
    while let Some((number, raw)) = fields.field()? {
        match (number, raw) {
            (1, Raw::Varint(value)) => seconds = value as i64,
            (2, Raw::Varint(value)) => nanos = i64::from(value as i32),
            _ => {}
        }
    }
    let micros = seconds.checked_mul(1_000_000).and_then(|micros| micros.checked_add(nanos / 1000));
    micros.ok_or_else(|| format!("a time of {seconds} seconds is out of range"))
}

impl Values {
    fn append(&mut self, value: Value<'_>) -> Result<(), String> {
        match (self, value) {
            (Self::Bool(column), Value::Bool(value)) => column.push(value),
            (Self::I32(column), Value::I32(value)) => column.push(value),
            (Self::I64(column) | Self::Micros(column), Value::I64(value)) => column.push(value),
            (Self::U64(column), Value::U64(value)) => column.push(value),
            (Self::F32(column), Value::F32(value)) => column.push(value),
            (Self::F64(column), Value::F64(value)) => column.push(value),
            (Self::Text(ends, bytes) | Self::Bytes(ends, bytes), Value::Bytes(value)) => {
                bytes.extend_from_slice(value);
                ends.push(i32::try_from(bytes.len()).map_err(|_| "a column grows beyond 2 GiB")?);
            }
            _ => return Err(other_wire()),
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bool(column) => column.len(),
            Self::I32(column) => column.len(),
            Self::I64(column) | Self::Micros(column) => column.len(),
            Self::U64(column) => column.len(),
            Self::F32(column) => column.len(),
            Self::F64(column) => column.len(),
            Self::Text(ends, _) | Self::Bytes(ends, _) => ends.len(),
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        match self {
            Self::Bool(column) => column.truncate(len),
            Self::I32(column) => column.truncate(len),
            Self::I64(column) | Self::Micros(column) => column.truncate(len),
            Self::U64(column) => column.truncate(len),
            Self::F32(column) => column.truncate(len),
            Self::F64(column) => column.truncate(len),
            Self::Text(ends, bytes) | Self::Bytes(ends, bytes) => {
                ends.truncate(len);
                bytes.truncate(ends.last().map_or(0, |end| *end as usize));
            }
        }
    }

    pub(super) fn data_type(&self) -> DataType {
        match self {
            Self::Bool(_) => DataType::Boolean,
            Self::I32(_) => DataType::Int32,
            Self::I64(_) => DataType::Int64,
            Self::U64(_) => DataType::UInt64,
            Self::F32(_) => DataType::Float32,
            Self::F64(_) => DataType::Float64,
            Self::Micros(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Text(..) => DataType::Utf8,
            Self::Bytes(..) => DataType::Binary,
        }
    }

    /// The column as an array; empty afterwards.
    pub(super) fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef, arrow::error::ArrowError> {
        fn taken<T>(column: &mut Vec<T>) -> Vec<T> {
            let next = Vec::with_capacity(column.len());
            std::mem::replace(column, next)
        }
        fn cut(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
            let starts = std::iter::once(0).chain(taken(ends)).collect::<Vec<_>>();
            OffsetBuffer::new(ScalarBuffer::from(starts))
        }
        Ok(match self {
            Self::Bool(column) => Arc::new(BooleanArray::new(taken(column).into(), nulls)),
            Self::I32(column) => Arc::new(Int32Array::new(taken(column).into(), nulls)),
            Self::I64(column) => Arc::new(Int64Array::new(taken(column).into(), nulls)),
            Self::U64(column) => Arc::new(UInt64Array::new(taken(column).into(), nulls)),
            Self::F32(column) => Arc::new(Float32Array::new(taken(column).into(), nulls)),
            Self::F64(column) => Arc::new(Float64Array::new(taken(column).into(), nulls)),
            Self::Micros(column) => {
                Arc::new(TimestampMicrosecondArray::new(taken(column).into(), nulls).with_timezone("UTC"))
            }
            Self::Text(ends, bytes) => Arc::new(StringArray::try_new(cut(ends), taken(bytes).into(), nulls)?),
            Self::Bytes(ends, bytes) => {
                Arc::new(BinaryArray::try_new(cut(ends), taken(bytes).into(), nulls)?)
            }
        })
    }
}
