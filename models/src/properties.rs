//! Properties: what `schema.yml` files say about models and sources: descriptions, columns, checks, config.
//!
//! Misspelt and unknown keys exist in the wild and are warnings. A check that this version cannot run is a
//! warning too, named in full, because a check that silently does not run is worse than none.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use sluice_catalog::TableName;

use crate::check::{self, Check};
use crate::config::Settings;
use crate::error::{Place, Problem, Result, line_of};
use crate::project::{Project, SourceFile, parse_yaml};

/// A documented column.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ColumnDoc {
    /// Its name.
    pub name: String,
    /// What it means; may be empty.
    pub description: String,
}

/// What a `schema.yml` says about a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Properties {
    pub(crate) place: Option<Place>,
    pub(crate) description: String,
    pub(crate) columns: Vec<ColumnDoc>,
    pub(crate) checks: Vec<Check>,
    pub(crate) config: Settings,
}

/// A table that something other than a model fills.
#[derive(Clone, Debug)]
pub struct Source {
    /// The table in the lake.
    pub table: TableName,
    /// Where it is declared.
    pub place: Place,
    /// What it holds; may be empty.
    pub description: String,
    /// Checks of its rows, run by `test`.
    pub checks: Vec<Check>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PropertiesYaml {
    models: Option<Vec<ModelYaml>>,
    sources: Option<Vec<SourceYaml>>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct ModelYaml {
    name: String,
    description: Option<String>,
    columns: Option<Vec<ColumnYaml>>,
    tests: Option<Vec<Value>>,
    data_tests: Option<Vec<Value>>,
    config: Option<Settings>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct ColumnYaml {
    name: String,
    description: Option<String>,
    tests: Option<Vec<Value>>,
    data_tests: Option<Vec<Value>>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct SourceYaml {
    name: String,
    schema: Option<String>,
    tables: Option<Vec<TableYaml>>,
}

#[derive(Debug, Deserialize)]
struct TableYaml {
    name: String,
    identifier: Option<String>,
    description: Option<String>,
    columns: Option<Vec<ColumnYaml>>,
    tests: Option<Vec<Value>>,
    data_tests: Option<Vec<Value>>,
}

/// Keys that carry documentation or belong to other tools.
const HARMLESS: [&str; 19] = [
    "access",
    "constraints",
    "contract",
    "data_type",
    "docs",
    "exposures",
    "freshness",
    "group",
    "groups",
    "latest_version",
    "loaded_at_field",
    "macros",
    "meta",
    "metrics",
    "quote",
    "semantic_models",
    "tags",
    "version",
    "versions",
];

/// Reads one file into `project`.
pub(crate) fn read(project: &mut Project, file: &SourceFile, problems: &mut Vec<Problem>) -> Result<()> {
    if file.text.trim().is_empty() {
        project.warnings.push(format!("{}: the file is empty", file.path));
        return Ok(());
    }
    let yaml: PropertiesYaml = parse_yaml(file)?;
    warn_unknown(project, file, "file", yaml.rest.keys());
    for model in yaml.models.into_iter().flatten() {
        add_model(project, file, model, problems);
    }
    for source in yaml.sources.into_iter().flatten() {
        add_source(project, file, source, problems);
    }
    Ok(())
}

fn add_model(project: &mut Project, file: &SourceFile, yaml: ModelYaml, problems: &mut Vec<Problem>) {
    let place = Place::line(&file.path, line_of(&file.text, &format!("name: {}", yaml.name)));
    warn_unknown(project, file, &format!("model `{}`", yaml.name), yaml.rest.keys());
    let mut config = yaml.config.unwrap_or_default();
    if let Some(tags) = yaml.rest.get("tags") {
        config.entry("tags").or_insert_with(|| tags.clone());
    }
    let columns = yaml.columns.unwrap_or_default();
    let checks = checks(project, &place, &yaml.name, both(yaml.tests, yaml.data_tests), &columns);
    let properties = Properties {
        description: yaml.description.unwrap_or_default(),
        columns: documented(project, file, columns),
        checks,
        config,
        place: Some(place.clone()),
    };
    if let Some(first) = project.properties.insert(yaml.name.clone(), properties) {
        let other = first.place.map(|place| place.to_string()).unwrap_or_default();
        let fact = format!("model `{}` is described twice; the other is {other}", yaml.name);
        problems.push(Problem::new(place, fact, "keep one of the two"));
    }
}

fn add_source(project: &mut Project, file: &SourceFile, yaml: SourceYaml, problems: &mut Vec<Problem>) {
    let schema = yaml.schema.unwrap_or_else(|| yaml.name.clone());
    for table in yaml.tables.into_iter().flatten() {
        let place = Place::line(&file.path, line_of(&file.text, &format!("name: {}", table.name)));
        let identifier = table.identifier.unwrap_or_else(|| table.name.clone());
        match TableName::new(&schema, &identifier) {
            Ok(name) => {
                let columns = table.columns.unwrap_or_default();
                let subject = format!("{}.{}", yaml.name, table.name);
                let tests = both(table.tests, table.data_tests);
                let checks = checks(project, &place, &subject, tests, &columns);
                let description = table.description.unwrap_or_default();
                let source = Source { table: name, place, description, checks };
                project.sources.insert((yaml.name.clone(), table.name), source);
            }
            Err(error) => problems.push(Problem::new(place, error.to_string(), "")),
        }
    }
}

fn checks(
    project: &mut Project,
    place: &Place,
    subject: &str,
    tests: Vec<Value>,
    columns: &[ColumnYaml],
) -> Vec<Check> {
    let of_model = tests.into_iter().map(|test| (None, test));
    let of_columns = columns.iter().flat_map(|column| {
        let tests = column.tests.iter().flatten().chain(column.data_tests.iter().flatten());
        tests.map(|test| (Some(column.name.as_str()), test.clone()))
    });
    let mut checks = Vec::new();
    for (column, test) in of_model.chain(of_columns) {
        match check::parse(column, &test) {
            Ok(Some(check)) => checks.push(check),
            Ok(None) => {}
            Err(reason) => {
                let subject =
                    column.map_or_else(|| subject.to_owned(), |column| format!("{subject}.{column}"));
                project.warnings.push(format!("{place}: a test of {subject} is not run: {reason}"));
            }
        }
    }
    checks
}

/// The old key `tests` and the new one `data_tests` mean the same.
fn both(tests: Option<Vec<Value>>, data_tests: Option<Vec<Value>>) -> Vec<Value> {
    tests.into_iter().chain(data_tests).flatten().collect()
}

fn documented(project: &mut Project, file: &SourceFile, columns: Vec<ColumnYaml>) -> Vec<ColumnDoc> {
    let mut documented = Vec::with_capacity(columns.len());
    for column in columns {
        warn_unknown(project, file, &format!("column `{}`", column.name), column.rest.keys());
        let description = column.description.unwrap_or_default();
        documented.push(ColumnDoc { name: column.name, description });
    }
    documented
}

fn warn_unknown<'a>(
    project: &mut Project,
    file: &SourceFile,
    subject: &str,
    keys: impl Iterator<Item = &'a String>,
) {
    for key in keys.filter(|key| !HARMLESS.contains(&key.as_str())) {
        project
            .warnings
            .push(format!("{}: `{key}` of the {subject} has no effect in this version", file.path));
    }
}
