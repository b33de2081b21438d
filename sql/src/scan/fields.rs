//! Columns are found by field id, so a file written before a column was renamed, moved, added or widened
//! reads as the table is today.
//!
//! | file has | reads as |
//! |---|---|
//! | the id under another name or place | that column |
//! | the id with a narrower type | the column, widened |
//! | no such id | null |
//! | an id the table no longer has | nothing |
//! | no ids at all (imported files) | columns by name |
//!
//! Inside structs ids must agree with names: a nested rename is refused, never guessed.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};

use crate::error::{Complaint, Error};
use crate::types::FIELD_ID;

/// Makes the mapping of each file.
#[derive(Debug)]
pub(crate) struct FieldIds;

/// The mapping of one file: names are the table's while expressions are fitted, the file's when it is read.
#[derive(Debug)]
struct Mapping {
    by_table_names: Arc<dyn PhysicalExprAdapter>,
    file: SchemaRef,
}

impl PhysicalExprAdapterFactory for FieldIds {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let renamed = Arc::new(under_table_names(&table, &file)?);
        let by_table_names = DefaultPhysicalExprAdapterFactory.create(table, renamed)?;
        Ok(Arc::new(Mapping { by_table_names, file }))
    }
}

impl PhysicalExprAdapter for Mapping {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let fitted = self.by_table_names.rewrite(expr)?;
        fitted
            .transform(|part| {
                let Some(column) = part.as_any().downcast_ref::<Column>() else {
                    return Ok(Transformed::no(part));
                };
                let name = self.file.field(column.index()).name();
                if name == column.name() {
                    return Ok(Transformed::no(part));
                }
                Ok(Transformed::yes(Arc::new(Column::new(name, column.index()))))
            })
            .data()
    }
}

/// The file's schema with each column under the name that the table has for its id.
fn under_table_names(table: &Schema, file: &Schema) -> Result<Schema> {
    if file.fields().iter().all(|field| id(field).is_none()) {
        return Ok(file.clone());
    }
    let columns: HashMap<i32, &FieldRef> =
        table.fields().iter().filter_map(|field| id(field).map(|id| (id, field))).collect();
    let fields = file.fields().iter().enumerate().map(|(index, field)| {
        match id(field).and_then(|id| columns.get(&id)) {
            Some(column) => {
                agree(column, field)?;
                Ok(field.as_ref().clone().with_name(column.name()))
            }
            // No SQL name holds a NUL, so this one is never asked for.
            None => Ok(field.as_ref().clone().with_name(format!("\0{index}"))),
        }
    });
    Ok(Schema::new(fields.collect::<Result<Vec<Field>>>()?))
}

fn id(field: &Field) -> Option<i32> {
    field.metadata().get(FIELD_ID)?.parse().ok()
}

/// Checks that what is nested in both has the same names for the same ids.
fn agree(column: &FieldRef, field: &FieldRef) -> Result<()> {
    match (column.data_type(), field.data_type()) {
        (DataType::Struct(ours), DataType::Struct(theirs)) => {
            for our in ours {
                let same_id = theirs.iter().find(|their| id(their) == id(our));
                let same_name = theirs.iter().find(|their| their.name() == our.name());
                match (same_id, same_name) {
                    (Some(by_id), Some(by_name)) if by_id.name() == by_name.name() => agree(our, by_id)?,
                    (None, None) => {}
                    _ => return Err(nested(column, our).into()),
                }
            }
            Ok(())
        }
        (DataType::List(ours), DataType::List(theirs))
        | (DataType::Map(ours, _), DataType::Map(theirs, _)) => inside_lists(column, ours, theirs),
        _ => Ok(()),
    }
}

/// Inside lists and maps the engine fits structs by position, so nothing may have changed.
fn inside_lists(column: &FieldRef, ours: &FieldRef, theirs: &FieldRef) -> Result<()> {
    match (ours.data_type(), theirs.data_type()) {
        (DataType::Struct(our), DataType::Struct(their)) => {
            let same = our.len() == their.len() && our.iter().zip(their).all(|(a, b)| id(a) == id(b));
            if !same {
                return Err(nested(column, ours).into());
            }
            our.iter().zip(their).try_for_each(|(a, b)| agree(a, b))
        }
        (DataType::List(our), DataType::List(their)) => inside_lists(column, our, their),
        _ => Ok(()),
    }
}

fn nested(column: &Field, part: &Field) -> Error {
    let message = format!(
        "`{}` inside column `{}` was renamed or changed after a file was written",
        part.name(),
        column.name()
    );
    Error::Unsupported(Complaint::new(message).remedy("rewrite the table's older files, or undo the change"))
}
