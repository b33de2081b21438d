//! The YAML of a topics file, read into [`Topics`] with line and column in every error.
//!
//! The shapes below mirror the file; an unknown key is an error that names the nearest known one.
//! Names, types and partition fields are parsed while reading, so that the reader's position is theirs.
//! What concerns several entries at once is left to `check.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use sluice_catalog::{PartitionBy, TableName, Transform};

use super::error::{Error, Place, Result};
use super::{Changes, Column, Format, Kind, Required, Route, SchemaPolicy, Topic, Topics, Upsert, check};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileShape {
    #[serde(default)]
    defaults: DefaultsShape,
    topics: Vec<TopicShape>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DefaultsShape {
    partitions: Option<i32>,
    replication: Option<i32>,
    compression: Option<String>,
    retention: Option<Retention>,
    max_message_bytes: Option<u64>,
    config: BTreeMap<String, Scalar>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicShape {
    name: String,
    partitions: Option<i32>,
    replication: Option<i32>,
    compression: Option<String>,
    retention: Option<Retention>,
    max_message_bytes: Option<u64>,
    #[serde(default)]
    config: BTreeMap<String, Scalar>,
    #[serde(default)]
    format: Format,
    #[serde(default)]
    routes: Vec<ParsedRoute>,
}

#[derive(Deserialize)]
#[serde(try_from = "RouteShape")]
struct ParsedRoute(Route);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteShape {
    table: Parsed<TableName>,
    #[serde(default)]
    event_types: Vec<String>,
    #[serde(default)]
    schema: SchemaPolicy,
    #[serde(default)]
    columns: Columns,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default)]
    required_for: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    partition_by: Vec<Parsed<PartitionField>>,
    key: Option<Vec<String>>,
    changes: Option<ChangesShape>,
    order_by: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ChangesShape {
    Upsert,
    Op,
    Debezium,
}

/// A configuration value: Kafka takes them all as text, people write numbers and booleans.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Integer(i64),
    Boolean(bool),
    Number(f64),
}

/// Milliseconds as Kafka counts them; -1 for ever.
struct Retention(i64);

struct PartitionField(PartitionBy);

#[derive(Default)]
struct Columns(Vec<(String, Kind)>);

/// A value read from text by its [`FromStr`], at the reader's position.
struct Parsed<T>(T);

pub(super) fn parse(yaml: &str) -> Result<Topics> {
    let file: FileShape = serde_norway::from_str(yaml).map_err(|error| located(&error))?;
    let defaults = file.defaults;
    let topics =
        Topics { topics: file.topics.into_iter().map(|topic| topic.into_topic(&defaults)).collect() };
    check::topics(&topics)
        .map_err(|problem| Error::Invalid { place: line_of_topic(yaml, &problem), problem: problem.text })?;
    Ok(topics)
}

/// The line on which the topic a problem is about gives its name.
fn line_of_topic(yaml: &str, problem: &check::Problem) -> Place {
    let named = |line: &str| {
        let line = line.trim_start().trim_start_matches("- ").trim_start();
        let value = line.strip_prefix("name:").map(|rest| rest.split(" #").next().unwrap_or(rest).trim());
        value.is_some_and(|value| value.trim_matches(['"', '\'']) == problem.topic)
    };
    let found = yaml.lines().enumerate().filter(|(_, line)| named(line)).nth(problem.occurrence);
    let position = found.map(|(at, line)| (at + 1, line.find("name:").unwrap_or(0) + 1));
    Place { position }
}

impl TopicShape {
    fn into_topic(self, defaults: &DefaultsShape) -> Topic {
        let mut config = BTreeMap::new();
        let mut set = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                config.insert(key.to_owned(), value);
            }
        };
        let retention = self.retention.as_ref().or(defaults.retention.as_ref());
        set("compression.type", self.compression.or_else(|| defaults.compression.clone()));
        set("retention.ms", retention.map(|retention| retention.0.to_string()));
        set(
            "max.message.bytes",
            self.max_message_bytes.or(defaults.max_message_bytes).map(|bytes| bytes.to_string()),
        );
        for (key, value) in defaults.config.iter().chain(&self.config) {
            set(key, Some(value.to_string()));
        }
        Topic {
            name: self.name,
            partitions: self.partitions.or(defaults.partitions).unwrap_or(1),
            replication: self.replication.or(defaults.replication).unwrap_or(1),
            config,
            format: self.format,
            routes: self.routes.into_iter().map(|route| route.0).collect(),
        }
    }
}

impl TryFrom<RouteShape> for ParsedRoute {
    type Error = String;

    fn try_from(shape: RouteShape) -> Result<Self, String> {
        let known: Vec<&str> = shape.columns.0.iter().map(|(name, _)| name.as_str()).collect();
        let named = shape.required.iter().chain(shape.required_for.values().flatten());
        if let Some(missing) = named.into_iter().find(|name| !known.contains(&name.as_str())) {
            return Err(unknown("required column", missing, &known));
        }
        let types: Vec<&str> = shape.event_types.iter().map(String::as_str).collect();
        if let Some(missing) = shape.required_for.keys().find(|name| !types.contains(&name.as_str())) {
            return Err(unknown("event type", missing, &types));
        }
        let columns = shape.columns.0.iter().map(|(name, kind)| {
            let required = requirement(name, &shape.required, &shape.required_for);
            Column { name: name.clone(), kind: kind.clone(), required }
        });
        let upsert = upsert(shape.key, shape.changes, shape.order_by)?;
        let mut columns: Vec<Column> = columns.collect();
        for column in &mut columns {
            if upsert.as_ref().is_some_and(|upsert| upsert.key.contains(&column.name)) {
                column.required = Required::Always; // A row without its key cannot be found again.
            }
        }
        let route = Route {
            table: shape.table.0,
            policy: shape.schema,
            columns,
            upsert,
            partition_by: shape.partition_by.into_iter().map(|field| field.0.0).collect(),
            event_types: shape.event_types,
        };
        check::route(&route)?;
        Ok(Self(route))
    }
}

fn upsert(
    key: Option<Vec<String>>,
    changes: Option<ChangesShape>,
    order_by: Option<String>,
) -> Result<Option<Upsert>, String> {
    let Some(key) = key else {
        return match (changes, order_by) {
            (None, None) => Ok(None),
            _ => Err("`changes` and `order_by` say how rows of a key change\n  add `key`".to_owned()),
        };
    };
    let changes = match changes {
        None | Some(ChangesShape::Upsert) => Changes::Upsert,
        Some(ChangesShape::Op) => Changes::Op,
        Some(ChangesShape::Debezium) => Changes::Debezium,
    };
    Ok(Some(Upsert { key, changes, order_by }))
}

fn requirement(column: &str, always: &[String], by_type: &BTreeMap<String, Vec<String>>) -> Required {
    if always.iter().any(|name| name == column) {
        return Required::Always;
    }
    let types = by_type.iter().filter(|(_, names)| names.iter().any(|name| name == column));
    let types: Vec<String> = types.map(|(event_type, _)| event_type.clone()).collect();
    if types.is_empty() { Required::Never } else { Required::For(types) }
}

impl FromStr for PartitionField {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORMS: &str =
            "use a column name, year(c), month(c), day(c), hour(c), bucket(N, c) or truncate(N, c)";
        let Some((function, inside)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) else {
            return Ok(Self(PartitionBy { column: text.to_owned(), transform: Transform::Identity }));
        };
        let wrong = || format!("`{text}` is not a partition field\n  {FORMS}");
        let with_number = |make: fn(u32) -> Transform| {
            let (number, column) = inside.split_once(',').ok_or_else(wrong)?;
            let number = number.trim().parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
            Ok::<_, String>((make(number), column))
        };
        let (transform, column) = match function.trim() {
            "year" => (Transform::Year, inside),
            "month" => (Transform::Month, inside),
            "day" => (Transform::Day, inside),
            "hour" => (Transform::Hour, inside),
            "bucket" => with_number(Transform::Bucket)?,
            "truncate" => with_number(Transform::Truncate)?,
            _ => return Err(wrong()),
        };
        Ok(Self(PartitionBy { column: column.trim().to_owned(), transform }))
    }
}

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Self(-1));
        }
        let millis =
            humantime::parse_duration(text).ok().and_then(|time| i64::try_from(time.as_millis()).ok());
        millis.filter(|millis| *millis > 0).map(Self).ok_or_else(|| {
            format!("`{text}` is not a retention\n  use a number with a unit, for example 7d, 12h, 30m, or `forever`")
        })
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Retention {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parsed::deserialize(deserializer).map(|parsed| parsed.0)
    }
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Columns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from column name to type, for example `user_id: string`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Columns, A::Error> {
                let mut columns: Vec<(String, Kind)> = Vec::new();
                while let Some((name, kind)) = map.next_entry::<String, Kind>()? {
                    if columns.iter().any(|(other, _)| *other == name) {
                        return Err(serde::de::Error::custom(format!(
                            "column `{name}` is there twice\n  remove one"
                        )));
                    }
                    columns.push((name, kind));
                }
                Ok(Columns(columns))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// Gives the reader's error our words: position first, and for an unknown key the nearest known one.
fn located(error: &serde_norway::Error) -> Error {
    let position = error.location().map(|location| (location.line(), location.column()));
    let mut text = error.to_string();
    if let Some((line, column)) = position {
        text = text.replace(&format!(" at line {line} column {column}"), "");
    }
    let problem = match unknown_field(&text) {
        Some((path, name, known)) => format!("{path}{}", unknown("key", name, &known)),
        None if text.contains('\n') => text,
        None => format!("{text}\n  `sluice topics list` prints the topics in use"),
    };
    Error::Invalid { place: Place { position }, problem }
}

/// Takes serde's sentence about an unknown field apart: what stands before it, the field, the known ones.
fn unknown_field(text: &str) -> Option<(&str, &str, Vec<&str>)> {
    let (path, rest) = text.split_once("unknown field `")?;
    let (name, rest) = rest.split_once('`')?;
    Some((path, name, rest.split('`').skip(1).step_by(2).collect()))
}

/// "`nmae` is not a known key; did you mean ...".
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let nearest =
        known.iter().max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
    let near = nearest.filter(|nearest| strsim::jaro_winkler(nearest, name) > 0.8);
    let list = known.join(", ");
    match near {
        Some(nearest) => {
            format!("`{name}` is not a known {what}\n  did you mean `{nearest}`? known are: {list}")
        }
        None if known.is_empty() => format!("`{name}` is not a known {what}\n  this route names none"),
        None => format!("`{name}` is not a known {what}\n  known are: {list}"),
    }
}
