//! Which fields are decoded, and which columns a landed table has.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};

use super::{ColumnPlan, RoutePlan};
use crate::topics::{EVENT_TYPE, REST_COLUMN, SchemaPolicy};

/// The fields that the routes of a topic need: text, or a nested type where JSON texts are wanted, or `Null` where
/// some routes want the one and some the other. `reads` are needed to choose a route.
pub(super) fn wanted_fields(routes: &[&RoutePlan], reads: &[String]) -> SchemaRef {
    let mut fields: Vec<Field> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for column in routes.iter().flat_map(|route| &route.columns) {
        let nested = column.data_type.is_nested();
        let data_type = if nested { column.data_type.clone() } else { DataType::Utf8 };
        match places.get(column.name.as_str()).map(|place| &mut fields[*place]) {
            None => {
                places.insert(&column.name, fields.len());
                fields.push(Field::new(&column.name, data_type, true));
            }
            Some(known) if known.data_type().is_nested() == nested => {}
            Some(known) => *known = Field::new(&column.name, DataType::Null, true),
        }
    }
    let said_by = routes.iter().filter_map(|route| route.upsert.as_ref()).flat_map(|it| it.changes.fields());
    for name in said_by.copied().chain(reads.iter().map(String::as_str)) {
        if !fields.iter().any(|field| field.name() == name) {
            fields.push(Field::new(name, DataType::Utf8, true));
        }
    }
    if fields.is_empty() {
        fields.push(Field::new(EVENT_TYPE, DataType::Utf8, true)); // A decoder needs a column to count rows by.
    }
    Arc::new(Schema::new(fields))
}

/// Whether each of `fields` is unknown to some table that cares; `None` when no table does.
pub(super) fn others(fields: &Schema, routes: &[&RoutePlan]) -> Option<Vec<bool>> {
    let caring = || routes.iter().filter(|route| route.policy != SchemaPolicy::Ignore);
    caring().next()?;
    let unknown = |field: &FieldRef| {
        let says = |route: &RoutePlan| {
            let names = route.upsert.as_ref().map(|upsert| upsert.changes.fields());
            names.is_some_and(|names| names.contains(&field.name().as_str()))
        };
        caring().any(|route| route.known.find(field.name()).is_none() && !says(route))
    };
    Some(fields.fields().iter().map(unknown).collect())
}

/// The type of every landed timestamp.
pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The columns that tell where a row comes from: topic, partition, offset and the time it was taken in.
pub(crate) fn source_fields() -> [Field; 4] {
    [
        Field::new("_src_topic", DataType::Utf8, false),
        Field::new("_src_partition", DataType::Int32, false),
        Field::new("_src_offset", DataType::Int64, false),
        Field::new("_ingested_at", timestamp(), false),
    ]
}

pub(super) fn fields_of(columns: &[ColumnPlan]) -> Fields {
    columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true)).collect()
}

/// The schema of a landed table. Event columns are nullable even when required, so that a requirement
/// can be dropped later without changing the table.
pub(super) fn table_schema(columns: &[ColumnPlan], policy: SchemaPolicy) -> SchemaRef {
    let mut fields: Vec<Field> =
        columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true)).collect();
    if policy == SchemaPolicy::Keep {
        fields.push(Field::new(REST_COLUMN, DataType::Utf8, true));
    }
    fields.extend(source_fields());
    Arc::new(Schema::new(fields))
}
