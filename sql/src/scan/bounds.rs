//! What the manifests say about a file's columns, as values of the table's types.
//!
//! | known | from | holds for |
//! |---|---|---|
//! | bounds | lower and upper bounds | every value but null and NaN |
//! | bounds | partition value, where bounds are missing | identity, year, month, day, hour |
//! | nulls | null value counts | top-level columns of primitive type |
//!
//! A bound is exact (a value that occurs) for numbers, dates and times; for text, binary and floating point
//! it may be cut short, or leave out NaN, so it only limits.

use std::sync::Arc;

use chrono::{Datelike, Months, NaiveDate};
use datafusion::arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::scalar::ScalarValue;
use iceberg::spec::{Datum, Literal, PartitionSpecRef, PrimitiveLiteral, PrimitiveType, Transform};
use sluice_catalog::{LiveFile, TableSnapshot, field_id};

const MICROS_PER_HOUR: i64 = 3_600_000_000;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// The columns of a table: position in the schema to field id and type, with the partition specs in use.
#[derive(Debug)]
pub(crate) struct Columns {
    columns: Vec<Option<ColumnId>>,
    specs: Vec<PartitionSpecRef>,
}

#[derive(Debug)]
struct ColumnId {
    id: i32,
    data_type: DataType,
}

/// The smallest and largest value of a column in a file, as far as known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) lower: Option<ScalarValue>,
    pub(crate) upper: Option<ScalarValue>,
    /// Both are values that occur.
    pub(crate) exact: bool,
}

impl Columns {
    pub(crate) fn of(table: &TableSnapshot, schema: &Schema) -> Self {
        Self::new(schema, table.metadata().partition_specs_iter().cloned().collect())
    }

    pub(crate) fn new(schema: &Schema, specs: Vec<PartitionSpecRef>) -> Self {
        let column = |field: &Arc<datafusion::arrow::datatypes::Field>| {
            let id = field_id(field)?;
            // The bounds of what is nested belong to its leaves.
            (!field.data_type().is_nested()).then(|| ColumnId { id, data_type: field.data_type().clone() })
        };
        Self { columns: schema.fields().iter().map(column).collect(), specs }
    }

    /// The bounds of the column at `index`.
    pub(crate) fn bounds(&self, file: &LiveFile, index: usize) -> Bounds {
        let Some(Some(ColumnId { id, data_type })) = self.columns.get(index) else {
            return Bounds::default();
        };
        let data = file.parts().0;
        if data_type.is_floating() && data.nan_value_counts().get(id) != Some(&0) {
            // NaN is the largest value to the engine, and in no bound.
            return Bounds::default();
        }
        let side =
            |datum: Option<&Datum>| datum.and_then(|d| scalar(d.literal(), Some(d.data_type()), data_type));
        let (lower, upper) = (side(data.lower_bounds().get(id)), side(data.upper_bounds().get(id)));
        if lower.is_none() && upper.is_none() {
            return self.partition_bounds(file, *id, data_type).unwrap_or_default();
        }
        Bounds { exact: lower.is_some() && upper.is_some() && exact(data_type), lower, upper }
    }

    /// The columns of which a file's partition says the one value that all its rows have. The file itself may lack
    /// them, as those do that were imported from folders named after partitions.
    pub(crate) fn constants(&self, file: &LiveFile) -> Vec<(usize, ScalarValue)> {
        let Some(spec) = self.spec(file.partition_spec_id) else { return Vec::new() };
        let values = spec.fields().iter().zip(file.parts().0.partition().iter());
        let constant = |(field, value): (&iceberg::spec::PartitionField, Option<&Literal>)| {
            let Some(Literal::Primitive(value)) = value else { return None };
            let at = self
                .columns
                .iter()
                .position(|known| known.as_ref().is_some_and(|known| known.id == field.source_id))?;
            let data_type = &self.columns.get(at)?.as_ref()?.data_type;
            (field.transform == Transform::Identity)
                .then(|| scalar(value, None, data_type))
                .flatten()
                .map(|v| (at, v))
        };
        values.filter_map(constant).collect()
    }

    /// Field id and type of the column at `index`, unless it is nested.
    pub(super) fn column(&self, index: usize) -> Option<(i32, &DataType)> {
        self.columns.get(index)?.as_ref().map(|column| (column.id, &column.data_type))
    }

    pub(super) fn spec(&self, id: i32) -> Option<&PartitionSpecRef> {
        self.specs.iter().find(|spec| spec.spec_id() == id)
    }

    /// How many values of the column at `index` are null.
    pub(crate) fn nulls(&self, file: &LiveFile, index: usize) -> Option<u64> {
        let id = self.columns.get(index)?.as_ref()?.id;
        let data = file.parts().0;
        // A count that does not cover all rows is of no use.
        let covers = data.value_counts().get(&id).is_none_or(|values| *values == data.record_count());
        data.null_value_counts().get(&id).copied().filter(|nulls| covers && *nulls <= data.record_count())
    }

    /// Whether one of the wanted columns is of floating point and some file may hold NaN in it.
    pub(crate) fn may_hold_nan(&self, files: &[&LiveFile], wanted: &[bool]) -> bool {
        let floating =
            self.columns.iter().zip(wanted).filter(|(_, wanted)| **wanted).filter_map(|(column, _)| {
                column.as_ref().filter(|column| column.data_type.is_floating()).map(|column| column.id)
            });
        let without = |file: &LiveFile, id: i32| file.parts().0.nan_value_counts().get(&id) == Some(&0);
        floating.into_iter().any(|id| files.iter().any(|file| !without(file, id)))
    }

    fn partition_bounds(&self, file: &LiveFile, id: i32, data_type: &DataType) -> Option<Bounds> {
        let spec = self.spec(file.partition_spec_id)?;
        let values = file.parts().0.partition();
        spec.fields().iter().zip(values.iter()).find_map(|(field, value)| {
            let Some(Literal::Primitive(value)) = value else { return None };
            if field.source_id != id {
                return None;
            }
            match field.transform {
                Transform::Identity => {
                    let value = scalar(value, None, data_type)?;
                    Some(Bounds { lower: Some(value.clone()), upper: Some(value), exact: false })
                }
                transform => time_span(transform, value, data_type),
            }
        })
    }
}

/// Whether writers give bounds of this type that are values of the column.
fn exact(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_temporal()
        || data_type.is_decimal()
        || data_type == &DataType::Boolean
}

/// The first and last instant of a year, month, day or hour.
pub(super) fn time_span(
    transform: Transform,
    value: &PrimitiveLiteral,
    data_type: &DataType,
) -> Option<Bounds> {
    let PrimitiveLiteral::Int(at) = value else { return None };
    let at = *at;
    let epoch = NaiveDate::default();
    let days = |date: NaiveDate| i64::from(date.num_days_from_ce()) - i64::from(epoch.num_days_from_ce());
    let month = |n: i64| {
        let months = Months::new(u32::try_from(n.unsigned_abs()).ok()?);
        let date = if n < 0 { epoch.checked_sub_months(months) } else { epoch.checked_add_months(months) };
        days(date?).checked_mul(MICROS_PER_DAY)
    };
    let at = i64::from(at);
    let (start, end) = match transform {
        Transform::Year => (month(at.checked_mul(12)?)?, month((at + 1).checked_mul(12)?)?),
        Transform::Month => (month(at)?, month(at + 1)?),
        Transform::Day => (at.checked_mul(MICROS_PER_DAY)?, (at + 1).checked_mul(MICROS_PER_DAY)?),
        Transform::Hour => (at.checked_mul(MICROS_PER_HOUR)?, (at + 1).checked_mul(MICROS_PER_HOUR)?),
        _ => return None,
    };
    let value = |micros: i64| match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            Some(ScalarValue::TimestampMicrosecond(Some(micros), zone.clone()))
        }
        DataType::Date32 => {
            Some(ScalarValue::Date32(Some(i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok()?)))
        }
        _ => None,
    };
    Some(Bounds { lower: Some(value(start)?), upper: Some(value(end - 1)?), exact: false })
}

/// An Iceberg value as a value of the column's type today, which may be wider than when it was written.
pub(crate) fn scalar(
    value: &PrimitiveLiteral,
    from: Option<&PrimitiveType>,
    to: &DataType,
) -> Option<ScalarValue> {
    let nanos = matches!(from, Some(PrimitiveType::TimestampNs | PrimitiveType::TimestamptzNs));
    Some(match (value, to) {
        (PrimitiveLiteral::Boolean(v), DataType::Boolean) => ScalarValue::Boolean(Some(*v)),
        (PrimitiveLiteral::Int(v), DataType::Int32) => ScalarValue::Int32(Some(*v)),
        (PrimitiveLiteral::Int(v), DataType::Int64) => ScalarValue::Int64(Some(i64::from(*v))),
        (PrimitiveLiteral::Int(v), DataType::Date32) => ScalarValue::Date32(Some(*v)),
        (PrimitiveLiteral::Long(v), DataType::Int64) => ScalarValue::Int64(Some(*v)),
        (PrimitiveLiteral::Long(v), DataType::Time64(TimeUnit::Microsecond)) => {
            ScalarValue::Time64Microsecond(Some(*v))
        }
        (PrimitiveLiteral::Long(v), DataType::Timestamp(TimeUnit::Microsecond, zone)) if !nanos => {
            ScalarValue::TimestampMicrosecond(Some(*v), zone.clone())
        }
        (PrimitiveLiteral::Long(v), DataType::Timestamp(TimeUnit::Nanosecond, zone)) if nanos => {
            ScalarValue::TimestampNanosecond(Some(*v), zone.clone())
        }
        (PrimitiveLiteral::Float(v), DataType::Float32) => ScalarValue::Float32(Some(v.0)),
        (PrimitiveLiteral::Float(v), DataType::Float64) => ScalarValue::Float64(Some(f64::from(v.0))),
        (PrimitiveLiteral::Double(v), DataType::Float64) => ScalarValue::Float64(Some(v.0)),
        (PrimitiveLiteral::String(v), DataType::Utf8) => ScalarValue::Utf8(Some(v.clone())),
        (PrimitiveLiteral::String(v), DataType::Utf8View) => ScalarValue::Utf8View(Some(v.clone())),
        (PrimitiveLiteral::Binary(v), DataType::Binary) => ScalarValue::Binary(Some(v.clone())),
        (PrimitiveLiteral::Binary(v), DataType::BinaryView) => ScalarValue::BinaryView(Some(v.clone())),
        (PrimitiveLiteral::Int128(v), DataType::Decimal128(precision, scale)) => {
            ScalarValue::Decimal128(Some(*v), *precision, *scale)
        }
        _ => return None,
    })
}
