//! Arrow types as SQL names, and the field metadata that Flight SQL clients read.
//!
//! JDBC takes a column's type name, precision and scale from nothing else; ADBC reports them as `xdbc_*`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sluice_catalog::TableName;

/// The SQL name of a type, as GetXdbcTypeInfo lists it.
pub(crate) fn sql_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 | DataType::UInt8 => "TINYINT",
        DataType::Int16 | DataType::UInt16 => "SMALLINT",
        DataType::Int32 | DataType::UInt32 => "INTEGER",
        DataType::Int64 | DataType::UInt64 => "BIGINT",
        DataType::Float16 | DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "DECIMAL",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "VARBINARY"
        }
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(..) => "TIMESTAMP",
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL",
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => "ARRAY",
        DataType::Struct(_) => "STRUCT",
        DataType::Map(..) => "MAP",
        DataType::Union(..) => "UNION",
        DataType::Null => "NULL",
        DataType::Dictionary(_, value) => sql_name(value),
        DataType::RunEndEncoded(_, values) => sql_name(values.data_type()),
    }
}

/// Decimal digits and digits after the point, where the type has them.
fn precision_and_scale(data_type: &DataType) -> Option<(i32, i32)> {
    Some(match data_type {
        DataType::Boolean => (1, 0),
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        DataType::Float16 | DataType::Float32 => (7, 0),
        DataType::Float64 => (15, 0),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => (i32::from(*precision), i32::from(*scale)),
        DataType::Date32 | DataType::Date64 => (10, 0),
        DataType::Time32(_) | DataType::Time64(_) => (15, 6),
        DataType::Timestamp(..) => (26, 6),
        _ => return None,
    })
}

/// A result's schema with the metadata clients read.
pub(crate) fn describe_result(schema: &Schema) -> SchemaRef {
    describe(schema, |_| {})
}

/// A table's schema with the metadata clients read, the table's name included.
pub(crate) fn describe_table(schema: &Schema, catalog: &str, table: &TableName) -> SchemaRef {
    describe(schema, |metadata| {
        put(metadata, "CATALOG_NAME", catalog);
        put(metadata, "SCHEMA_NAME", table.namespace());
        put(metadata, "TABLE_NAME", table.name());
    })
}

type FieldMetadata = std::collections::HashMap<String, String>;

fn describe(schema: &Schema, more: impl Fn(&mut FieldMetadata)) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let mut metadata = field.metadata().clone();
        let data_type = field.data_type();
        put(&mut metadata, "TYPE_NAME", sql_name(data_type));
        if let Some((precision, scale)) = precision_and_scale(data_type) {
            put(&mut metadata, "PRECISION", &precision.to_string());
            put(&mut metadata, "SCALE", &scale.to_string());
        }
        put(&mut metadata, "IS_AUTO_INCREMENT", "0");
        put(&mut metadata, "IS_CASE_SENSITIVE", if sql_name(data_type) == "VARCHAR" { "1" } else { "0" });
        put(&mut metadata, "IS_READ_ONLY", "1");
        put(&mut metadata, "IS_SEARCHABLE", "1");
        more(&mut metadata);
        Arc::new(Field::clone(field).with_metadata(metadata))
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

fn put(metadata: &mut FieldMetadata, key: &str, value: &str) {
    metadata.insert(format!("ARROW:FLIGHT:SQL:{key}"), value.to_owned());
}
