//! Columns are found by field id, so a file written before a column was renamed, moved, added or widened
//! reads as the table is today.
//!
//! | file has | reads as |
//! |---|---|
//! | the id under another name or place | that column |
//! | the id with a narrower type | the column, widened |
//! | no such id, and its partition says the value | that value, for all rows (`statistics`) |
//! | no such id | the column's default for older rows (`defaults`), else null |
//! | an id the table no longer has | nothing |
//! | no ids at all (imported files) | columns by the table's name mapping (`mapped`); without one it is refused |
//!
//! The same holds at every level of nesting (`fit`). A file that does not fit is an error only for who asks for the
//! column that does not, and the error names the file.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastColumnExpr, Column, lit};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};
use sluice_catalog::{TableSnapshot, field_id};

use super::defaults::Defaults;
use super::fit::{Fit, Fitted, place};
use super::mapped::{Names, unidentified};
use crate::types::bare_type;

/// Makes the mapping of each file of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct FieldIds {
    known: Arc<Known>,
    names: Names,
}

/// What the table says of its columns besides their types.
#[derive(Clone, Debug, Default)]
struct Known {
    defaults: Defaults,
    /// The nested columns with the ids inside them, which the engine's schema has not; of every schema that the
    /// table keeps, the one that is read first.
    nested: Vec<FieldRef>,
}

impl FieldIds {
    pub(crate) fn of(table: &TableSnapshot) -> Self {
        let schemas = std::iter::once(table.schema()).chain(table.schemas().into_iter().map(|(_, of)| of));
        let nested = schemas.flat_map(|schema| nested(&schema)).collect();
        let known = Known { defaults: Defaults::of(table), nested };
        Self { known: Arc::new(known), names: Names::of(table) }
    }
}

#[cfg(test)]
impl FieldIds {
    /// The mapping of files for a table with this schema, which has neither defaults nor a name mapping.
    pub(super) fn of_schema(schema: &Schema) -> Self {
        let known = Known { nested: nested(schema), ..Known::default() };
        Self { known: Arc::new(known), ..Self::default() }
    }
}

fn nested(schema: &Schema) -> Vec<FieldRef> {
    schema.fields().iter().filter(|field| field.data_type().is_nested()).cloned().collect()
}

/// Why the rows of a file cannot be read under the table's schema.
#[derive(Clone, Debug)]
pub(super) struct Misfit {
    /// The column, and the path inside it.
    column: Vec<String>,
    fact: String,
    remedy: &'static str,
}

impl Misfit {
    pub(super) fn new(fact: String) -> Self {
        let remedy = "read the table with the engine that wrote the file, or let that engine rewrite it";
        Self { column: Vec::new(), fact, remedy }
    }

    pub(super) fn remedy(self, remedy: &'static str) -> Self {
        Self { remedy, ..self }
    }

    /// The same, found inside `field`.
    pub(super) fn inside(mut self, field: &str) -> Self {
        self.column.insert(0, field.to_owned());
        self
    }

    /// What to do about it.
    pub(super) fn cure(&self) -> &'static str {
        self.remedy
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column.as_slice() {
            [] => f.write_str(&self.fact),
            column => write!(f, "column `{}`: {}", column.join("."), self.fact),
        }
    }
}

impl std::error::Error for Misfit {}

/// On its way to where the file's name is known (`source`).
impl From<Misfit> for DataFusionError {
    fn from(misfit: Misfit) -> Self {
        Self::External(Box::new(misfit))
    }
}

/// The mapping of one file.
#[derive(Debug)]
struct Mapping {
    table: SchemaRef,
    file: SchemaRef,
    /// The file's schema with field ids; and whether they are its own.
    identified: Result<(SchemaRef, bool), Misfit>,
    known: Arc<Known>,
}

impl PhysicalExprAdapterFactory for FieldIds {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let identified = match unidentified(file.fields()) {
            true => self.names.identify(&file).map(|schema| (Arc::new(schema), false)),
            false => Ok((Arc::clone(&file), true)),
        };
        Ok(Arc::new(Mapping { table, file, identified, known: Arc::clone(&self.known) }))
    }
}

impl PhysicalExprAdapter for Mapping {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        expr.transform(|part| match part.as_any().downcast_ref::<Column>() {
            Some(column) => Ok(Transformed::yes(self.column(column.name())?)),
            None => Ok(Transformed::no(part)),
        })
        .data()
    }
}

impl Mapping {
    /// A column of the table, made from the file.
    fn column(&self, name: &str) -> Result<Arc<dyn PhysicalExpr>> {
        let ours = &self.table.fields()[self.table.index_of(name)?];
        Ok(self.found(ours).map_err(|misfit| misfit.inside(ours.name()))?)
    }

    fn found(&self, ours: &FieldRef) -> Result<Arc<dyn PhysicalExpr>, Misfit> {
        let (identified, own) = self.identified.as_ref().map_err(Misfit::clone)?;
        let fill = |field: &Field| self.known.defaults.fill(field);
        let Some(at) = place(identified.fields(), ours, *own)? else {
            return Ok(lit(fill(ours)?));
        };
        let theirs = &identified.fields()[at];
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(self.file.field(at).name(), at));
        Ok(match Fit::of(theirs, self.known.with_ids(ours)?, *own, &fill)? {
            Fit::Same => column,
            Fit::Cast => Arc::new(CastColumnExpr::new(column, Arc::clone(theirs), Arc::clone(ours), None)),
            fit => Arc::new(Fitted::new(column, fit, Arc::clone(ours))),
        })
    }
}

impl Known {
    /// The column with the ids of what is inside it.
    fn with_ids<'a>(&'a self, column: &'a FieldRef) -> Result<&'a FieldRef, Misfit> {
        if !column.data_type().is_nested() {
            return Ok(column);
        }
        let same = |field: &&FieldRef| {
            field_id(field) == field_id(column)
                && bare_type(field.data_type()) == bare_type(column.data_type())
        };
        let known = self.nested.iter().find(same);
        known.ok_or_else(|| Misfit::new("no schema of the table has it under this type".to_owned()))
    }
}
