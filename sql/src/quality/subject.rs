//! What is looked at: one state of a table, and the session that reads it.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use sluice_catalog::TableSnapshot;

use crate::error::Result;
use crate::session::Session;

/// Columns that Sluice adds to rows; they say where a row is from, not what it is.
const SOURCE: [&str; 4] = ["_src_topic", "_src_partition", "_src_offset", "_ingested_at"];

/// One state of a table.
#[derive(Clone, Debug)]
pub struct Subject {
    session: Session,
    table: TableSnapshot,
    name: String,
}

/// How a column's values are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// As numbers: they have a mean, quantiles and a distribution.
    Number,
    /// As points in time: the same, in seconds since 1970.
    Time,
    /// As categories: they have counts.
    Category,
    /// Lists, structs and bytes: only present or not.
    Opaque,
}

impl Subject {
    /// The table as the session reads it, pinned, so that all figures are of one state. `name` is for people.
    pub fn new(session: &Session, table: TableSnapshot, name: impl Into<String>) -> Self {
        Self { session: session.with_pinned(table.clone()), table, name: name.into() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn table(&self) -> &TableSnapshot {
        &self.table
    }

    /// The columns that are data.
    pub(super) fn columns(&self) -> Vec<Arc<Field>> {
        let schema = self.table.schema();
        schema.fields().iter().filter(|field| !SOURCE.contains(&field.name().as_str())).cloned().collect()
    }

    /// What a statement selects from.
    pub(super) fn relation(&self) -> String {
        let name = self.table.name();
        let namespace: Vec<String> = vec![quoted(name.namespace())];
        format!("{}.{}.{}", quoted(crate::engine::CATALOG), namespace.join("."), quoted(name.name()))
    }

    /// The only row of a statement.
    pub(super) async fn row(&self, sql: &str) -> Result<Vec<ScalarValue>> {
        let mut rows = self.rows(sql).await?;
        Ok(rows.pop().unwrap_or_default())
    }

    /// All rows of a statement that says itself how many there are at most.
    pub(super) async fn rows(&self, sql: &str) -> Result<Vec<Vec<ScalarValue>>> {
        let mut batches = self.session.sql(sql).await?;
        let mut rows = Vec::new();
        while let Some(batch) = batches.try_next().await? {
            for row in 0..batch.num_rows() {
                rows.push(values(&batch, row)?);
            }
        }
        Ok(rows)
    }

    /// The batches of a statement, as they come.
    pub(super) async fn stream(&self, sql: &str) -> Result<datafusion::execution::SendableRecordBatchStream> {
        self.session.sql(sql).await
    }
}

impl Class {
    pub(super) fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Date32 | DataType::Timestamp(..) => Self::Time,
            DataType::Utf8 | DataType::Boolean => Self::Category,
            other if other.is_numeric() => Self::Number,
            _ => Self::Opaque,
        }
    }

    /// The column as a double; only of numbers and times.
    pub(super) fn number(self, column: &str) -> String {
        match self {
            Self::Time => format!("date_part('epoch', {column})"),
            _ => format!("cast({column} as double)"),
        }
    }
}

fn values(batch: &RecordBatch, row: usize) -> Result<Vec<ScalarValue>> {
    let values = batch.columns().iter().map(|column| ScalarValue::try_from_array(column, row));
    Ok(values.collect::<Result<_, _>>()?)
}

/// A name in double quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The number that a value is.
pub(super) fn float(value: &ScalarValue) -> Option<f64> {
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(number)) => number.filter(|number| number.is_finite()),
        _ => None,
    }
}

/// The count that a value is; 0 for null.
pub(super) fn count(value: &ScalarValue) -> u64 {
    match value.cast_to(&DataType::UInt64) {
        Ok(ScalarValue::UInt64(count)) => count.unwrap_or(0),
        _ => 0,
    }
}

/// A value as people write it; none for null.
pub(super) fn text(value: &ScalarValue) -> Option<String> {
    match value {
        value if value.is_null() => None,
        ScalarValue::Utf8(Some(text)) => Some(text.clone()),
        value => match value.cast_to(&DataType::Utf8) {
            Ok(ScalarValue::Utf8(text)) => text,
            _ => Some(value.to_string()),
        },
    }
}
