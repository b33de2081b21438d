//! A batch's columns made to fit the table's: by name, cast where nothing is lost, null where missing.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::error::{Error, Result};
use crate::name::TableName;

/// The columns of one table.
#[derive(Debug)]
pub(super) struct Columns {
    table: TableName,
    schema: SchemaRef,
}

impl Columns {
    pub(super) fn new(table: TableName, schema: SchemaRef) -> Self {
        Self { table, schema }
    }

    /// Whether no value has to be touched: same columns in any order, same types.
    pub(super) fn fit_as_they_are(&self, batch: &RecordBatch) -> bool {
        let schema = batch.schema_ref();
        self.schema.fields().iter().all(|field| {
            schema
                .column_with_name(field.name())
                .is_some_and(|(_, given)| given.data_type() == field.data_type())
        })
    }

    /// The batch with the table's columns in the table's order.
    ///
    /// # Errors
    /// Naming the column: one the table has not, a required one that is missing or null, a value that does
    /// not fit.
    pub(super) fn fit(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let given = batch.schema_ref();
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        let mut used = 0;
        for field in self.schema.fields() {
            let column = match given.column_with_name(field.name()) {
                Some((index, _)) => {
                    used += 1;
                    self.cast(field, batch.column(index))?
                }
                None if field.is_nullable() => new_null_array(field.data_type(), batch.num_rows()),
                None => {
                    return Err(self.misfit(
                        field.name(),
                        "it is required and the batch has no such column".to_owned(),
                        "give it a value in each row, or make the column optional",
                    ));
                }
            };
            if !field.is_nullable() && column.null_count() > 0 {
                return Err(self.misfit(
                    field.name(),
                    format!("it is required and {} of {} rows are null", column.null_count(), column.len()),
                    "give it a value in each row, or make the column optional",
                ));
            }
            columns.push(column);
        }
        if used < given.fields().len() {
            return Err(self.surplus(batch));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|cause| self.misfit("*", cause.to_string(), "check the nullability of nested fields"))
    }

    fn cast(&self, field: &Arc<Field>, column: &ArrayRef) -> Result<ArrayRef> {
        let (from, to) = (column.data_type(), field.data_type());
        if from == to {
            return Ok(column.clone());
        }
        if !keeps_values(from, to) {
            return Err(self.misfit(
                field.name(),
                format!("the table has {to}, the batch has {from}"),
                "cast the column before writing it",
            ));
        }
        let options = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(column, to, &options).map_err(|cause| {
            self.misfit(
                field.name(),
                format!("a value of type {from} does not fit {to}: {cause}"),
                "correct the value, or widen the column",
            )
        })
    }

    fn surplus(&self, batch: &RecordBatch) -> Error {
        let mut names: Vec<_> =
            batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
        names.sort_unstable();
        let unknown = names.iter().find(|name| self.schema.column_with_name(name).is_none());
        let twice = names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| &pair[0]);
        match unknown.or(twice) {
            Some(name) if unknown.is_some() => self.misfit(
                name,
                "the batch has it, the table has not".to_owned(),
                "add the column to the table, or leave it out of the batch",
            ),
            name => self.misfit(
                name.copied().unwrap_or("*"),
                "the batch has it twice".to_owned(),
                "leave one of the two out of the batch",
            ),
        }
    }

    fn misfit(&self, column: &str, fact: String, remedy: &'static str) -> Error {
        Error::Schema { subject: format!("column {column} of table {}", self.table), fact, remedy }
    }
}

/// Whether a cast keeps every value it accepts (values out of range are refused one by one): no text is
/// parsed, no fraction dropped. Timestamps are the exception: finer ones are cut to microseconds.
fn keeps_values(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Date32, Date64, Decimal128, Decimal256, Dictionary, FixedSizeBinary,
        FixedSizeList, Float16, Float32, Float64, LargeBinary, LargeList, LargeListView, LargeUtf8, List,
        ListView, Map, Null, Struct, Time32, Time64, Timestamp, Utf8, Utf8View,
    };
    match (from, to) {
        (Null, _) => true,
        (Dictionary(_, values), to) => values.as_ref() == to || keeps_values(values, to),
        (from, to) if from.is_integer() && to.is_integer() => true,
        (from, Decimal128(_, _)) if from.is_integer() => true,
        (from, Float64) if from.is_integer() => !matches!(from, DataType::Int64 | DataType::UInt64),
        (Float16 | Float32, Float32 | Float64) => true,
        (Decimal128(_, from), Decimal128(_, to)) | (Decimal256(_, from), Decimal128(_, to)) => from <= to,
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8) => true,
        (Binary | LargeBinary | BinaryView | FixedSizeBinary(_), Binary | LargeBinary) => true,
        (Binary | LargeBinary, FixedSizeBinary(_)) => true,
        (Date32 | Date64, Date32) => true,
        (Date32, Timestamp(_, _)) => true,
        (Timestamp(_, _), Timestamp(_, _)) => true,
        (Time32(_) | Time64(_), Time64(_)) => true,
        (List(from) | LargeList(from) | ListView(from) | LargeListView(from), List(to) | LargeList(to))
        | (FixedSizeList(from, _), List(to) | LargeList(to))
        | (Map(from, _), Map(to, _)) => same_or_kept(from, to),
        (Struct(from), Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| from.name() == to.name() && same_or_kept(from, to))
        }
        _ => false,
    }
}

fn same_or_kept(from: &Field, to: &Field) -> bool {
    from.data_type() == to.data_type() || keeps_values(from.data_type(), to.data_type())
}

#[cfg(test)]
mod tests;
