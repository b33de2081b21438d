//! What the topics file means for a run: which fields are decoded, where each event goes, which tables exist.
//!
//! Topics and tables are numbered here once; the hot path passes the numbers.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sluice_catalog::{PartitionBy, TableName};

use crate::error::{Error, Result};
use crate::reject;
use crate::topics::{Column, Kind, Required, Topic};

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
    /// The fields that any route needs, all decoded as text; kinds are parsed per route.
    pub(crate) fields: SchemaRef,
    /// Index of the field `event_type`, when a route or a requirement asks for it.
    pub(crate) event_type: Option<usize>,
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
    /// The table's columns, the source columns last.
    pub(crate) schema: SchemaRef,
}

#[derive(Debug)]
pub(crate) struct ColumnPlan {
    /// Index into the topic's fields.
    pub(crate) field: usize,
    pub(crate) name: String,
    pub(crate) kind: Kind,
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
        let mut names: Vec<String> = Vec::new();
        let mut field = |name: &str| match names.iter().position(|known| known == name) {
            Some(index) => index,
            None => {
                names.push(name.to_owned());
                names.len() - 1
            }
        };
        let mut routes = Vec::new();
        for route in &topic.routes {
            let columns = route.columns.iter().map(|column| ColumnPlan {
                field: field(&column.name),
                name: column.name.clone(),
                kind: column.kind,
                required: column.required.clone(),
            });
            let columns: Vec<_> = columns.collect();
            let schema = table_schema(&route.columns);
            let table = self.table(topic, &route.table, &schema, &route.partition_by)?;
            routes.push(RoutePlan { table, event_types: route.event_types.clone(), columns, schema });
        }
        let by_type = routes.iter().any(|route| {
            !route.event_types.is_empty()
                || route.columns.iter().any(|column| matches!(column.required, Required::For(_)))
        });
        let event_type = by_type.then(|| field(EVENT_TYPE));
        if names.is_empty() {
            names.push(EVENT_TYPE.to_owned()); // The decoder needs a column to count rows by.
        }
        // An event goes to the first route that names its type, so the route that takes the rest is last.
        routes.sort_by_key(|route| route.event_types.is_empty());
        let mut tables: Vec<usize> = routes.iter().map(|route| route.table).collect();
        tables.push(self.dead_letters);
        tables.sort_unstable();
        tables.dedup();
        let fields = names.iter().map(|name| Field::new(name, DataType::Utf8, true));
        let fields = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(TopicPlan { name: topic.name.clone(), fields, event_type, routes, tables })
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

/// The Arrow type in which a kind lands.
pub(crate) fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::String => DataType::Utf8,
        Kind::Int => DataType::Int32,
        Kind::Long => DataType::Int64,
        Kind::Double => DataType::Float64,
        Kind::Boolean => DataType::Boolean,
        Kind::Decimal(precision, scale) => DataType::Decimal128(precision, scale),
        Kind::TimestampMillis => timestamp(),
    }
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
fn table_schema(columns: &[Column]) -> SchemaRef {
    let columns = columns.iter().map(|column| Field::new(&column.name, data_type(column.kind), true));
    Arc::new(Schema::new(columns.chain(source_fields()).collect::<Vec<_>>()))
}
