//! What the topics file means for a run: which fields are decoded, where each event goes, which tables exist.
//!
//! Topics and tables are numbered here once; the hot path passes the numbers.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use sluice_catalog::{Alteration, PartitionBy, TableName};

use crate::error::{Error, Result};
use crate::reject;
use crate::topics::{Format, REST_COLUMN, Required, Route, SchemaPolicy, Topic, Upsert};

/// The field by which events are told apart.
pub(crate) const EVENT_TYPE: &str = "event_type";

/// All topics that land somewhere, and all tables they land in.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) topics: Vec<TopicPlan>,
    pub(crate) tables: Vec<TablePlan>,
    /// Index of the table of dead letters.
    pub(crate) dead_letters: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct TopicPlan {
    pub(crate) name: String,
    pub(crate) format: Format,
    /// The fields that any route needs, for JSON; see [`wanted_fields`].
    pub(crate) fields: SchemaRef,
    /// Which of them some table does not know, when what is unknown matters to any.
    pub(crate) others: Option<Vec<bool>>,
    /// Whether a route or a requirement asks for the field `event_type`.
    pub(crate) by_type: bool,
    pub(crate) routes: Vec<RoutePlan>,
    /// Every table that keeps offsets of this topic: those of its routes and the dead letters.
    pub(crate) tables: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct RoutePlan {
    pub(crate) table: usize,
    /// Empty: every event that no other route names.
    pub(crate) event_types: Vec<String>,
    pub(crate) columns: Vec<ColumnPlan>,
    pub(crate) policy: SchemaPolicy,
    /// The columns as fields.
    pub(crate) known: Fields,
    /// The table's columns, the source columns last.
    pub(crate) schema: SchemaRef,
    /// How its events change rows.
    pub(crate) upsert: Option<Upsert>,
}

#[derive(Clone, Debug)]
pub(crate) struct ColumnPlan {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) required: Required,
}

#[derive(Clone, Debug)]
pub(crate) struct TablePlan {
    pub(crate) name: TableName,
    pub(crate) schema: SchemaRef,
    pub(crate) partition_by: Vec<PartitionBy>,
    pub(crate) policy: SchemaPolicy,
    /// Alterations that the table refused: what would need them is a dead letter.
    pub(crate) refused: Vec<Alteration>,
    /// How its rows change; `None` where they are only added.
    pub(crate) upsert: Option<Upsert>,
}

impl Plan {
    pub(crate) fn new(topics: &[Topic], dead_letters: TableName) -> Result<Self> {
        let letters = TablePlan {
            name: dead_letters,
            schema: reject::schema(),
            partition_by: Vec::new(),
            policy: SchemaPolicy::Ignore,
            refused: Vec::new(),
            upsert: None,
        };
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

    /// The plan for tables as they are: in their types, and with all columns of those that grow.
    pub(crate) fn adopted<'a>(&self, tables: impl Iterator<Item = &'a Schema>) -> Self {
        let mut plan = self.clone();
        for (table, schema) in tables.enumerate() {
            plan.adopt(table, schema);
        }
        plan
    }

    /// The plan after a table grew, or refused to.
    pub(crate) fn grown(&self, table: usize, schema: &Schema, refused: &[Alteration]) -> Self {
        let mut plan = self.clone();
        plan.tables[table].refused.extend_from_slice(refused);
        plan.adopt(table, schema);
        plan
    }

    fn adopt(&mut self, table: usize, schema: &Schema) {
        let own = source_fields();
        for topic in &mut self.topics {
            let Some(route) = topic.routes.iter_mut().find(|route| route.table == table) else { continue };
            for column in &mut route.columns {
                if let Ok(field) = schema.field_with_name(&column.name) {
                    column.data_type = field.data_type().clone();
                }
            }
            if route.policy == SchemaPolicy::Evolve {
                let is_new = |field: &&FieldRef| {
                    field.is_nullable()
                        && route.known.find(field.name()).is_none()
                        && own.iter().all(|own| own.name() != field.name())
                };
                let new = schema.fields().iter().filter(is_new).map(|field| ColumnPlan {
                    name: field.name().clone(),
                    data_type: field.data_type().clone(),
                    required: Required::Never,
                });
                let new: Vec<_> = new.collect();
                route.columns.extend(new);
            }
            route.known = fields_of(&route.columns);
            route.schema = table_schema(&route.columns, route.policy);
            self.tables[table].schema = Arc::clone(&route.schema);
            topic.fields = wanted_fields(&topic.routes, topic.by_type);
            topic.others = others(&topic.fields, &topic.routes);
        }
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
            let table = self.table(topic, route, &schema)?;
            let (event_types, policy, known) = (route.event_types.clone(), route.policy, fields_of(&columns));
            let upsert = route.upsert.clone();
            routes.push(RoutePlan { table, event_types, columns, policy, known, schema, upsert });
        }
        let by_type = routes.iter().any(|route| {
            !route.event_types.is_empty()
                || route.columns.iter().any(|column| matches!(column.required, Required::For(_)))
        });
        let fields = wanted_fields(&routes, by_type);
        let others = others(&fields, &routes);
        // An event goes to the first route that names its type, so the route that takes the rest is last.
        routes.sort_by_key(|route| route.event_types.is_empty());
        let mut tables: Vec<usize> = routes.iter().map(|route| route.table).collect();
        tables.push(self.dead_letters);
        tables.sort_unstable();
        tables.dedup();
        let (name, format) = (topic.name.clone(), topic.format.clone());
        Ok(TopicPlan { name, format, fields, others, by_type, routes, tables })
    }

    fn table(&mut self, topic: &Topic, route: &Route, schema: &SchemaRef) -> Result<usize> {
        let (name, partition_by, policy) = (&route.table, &route.partition_by, route.policy);
        let Some(index) = self.tables.iter().position(|table| table.name == *name) else {
            let (name, schema, partition_by) = (name.clone(), Arc::clone(schema), partition_by.clone());
            let (refused, upsert) = (Vec::new(), route.upsert.clone());
            self.tables.push(TablePlan { name, schema, partition_by, policy, refused, upsert });
            return Ok(self.tables.len() - 1);
        };
        let table = &self.tables[index];
        let same = table.schema == *schema && table.partition_by == *partition_by && table.policy == policy;
        if same && table.upsert == route.upsert {
            return Ok(index);
        }
        Err(Error::Topics {
            topic: topic.name.clone(),
            fact: format!(
                "its route into `{name}` has other columns, schema policy, partitioning or key than another route into it"
            ),
            remedy: "make them equal, or choose another table",
        })
    }
}

/// The fields that the routes of a topic need: text, or a nested type where JSON texts are wanted, or `Null` where
/// some routes want the one and some the other.
fn wanted_fields(routes: &[RoutePlan], by_type: bool) -> SchemaRef {
    let mut fields: Vec<Field> = Vec::new();
    for column in routes.iter().flat_map(|route| &route.columns) {
        let nested = column.data_type.is_nested();
        let data_type = if nested { column.data_type.clone() } else { DataType::Utf8 };
        match fields.iter_mut().find(|field| *field.name() == column.name) {
            None => fields.push(Field::new(&column.name, data_type, true)),
            Some(known) if known.data_type().is_nested() == nested => {}
            Some(known) => *known = Field::new(&column.name, DataType::Null, true),
        }
    }
    let said_by = routes.iter().filter_map(|route| route.upsert.as_ref()).flat_map(|it| it.changes.fields());
    for name in said_by {
        if !fields.iter().any(|field| field.name() == name) {
            fields.push(Field::new(*name, DataType::Utf8, true));
        }
    }
    if (by_type || fields.is_empty()) && !fields.iter().any(|field| field.name() == EVENT_TYPE) {
        fields.push(Field::new(EVENT_TYPE, DataType::Utf8, true)); // A decoder needs a column to count rows by.
    }
    Arc::new(Schema::new(fields))
}

/// Whether each of `fields` is unknown to some table that cares; `None` when no table does.
fn others(fields: &Schema, routes: &[RoutePlan]) -> Option<Vec<bool>> {
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

fn fields_of(columns: &[ColumnPlan]) -> Fields {
    columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true)).collect()
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
