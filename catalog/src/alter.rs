//! Alterations of a table: columns, partitioning, properties. No file is read or written; old files are read by
//! field id, and keep the partition spec that they were written with.
//!
//! | alteration | refused when |
//! |---|---|
//! | add a column | its parent is no struct, or the name is taken; new columns are optional |
//! | rename, widen, make optional, drop | there is no such column |
//! | widen | the new type cannot hold every old value: `int` to `long`, `float` to `double`, more digits |
//! | widen or drop | a partition field, past or present, is made from the column's values |
//! | drop | the sort order names the column |
//! | add or rename a partition field | the name is taken |
//!
//! Ids of dropped columns and partition fields are never given again.

mod columns;
pub(crate) mod order;
mod partitions;

pub(crate) use self::columns::widens;
use arrow::datatypes::DataType;
use iceberg::TableUpdate;
use iceberg::spec::{Schema, TableMetadata};

use crate::commit::restate;
use crate::create::partition_spec;
use crate::error::{Error, Result};
use crate::maintain::Policy;
use crate::name::TableName;
use crate::schema::to_iceberg_after;
use crate::snapshot::TableSnapshot;
use crate::spec::{PartitionBy, SortBy, TableSpec};
use crate::state::is_state;

/// One alteration. Columns are named by their path: struct fields by name, the values of a list by `element`, those
/// of a map by `key` and `value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alteration {
    /// Adds an optional column.
    AddColumn {
        /// The path of the new column.
        column: Vec<String>,
        /// Its type.
        data_type: DataType,
        /// Its description.
        doc: Option<String>,
        /// Where among its neighbours.
        position: Position,
    },
    /// Gives a column another name.
    RenameColumn {
        /// The column.
        column: Vec<String>,
        /// Its new name.
        to: String,
    },
    /// Gives a column a type that holds all values of the old one.
    WidenColumn {
        /// The column.
        column: Vec<String>,
        /// Its new type.
        to: DataType,
    },
    /// Removes a column; a column added later under its name is another one.
    DropColumn {
        /// The column.
        column: Vec<String>,
    },
    /// Lets a required column be null.
    MakeOptional {
        /// The column.
        column: Vec<String>,
    },
    /// Moves a column among its neighbours.
    MoveColumn {
        /// The column.
        column: Vec<String>,
        /// Where to.
        position: Position,
    },
    /// Splits the files that are written from now on by one more value.
    AddPartitionField(PartitionBy),
    /// Splits them no longer by this partition field, named as in the table's spec.
    DropPartitionField {
        /// The field.
        field: String,
    },
    /// Gives a partition field another name.
    RenamePartitionField {
        /// The field.
        field: String,
        /// Its new name.
        to: String,
    },
    /// Rows of files to come lie in this order; in none when it is empty.
    SetSortOrder(Vec<SortBy>),
    /// Sets a table property.
    SetProperty {
        /// The property.
        key: String,
        /// Its new value.
        value: String,
    },
    /// Removes a table property; one that is not there is no error. Sluice's own stay.
    UnsetProperty {
        /// The property.
        key: String,
    },
}

/// A column's place among its neighbours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Position {
    /// Before all others.
    First,
    /// After this one.
    After(String),
    /// After all others.
    #[default]
    Last,
}

/// The table's columns and partitioning as a commit will make them, in the same change as its files.
#[derive(Debug)]
pub(crate) struct Redefinition {
    /// The updates that make them.
    pub(crate) updates: Vec<TableUpdate>,
    /// The base they were made for: its schema, spec and highest ids must still be these.
    pub(crate) base: (i32, i32, i32, i32),
    /// The base with the updates: where new files find their schema and spec.
    pub(crate) metadata: TableMetadata,
}

impl Redefinition {
    /// What of a table decides the ids that a redefinition gives.
    pub(crate) fn basis(metadata: &TableMetadata) -> (i32, i32, i32, i32) {
        let specs = (metadata.default_partition_spec_id(), metadata.last_partition_id());
        (metadata.current_schema_id(), metadata.last_column_id(), specs.0, specs.1)
    }

    /// The columns and partitioning of `spec` instead of the table's, whatever they were.
    pub(crate) fn new(base: &TableSnapshot, spec: &TableSpec) -> Result<Self> {
        let metadata = base.metadata();
        let schema = to_iceberg_after(&spec.schema, metadata.last_column_id())?;
        let partitions = partition_spec(base.name(), &schema, &spec.partition_by)?;
        let updates = vec![
            TableUpdate::AddSchema { schema },
            TableUpdate::SetCurrentSchema { schema_id: -1 },
            TableUpdate::AddSpec { spec: partitions },
            TableUpdate::SetDefaultSpec { spec_id: -1 },
        ];
        let made = restate(metadata, base.metadata_location(), &updates, metadata.last_updated_ms());
        let (made, _) = made.map_err(|source| misfit(base.name(), &source))?;
        Ok(Self { updates, base: Self::basis(metadata), metadata: made })
    }
}

/// The updates that make the alterations, in their order.
///
/// # Errors
/// [`Error::Schema`] naming what does not fit the base.
pub(crate) fn updates(
    table: &TableName,
    base: &TableMetadata,
    wanted: &[Alteration],
) -> Result<Vec<TableUpdate>> {
    let mut columns = columns::Columns::new(table, base);
    let mut partitions = partitions::Partitions::new(table, base);
    let mut order = Vec::new();
    let mut properties = Vec::new();
    for alteration in wanted {
        match alteration {
            Alteration::AddColumn { column, data_type, doc, position } => {
                columns.add(column, data_type, doc.as_deref(), position)?;
            }
            Alteration::RenameColumn { column, to } => columns.rename(column, to)?,
            Alteration::WidenColumn { column, to } => columns.widen(column, to)?,
            Alteration::DropColumn { column } => columns.remove(column)?,
            Alteration::MakeOptional { column } => columns.make_optional(column)?,
            Alteration::MoveColumn { column, position } => columns.shift(column, position)?,
            Alteration::AddPartitionField(by) => partitions.add(&columns.schema()?, by)?,
            Alteration::DropPartitionField { field } => partitions.remove(field)?,
            Alteration::RenamePartitionField { field, to } => partitions.rename(field, to)?,
            Alteration::SetSortOrder(by) => order = order::updates(table, &columns.schema()?, by)?,
            Alteration::SetProperty { key, value } => {
                Policy::check_property(key, value)?;
                let updates = [(key.clone(), value.clone())].into();
                properties.push(TableUpdate::SetProperties { updates });
            }
            Alteration::UnsetProperty { key } => {
                properties.push(TableUpdate::RemoveProperties { removals: vec![key.clone()] });
            }
        }
        if let Alteration::SetProperty { key, .. } | Alteration::UnsetProperty { key } = alteration
            && is_state(key)
        {
            return Err(refused(table, key, "it is kept by sluice itself", "leave it as it is"));
        }
    }
    let mut updates = columns.updates()?;
    updates.append(&mut partitions.updates()?);
    updates.append(&mut order);
    updates.append(&mut properties);
    Ok(updates)
}

/// The library's refusal in the words of this crate.
pub(crate) fn misfit(table: &TableName, source: &iceberg::Error) -> Error {
    Error::Schema {
        subject: format!("table `{table}`"),
        fact: source.message().to_owned(),
        remedy: "correct the columns, partitioning or properties; the table was not changed",
    }
}

fn refused(table: &TableName, part: &str, fact: &str, remedy: &'static str) -> Error {
    Error::Schema { subject: format!("`{part}` of table `{table}`"), fact: fact.to_owned(), remedy }
}

/// The base schema with other columns; which columns identify a row stays.
fn schema_with(base: &Schema, fields: Vec<iceberg::spec::NestedFieldRef>) -> iceberg::Result<Schema> {
    Schema::builder()
        .with_schema_id(base.schema_id())
        .with_identifier_field_ids(base.identifier_field_ids())
        .with_fields(fields)
        .build()
}

#[cfg(test)]
mod tests;
