//! Target: the table that a model is written to, made when it is new.
//!
//! A table is created before its rows are staged, because data files carry the field ids of its schema. One
//! that was created for a build that then fails is removed again.

use arrow::datatypes::{Field, Schema, SchemaRef};
use sluice_catalog::{Created, MODEL_PROPERTY, TableSnapshot, TableSpec, View};

use crate::error::Result;
use crate::graph::Node;
use crate::materialize::Run;

/// The table to write to, and how to take back that it was made.
pub(crate) struct Target {
    pub(crate) table: TableSnapshot,
    pub(crate) created: bool,
    replaced_view: Option<View>,
}

impl Target {
    /// The existing table, else a new one; a view of that name gives way.
    pub(crate) async fn prepare(
        run: &Run,
        node: &Node,
        existing: Option<TableSnapshot>,
        spec: TableSpec,
    ) -> Result<Self> {
        if let Some(table) = existing {
            return Ok(Self { table, created: false, replaced_view: None });
        }
        let lake = run.engine.lake();
        let replaced_view = lake.find_view(&node.table).await?;
        if replaced_view.is_some() {
            lake.drop_view(&node.table).await?;
        }
        match lake.create(&node.table, spec).await? {
            Created::New(table) => Ok(Self { table, created: true, replaced_view }),
            Created::Existed(table) => Ok(Self { table, created: false, replaced_view }),
        }
    }

    /// Undoes what preparing changed: an empty new table goes, a replaced view comes back.
    pub(crate) async fn take_back(self, run: &Run) -> Result<()> {
        if !self.created {
            return Ok(());
        }
        let lake = run.engine.lake();
        let name = self.table.name();
        // Another build may have written to it meanwhile; then it is no longer ours to remove.
        let untouched = lake.find(name).await?.is_some_and(|now| now.snapshot_id().is_none());
        if untouched {
            lake.drop_table(name).await?;
            if let Some(view) = self.replaced_view {
                lake.put_view(view, run.now()).await?;
            }
        }
        Ok(())
    }
}

/// All columns optional: a later append may bring nulls where the first build had none.
pub(crate) fn spec(run: &Run, node: &Node, schema: &SchemaRef) -> TableSpec {
    let described = |field: &Field| {
        let doc = node.columns.iter().find(|column| &column.name == field.name());
        let doc = doc.map(|column| column.description.clone()).filter(|text| !text.is_empty());
        let field = Field::new(field.name(), field.data_type().clone(), true);
        match doc {
            Some(doc) => field.with_metadata([("doc".to_owned(), doc)].into()),
            None => field,
        }
    };
    let fields: Vec<Field> = schema.fields().iter().map(|field| described(field)).collect();
    let mut spec = TableSpec::new(Schema::new(fields).into());
    spec.partition_by.clone_from(&node.config.partition_by);
    let owner = format!("{}.{}", run.compiler.project().name, node.name);
    spec.properties.insert(MODEL_PROPERTY.to_owned(), owner);
    if !node.description.is_empty() {
        spec.properties.insert("comment".to_owned(), node.description.clone());
    }
    spec
}

/// How the columns of a table differ from those of a new one, in words; order and descriptions do not matter.
///
/// # Errors
/// When a column of the new one has a type that no table can have.
pub(crate) fn difference(table: &TableSnapshot, spec: &TableSpec) -> Result<Option<String>> {
    let (have, want) = (table.schema(), spec.stored_schema()?);
    let name = |field: &Field| format!("`{}` {}", field.name(), field.data_type());
    let mut differences = Vec::new();
    for field in want.fields() {
        match have.field_with_name(field.name()) {
            Err(_) => differences.push(format!("{} is new", name(field))),
            Ok(old) if !old.data_type().equals_datatype(field.data_type()) => {
                differences.push(format!("{} was {}", name(field), old.data_type()));
            }
            Ok(_) => {}
        }
    }
    let gone = have.fields().iter().filter(|field| want.field_with_name(field.name()).is_err());
    differences.extend(gone.map(|field| format!("{} is gone", name(field))));
    Ok((!differences.is_empty()).then(|| differences.join(", ")))
}
