//! Changes of the partitioning. A new spec takes the place of the current one for the files to come; the fields
//! that stay keep their ids, and one that comes back gets the id that it had.

use iceberg::TableUpdate;
use iceberg::spec::{Schema, TableMetadata, UnboundPartitionField, UnboundPartitionSpec};

use super::{misfit, refused};
use crate::create::iceberg_transform;
use crate::error::Result;
use crate::name::TableName;
use crate::spec::PartitionBy;

/// The partition fields of a table while they are changed.
pub(super) struct Partitions<'a> {
    table: &'a TableName,
    fields: Vec<UnboundPartitionField>,
    changed: bool,
}

const LOOK: &str = "look at the table's partition fields; the table was not changed";

impl<'a> Partitions<'a> {
    pub(super) fn new(table: &'a TableName, base: &TableMetadata) -> Self {
        let spec = base.default_partition_spec().as_ref().clone().into_unbound();
        Self { table, fields: spec.fields().to_vec(), changed: false }
    }

    pub(super) fn add(&mut self, schema: &Schema, by: &PartitionBy) -> Result<()> {
        let (transform, suffix) = iceberg_transform(by.transform);
        let name = format!("{}{suffix}", by.column);
        let column = schema.field_by_name(&by.column);
        let column =
            column.ok_or_else(|| refused(self.table, &by.column, "there is no such column", LOOK))?;
        let twice = |field: &UnboundPartitionField| {
            field.name == name || (field.source_id == column.id && field.transform == transform)
        };
        if self.fields.iter().any(twice) {
            return Err(refused(self.table, &name, "there is such a partition field", LOOK));
        }
        self.fields.push(UnboundPartitionField { source_id: column.id, field_id: None, name, transform });
        self.changed = true;
        // What the transform does not take is said here, by the name of the table.
        self.spec()
            .and_then(|spec| spec.bind(schema.clone()))
            .map_err(|source| misfit(self.table, &source))?;
        Ok(())
    }

    pub(super) fn remove(&mut self, field: &str) -> Result<()> {
        let index = self.find(field)?;
        self.fields.remove(index);
        self.changed = true;
        Ok(())
    }

    pub(super) fn rename(&mut self, field: &str, to: &str) -> Result<()> {
        let index = self.find(field)?;
        if self.fields.iter().any(|other| other.name == to) {
            return Err(refused(self.table, to, "there is such a partition field", LOOK));
        }
        to.clone_into(&mut self.fields[index].name);
        self.changed = true;
        Ok(())
    }

    pub(super) fn updates(&self) -> Result<Vec<TableUpdate>> {
        if !self.changed {
            return Ok(Vec::new());
        }
        let spec = self.spec().map_err(|source| misfit(self.table, &source))?;
        Ok(vec![TableUpdate::AddSpec { spec }, TableUpdate::SetDefaultSpec { spec_id: -1 }])
    }

    fn find(&self, field: &str) -> Result<usize> {
        let found = self.fields.iter().position(|known| known.name == field);
        found.ok_or_else(|| refused(self.table, field, "there is no such partition field", LOOK))
    }

    fn spec(&self) -> iceberg::Result<UnboundPartitionSpec> {
        UnboundPartitionSpec::builder().add_partition_fields(self.fields.clone()).map(|spec| spec.build())
    }
}
