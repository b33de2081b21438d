//! Hidden partitioning: rows split by the values of the table's transforms.
//!
//! The values are those of the Iceberg specification, also before 1970 and for fractions of a second:
//! timestamps are floored to their day here, because the library's day transform is one day late for
//! some of them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Int32Array,
    Int64Array, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use arrow::row::{Row, RowConverter, SortField};
use chrono::{NaiveDate, TimeDelta};
use iceberg::arrow::arrow_primitive_to_literal;
use iceberg::spec::{
    Datum, Literal, PartitionSpec, PrimitiveLiteral, PrimitiveType, Schema, Struct, Transform, Type,
};
use iceberg::transform::{BoxedTransformFunction, create_transform_function};

use crate::error::{Error, Result};
use crate::name::TableName;

const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;
/// Characters of a partition value in a path; the value itself is in the manifest.
const FOLDER_CHARS: usize = 64;

/// The partition fields of one table.
#[derive(Debug)]
pub(crate) struct Partitioner {
    table: TableName,
    fields: Vec<PartitionField>,
}

#[derive(Debug)]
struct PartitionField {
    name: String,
    /// Position of the source column in the table's schema.
    source: usize,
    transform: Transform,
    function: BoxedTransformFunction,
    result: Type,
}

impl Partitioner {
    pub(crate) fn new(table: &TableName, schema: &Schema, spec: &PartitionSpec) -> Result<Self> {
        let refused = |source| Error::Iceberg {
            subject: format!("partitioning of table {table}"),
            source: Box::new(source),
        };
        let types = spec.partition_type(schema).map_err(refused)?;
        let columns = schema.as_struct().fields();
        let mut fields = Vec::with_capacity(spec.fields().len());
        for (field, result) in spec.fields().iter().zip(types.fields()) {
            let source = columns.iter().position(|column| column.id == field.source_id);
            let source = source.ok_or_else(|| Error::Schema {
                subject: format!("partition field {} of table {table}", field.name),
                fact: "its source is not a top-level column".to_owned(),
                remedy: "partition by a top-level column; nested ones are not supported yet",
            })?;
            fields.push(PartitionField {
                name: field.name.clone(),
                source,
                transform: field.transform,
                function: create_transform_function(&field.transform).map_err(refused)?,
                result: result.field_type.as_ref().clone(),
            });
        }
        Ok(Self { table: table.clone(), fields })
    }

    /// The rows of each partition, in the order in which partitions first occur.
    pub(super) fn split(&self, batch: &RecordBatch) -> Result<Vec<(Struct, RecordBatch)>> {
        let values = self.values(batch)?;
        let types = values.iter().map(|array| SortField::new(array.data_type().clone())).collect();
        let rows = RowConverter::new(types).and_then(|converter| converter.convert_columns(&values));
        let rows = rows.map_err(|cause| self.failed(&cause))?;
        let Some(first) = rows.iter().next() else { return Ok(Vec::new()) };
        if rows.iter().all(|row| row == first) {
            let partition = self.partitions(&values, UInt32Array::from(vec![0]))?.pop();
            return Ok(partition.map(|partition| (partition, batch.clone())).into_iter().collect());
        }
        let mut groups: HashMap<Row<'_>, usize> = HashMap::new();
        let mut members: Vec<Vec<u32>> = Vec::new();
        for (index, row) in (0_u32..).zip(rows.iter()) {
            let group = *groups.entry(row).or_insert_with(|| {
                members.push(Vec::new());
                members.len() - 1
            });
            members[group].push(index);
        }
        let firsts = UInt32Array::from_iter_values(members.iter().filter_map(|rows| rows.first().copied()));
        let partitions = self.partitions(&values, firsts)?;
        let split = partitions.into_iter().zip(members).map(|(partition, rows)| {
            let rows =
                take_record_batch(batch, &UInt32Array::from(rows)).map_err(|cause| self.failed(&cause))?;
            Ok((partition, rows))
        });
        split.collect()
    }

    /// The value of one partition field for a value of its source column; `None` when there is none, or nobody knows.
    pub(crate) fn value(&self, field: usize, source: &Datum) -> Option<PrimitiveLiteral> {
        let field = self.fields.get(field)?;
        let array = field.function.transform(floored(&array_of(source)?, field.transform)).ok()?;
        match arrow_primitive_to_literal(&array, &field.result).ok()?.pop()?? {
            Literal::Primitive(value) => Some(value),
            _ => None,
        }
    }

    /// `field=value/…/`, fit for every store and reader: it only helps people, readers use the manifest.
    pub(super) fn folder(&self, partition: &Struct) -> String {
        let mut folder = String::new();
        for (field, value) in self.fields.iter().zip(partition.iter()) {
            let text = value.map_or("null".to_owned(), |value| text(value, &field.result));
            for (part, end) in [(field.name.as_str(), '='), (text.as_str(), '/')] {
                let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
                folder.extend(part.chars().take(FOLDER_CHARS).map(|c| if safe(c) { c } else { '_' }));
                folder.push(end);
            }
        }
        folder
    }

    /// The transformed values, one array per partition field.
    fn values(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let values = self.fields.iter().map(|field| {
            let source = batch.column(field.source);
            let failed = |source| Error::Iceberg {
                subject: format!("partition field {} of table {}", field.name, self.table),
                source: Box::new(source),
            };
            let value = field.function.transform(floored(source, field.transform)).map_err(failed)?;
            if value.null_count() != source.null_count() && field.transform != Transform::Void {
                return Err(Error::Schema {
                    subject: format!("partition field {} of table {}", field.name, self.table),
                    fact: "a date or time is outside the years that calendars are computed for".to_owned(),
                    remedy: "send such rows elsewhere; the years -262143 to 262142 are supported",
                });
            }
            Ok(value)
        });
        values.collect()
    }

    /// The partition values at some rows.
    fn partitions(&self, values: &[ArrayRef], rows: UInt32Array) -> Result<Vec<Struct>> {
        let mut columns = Vec::with_capacity(values.len());
        for (field, array) in self.fields.iter().zip(values) {
            let array = take(array, &rows, None).map_err(|cause| self.failed(&cause))?;
            let literals =
                arrow_primitive_to_literal(&array, &field.result).map_err(|source| Error::Iceberg {
                    subject: format!("partition field {} of table {}", field.name, self.table),
                    source: Box::new(source),
                })?;
            columns.push(literals.into_iter());
        }
        let next = |_| Struct::from_iter(columns.iter_mut().map(|column| column.next().flatten()));
        Ok((0..rows.len()).map(next).collect())
    }

    fn failed(&self, cause: &arrow::error::ArrowError) -> Error {
        Error::Schema {
            subject: format!("table {}", self.table),
            fact: format!("rows cannot be split by partition: {cause}"),
            remedy: "check the types of the partition columns",
        }
    }
}

/// A value for people to read. (The library's own text of a timestamp panics for some before 1970.)
fn text(value: &Literal, result: &Type) -> String {
    let Literal::Primitive(value) = value else { return "nested".to_owned() };
    match (value, result) {
        (PrimitiveLiteral::Int(days), Type::Primitive(PrimitiveType::Date)) => {
            let date = NaiveDate::default().checked_add_signed(TimeDelta::days(i64::from(*days)));
            date.map_or(days.to_string(), |date| date.to_string())
        }
        (PrimitiveLiteral::Boolean(value), _) => value.to_string(),
        (PrimitiveLiteral::Int(value), _) => value.to_string(),
        (PrimitiveLiteral::Long(value), _) => value.to_string(),
        (PrimitiveLiteral::Float(value), _) => value.to_string(),
        (PrimitiveLiteral::Double(value), _) => value.to_string(),
        (PrimitiveLiteral::Int128(value), _) => value.to_string(),
        (PrimitiveLiteral::UInt128(value), _) => format!("{value:032x}"),
        (PrimitiveLiteral::String(value), _) => value.clone(),
        (PrimitiveLiteral::Binary(value), _) => value.iter().map(|byte| format!("{byte:02x}")).collect(),
        (PrimitiveLiteral::AboveMax | PrimitiveLiteral::BelowMin, _) => "out-of-range".to_owned(),
    }
}

/// A value as an array of its own, of the types that tables here are partitioned by.
fn array_of(value: &Datum) -> Option<ArrayRef> {
    Some(match (value.data_type(), value.literal()) {
        (PrimitiveType::Boolean, PrimitiveLiteral::Boolean(value)) => {
            Arc::new(BooleanArray::from(vec![*value]))
        }
        (PrimitiveType::Int, PrimitiveLiteral::Int(value)) => Arc::new(Int32Array::from(vec![*value])),
        (PrimitiveType::Long, PrimitiveLiteral::Long(value)) => Arc::new(Int64Array::from(vec![*value])),
        (PrimitiveType::Date, PrimitiveLiteral::Int(value)) => Arc::new(Date32Array::from(vec![*value])),
        (PrimitiveType::Timestamp | PrimitiveType::Timestamptz, PrimitiveLiteral::Long(value)) => {
            Arc::new(TimestampMicrosecondArray::from(vec![*value]))
        }
        (PrimitiveType::String, PrimitiveLiteral::String(value)) => {
            Arc::new(StringArray::from(vec![value.as_str()]))
        }
        (PrimitiveType::Binary, PrimitiveLiteral::Binary(value)) => {
            Arc::new(BinaryArray::from(vec![value.as_slice()]))
        }
        (PrimitiveType::Decimal { precision, scale }, PrimitiveLiteral::Int128(value)) => {
            let (precision, scale) = (u8::try_from(*precision).ok()?, i8::try_from(*scale).ok()?);
            Arc::new(Decimal128Array::from(vec![*value]).with_precision_and_scale(precision, scale).ok()?)
        }
        _ => return None,
    })
}

/// Timestamps as days where the transform needs no more.
fn floored(source: &ArrayRef, transform: Transform) -> ArrayRef {
    let by_day = matches!(transform, Transform::Year | Transform::Month | Transform::Day);
    match source.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) if by_day => {
            let timestamps = source.as_primitive::<TimestampMicrosecondType>();
            // 2^63 microseconds are 106,751,991 days: within 32 bits.
            let days: Date32Array = timestamps.unary(|micros| micros.div_euclid(MICROSECONDS_PER_DAY) as i32);
            Arc::new(days)
        }
        _ => source.clone(),
    }
}

#[cfg(test)]
mod tests;
