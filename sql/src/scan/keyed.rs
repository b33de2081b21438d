//! Which columns equality deletes compare, and how the data files are read for them.
//!
//! A key column may be one that the query does not ask for, or that the table does not have any more: it is
//! read all the same, found by its field id, and dropped after the comparison.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::error::Result;
use sluice_catalog::{LiveFile, TableSnapshot, field_id};

use crate::scan::deletes::broken;
use crate::scan::deletes::keys::{KeyColumn, ids};
use crate::types::view_schema;

/// How files with deletes by key are read.
pub(crate) struct Read {
    /// The table's columns, and behind them key columns that it has no more.
    pub(crate) schema: SchemaRef,
    pub(crate) columns: Vec<KeyColumn>,
}

/// The key columns of the files' equality deletes; `None` when there are no such deletes.
///
/// # Errors
/// When a delete file compares a field that no schema of the table has as a column.
pub(crate) fn columns(
    table: &TableSnapshot,
    schema: &SchemaRef,
    files: &[&LiveFile],
) -> Result<Option<Read>> {
    let mut seen = BTreeSet::new();
    let mut wanted: BTreeSet<i32> = BTreeSet::new();
    let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    let mut columns = Vec::new();
    for scope in files.iter().flat_map(|file| &file.parts().1.equality) {
        if !seen.insert((scope.scope.as_ptr().addr(), scope.from)) {
            continue;
        }
        for delete in scope.applicable() {
            for id in ids(delete) {
                if !wanted.insert(id) {
                    continue;
                }
                let field = match with_id(fields.iter(), id) {
                    Some(field) => Arc::clone(field),
                    None => {
                        let gone = gone(table, id).ok_or_else(|| {
                            let fact = format!("it compares field {id}, which is no column of the table");
                            broken(delete.data_file.file_path(), fact)
                        })?;
                        fields.push(Arc::clone(&gone));
                        gone
                    }
                };
                columns.push(KeyColumn { id, field });
            }
        }
    }
    let schema = Arc::new(Schema::new(fields));
    Ok((!columns.is_empty()).then_some(Read { schema, columns }))
}

fn with_id<'a>(mut fields: impl Iterator<Item = &'a FieldRef>, id: i32) -> Option<&'a FieldRef> {
    fields.find(|field| field_id(field) == Some(id))
}

/// A column of an older schema, the newest that has it, under a name that no query can ask for.
fn gone(table: &TableSnapshot, id: i32) -> Option<FieldRef> {
    let mut schemas = table.schemas();
    schemas.sort_by_key(|(schema_id, _)| std::cmp::Reverse(*schema_id));
    schemas.iter().find_map(|(_, schema)| {
        let schema = view_schema(schema);
        let field: &Field = with_id(schema.fields().iter(), id)?;
        Some(Arc::new(field.clone().with_name(format!("\0{}", field.name())).with_nullable(true)))
    })
}
