//! Types as clients know them: one function for schemas, one for batches, so that they never disagree.
//!
//! Inside the engine a text may be a view or a dictionary. What leaves is plain: `Utf8`, `Binary`, `List`,
//! `Decimal128`, `Timestamp(…, "UTC")`. Drivers fail on the others already when they see the schema.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::error::Result;

/// The metadata key under which Parquet and Iceberg keep a column's id; it names nothing outside its table.
pub(crate) const FIELD_ID: &str = "PARQUET:field_id";

/// The schema as the engine works with it: texts and binaries of columns are views, which it reads, compares
/// and groups a quarter faster. What is nested has no metadata: the engine takes types that differ in it for
/// different ones, and loses it when it makes values of its own. The ids inside stay known to `scan::fields`.
pub(crate) fn view_schema(schema: &Schema) -> SchemaRef {
    let view = |field: &FieldRef| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        DataType::Binary => Arc::new(field.as_ref().clone().with_data_type(DataType::BinaryView)),
        nested if nested.is_nested() => Arc::new(field.as_ref().clone().with_data_type(bare_type(nested))),
        _ => Arc::clone(field),
    };
    let fields: Vec<FieldRef> = schema.fields().iter().map(view).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The type of a table's column without the metadata of what is inside it.
pub(crate) fn bare_type(data_type: &DataType) -> DataType {
    let bare = |field: &FieldRef| {
        Arc::new(Field::new(field.name(), bare_type(field.data_type()), field.is_nullable()))
    };
    match data_type {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(bare).collect()),
        DataType::List(element) => DataType::List(bare(element)),
        DataType::Map(entries, sorted) => DataType::Map(bare(entries), *sorted),
        other => other.clone(),
    }
}

/// The schema as clients see it: same names and order, plain types, no field ids.
pub fn plain_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().map(|field| Arc::new(plain_field(field))).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The batch with the columns of `schema`, which [`plain_schema`] made for its stream.
///
/// # Errors
/// When a value does not fit the declared type.
pub fn plain_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| plain_column(column, field.data_type()))
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn plain_column(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if column.data_type() == to { Ok(Arc::clone(column)) } else { Ok(cast(column, to)?) }
}

fn plain_field(field: &Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.remove(FIELD_ID);
    Field::new(field.name(), plain_type(field.data_type()), field.is_nullable()).with_metadata(metadata)
}

fn plain_child(field: &FieldRef) -> FieldRef {
    Arc::new(plain_field(field))
}

/// The plain type that holds the same values.
pub fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Timestamp(unit, Some(zone)) if is_utc(zone) => {
            DataType::Timestamp(*unit, Some("UTC".into()))
        }
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => DataType::List(plain_child(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(plain_child(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_child).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain_child(entries), *sorted),
        other => other.clone(),
    }
}

fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "+00:00" | "-00:00" | "+00" | "Z" | "Etc/UTC" | "+0000")
}

/// The type under which a client binds a parameter that the engine takes as `data_type`.
///
/// The JDBC driver writes epoch milliseconds into a timestamp whatever unit it declares, so milliseconds
/// are declared; values of any unit are taken.
pub(crate) fn parameter_type(data_type: &DataType) -> DataType {
    match plain_type(data_type) {
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone),
        DataType::Null => DataType::Utf8,
        other => other,
    }
}

#[cfg(test)]
mod tests;
