//! What the topics file means for a run: which fields are decoded, where each event goes, which tables exist.
//!
//! Topics and tables are numbered here once; the hot path passes the numbers. A plan only ever gets longer: topics
//! that match a pattern and tables that a template makes are added at the end, so that a number that was given
//! means the same in every later plan of a session.

mod fields;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Fields, Schema, SchemaRef};
use sluice_catalog::{Alteration, PartitionBy, SortBy, TableName};

use self::fields::{fields_of, others, table_schema, wanted_fields};
pub(crate) use self::fields::{source_fields, timestamp};
pub(crate) use self::template::{Known, Made, TemplatePlan};
use crate::error::{Error, Result};
use crate::reject;
use crate::topics::{Format, Origin, Required, Route, SchemaPolicy, Target, Template, Topic, Upsert};

/// All topics that land somewhere, and all tables they land in.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) topics: Vec<TopicPlan>,
    pub(crate) tables: Vec<TablePlan>,
    /// Index of the table of dead letters.
    pub(crate) dead_letters: usize,
    /// Topics by pattern; those found so far are among `topics`.
    pub(crate) patterns: Vec<Topic>,
    /// Topics that the file names and lands nowhere: no pattern means them.
    silent: BTreeSet<String>,
    /// The tables were compared with the lake's.
    is_adopted: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct TopicPlan {
    pub(crate) name: String,
    pub(crate) format: Format,
    /// The fields that any route needs, for JSON; see [`wanted_fields`].
    pub(crate) fields: SchemaRef,
    /// Which of them some table does not know, when what is unknown matters to any.
    pub(crate) others: Option<Vec<bool>>,
    /// Whether a route or a requirement asks for the type of an event, and where it stands.
    pub(crate) by_type: bool,
    pub(crate) type_from: Origin,
    /// Fields that choose the table.
    reads: Vec<String>,
    /// Headers that choose the table.
    pub(crate) headers: Arc<[String]>,
    /// Where events go by their type; the one that takes the rest is last.
    pub(crate) branches: Vec<Branch>,
    pub(crate) routes: Vec<RoutePlan>,
    pub(crate) templates: Vec<TemplatePlan>,
    /// Every table that takes part in each commit of this topic: those of its routes and the dead letters, but
    /// none that a template made.
    pub(crate) tables: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Branch {
    /// Empty: every event that no other branch names.
    pub(crate) event_types: Vec<String>,
    pub(crate) goal: Goal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    Route(usize),
    Template(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct RoutePlan {
    pub(crate) table: usize,
    pub(crate) columns: Vec<ColumnPlan>,
    pub(crate) policy: SchemaPolicy,
    /// The template whose tables still look like this one, which makes columns for all of them at once.
    pub(crate) alike: Option<usize>,
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
    pub(crate) sort_by: Vec<SortBy>,
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) policy: SchemaPolicy,
    /// The template that named it.
    pub(crate) made_by: Option<Template>,
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
            sort_by: Vec::new(),
            properties: BTreeMap::new(),
            policy: SchemaPolicy::Ignore,
            made_by: None,
            refused: Vec::new(),
            upsert: None,
        };
        let mut plan = Self {
            topics: Vec::new(),
            tables: vec![letters],
            dead_letters: 0,
            patterns: Vec::new(),
            silent: BTreeSet::new(),
            is_adopted: false,
        };
        for topic in topics {
            if topic.routes.is_empty() {
                plan.silent.insert(topic.name.clone());
                continue;
            }
            let made = plan.topic(topic)?;
            match topic.pattern {
                Some(_) => plan.patterns.push(topic.clone()),
                None => plan.topics.push(made),
            }
        }
        if plan.topics.is_empty() && plan.patterns.is_empty() { Err(Error::NoRoutes) } else { Ok(plan) }
    }

    /// The number of a topic.
    pub(crate) fn topic_index(&self, name: &str) -> Option<usize> {
        self.topics.iter().position(|topic| topic.name == name)
    }

    /// The plan with those of these topics that match a pattern and are new to it; `None` when none is.
    pub(crate) fn with_topics(&self, names: &[String]) -> Result<Option<Self>> {
        let mut plan: Option<Self> = None;
        for name in names {
            if self.silent.contains(name) || self.topic_index(name).is_some() {
                continue;
            }
            let matching = |topic: &&Topic| topic.pattern.as_ref().is_some_and(|it| it.matches(name));
            let Some(pattern) = self.patterns.iter().find(matching) else { continue };
            let topic = Topic { name: name.clone(), pattern: None, ..pattern.clone() };
            let plan = plan.get_or_insert_with(|| self.clone());
            let mut made = plan.topic(&topic)?;
            for route in &mut made.routes {
                adopt(route, &plan.tables[route.table].schema);
            }
            made.refresh();
            plan.topics.push(made);
        }
        Ok(plan)
    }

    /// The plan for tables as they are: in their types, and with all columns of those that grow.
    pub(crate) fn adopted<'a>(&self, tables: impl Iterator<Item = &'a Schema>) -> Self {
        let mut plan = self.clone();
        for (table, schema) in tables.enumerate() {
            plan.adopt(table, schema);
        }
        plan.is_adopted = true;
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
        for topic in &mut self.topics {
            let Some(route) = topic.routes.iter_mut().find(|route| route.table == table) else { continue };
            adopt(route, schema);
            self.tables[table].schema = Arc::clone(&route.schema);
            topic.refresh();
        }
    }

    fn topic(&mut self, topic: &Topic) -> Result<TopicPlan> {
        let (mut routes, mut templates, mut branches) = (Vec::new(), Vec::new(), Vec::new());
        for route in &topic.routes {
            let mut made = RoutePlan::new(route);
            let goal = match &route.table {
                Target::Table(name) => {
                    made.table = self.table(topic, name, route, &made.schema)?;
                    routes.push(made);
                    Goal::Route(routes.len() - 1)
                }
                Target::Template(template) => {
                    templates.push(TemplatePlan::new(template.clone(), route, made));
                    Goal::Template(templates.len() - 1)
                }
            };
            branches.push(Branch { event_types: route.event_types.clone(), goal });
        }
        // An event goes to the first branch that names its type, so the one that takes the rest is last.
        branches.sort_by_key(|branch| branch.event_types.is_empty());
        let requires = |column: &ColumnPlan| matches!(column.required, Required::For(_));
        let by_type = branches.iter().any(|branch| !branch.event_types.is_empty())
            || routes.iter().any(|route| route.columns.iter().any(requires))
            || templates.iter().any(|template| template.blueprint.columns.iter().any(requires));
        let origins = templates.iter().flat_map(|template| template.template.origins());
        let (mut reads, mut headers) = (Vec::new(), Vec::new());
        for origin in origins.chain(by_type.then_some(&topic.type_from)) {
            match origin {
                Origin::Field(name) => reads.push(name.clone()),
                Origin::Header(name) => headers.push(name.clone()),
            }
        }
        headers.sort_unstable();
        headers.dedup();
        let mut tables: Vec<usize> = routes.iter().map(|route| route.table).collect();
        tables.push(self.dead_letters);
        tables.sort_unstable();
        tables.dedup();
        let mut made = TopicPlan {
            name: topic.name.clone(),
            format: topic.format.clone(),
            fields: Arc::new(Schema::empty()),
            others: None,
            by_type,
            type_from: topic.type_from.clone(),
            reads,
            headers: headers.into(),
            branches,
            routes,
            templates,
            tables,
        };
        made.refresh();
        Ok(made)
    }

    fn table(&mut self, topic: &Topic, name: &TableName, route: &Route, schema: &SchemaRef) -> Result<usize> {
        let made = TablePlan::new(name.clone(), route, schema, None);
        let Some(index) = self.tables.iter().position(|table| table.name == *name) else {
            self.tables.push(made);
            return Ok(self.tables.len() - 1);
        };
        // A table that was adopted has its own types; the same route passed this comparison before.
        if self.is_adopted || self.tables[index].is_like(&made) {
            return Ok(index);
        }
        Err(Error::Topics {
            topic: topic.name.clone(),
            fact: format!(
                "its route into `{name}` has other columns, schema policy, partitioning, sort order, properties or \
                 key than another route into it"
            ),
            remedy: "make them equal, or choose another table",
        })
    }
}

impl TopicPlan {
    /// Says anew what is decoded, after routes came or changed.
    fn refresh(&mut self) {
        let blueprints = self.templates.iter().map(|template| &template.blueprint);
        let routes: Vec<&RoutePlan> = self.routes.iter().chain(blueprints).collect();
        self.fields = wanted_fields(&routes, &self.reads);
        self.others = others(&self.fields, &routes);
    }
}

impl TablePlan {
    fn new(name: TableName, route: &Route, schema: &SchemaRef, made_by: Option<Template>) -> Self {
        Self {
            name,
            schema: Arc::clone(schema),
            partition_by: route.partition_by.clone(),
            sort_by: route.sort_by.clone(),
            properties: route.properties.clone(),
            policy: route.policy,
            made_by,
            refused: Vec::new(),
            upsert: route.upsert.clone(),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.partition_by == other.partition_by
            && self.sort_by == other.sort_by
            && self.properties == other.properties
            && self.policy == other.policy
            && self.upsert == other.upsert
    }
}

impl RoutePlan {
    fn new(route: &Route) -> Self {
        let columns = route.columns.iter().map(|column| ColumnPlan {
            name: column.name.clone(),
            data_type: column.kind.data_type(),
            required: column.required.clone(),
        });
        let columns: Vec<_> = columns.collect();
        let (known, schema) = (fields_of(&columns), table_schema(&columns, route.policy));
        let (table, policy, upsert) = (usize::MAX, route.policy, route.upsert.clone());
        Self { table, columns, policy, alike: None, known, schema, upsert }
    }
}

/// Takes the types of a table as it is, and all columns of one that grows.
fn adopt(route: &mut RoutePlan, schema: &Schema) {
    for column in &mut route.columns {
        if let Ok(field) = schema.field_with_name(&column.name) {
            column.data_type = field.data_type().clone();
        }
    }
    if route.policy == SchemaPolicy::Evolve {
        let own = source_fields();
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
}
