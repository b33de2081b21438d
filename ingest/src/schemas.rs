//! What a new schema of a producer would do, before it is used: to the registry's other readers, and to the tables.
//!
//! | the new schema | the table |
//! |---|---|
//! | has a field that the table has not | by the table's policy: ignored, a column, in `_rest`, or every such event a dead letter |
//! | has a wider type | widened where the table evolves; else values that do not fit are dead letters |
//! | has a type that never fits | every event with that field is a dead letter |
//! | lacks a field | the column is null from then on; a required one makes every event a dead letter |

use std::fmt;

use arrow::datatypes::{DataType, Fields, Schema};
use serde::Serialize;
use sluice_catalog::{Alteration, Lake};

use crate::dead_letters;
use crate::decode::{avro, fit, protobuf};
use crate::error::{Error, Result};
use crate::evolve;
use crate::pipeline::tables;
use crate::plan::{Made, Plan, RoutePlan};
use crate::registry::{Language, Reference, Registry, SchemaText};
use crate::topics::{Format, Required, SchemaPolicy, Topic};

/// A schema that a producer of a topic would like to use.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The subject in the registry; `TOPIC-value` by convention.
    pub subject: String,
    /// The schema.
    pub text: String,
    /// What it refers to.
    pub references: Vec<Reference>,
    /// Which message type of a Protobuf schema, as a path of indexes; the first when empty.
    pub message: Vec<u32>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Whether the registry would take it; nothing when the subject is new there.
    pub registry: Option<bool>,
    /// Why it would not.
    pub messages: Vec<String>,
    /// What would happen to the tables.
    pub tables: Vec<Effect>,
}

/// One thing that would happen to a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// The table.
    pub table: String,
    /// The field, by its path.
    pub field: String,
    /// What would happen.
    pub what: What,
    /// In words.
    pub detail: String,
}

/// The kinds of effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The field is left out.
    Ignored,
    /// The table gets a column.
    Added,
    /// A column gets a wider type.
    Widened,
    /// The field goes to `_rest`.
    Kept,
    /// The column is null from then on.
    Null,
    /// Values that do not fit exactly are dead letters.
    Narrow,
    /// Events become dead letters.
    Rejected,
}

impl Findings {
    /// Whether nothing stands in the way.
    pub fn is_safe(&self) -> bool {
        self.registry != Some(false) && self.tables.iter().all(|effect| effect.what != What::Rejected)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ignored => "ignored",
            Self::Added => "added",
            Self::Widened => "widened",
            Self::Kept => "kept in _rest",
            Self::Null => "null",
            Self::Narrow => "narrow",
            Self::Rejected => "rejected",
        })
    }
}

/// Asks the registry and looks at the tables; changes nothing.
///
/// # Errors
/// When the topic has no registered format, the schema cannot be used at all, or the registry does not answer.
pub async fn check(registry: &Registry, lake: &Lake, topic: &Topic, proposal: Proposal) -> Result<Findings> {
    let language = match topic.format {
        Format::Avro => Language::Avro,
        Format::Protobuf => Language::Protobuf,
        _ => {
            return Err(Error::Topics {
                topic: topic.name.clone(),
                fact: format!("its format is {}, whose schemas are in no registry", topic.format),
                remedy: "check schemas of topics whose format is avro or protobuf",
            });
        }
    };
    let Proposal { subject, text, references, message } = proposal;
    let verdict = registry.compatible(&subject, language, &text, &references).await?;
    let schema = registry.with_references(language, text, references).await?;
    let unusable = |fact| Error::Schema { subject: "the new schema".to_owned(), fact };
    let given = fields(&schema, &message).map_err(unusable)?;
    let mut plan = Plan::new(std::slice::from_ref(topic), dead_letters::table())?;
    for table in 0..plan.tables.len() {
        if let Some(snapshot) = lake.find(&plan.tables[table].name).await? {
            plan = plan.grown(table, &snapshot.schema(), &[]);
        }
    }
    let plan = with_made(lake, plan).await?;
    let mut tables = Vec::new();
    for planned in &plan.topics {
        for template in &planned.templates {
            tables.extend(effects_of(template.blueprint(), &template.template.to_string(), &given));
        }
        // Tables of a template that still look like it need no words of their own.
        let own = planned.routes.iter().filter(|route| route.alike.is_none());
        tables.extend(
            own.flat_map(|route| effects_of(route, &plan.tables[route.table].name.to_string(), &given)),
        );
    }
    let (registry, messages) = verdict.map_or((None, Vec::new()), |it| (Some(it.compatible), it.messages));
    Ok(Findings { registry, messages, tables })
}

/// The plan with the tables that templates of its topic have made so far.
async fn with_made(lake: &Lake, plan: Plan) -> Result<Plan> {
    let (mut made, namespaces) = (Vec::new(), lake.namespaces().await?);
    for (topic, planned) in plan.topics.iter().enumerate() {
        for (number, template) in planned.templates.iter().enumerate() {
            if !namespaces.iter().any(|it| it == template.template.namespace()) {
                continue;
            }
            for name in lake.tables(template.template.namespace()).await? {
                let is_other = plan.tables.iter().any(|table| table.name == name);
                if is_other || !template.template.can_make(&name) {
                    continue;
                }
                if let Some(table) = lake.find(&name).await?
                    && tables::fits(&template.table(name.clone()), &table).is_ok()
                {
                    made.push(((topic, number, name), Made::Table(table.schema())));
                }
            }
        }
    }
    Ok(plan.made(made))
}

fn effects_of(route: &RoutePlan, table: &str, given: &Schema) -> Vec<Effect> {
    let mut found = Vec::new();
    effects(route, given.fields(), &mut |field, what, detail| {
        found.push(Effect { table: table.to_owned(), field, what, detail });
    });
    found
}

/// The columns of a writer's schema.
fn fields(schema: &SchemaText, message: &[u32]) -> Result<Schema, String> {
    match schema.language {
        Language::Avro => avro::fields(schema),
        Language::Protobuf => protobuf::fields(schema, if message.is_empty() { &[0] } else { message }),
        Language::Json => Err("it is JSON Schema".to_owned()),
    }
}

fn effects(route: &RoutePlan, given: &Fields, found: &mut impl FnMut(String, What, String)) {
    let mut grown = Vec::new();
    if route.policy == SchemaPolicy::Evolve {
        for alteration in evolve::alterations(&route.known, given, &[]) {
            match alteration {
                Alteration::AddColumn { column, data_type, .. } => {
                    grown.push(column.join("."));
                    found(
                        column.join("."),
                        What::Added,
                        format!("a column of type {}", fit::name(&data_type)),
                    );
                }
                Alteration::WidenColumn { column, to } => {
                    grown.push(column.join("."));
                    found(column.join("."), What::Widened, format!("to {}", fit::name(&to)));
                }
                _ => {}
            }
        }
    }
    compare(route.policy, &route.known, given, "", &grown, found);
    for column in &route.columns {
        if given.find(&column.name).is_some() {
            continue;
        }
        let (what, detail) = match &column.required {
            Required::Never => (What::Null, "the schema has no such field"),
            Required::Always => (What::Rejected, "it is required and the schema has no such field"),
            Required::For(_) => {
                (What::Rejected, "it is required for some event types and the schema lacks it")
            }
        };
        found(column.name.clone(), what, detail.to_owned());
    }
}

fn compare(
    policy: SchemaPolicy,
    known: &Fields,
    given: &Fields,
    path: &str,
    grown: &[String],
    found: &mut impl FnMut(String, What, String),
) {
    for field in given {
        let path = format!("{path}{}", field.name());
        match known.find(field.name()) {
            _ if grown.contains(&path) => {}
            Some((_, column)) => pair(policy, column.data_type(), field.data_type(), path, grown, found),
            None => {
                let kind = fit::name(field.data_type());
                let (what, detail) = match policy {
                    SchemaPolicy::Ignore => (What::Ignored, "the topics file does not list it"),
                    SchemaPolicy::Keep => (What::Kept, "as JSON text"),
                    SchemaPolicy::Reject => (What::Rejected, "every event that has it becomes a dead letter"),
                    SchemaPolicy::Evolve => (What::Rejected, "it cannot become a column of the table"),
                };
                found(path, what, format!("{kind}: {detail}"));
            }
        }
    }
}

fn pair(
    policy: SchemaPolicy,
    column: &DataType,
    field: &DataType,
    path: String,
    grown: &[String],
    found: &mut impl FnMut(String, What, String),
) {
    let mut inside = |name: &str, column: &DataType, field: &DataType| {
        let path = format!("{path}.{name}");
        if !grown.contains(&path) {
            pair(policy, column, field, path, grown, &mut *found);
        }
    };
    match (column, field) {
        (DataType::Struct(known), DataType::Struct(given)) => {
            let path = format!("{path}.");
            compare(policy, known, given, &path, grown, found);
        }
        (DataType::List(column), DataType::List(field)) => {
            inside("element", column.data_type(), field.data_type());
        }
        (DataType::Map(column, _), DataType::Map(field, _)) => {
            if let (DataType::Struct(column), DataType::Struct(field)) =
                (column.data_type(), field.data_type())
                && let (Some(column), Some(field)) = (column.get(1), field.get(1))
            {
                inside("value", column.data_type(), field.data_type());
            }
        }
        (column, field) => match fit::holds(field, column) {
            fit::Holds::All => {}
            fit::Holds::Some => {
                let (field, column) = (fit::name(field), fit::name(column));
                found(
                    path,
                    What::Narrow,
                    format!("{field} into {column}: what does not fit is a dead letter"),
                );
            }
            fit::Holds::None => {
                let (field, column) = (fit::name(field), fit::name(column));
                found(path, What::Rejected, format!("{field} never fits {column}"));
            }
        },
    }
}

#[cfg(test)]
mod tests;
