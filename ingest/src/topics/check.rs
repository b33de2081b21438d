//! Rules of a topics file that concern several of its entries at once.

use std::collections::BTreeMap;

use sluice_catalog::Transform;

use super::{
    Column, Format, Kind, Origin, RESERVED_COLUMNS, REST_COLUMN, Required, Route, SchemaPolicy, TEXT_FIELD,
    Target, Template, Topic, Topics,
};
use crate::dead_letters;

const NAME_LENGTH_MAX: usize = 249;

/// Something wrong with a topic, and which of the topics of that name in the file is meant.
pub(super) struct Problem {
    pub(super) topic: String,
    pub(super) occurrence: usize,
    pub(super) text: String,
}

pub(super) fn topics(topics: &Topics) -> Result<(), Problem> {
    let mut seen: Vec<&str> = Vec::new();
    let mut tables: BTreeMap<&Target, (&str, &Route)> = BTreeMap::new();
    for topic in &topics.topics {
        let occurrence = seen.iter().filter(|name| **name == topic.name).count();
        let fault = |text: String| Problem { topic: topic.name.clone(), occurrence, text };
        if occurrence > 0 {
            return Err(fault(format!("topic `{}` is there twice\n  remove one", topic.name)));
        }
        seen.push(&topic.name);
        self::topic(topic).map_err(fault)?;
        for route in &topic.routes {
            let Some((other, same)) = tables.insert(&route.table, (&topic.name, route)) else { continue };
            if other == topic.name {
                return Err(fault(format!(
                    "two routes of topic `{other}` land in `{}`\n  make them one, with all event types",
                    route.table
                )));
            }
            if !same.is_like(route) {
                return Err(fault(format!(
                    "topics `{other}` and `{}` both land in `{}`, with different columns, schema policy, \
                     partitioning, sort order, properties or key\n  \
                     make them equal, or choose another table",
                    topic.name, route.table
                )));
            }
        }
    }
    Ok(())
}

fn topic(topic: &Topic) -> Result<(), String> {
    let name = &topic.name;
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if topic.pattern.is_none()
        && (name.is_empty() || name.len() > NAME_LENGTH_MAX || !letters || name == "." || name == "..")
    {
        return Err(format!(
            "`{name}` is not a topic name\n  Kafka takes 1 to {NAME_LENGTH_MAX} letters, digits, `.`, `_` and `-`"
        ));
    }
    if topic.partitions < 1 {
        return Err(format!("topic `{name}` has {} partitions\n  give it at least 1", topic.partitions));
    }
    if !(1..=i32::from(i16::MAX)).contains(&topic.replication) {
        return Err(format!("topic `{name}` has replication {}\n  give it at least 1", topic.replication));
    }
    fields_of_format(topic)?;
    super::upsert::check_topic(topic)?;
    let mut taken: Vec<&str> = Vec::new();
    let mut rest: Option<&Target> = None;
    for route in &topic.routes {
        type_column(topic, route)?;
        if route.event_types.is_empty()
            && let Some(other) = rest.replace(&route.table)
        {
            return Err(format!(
                "the routes of topic `{name}` to `{other}` and `{}` both take what no other names\n  \
                 give one of them `event_types`",
                route.table
            ));
        }
        for event_type in &route.event_types {
            if taken.contains(&event_type.as_str()) {
                return Err(format!(
                    "event type `{event_type}` of topic `{name}` is routed twice\n  remove one"
                ));
            }
            taken.push(event_type);
        }
    }
    Ok(())
}

/// A format that says which fields its messages have can hold no others.
fn fields_of_format(topic: &Topic) -> Result<(), String> {
    let known: Vec<&str> = match &topic.format {
        Format::Json | Format::Avro | Format::Protobuf => return Ok(()),
        Format::Text => vec![TEXT_FIELD],
        Format::Csv(csv) => csv.fields.iter().map(String::as_str).collect(),
    };
    let (name, format) = (&topic.name, &topic.format);
    let no_field = |field: &str| {
        let known = known.join(", ");
        format!("topic `{name}` is {format} and has no field `{field}`\n  its fields are: {known}")
    };
    for column in topic.routes.iter().flat_map(|route| &route.columns) {
        if column.kind.is_nested() {
            let column = &column.name;
            return Err(format!(
                "column `{column}` of topic `{name}` is nested\n  {format} holds plain values"
            ));
        }
        if !known.contains(&column.name.as_str()) {
            return Err(no_field(&column.name));
        }
    }
    for origin in topic.routes.iter().filter_map(|route| route.table.template()).flat_map(Template::origins) {
        if let Origin::Field(field) = origin
            && !known.contains(&field.as_str())
        {
            return Err(no_field(field));
        }
    }
    Ok(())
}

/// Who chooses by a field of the event keeps it: the rows of a table tell why they are there.
fn type_column(topic: &Topic, route: &Route) -> Result<(), String> {
    let Origin::Field(field) = &topic.type_from else { return Ok(()) };
    let by_type = |column: &Column| matches!(column.required, Required::For(_));
    let needs_type = !route.event_types.is_empty() || route.columns.iter().any(by_type);
    let has_type = route.columns.iter().any(|column| column.name == *field && column.kind == Kind::String);
    if needs_type && !has_type {
        let table = &route.table;
        return Err(format!(
            "the route to `{table}` chooses by event type and has no such column\n  add `{field}: string`"
        ));
    }
    Ok(())
}

pub(super) fn route(route: &Route) -> Result<(), String> {
    let table = &route.table;
    let open = matches!(route.policy, SchemaPolicy::Evolve | SchemaPolicy::Keep);
    if route.columns.is_empty() && !open {
        return Err(format!(
            "the route to `{table}` has no columns\n  list the fields to land under `columns`, or set \
             `schema: evolve`"
        ));
    }
    if table.table().is_some_and(|table| *table == dead_letters::table()) {
        return Err(format!("`{table}` takes what no route can land\n  choose another table"));
    }
    let is_own =
        |column: &&Column| column.name == REST_COLUMN || RESERVED_COLUMNS.contains(&column.name.as_str());
    if let Some(column) = route.columns.iter().find(is_own) {
        return Err(format!("column `{}` is one that Sluice adds to every row\n  remove it", column.name));
    }
    if let Some(term) =
        route.sort_by.iter().find(|term| !route.columns.iter().any(|it| it.name == term.by.column))
    {
        return Err(format!(
            "`{table}` is sorted by `{}`, which is not one of its columns\n  add it, or choose another",
            term.by.column
        ));
    }
    if let Some(key) = route.properties.keys().find(|key| key.starts_with("sluice.")) {
        return Err(format!("the property `{key}` of `{table}` is one that Sluice sets\n  remove it"));
    }
    super::upsert::check(route)?;
    for field in &route.partition_by {
        let Some(column) = route.columns.iter().find(|column| column.name == field.column) else {
            return Err(format!(
                "`{table}` is partitioned by `{}`, which is not one of its columns\n  add it, or choose another",
                field.column
            ));
        };
        let of_time =
            matches!(field.transform, Transform::Year | Transform::Month | Transform::Day | Transform::Hour);
        if of_time && column.kind != Kind::TimestampMillis {
            return Err(format!(
                "`{table}` is partitioned by the time of `{}`, whose type is {}\n  make it timestamp_ms",
                field.column, column.kind
            ));
        }
    }
    Ok(())
}
