//! What an event does to the row of its key.
//!
//! | `op`, in any case | the row |
//! |---|---|
//! | `c`, `i`, `r`, `u`, `create`, `insert`, `read`, `update`, `upsert` | is as the event says from now on |
//! | `d`, `delete` | is gone |
//! | anything else | stays; the event is a dead letter |
//!
//! Flat events of Debezium may say `__deleted` instead.
//!
//! Deletes travel with the rows, in a column of their own that ends where rows are buffered.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::decode::fit;
use crate::plan::RoutePlan;
use crate::reject::{Cause, Reject};
use crate::route::Share;
use crate::topics::{Changes, Upsert};

/// The column that marks deletes; the topics file can name none like it, because it has a line break.
const DELETED: &str = "deleted\n";

/// Which rows of a share delete the row of their key.
#[derive(Debug)]
pub(crate) struct Deletions<'a> {
    upsert: &'a Upsert,
    pub(crate) rows: BooleanArray,
    /// Rows whose operation nobody knows.
    pub(crate) faults: Vec<(u32, Reject)>,
}

impl<'a> Deletions<'a> {
    /// Reads the operations, and takes their fields out of the share when they are no columns.
    pub(crate) fn take(route: &'a RoutePlan, share: &mut Share) -> Result<Option<Self>, ArrowError> {
        let Some(upsert) = &route.upsert else { return Ok(None) };
        let said = |name: &str| share.batch.column_by_name(name).map(|it| fit::column(it, &DataType::Utf8));
        let field = upsert.changes.fields().first().copied().unwrap_or_default();
        let operations = said(field).transpose()?.map(|(column, _)| column);
        let flags = upsert.changes.fields().iter().skip(1).find_map(|name| said(name)).transpose()?;
        let flags = flags.map(|(column, _)| column);
        let mut faults = Vec::new();
        let rows = share.messages.iter().zip(0..).map(|(&message, row)| {
            if text(flags.as_ref(), row).is_some_and(|flag| flag.eq_ignore_ascii_case("true")) {
                return Some(true);
            }
            match deletes(text(operations.as_ref(), row), upsert.changes) {
                Ok(deletes) => Some(deletes),
                Err((cause, text)) => {
                    let reject = Reject::new(message, cause, format!("field `{field}`: {text}"));
                    faults.push((row as u32, reject));
                    Some(false)
                }
            }
        });
        let rows = rows.collect();
        for name in upsert.changes.fields().iter().filter(|name| route.known.find(name).is_none()) {
            if let Ok(at) = share.batch.schema().index_of(name) {
                share.batch.remove_column(at);
            }
        }
        Ok(Some(Self { upsert, rows, faults }))
    }

    /// Whether a column of a row does not matter: of what is deleted only the key does.
    pub(crate) fn spares(&self, row: usize, column: &str) -> bool {
        self.rows.value(row) && !self.upsert.key.iter().any(|key| key == column)
    }
}

fn text(column: Option<&ArrayRef>, row: usize) -> Option<&str> {
    let texts = column?.as_string::<i32>();
    texts.is_valid(row).then(|| texts.value(row))
}

fn deletes(text: Option<&str>, changes: Changes) -> Result<bool, (Cause, String)> {
    let Some(text) = text else {
        return match changes {
            Changes::Upsert => Ok(false),
            Changes::Op => {
                Err((Cause::MissingField, "missing or null; it says what the event does".to_owned()))
            }
            Changes::Debezium => {
                let fact =
                    "the message is no Debezium envelope with `op` and the objects `before` and `after`";
                Err((Cause::MissingField, fact.to_owned()))
            }
        };
    };
    const ROW: [&str; 9] = ["c", "u", "r", "i", "create", "update", "read", "insert", "upsert"];
    let is = |known: &&str| known.eq_ignore_ascii_case(text);
    match (ROW.iter().any(is), ["d", "delete"].iter().any(is)) {
        (true, _) => Ok(false),
        (_, true) => Ok(true),
        _ => Err((Cause::WrongType, format!("`{text}` is not an operation on one row"))),
    }
}

/// The rows, with the column that marks deletes where there is one.
pub(crate) fn with_deleted(
    schema: &SchemaRef,
    mut columns: Vec<ArrayRef>,
    deleted: Option<ArrayRef>,
) -> Result<RecordBatch, ArrowError> {
    let Some(deleted) = deleted else { return RecordBatch::try_new(Arc::clone(schema), columns) };
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(DELETED, DataType::Boolean, false)));
    columns.push(deleted);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// The rows without that column, and the column.
pub(crate) fn split(mut batch: RecordBatch) -> Result<(RecordBatch, BooleanArray), ArrowError> {
    let at = batch.schema().index_of(DELETED)?;
    let deleted = batch.remove_column(at);
    Ok((batch, deleted.as_boolean().clone()))
}
