//! Config: what `dbt_project.yml`, `schema.yml` and `config(...)` say about a model, merged into one typed
//! value.
//!
//! Nearer wins: folder defaults, then deeper folders, then `schema.yml`, then the model's own
//! `config(...)`. Tags add up. Keys of other engines are accepted and reported as warnings; a setting whose
//! effect would be missing from the result (a merge key, an unknown materialization) is refused.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};
use sluice_catalog::{PartitionBy, Transform};

/// Raw settings of one model, by key without the leading `+`.
pub(crate) type Settings = Map<String, Value>;

/// How a model's result is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Materialized {
    /// A stored query.
    View,
    /// A table that every build replaces.
    Table,
    /// A table to which every build appends.
    Incremental,
    /// Nothing of its own: its SQL is put in place of every `ref`.
    Ephemeral,
}

impl Materialized {
    /// The word that projects use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Table => "table",
            Self::Incremental => "incremental",
            Self::Ephemeral => "ephemeral",
        }
    }
}

/// The settings of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelConfig {
    /// A disabled model does not exist for the graph.
    pub enabled: bool,
    /// How the result is kept; `view` unless said otherwise.
    pub materialized: Materialized,
    /// Namespace, used as it is.
    pub schema: Option<String>,
    /// Table name; the model's name unless said otherwise.
    pub alias: Option<String>,
    /// Tags for selection.
    pub tags: BTreeSet<String>,
    /// Hidden partitioning of a table.
    pub partition_by: Vec<PartitionBy>,
    /// The input (model, or `source.table`) of which an incremental model reads only the snapshots that are
    /// new.
    pub incremental_from: Option<String>,
    /// `false` protects an incremental model from `--full-refresh`; `true` always rebuilds it.
    pub full_refresh: Option<bool>,
}

/// Keys that are read elsewhere or say nothing about the result.
const HARMLESS: [&str; 12] = [
    "description",
    "docs",
    "event_time",
    "group",
    "meta",
    "name",
    "on_schema_change",
    "persist_docs",
    "severity",
    "static_analysis",
    "store_failures",
    "access",
];

/// Puts `over` on top of `base`; tags are united.
pub(crate) fn merge(base: &mut Settings, over: &Settings) {
    for (key, value) in over {
        let key = key.trim_start_matches('+').replace('-', "_");
        if key == "tags" {
            let mut tags = texts(base.get("tags"));
            tags.extend(texts(Some(value)));
            base.insert(key, Value::from(tags));
        } else {
            base.insert(key, value.clone());
        }
    }
}

/// Collects the settings that `tree` (a `models:` section) has for the folders on the way to a model.
pub(crate) fn along(tree: &Value, folders: &[String]) -> Settings {
    let mut settings = Settings::new();
    let mut level = tree.as_object();
    let mut folders = folders.iter();
    while let Some(section) = level {
        let here = section.iter().filter(|(key, value)| key.starts_with('+') || !value.is_object());
        merge(&mut settings, &here.map(|(key, value)| (key.clone(), value.clone())).collect());
        level = folders.next().and_then(|folder| section.get(folder)).and_then(Value::as_object);
    }
    settings
}

/// What is wrong with a setting: fact and remedy.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) key: String,
    pub(crate) fact: String,
    pub(crate) remedy: String,
}

impl ModelConfig {
    /// Types the settings; the second value lists keys that have no effect here.
    pub(crate) fn parse(settings: &Settings) -> Result<(Self, Vec<String>), Refused> {
        let mut config = Self {
            enabled: true,
            materialized: Materialized::View,
            schema: None,
            alias: None,
            tags: BTreeSet::new(),
            partition_by: Vec::new(),
            incremental_from: None,
            full_refresh: None,
        };
        let mut ignored = Vec::new();
        for (key, value) in settings {
            match key.as_str() {
                "enabled" => config.enabled = flag(key, value)?,
                "materialized" => config.materialized = materialized(value)?,
                "schema" => config.schema = text(key, value)?,
                "alias" => config.alias = text(key, value)?,
                "tags" => config.tags = texts(Some(value)).into_iter().collect(),
                "incremental_from" => config.incremental_from = text(key, value)?,
                "full_refresh" if value.is_null() => {}
                "full_refresh" => config.full_refresh = Some(flag(key, value)?),
                "partition_by" => match partitions(value) {
                    Some(fields) => config.partition_by = fields,
                    None => ignored.push(key.clone()),
                },
                "unique_key" | "incremental_strategy" => {}
                harmless if HARMLESS.contains(&harmless) => {}
                _ => ignored.push(key.clone()),
            }
        }
        config.refuse_merge(settings)?;
        Ok((config, ignored))
    }

    /// Appending where a merge was asked for would double rows without a word.
    fn refuse_merge(&self, settings: &Settings) -> Result<(), Refused> {
        if self.materialized != Materialized::Incremental {
            return Ok(());
        }
        let strategy = settings.get("incremental_strategy").and_then(Value::as_str).unwrap_or("append");
        if strategy != "append" {
            return Err(Refused {
                key: "incremental_strategy".to_owned(),
                fact: format!(
                    "incremental_strategy `{strategy}` is not available; this version appends only"
                ),
                remedy: "use materialized='table', or append rows that are new by themselves".to_owned(),
            });
        }
        if settings.get("unique_key").is_some_and(|key| !key.is_null()) {
            return Err(Refused {
                key: "unique_key".to_owned(),
                fact: "unique_key asks for a merge, and this version of incremental appends only".to_owned(),
                remedy: "use materialized='table', or drop unique_key and test the column for uniqueness"
                    .to_owned(),
            });
        }
        Ok(())
    }
}

fn materialized(value: &Value) -> Result<Materialized, Refused> {
    match value.as_str() {
        Some("view") => Ok(Materialized::View),
        Some("table") => Ok(Materialized::Table),
        Some("incremental") => Ok(Materialized::Incremental),
        Some("ephemeral") => Ok(Materialized::Ephemeral),
        _ => Err(Refused {
            key: "materialized".to_owned(),
            fact: format!("materialized is {value}, which is not known"),
            remedy: "use view, table, incremental or ephemeral".to_owned(),
        }),
    }
}

fn flag(key: &str, value: &Value) -> Result<bool, Refused> {
    // Values in dbt_project.yml may come out of Jinja, which yields text.
    let spelled = value.as_str().map(str::to_ascii_lowercase);
    match (value.as_bool(), spelled.as_deref()) {
        (Some(flag), _) => Ok(flag),
        (None, Some("true")) => Ok(true),
        (None, Some("false")) => Ok(false),
        _ => Err(wrong(key, value, "true or false")),
    }
}

fn text(key: &str, value: &Value) -> Result<Option<String>, Refused> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(wrong(key, value, "a text")),
    }
}

fn wrong(key: &str, value: &Value, expected: &str) -> Refused {
    Refused {
        key: key.to_owned(),
        fact: format!("{key} is {value}, expected {expected}"),
        remedy: String::new(),
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

/// `day(occurred_at)`, `bucket(16, user_id)`, `country`: one or a list; `None` when another engine is meant.
fn partitions(value: &Value) -> Option<Vec<PartitionBy>> {
    let fields = texts(Some(value));
    if fields.is_empty() {
        return None;
    }
    fields.iter().map(|field| partition(field)).collect()
}

fn partition(field: &str) -> Option<PartitionBy> {
    let Some((function, arguments)) = field.trim().trim_end_matches(')').split_once('(') else {
        return Some(PartitionBy { column: field.trim().to_owned(), transform: Transform::Identity });
    };
    let (width, column) = match arguments.split_once(',') {
        Some((first, second)) => (Some(first.trim().parse::<u32>().ok()?), second.trim()),
        None => (None, arguments.trim()),
    };
    let transform = match (function.trim(), width) {
        ("year" | "years", None) => Transform::Year,
        ("month" | "months", None) => Transform::Month,
        ("day" | "days", None) => Transform::Day,
        ("hour" | "hours", None) => Transform::Hour,
        ("bucket", Some(buckets)) => Transform::Bucket(buckets),
        ("truncate", Some(width)) => Transform::Truncate(width),
        _ => return None,
    };
    Some(PartitionBy { column: column.to_owned(), transform })
}

#[cfg(test)]
mod tests;
