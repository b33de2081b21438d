//! What the topics file means for a run: which fields are decoded, where each event goes, which tables exist.
//!
//! Topics and tables are numbered here once; the hot path passes the numbers.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use sluice_catalog::{PartitionBy, TableName};

use crate::error::{Error, Result};
use crate::reject;
use crate::topics::{Format, REST_COLUMN, Required, SchemaPolicy, Topic};

/// The field by which events are told apart.
pub(crate) const EVENT_TYPE: &str = "event_type";

/// All topics that land somewhere, and all tables they land in.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) topics: Vec<TopicPlan>,
    pub(crate) tables: Vec<TablePlan>,
    /// Index of the table of dead letters.
    pub(crate) dead_letters: usize,
}

#[derive(Debug)]
pub(crate) struct TopicPlan {
    pub(crate) name: String,
    pub(crate) format: Format,
    /// The fields that any route needs, for formats without types: text, or text inside of nested types.
    pub(crate) fields: SchemaRef,
    /// Whether a route or a requirement asks for the field `event_type`.
    pub(crate) by_type: bool,
    pub(crate) routes: Vec<RoutePlan>,
    /// Every table that keeps offsets of this topic: those of its routes and the dead letters.
    pub(crate) tables: Vec<usize>,
}

#[derive(Debug)]
pub(crate) struct RoutePlan {
    pub(crate) table: usize,
    /// Empty: every event that no other route names.
    pub(crate) event_types: Vec<String>,
    pub(crate) columns: Vec<ColumnPlan>,
    pub(crate) policy: SchemaPolicy,
    /// The table's columns, the source columns last.
    pub(crate) schema: SchemaRef,
}

#[derive(Debug)]
pub(crate) struct ColumnPlan {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) required: Required,
}

#[derive(Debug)]
pub(crate) struct TablePlan {
    pub(crate) name: TableName,
    pub(crate) schema: SchemaRef,
    pub(crate) partition_by: Vec<PartitionBy>,
}

impl Plan {
    pub(crate) fn new(topics: &[Topic], dead_letters: TableName) -> Result<Self> {
        let letters = TablePlan { name: dead_letters, schema: reject::schema(), partition_by: Vec::new() };
        let mut plan = Self { topics: Vec::new(), tables: vec![letters], dead_letters: 0 };
        for topic in topics.iter().filter(|topic| !topic.routes.is_empty()) {
            let topic = plan.topic(topic)?;
            plan.topics.push(topic);
        }
        if plan.topics.is_empty() { Err(Error::NoRoutes) } else { Ok(plan) }
    }

    /// The number of a topic.
    pub(crate) fn topic_index(&self, name: &str) -> Option<usize> {
        self.topics.iter().position(|topic| topic.name == name)
    }

    fn topic(&mut self, topic: &Topic) -> Result<TopicPlan> {
        let mut routes = Vec::new();
        for route in &topic.routes {
            let columns = route.columns.iter().map(|column| ColumnPlan {
                name: column.name.clone(),
                data_type: column.kind.data_type(),
                required: column.required.clone(),
            });
            let columns: Vec<_> = columns.collect();
            let schema = table_schema(&columns, route.policy);
            let table = self.table(topic, &route.table, &schema, &route.partition_by)?;
            let (event_types, policy) = (route.event_types.clone(), route.policy);
            routes.push(RoutePlan { table, event_types, columns, policy, schema });
        }
        let by_type = routes.iter().any(|route| {
            !route.event_types.is_empty()
                || route.columns.iter().any(|column| matches!(column.required, Required::For(_)))
        });
        let fields = text_fields(&topic.name, &routes, by_type)?;
        // An event goes to the first route that names its type, so the route that takes the rest is last.
        routes.sort_by_key(|route| route.event_types.is_empty());
        let mut tables: Vec<usize> = routes.iter().map(|route| route.table).collect();
        tables.push(self.dead_letters);
        tables.sort_unstable();
        tables.dedup();
        let (name, format) = (topic.name.clone(), topic.format.clone());
        Ok(TopicPlan { name, format, fields, by_type, routes, tables })
    }

    fn table(
        &mut self,
        topic: &Topic,
        name: &TableName,
        schema: &SchemaRef,
        partition_by: &[PartitionBy],
    ) -> Result<usize> {
        let Some(index) = self.tables.iter().position(|table| table.name == *name) else {
            let (name, schema) = (name.clone(), Arc::clone(schema));
            self.tables.push(TablePlan { name, schema, partition_by: partition_by.to_vec() });
            return Ok(self.tables.len() - 1);
        };
        let table = &self.tables[index];
        if table.schema == *schema && table.partition_by == partition_by {
            return Ok(index);
        }
        Err(Error::Topics {
            topic: topic.name.clone(),
            fact: format!(
                "its route into `{name}` has other columns or partitioning than another route into it"
            ),
            remedy: "make them equal, or choose another table",
        })
    }
}

/// The fields that the routes of a topic need, as text.
fn text_fields(topic: &str, routes: &[RoutePlan], by_type: bool) -> Result<SchemaRef> {
    let mut fields: Vec<Field> = Vec::new();
    for column in routes.iter().flat_map(|route| &route.columns) {
        let text = as_text(&column.data_type);
        let Some(known) = fields.iter_mut().find(|field| *field.name() == column.name) else {
            fields.push(Field::new(&column.name, text, true));
            continue;
        };
        let Some(both) = merged(known.data_type(), &text) else {
            return Err(Error::Topics {
                topic: topic.to_owned(),
                fact: format!("its routes do not agree whether `{}` is nested, and how", column.name),
                remedy: "give the column the same struct, list or map in each route",
            });
        };
        *known = Field::new(&column.name, both, true);
    }
    if (by_type || fields.is_empty()) && !fields.iter().any(|field| field.name() == EVENT_TYPE) {
        fields.push(Field::new(EVENT_TYPE, DataType::Utf8, true)); // A decoder needs a column to count rows by.
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The type in which a format without types decodes a value of `data_type`.
fn as_text(data_type: &DataType) -> DataType {
    let inside = |field: &Field| Field::new(field.name(), as_text(field.data_type()), field.is_nullable());
    match data_type {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| inside(field)).collect()),
        DataType::List(element) => DataType::List(Arc::new(inside(element))),
        DataType::Map(entries, sorted) => DataType::Map(Arc::new(inside(entries)), *sorted),
        _ => DataType::Utf8,
    }
}

/// The type that has the fields of both.
fn merged(one: &DataType, other: &DataType) -> Option<DataType> {
    let both = |one: &FieldRef, other: &FieldRef| {
        let data_type = merged(one.data_type(), other.data_type())?;
        Some(Arc::new(one.as_ref().clone().with_data_type(data_type)))
    };
    Some(match (one, other) {
        (DataType::Struct(one), DataType::Struct(other)) => {
            let mut fields: Vec<FieldRef> = one.iter().map(Arc::clone).collect();
            for field in other {
                match fields.iter_mut().find(|known| known.name() == field.name()) {
                    Some(known) => *known = both(known, field)?,
                    None => fields.push(Arc::clone(field)),
                }
            }
            DataType::Struct(fields.into())
        }
        (DataType::List(one), DataType::List(other)) => DataType::List(both(one, other)?),
        (DataType::Map(one, sorted), DataType::Map(other, _)) => DataType::Map(both(one, other)?, *sorted),
        (one, other) => return (one == other).then(|| one.clone()),
    })
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

/// The schema of a landed table. Event columns are nullable even when required, so that a requirement
/// can be dropped later without changing the table.
fn table_schema(columns: &[ColumnPlan], policy: SchemaPolicy) -> SchemaRef {
    let mut fields: Vec<Field> =
        columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true)).collect();
    if policy == SchemaPolicy::Keep {
        fields.push(Field::new(REST_COLUMN, DataType::Utf8, true));
    }
    fields.extend(source_fields());
    Arc::new(Schema::new(fields))
}
