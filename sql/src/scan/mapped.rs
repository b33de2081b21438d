//! Field ids for files that have none, such as those that an import added: the table's name mapping gives them.
//!
//! The mapping is the table's property `schema.name-mapping.default`. The elements of a list are called `element`
//! there, the parts of a map `key` and `value`, whatever the file calls them.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use iceberg::spec::{DEFAULT_SCHEMA_NAME_MAPPING, MappedField, NameMapping};
use sluice_catalog::{TableSnapshot, field_id};

use super::fields::Misfit;
use crate::types::FIELD_ID;

/// The names under which columns may stand in files without ids.
#[derive(Clone, Debug, Default)]
pub(super) enum Names {
    #[default]
    None,
    Known(Arc<[Arc<MappedField>]>),
    /// The property is no mapping, and why.
    Damaged(String),
}

impl Names {
    pub(super) fn of(table: &TableSnapshot) -> Self {
        let Some(text) = table.metadata().properties().get(DEFAULT_SCHEMA_NAME_MAPPING) else {
            return Self::None;
        };
        match serde_json::from_str::<NameMapping>(text) {
            Ok(mapping) => Self::Known(mapping.fields().iter().cloned().map(Arc::new).collect()),
            Err(error) => Self::Damaged(error.to_string()),
        }
    }

    /// The schema of a file without ids, with the ids that its names have.
    pub(super) fn identify(&self, file: &Schema) -> Result<Schema, Misfit> {
        match self {
            Self::Known(names) => Ok(Schema::new(identified(file.fields(), names))),
            Self::None => {
                let fact = "the file has no field ids, and the table has no name mapping";
                let remedy = "set the table's property schema.name-mapping.default, or rewrite the file";
                Err(Misfit::new(fact.to_owned()).remedy(remedy))
            }
            Self::Damaged(why) => {
                let fact =
                    format!("the file has no field ids, and the table's name mapping is damaged: {why}");
                Err(Misfit::new(fact).remedy("correct the table's property schema.name-mapping.default"))
            }
        }
    }
}

/// Whether no field at any level has an id.
pub(super) fn unidentified(fields: &Fields) -> bool {
    fields.iter().all(|field| {
        field_id(field).is_none()
            && match field.data_type() {
                DataType::Struct(inner) => unidentified(inner),
                DataType::List(inner)
                | DataType::LargeList(inner)
                | DataType::FixedSizeList(inner, _)
                | DataType::Map(inner, _) => unidentified(&Fields::from(vec![Arc::clone(inner)])),
                _ => true,
            }
    })
}

fn identified(fields: &Fields, names: &[Arc<MappedField>]) -> Fields {
    fields.iter().map(|field| known_as(field, field.name(), names)).collect()
}

/// The field with the id that `name` has, and what is inside it likewise.
fn known_as(field: &FieldRef, name: &str, names: &[Arc<MappedField>]) -> FieldRef {
    let mapped = names.iter().find(|mapped| mapped.names().iter().any(|known| known == name));
    let below = mapped.map_or(&[][..], |mapped| mapped.fields());
    let data_type = match field.data_type() {
        DataType::Struct(inner) => DataType::Struct(identified(inner, below)),
        DataType::List(element) => DataType::List(known_as(element, "element", below)),
        DataType::LargeList(element) => DataType::LargeList(known_as(element, "element", below)),
        DataType::FixedSizeList(element, size) => {
            DataType::FixedSizeList(known_as(element, "element", below), *size)
        }
        DataType::Map(entries, sorted) => DataType::Map(entries_known_as(entries, below), *sorted),
        other => other.clone(),
    };
    let mut metadata = field.metadata().clone();
    if let Some(id) = mapped.and_then(|mapped| mapped.field_id()) {
        metadata.insert(FIELD_ID.to_owned(), id.to_string());
    }
    Arc::new(Field::clone(field).with_data_type(data_type).with_metadata(metadata))
}

fn entries_known_as(entries: &FieldRef, names: &[Arc<MappedField>]) -> FieldRef {
    let DataType::Struct(pair) = entries.data_type() else { return Arc::clone(entries) };
    let pair = pair.iter().zip(["key", "value"]).map(|(part, name)| known_as(part, name, names));
    Arc::new(Field::clone(entries).with_data_type(DataType::Struct(pair.collect())))
}
