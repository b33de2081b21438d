//! Whether files still fit a table that changed since their writers were made.
//!
//! Files are read by field id, so they fit as long as every column that they have is still there, in the same type
//! or one that it may be widened to, and no new column must have a value.

use iceberg::spec::{NestedField, StructType, TableMetadata, Type};

use super::{Commit, Operation};
use crate::alter::{Redefinition, widens};
use crate::write::StagedFiles;

/// Why files cannot join a table that changed since their writers were made.
pub(super) fn of(commit: &Commit, metadata: &TableMetadata) -> Option<String> {
    let deletes = commit.operation.deletes();
    let manifests = match &commit.operation {
        Operation::RewriteManifests(staged) => Some(staged.table_uuid),
        _ => None,
    };
    let written_for =
        [commit.files.as_ref().map(|files| files.table_uuid), deletes.map(|d| d.table_uuid), manifests];
    if written_for.iter().flatten().any(|uuid| *uuid != metadata.uuid()) {
        return Some("it was dropped and created again since the files were written".to_owned());
    }
    commit.files.as_ref().and_then(|files| of_columns(files, metadata))
}

fn of_columns(files: &StagedFiles, metadata: &TableMetadata) -> Option<String> {
    if let Some(redefinition) = &files.redefinition {
        let same = redefinition.base == Redefinition::basis(metadata);
        return (!same)
            .then(|| "its columns or partitioning changed since the files were written".to_owned());
    }
    if metadata.partition_spec_by_id(files.spec_id).is_none() {
        return Some(format!("partition spec {} of the files is gone", files.spec_id));
    }
    if files.oldest_schema_id == metadata.current_schema_id() {
        return None;
    }
    let current = metadata.current_schema();
    // Files between the two are of schemas between the two, unless a column came and went.
    for id in [files.oldest_schema_id, files.schema_id] {
        let Some(written) = metadata.schema_by_id(id) else {
            return Some(format!("schema {id} of the files is gone"));
        };
        if let Err(reason) = holds(current.as_struct(), written.as_struct(), "") {
            return Some(format!("{reason} since the files were written"));
        }
    }
    None
}

/// Whether files with columns `written` can be read as `current`: by field id, in the same types or wider ones.
fn holds(current: &StructType, written: &StructType, path: &str) -> Result<(), String> {
    for field in written.fields() {
        let name = format!("{path}{}", field.name);
        match current.field_by_id(field.id) {
            None => return Err(format!("column {name} was dropped")),
            Some(now) if now.required && !field.required => {
                return Err(format!("column {name} became required"));
            }
            Some(now) => type_holds(&now.field_type, &field.field_type, &name)?,
        }
    }
    let added = current.fields().iter().find(|field| {
        field.required && written.field_by_id(field.id).is_none() && field.initial_default.is_none()
    });
    added.map_or(Ok(()), |field| Err(format!("required column {path}{} was added", field.name)))
}

fn type_holds(current: &Type, written: &Type, name: &str) -> Result<(), String> {
    match (current, written) {
        (Type::Struct(current), Type::Struct(written)) => holds(current, written, &format!("{name}.")),
        (Type::List(current), Type::List(written)) => {
            element_holds(&current.element_field, &written.element_field, name)
        }
        (Type::Map(current), Type::Map(written)) => {
            element_holds(&current.key_field, &written.key_field, name)?;
            element_holds(&current.value_field, &written.value_field, name)
        }
        (current, written) if current == written || widens(written, current) => Ok(()),
        _ => Err(format!("column {name} changed its type")),
    }
}

fn element_holds(current: &NestedField, written: &NestedField, name: &str) -> Result<(), String> {
    if current.id != written.id || (current.required && !written.required) {
        return Err(format!("column {name} changed its type"));
    }
    type_holds(&current.field_type, &written.field_type, name)
}
