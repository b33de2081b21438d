//! Changes of columns, one after the other, on a copy of the current schema.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use iceberg::TableUpdate;
use iceberg::spec::{
    ListType, MapType, NestedField, NestedFieldRef, PrimitiveType, Schema, StructType, TableMetadata,
    Transform, Type,
};

use super::{Position, misfit, refused, schema_with};
use crate::error::{Error, Result};
use crate::name::TableName;
use crate::schema::{iceberg_fields, to_iceberg_type};

/// The columns of a table while they are changed.
pub(super) struct Columns<'a> {
    table: &'a TableName,
    base: &'a TableMetadata,
    fields: Vec<NestedFieldRef>,
    last_id: i32,
    changed: bool,
}

impl<'a> Columns<'a> {
    pub(super) fn new(table: &'a TableName, base: &'a TableMetadata) -> Self {
        let fields = base.current_schema().as_struct().fields().to_vec();
        Self { table, base, fields, last_id: base.last_column_id(), changed: false }
    }

    pub(super) fn add(
        &mut self,
        column: &[String],
        data_type: &DataType,
        doc: Option<&str>,
        position: &Position,
    ) -> Result<()> {
        let Some((name, parent)) = column.split_last() else { return Err(self.unknown(column)) };
        let mut field = Field::new(name, data_type.clone(), true);
        if let Some(doc) = doc {
            field = field.with_metadata([("doc".to_owned(), doc.to_owned())].into());
        }
        let mut ids = self.last_id;
        let made = iceberg_fields(&Fields::from(vec![field]), &parent.join("."), &mut ids)?;
        let position = position.clone();
        let added = self.level(parent, |fields| {
            if taken(fields, name) {
                return Err("there is a column of that name");
            }
            let index = place(fields, &position)?;
            fields.splice(index..index, made);
            Ok(())
        });
        self.last_id = ids;
        self.done(column, added)
    }

    pub(super) fn rename(&mut self, column: &[String], to: &str) -> Result<()> {
        let renamed = self.one(column, |fields, index| {
            if fields.iter().enumerate().any(|(other, field)| other != index && same_name(&field.name, to)) {
                return Err("there is a column of the new name");
            }
            edit(&mut fields[index], |field| to.clone_into(&mut field.name));
            Ok(())
        });
        self.done(column, renamed)
    }

    pub(super) fn widen(&mut self, column: &[String], to: &DataType) -> Result<()> {
        let wanted = to_iceberg_type(to, &column.join("."))?;
        let split_by = self
            .partition_sources(|transform| matches!(transform, Transform::Identity | Transform::Truncate(_)));
        let widened = self.one(column, |fields, index| {
            let field = &mut fields[index];
            if field.field_type.as_ref() == &wanted {
                return Ok(());
            }
            if !widens(&field.field_type, &wanted) {
                return Err("the new type cannot hold every value of the old one");
            }
            if split_by.contains(&field.id) {
                return Err("files are split by its values, which would change their type");
            }
            edit(field, |field| *field.field_type = wanted);
            Ok(())
        });
        self.done(column, widened)
    }

    pub(super) fn remove(&mut self, column: &[String]) -> Result<()> {
        let split_by = self.partition_sources(|transform| transform != Transform::Void);
        let order = &self.base.default_sort_order().fields;
        let sorted_by: HashSet<i32> = order.iter().map(|field| field.source_id).collect();
        let removed = self.one(column, |fields, index| {
            if contains_any(&fields[index], &split_by) {
                return Err("files are, or were, split by its values");
            }
            if contains_any(&fields[index], &sorted_by) {
                return Err("the table's sort order names it");
            }
            if fields.len() == 1 {
                return Err("it is the only column there");
            }
            fields.remove(index);
            Ok(())
        });
        self.done(column, removed)
    }

    pub(super) fn make_optional(&mut self, column: &[String]) -> Result<()> {
        let identifies: HashSet<i32> = self.base.current_schema().identifier_field_ids().collect();
        let made = self.one(column, |fields, index| {
            if identifies.contains(&fields[index].id) {
                return Err("it identifies rows");
            }
            edit(&mut fields[index], |field| field.required = false);
            Ok(())
        });
        self.done(column, made)
    }

    pub(super) fn shift(&mut self, column: &[String], position: &Position) -> Result<()> {
        let position = position.clone();
        let moved = self.one(column, |fields, index| {
            let field = fields.remove(index);
            let index = place(fields, &position)?;
            fields.insert(index, field);
            Ok(())
        });
        self.done(column, moved)
    }

    /// The schema as it is now.
    pub(super) fn schema(&self) -> Result<Schema> {
        let schema = schema_with(self.base.current_schema(), self.fields.clone());
        schema.map_err(|source| misfit(self.table, &source))
    }

    pub(super) fn updates(&self) -> Result<Vec<TableUpdate>> {
        if !self.changed {
            return Ok(Vec::new());
        }
        let schema = self.schema()?;
        Ok(vec![TableUpdate::AddSchema { schema }, TableUpdate::SetCurrentSchema { schema_id: -1 }])
    }

    /// Source columns of partition fields, of any spec, with such a transform.
    fn partition_sources(&self, wanted: fn(Transform) -> bool) -> HashSet<i32> {
        let fields = self.base.partition_specs_iter().flat_map(|spec| spec.fields());
        fields.filter(|field| wanted(field.transform)).map(|field| field.source_id).collect()
    }

    /// Changes the columns under `parent`.
    fn level(
        &mut self,
        parent: &[String],
        change: impl FnOnce(&mut Vec<NestedFieldRef>) -> Changed,
    ) -> Changed {
        let mut fields = self.fields.clone();
        under(&mut fields, parent, change)?;
        self.changed |= fields != self.fields;
        self.fields = fields;
        Ok(())
    }

    /// Changes one column, given its level and its place there. Elements, keys and values stay what they are.
    fn one(
        &mut self,
        column: &[String],
        change: impl FnOnce(&mut Vec<NestedFieldRef>, usize) -> Changed,
    ) -> Changed {
        let Some((name, parent)) = column.split_last() else { return Err(UNKNOWN) };
        self.level(parent, |fields| {
            let index = fields.iter().position(|field| &field.name == name).ok_or(UNKNOWN)?;
            change(fields, index)
        })
    }

    fn done(&self, column: &[String], changed: Changed) -> Result<()> {
        let path = column.join(".");
        let remedy = "look at the table's columns and partitioning; the table was not changed";
        changed.map_err(|fact| refused(self.table, &path, fact, remedy))
    }

    fn unknown(&self, column: &[String]) -> Error {
        refused(self.table, &column.join("."), UNKNOWN, "look at the table's columns")
    }
}

/// A change, or why it is not possible.
type Changed = std::result::Result<(), &'static str>;

const UNKNOWN: &str = "there is no such column";
const FIXED: &str = "the values of lists and maps have no neighbours, names and places of their own";

/// Changes the columns of the struct at `path`.
fn under(
    fields: &mut Vec<NestedFieldRef>,
    path: &[String],
    change: impl FnOnce(&mut Vec<NestedFieldRef>) -> Changed,
) -> Changed {
    let Some((name, rest)) = path.split_first() else { return change(fields) };
    let field = fields.iter_mut().find(|field| &field.name == name).ok_or(UNKNOWN)?;
    let changed = match field.field_type.as_ref() {
        Type::Primitive(_) => return Err("its parent is no struct"),
        Type::Struct(inner) => {
            let mut inner = inner.fields().to_vec();
            under(&mut inner, rest, change)?;
            Type::Struct(StructType::new(inner))
        }
        Type::List(list) => {
            let mut element = vec![list.element_field.clone()];
            under(&mut element, rest, change)?;
            let [element] = fixed(element, [&list.element_field])?;
            Type::List(ListType::new(element))
        }
        Type::Map(map) => {
            let mut entry = vec![map.key_field.clone(), map.value_field.clone()];
            under(&mut entry, rest, change)?;
            let [key, value] = fixed(entry, [&map.key_field, &map.value_field])?;
            Type::Map(MapType::new(key, value))
        }
    };
    edit(field, |field| *field.field_type = changed);
    Ok(())
}

/// The same fields as before, whatever became of their types.
fn fixed<const N: usize>(
    after: Vec<NestedFieldRef>,
    before: [&NestedFieldRef; N],
) -> std::result::Result<[NestedFieldRef; N], &'static str> {
    let after: [NestedFieldRef; N] = after.try_into().map_err(|_| FIXED)?;
    let same =
        after.iter().zip(before).all(|(after, before)| after.id == before.id && after.name == before.name);
    if same { Ok(after) } else { Err(FIXED) }
}

fn edit(field: &mut NestedFieldRef, change: impl FnOnce(&mut NestedField)) {
    change(Arc::make_mut(field));
}

/// Engines that do not tell cases apart must be able to read the table too.
fn same_name(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

fn taken(fields: &[NestedFieldRef], name: &str) -> bool {
    fields.iter().any(|field| same_name(&field.name, name))
}

fn place(fields: &[NestedFieldRef], position: &Position) -> std::result::Result<usize, &'static str> {
    match position {
        Position::First => Ok(0),
        Position::Last => Ok(fields.len()),
        Position::After(name) => {
            let found = fields.iter().position(|field| &field.name == name);
            found.map(|index| index + 1).ok_or("the column to put it after does not exist")
        }
    }
}

/// Whether a column of one type may become one of the other without touching its files.
pub(crate) fn widens(from: &Type, to: &Type) -> bool {
    use PrimitiveType::{Decimal, Double, Float, Int, Long};
    match (from, to) {
        (Type::Primitive(Int), Type::Primitive(Long)) | (Type::Primitive(Float), Type::Primitive(Double)) => {
            true
        }
        (
            Type::Primitive(Decimal { precision: from, scale: old }),
            Type::Primitive(Decimal { precision: to, scale: new }),
        ) => to >= from && old == new,
        _ => false,
    }
}

fn contains_any(field: &NestedField, ids: &HashSet<i32>) -> bool {
    let inside = |field: &NestedFieldRef| contains_any(field, ids);
    ids.contains(&field.id)
        || match field.field_type.as_ref() {
            Type::Primitive(_) => false,
            Type::Struct(inner) => inner.fields().iter().any(inside),
            Type::List(list) => inside(&list.element_field),
            Type::Map(map) => inside(&map.key_field) || inside(&map.value_field),
        }
}
