//! Partition values as people read them: the same texts that Spark and PyIceberg write.
//!
//! | transform | the value of 2026-05-01 13:00 |
//! |---|---|
//! | year | `2026` |
//! | month | `2026-05` |
//! | day | `2026-05-01` |
//! | hour | `2026-05-01-13` |
//! | others | as the value is written |

use std::sync::Arc;

use chrono::{DateTime, Months, NaiveDate};
use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, ListArray, RecordBatch, StringBuilder, StructArray,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::Field;
use datafusion::error::Result;
use iceberg::spec::{
    DataFile, Datum, Literal, ManifestFile, PartitionSpec, PrimitiveLiteral, PrimitiveType, StructType,
    Transform, Type,
};
use sluice_catalog::TableSnapshot;

use super::states::batch;

/// The values of a file's partition in the form of a path; empty where nothing is partitioned.
pub(super) fn path(table: &TableSnapshot, spec_id: i32, file: &DataFile) -> String {
    let Some((spec, types)) = spec(table, spec_id) else { return String::new() };
    if file.partition().iter().len() != spec.fields().len() {
        return String::new();
    }
    let values = spec.fields().iter().zip(types.fields()).zip(file.partition().iter());
    let values = values.map(|((field, of), value)| {
        let value = match (value, of.field_type.as_ref()) {
            (Some(Literal::Primitive(value)), Type::Primitive(of)) => readable(field.transform, of, value),
            _ => None,
        };
        format!("{}={}", field.name, value.as_deref().unwrap_or("null"))
    });
    values.collect::<Vec<_>>().join("/")
}

/// A spec and the types of its values. The columns that it is made of may have been dropped since.
fn spec(table: &TableSnapshot, spec_id: i32) -> Option<(&PartitionSpec, StructType)> {
    let metadata = table.metadata();
    let spec = metadata.partition_spec_by_id(spec_id)?;
    let schemas = std::iter::once(metadata.current_schema()).chain(metadata.schemas_iter());
    let types = schemas.into_iter().find_map(|schema| spec.partition_type(schema).ok())?;
    Some((spec, types))
}

/// A partition value as text; `None` for one that is no value of the type.
fn readable(transform: Transform, of: &PrimitiveType, value: &PrimitiveLiteral) -> Option<String> {
    let number = match value {
        PrimitiveLiteral::Int(number) => i64::from(*number),
        PrimitiveLiteral::Long(number) => *number,
        _ => 0,
    };
    match transform {
        Transform::Void => None,
        Transform::Year => Some((1970 + number).to_string()),
        Transform::Month => {
            let months = Months::new(u32::try_from(number.unsigned_abs()).ok()?);
            let epoch = NaiveDate::default();
            let month =
                if number < 0 { epoch.checked_sub_months(months) } else { epoch.checked_add_months(months) };
            Some(month?.format("%Y-%m").to_string())
        }
        Transform::Day => {
            let day = DateTime::from_timestamp(number.checked_mul(86_400)?, 0)?;
            Some(day.format("%Y-%m-%d").to_string())
        }
        Transform::Hour => {
            let hour = DateTime::from_timestamp(number.checked_mul(3_600)?, 0)?;
            Some(hour.format("%Y-%m-%d-%H").to_string())
        }
        _ => {
            let value = Literal::Primitive(value.clone());
            Some(transform.to_human_string(&Type::Primitive(of.clone()), Some(&value)))
        }
    }
}

/// For each manifest what its list says about the values of each partition field.
pub(super) fn summaries(table: &TableSnapshot, all: &[ManifestFile]) -> Result<ArrayRef> {
    let (mut nulls, mut nans) = (BooleanBuilder::new(), BooleanBuilder::new());
    let (mut lower, mut upper) = (StringBuilder::new(), StringBuilder::new());
    let mut lengths = Vec::with_capacity(all.len());
    for manifest in all {
        let known = spec(table, manifest.partition_spec_id);
        let summaries = manifest.partitions.as_deref().unwrap_or_default();
        lengths.push(summaries.len());
        for (index, summary) in summaries.iter().enumerate() {
            let bound = |bytes: Option<&[u8]>| {
                let (spec, types) = known.as_ref()?;
                let (field, of) = (spec.fields().get(index)?, types.fields().get(index)?);
                let of = of.field_type.as_primitive_type()?;
                let value = Datum::try_from_bytes(bytes?, of.clone()).ok()?;
                readable(field.transform, of, value.literal())
            };
            nulls.append_value(summary.contains_null);
            nans.append_option(summary.contains_nan);
            lower.append_option(bound(summary.lower_bound.as_ref().map(|bytes| bytes.as_slice())));
            upper.append_option(bound(summary.upper_bound.as_ref().map(|bytes| bytes.as_slice())));
        }
    }
    let fields: RecordBatch = batch(vec![
        ("contains_null", Arc::new(nulls.finish())),
        ("contains_nan", Arc::new(nans.finish())),
        ("lower_bound", Arc::new(lower.finish())),
        ("upper_bound", Arc::new(upper.finish())),
    ])?;
    let items = StructArray::from(fields);
    let item = Arc::new(Field::new("item", datafusion::arrow::array::Array::data_type(&items).clone(), true));
    let none: Option<NullBuffer> = None;
    Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), Arc::new(items), none)?))
}
