//! Arrow schemas become Iceberg v2 schemas and back.
//!
//! | Arrow | Iceberg | read back as |
//! |---|---|---|
//! | `Boolean` | `boolean` | `Boolean` |
//! | `Int8` `Int16` `Int32` `UInt8` `UInt16` | `int` | `Int32` |
//! | `Int64` `UInt32` `UInt64` (values beyond 2^63-1 are refused when written) | `long` | `Int64` |
//! | `Float16` `Float32` | `float` | `Float32` |
//! | `Float64` | `double` | `Float64` |
//! | `Decimal32/64/128/256(p, s)` with p <= 38 and 0 <= s <= p | `decimal(p, s)` | `Decimal128(p, s)` |
//! | `Date32` `Date64` | `date` | `Date32` |
//! | `Time32` `Time64` (nanoseconds are cut) | `time` | `Time64(Microsecond)` |
//! | `Timestamp(any unit, None)` (nanoseconds are cut) | `timestamp` | `Timestamp(Microsecond, None)` |
//! | `Timestamp(any unit, any zone)` | `timestamptz` | `Timestamp(Microsecond, "UTC")` |
//! | `Utf8` `LargeUtf8` `Utf8View` | `string` | `Utf8` |
//! | `Binary` `LargeBinary` `BinaryView` | `binary` | `Binary` |
//! | `FixedSizeBinary(n)` | `fixed(n)` | `FixedSizeBinary(n)` |
//! | `List` `LargeList` `FixedSizeList` `ListView` `LargeListView` | `list` | `List` |
//! | `Struct`, `Map` | `struct`, `map` | `Struct`, `Map` |
//! | `Dictionary(_, v)` `RunEndEncoded(_, v)` | as `v` | as `v` |
//! | `Null` `Duration` `Interval` `Union` | refused | |
//!
//! Iceberg's `uuid` is read as `FixedSizeBinary(16)`, and the nanosecond timestamps of v3 tables as they are.
//! A column's `doc` and the Arrow field's metadata key `doc` are the same thing.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema as ArrowSchema, SchemaRef, TimeUnit};
use iceberg::spec::{
    ListType, MapType, NestedField, NestedFieldRef, PrimitiveType, Schema, StructType, Type,
};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

use crate::error::{Error, Result};

mod defaults;

pub(crate) use defaults::{check_defaults, check_raw_defaults};

/// The metadata key of a column's description.
const DOC_KEY: &str = "doc";

/// The widest decimal of both formats.
const DECIMAL_PRECISION_MAX: u8 = 38;

/// An Iceberg schema with field ids numbered in order from 1.
///
/// # Errors
/// When a type has no counterpart or two columns share a name.
pub(crate) fn to_iceberg(schema: &ArrowSchema) -> Result<Schema> {
    to_iceberg_after(schema, 0)
}

/// As [`to_iceberg`], with ids that follow on from `last_id`: for a table that had columns before.
pub(crate) fn to_iceberg_after(schema: &ArrowSchema, last_id: i32) -> Result<Schema> {
    let mut ids = last_id;
    let fields = iceberg_fields(schema.fields(), "", &mut ids)?;
    Schema::builder().with_fields(fields).build().map_err(|source| Error::Schema {
        subject: "the columns".to_owned(),
        fact: source.message().to_owned(),
        remedy: "give every column its own name",
    })
}

/// The type of a column without fields of its own.
pub(crate) fn to_iceberg_type(data_type: &DataType, path: &str) -> Result<Type> {
    iceberg_type(data_type, path, &mut 0)
}

/// Fields under `parent`, numbered on from `ids`.
pub(crate) fn iceberg_fields(fields: &Fields, parent: &str, ids: &mut i32) -> Result<Vec<NestedFieldRef>> {
    // The fields of one level are numbered before what is inside them.
    let first = *ids + 1;
    *ids += fields.len() as i32;
    let mut converted = Vec::with_capacity(fields.len());
    for (id, field) in (first..).zip(fields) {
        let path =
            if parent.is_empty() { field.name().clone() } else { format!("{parent}.{}", field.name()) };
        let field_type = iceberg_type(field.data_type(), &path, ids)?;
        let nested = NestedField::new(id, field.name(), field_type, !field.is_nullable());
        let nested = match field.metadata().get(DOC_KEY) {
            Some(doc) => nested.with_doc(doc),
            None => nested,
        };
        converted.push(Arc::new(nested));
    }
    Ok(converted)
}

fn iceberg_type(data_type: &DataType, path: &str, ids: &mut i32) -> Result<Type> {
    let primitive = match data_type {
        DataType::Boolean => PrimitiveType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            PrimitiveType::Int
        }
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => PrimitiveType::Long,
        DataType::Float16 | DataType::Float32 => PrimitiveType::Float,
        DataType::Float64 => PrimitiveType::Double,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => decimal(*precision, *scale, path)?,
        DataType::Date32 | DataType::Date64 => PrimitiveType::Date,
        DataType::Time32(_) | DataType::Time64(_) => PrimitiveType::Time,
        DataType::Timestamp(_, None) => PrimitiveType::Timestamp,
        DataType::Timestamp(_, Some(_)) => PrimitiveType::Timestamptz,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => PrimitiveType::String,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => PrimitiveType::Binary,
        DataType::FixedSizeBinary(width) => PrimitiveType::Fixed(u64::try_from(*width).unwrap_or_default()),
        DataType::Dictionary(_, value) => return iceberg_type(value, path, ids),
        DataType::RunEndEncoded(_, value) => return iceberg_type(value.data_type(), path, ids),
        DataType::Struct(fields) => {
            return Ok(Type::Struct(StructType::new(iceberg_fields(fields, path, ids)?)));
        }
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::FixedSizeList(element, _)
        | DataType::ListView(element)
        | DataType::LargeListView(element) => return iceberg_list(element, path, ids),
        DataType::Map(entries, _) => return iceberg_map(entries, path, ids),
        other => return Err(unsupported(path, format!("{other} has no Iceberg type"))),
    };
    Ok(Type::Primitive(primitive))
}

fn decimal(precision: u8, scale: i8, path: &str) -> Result<PrimitiveType> {
    let fits = (1..=DECIMAL_PRECISION_MAX).contains(&precision) && scale >= 0 && scale as u8 <= precision;
    if !fits {
        return Err(unsupported(path, format!("a decimal({precision}, {scale}) is not possible in Iceberg")));
    }
    Ok(PrimitiveType::Decimal { precision: precision.into(), scale: scale as u32 })
}

fn iceberg_list(element: &FieldRef, path: &str, ids: &mut i32) -> Result<Type> {
    *ids += 1;
    let id = *ids;
    let element_type = iceberg_type(element.data_type(), &format!("{path}.element"), ids)?;
    let field = NestedField::list_element(id, element_type, !element.is_nullable());
    Ok(Type::List(ListType::new(Arc::new(field))))
}

fn iceberg_map(entries: &FieldRef, path: &str, ids: &mut i32) -> Result<Type> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(unsupported(path, "a map without entries has no Iceberg type".to_owned()));
    };
    let [key, value] = fields.as_ref() else {
        return Err(unsupported(path, "the entries of a map must be a key and a value".to_owned()));
    };
    let (key_id, value_id) = (*ids + 1, *ids + 2);
    *ids += 2;
    let key_type = iceberg_type(key.data_type(), &format!("{path}.key"), ids)?;
    let value_type = iceberg_type(value.data_type(), &format!("{path}.value"), ids)?;
    Ok(Type::Map(MapType::new(
        Arc::new(NestedField::map_key_element(key_id, key_type)),
        Arc::new(NestedField::map_value_element(value_id, value_type, !value.is_nullable())),
    )))
}

fn unsupported(path: &str, fact: String) -> Error {
    let remedy =
        "cast the column to a type of Iceberg v2, such as bigint, double, decimal(38, s), timestamp or text";
    Error::Schema { subject: format!("column `{path}`"), fact, remedy }
}

/// Refuses what a (foreign) schema has and a reader here would get wrong: types that Arrow cannot hold, and
/// nested defaults for older rows. What passes, [`to_arrow`] converts.
pub(crate) fn check(schema: &Schema) -> Result<()> {
    schema.as_struct().fields().iter().try_for_each(|field| check_field(field, field.name.clone()))
}

fn check_field(field: &NestedField, path: String) -> Result<()> {
    if field.initial_default.is_some() && !field.field_type.is_primitive() {
        return Err(Error::Schema {
            subject: format!("column `{path}`"),
            fact: format!("its default for older rows is a {}, which is not understood", field.field_type),
            remedy: "read the table with the engine that wrote it",
        });
    }
    check_type(&field.field_type, &path)
}

fn check_type(field_type: &Type, path: &str) -> Result<()> {
    let too_wide = match field_type {
        Type::Primitive(PrimitiveType::Decimal { precision, scale }) => {
            *precision > u32::from(DECIMAL_PRECISION_MAX) || scale > precision
        }
        Type::Primitive(PrimitiveType::Fixed(width)) => i32::try_from(*width).is_err(),
        Type::Primitive(_) => false,
        Type::Struct(fields) => {
            for field in fields.fields() {
                check_field(field, format!("{path}.{}", field.name))?;
            }
            false
        }
        Type::List(list) => return check_type(&list.element_field.field_type, &format!("{path}.element")),
        Type::Map(map) => {
            check_type(&map.key_field.field_type, &format!("{path}.key"))?;
            return check_type(&map.value_field.field_type, &format!("{path}.value"));
        }
    };
    if !too_wide {
        return Ok(());
    }
    Err(Error::Schema {
        subject: format!("column `{path}`"),
        fact: format!("{field_type} is wider than Arrow can hold"),
        remedy: "read the table with the engine that wrote it",
    })
}

/// The Arrow schema of a table, with field ids in the fields' metadata.
pub(crate) fn to_arrow(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema.as_struct().fields().iter().map(|field| arrow_field(field)).collect();
    Arc::new(ArrowSchema::new(fields))
}

fn arrow_field(field: &NestedField) -> Field {
    let mut metadata = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), field.id.to_string())]);
    if let Some(doc) = &field.doc {
        metadata.insert(DOC_KEY.to_owned(), doc.clone());
    }
    Field::new(&field.name, arrow_type(&field.field_type), !field.required).with_metadata(metadata)
}

fn arrow_type(field_type: &Type) -> DataType {
    match field_type {
        Type::Primitive(primitive) => arrow_primitive(primitive),
        Type::Struct(fields) => {
            let fields: Vec<Field> = fields.fields().iter().map(|field| arrow_field(field)).collect();
            DataType::Struct(fields.into())
        }
        Type::List(list) => DataType::List(Arc::new(arrow_field(&list.element_field))),
        Type::Map(map) => {
            let entry = vec![arrow_field(&map.key_field), arrow_field(&map.value_field)];
            DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entry.into()), false)), false)
        }
    }
}

/// Widths beyond Arrow's are cut here; [`check`] has refused them where metadata comes in.
fn arrow_primitive(primitive: &PrimitiveType) -> DataType {
    let utc = || Some("UTC".into());
    match primitive {
        PrimitiveType::Boolean => DataType::Boolean,
        PrimitiveType::Int => DataType::Int32,
        PrimitiveType::Long => DataType::Int64,
        PrimitiveType::Float => DataType::Float32,
        PrimitiveType::Double => DataType::Float64,
        PrimitiveType::Decimal { precision, scale } => {
            let precision = (*precision).min(u32::from(DECIMAL_PRECISION_MAX)) as u8;
            DataType::Decimal128(precision, (*scale).min(u32::from(precision)) as i8)
        }
        PrimitiveType::Date => DataType::Date32,
        PrimitiveType::Time => DataType::Time64(TimeUnit::Microsecond),
        PrimitiveType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        PrimitiveType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, utc()),
        PrimitiveType::TimestampNs => DataType::Timestamp(TimeUnit::Nanosecond, None),
        PrimitiveType::TimestamptzNs => DataType::Timestamp(TimeUnit::Nanosecond, utc()),
        PrimitiveType::String => DataType::Utf8,
        PrimitiveType::Uuid => DataType::FixedSizeBinary(16),
        PrimitiveType::Fixed(width) => DataType::FixedSizeBinary(i32::try_from(*width).unwrap_or(i32::MAX)),
        PrimitiveType::Binary => DataType::Binary,
    }
}

#[cfg(test)]
mod tests;
