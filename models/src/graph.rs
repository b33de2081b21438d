//! Graph: which model reads what, in an order in which every input comes first.
//!
//! Every model is rendered twice for this, as a first and as an incremental build, and the references of
//! both count: an edge inside `{% if is_incremental() %}` is an edge. Names that do not exist, disabled
//! inputs, two models with one table and cycles are problems; all that are found are reported together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sluice_catalog::TableName;

use crate::check::{Check, CheckKind};
use crate::config::{Materialized, ModelConfig, Settings, merge};
use crate::error::{Error, Place, Problem, Problems, Result, did_you_mean};
use crate::order::order;
use crate::project::{ModelFile, Project};
use crate::properties::{ColumnDoc, Properties};
use crate::relation::Relation;
use crate::render::{Inputs, Job, Reference, Resolve, Templates};

/// A model with everything that is known before it is built.
#[derive(Clone, Debug)]
pub struct Node {
    /// The model's name.
    pub name: String,
    /// Its file, relative to the project.
    pub file: String,
    /// Where its result goes.
    pub table: TableName,
    /// Its settings.
    pub config: ModelConfig,
    /// The models it reads.
    pub refs: BTreeSet<String>,
    /// The sources it reads: source and table as declared.
    pub sources: BTreeSet<(String, String)>,
    /// What it holds; may be empty.
    pub description: String,
    /// Its documented columns.
    pub columns: Vec<ColumnDoc>,
    /// The checks of its rows.
    pub checks: Vec<Check>,
    /// Settings from outside the file, for rendering.
    pub(crate) settings: Settings,
}

/// All enabled models, in build order.
#[derive(Clone, Debug)]
pub struct Graph {
    nodes: BTreeMap<String, Node>,
    order: Vec<String>,
    warnings: Vec<String>,
}

/// What references may name.
struct Known {
    models: BTreeMap<String, TableName>,
    sources: BTreeMap<(String, String), TableName>,
}

impl Graph {
    /// Renders every model of the project and orders them.
    ///
    /// # Errors
    /// All problems of the project's text, together.
    pub fn new(project: &Project, inputs: &Inputs) -> Result<Self> {
        let (templates, mut warnings) = Templates::new(project, inputs);
        warnings.splice(0..0, project.warnings.iter().cloned());
        let resolve = Known::of(project).resolver();
        let mut problems = unknown_properties(project);
        let mut nodes = BTreeMap::new();
        let mut disabled = BTreeSet::new();
        let mut ignored_keys = BTreeMap::new();
        for (name, model) in &project.models {
            match node(project, inputs, &templates, name, model, &resolve) {
                Ok((node, ignored)) => {
                    for key in ignored {
                        ignored_keys.entry(key).or_insert_with(|| model.file.path.clone());
                    }
                    if node.config.enabled {
                        nodes.insert(name.clone(), node);
                    } else {
                        disabled.insert(name.clone());
                    }
                }
                Err(problem) => problems.push(problem),
            }
        }
        warnings.extend(
            ignored_keys.iter().map(|(key, file)| {
                format!("{file}: config `{key}` has no effect in this version (said once)")
            }),
        );
        problems.extend(disabled_inputs(&nodes, &disabled));
        problems.extend(shared_tables(&nodes));
        if problems.is_empty() {
            match order(&nodes) {
                Ok(order) => return Ok(Self { nodes, order, warnings }),
                Err(problem) => problems.push(problem),
            }
        }
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        Err(Error::Invalid(Problems(problems)))
    }

    /// The models in build order: inputs first, ties by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.order.iter().filter_map(|name| self.nodes.get(name))
    }

    /// One model.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// What was tolerated, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// All models that `name` reads, directly or not.
    pub fn ancestors(&self, name: &str) -> BTreeSet<&str> {
        self.reach(name, |node| node.refs.iter().map(String::as_str).collect())
    }

    /// All models that read `name`, directly or not.
    pub fn descendants(&self, name: &str) -> BTreeSet<&str> {
        self.reach(name, |node| {
            self.nodes
                .values()
                .filter(|other| other.refs.contains(&node.name))
                .map(|n| n.name.as_str())
                .collect()
        })
    }

    fn reach<'a>(&'a self, name: &str, next: impl Fn(&'a Node) -> Vec<&'a str>) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&Node> = self.nodes.get(name).into_iter().collect();
        while let Some(node) = open.pop() {
            for other in next(node) {
                if reached.insert(other) {
                    open.extend(self.nodes.get(other));
                }
            }
        }
        reached
    }
}

fn node(
    project: &Project,
    inputs: &Inputs,
    templates: &Templates,
    name: &str,
    model: &ModelFile,
    resolve: &Resolve,
) -> Result<(Node, Vec<String>), Problem> {
    let none = Properties::default();
    let properties = project.properties.get(name).unwrap_or(&none);
    let mut settings = project.folder_settings(model);
    merge(&mut settings, &properties.config);
    let settings = templates.settings(&settings, &Place::file(crate::project::PROJECT_FILE))?;

    let place = Place::file(&model.file.path);
    let unnamed =
        table(name, model, &ModelConfig::parse(&Settings::new()).map_err(|r| refused(&place, r))?.0, inputs)
            .map_err(|fact| Problem::new(place.clone(), fact, "rename the file"))?;
    let mut references = BTreeSet::new();
    let mut own_settings = Settings::new();
    for incremental in [false, true] {
        let resolve = Arc::clone(resolve);
        let (settings, this) = (settings.clone(), unnamed.clone());
        let rendered =
            templates.render(Job { model: name, file: &model.file, settings, this, incremental, resolve })?;
        references.extend(rendered.references);
        own_settings = rendered.own_settings;
    }
    let mut all = settings.clone();
    merge(&mut all, &own_settings);
    let (config, ignored) = ModelConfig::parse(&all).map_err(|refusal| {
        let line = crate::error::line_of(&model.file.text, &refusal.key);
        refused(&Place::line(&model.file.path, line), refusal)
    })?;
    let table = table(name, model, &config, inputs)
        .map_err(|fact| Problem::new(place.clone(), fact, "choose another schema or alias"))?;
    references.extend(checked_against(properties, templates, resolve, &place)?);
    let mut node = Node {
        name: name.to_owned(),
        file: model.file.path.clone(),
        table,
        config,
        refs: BTreeSet::new(),
        sources: BTreeSet::new(),
        description: properties.description.clone(),
        columns: properties.columns.clone(),
        checks: properties.checks.clone(),
        settings,
    };
    for reference in references {
        match reference {
            // A relationships check may compare a model with itself.
            Reference::Model(other) if other == name && !model_reads_itself(model, name) => {}
            Reference::Model(other) => drop(node.refs.insert(other)),
            Reference::Source(source, table) => drop(node.sources.insert((source, table))),
        }
    }
    incremental_input(&node, &place)?;
    Ok((node, ignored))
}

/// The relations that the checks of a model compare with: they must be there before it is built.
fn checked_against(
    properties: &Properties,
    templates: &Templates,
    resolve: &Resolve,
    model: &Place,
) -> Result<BTreeSet<Reference>, Problem> {
    let mut references = BTreeSet::new();
    for check in &properties.checks {
        if let CheckKind::Relationships { to, .. } = &check.kind {
            let place = properties.place.as_ref().unwrap_or(model);
            let reference = templates.reference(to, place)?;
            resolve(&reference).map_err(|fact| Problem::new(place.clone(), fact, ""))?;
            references.insert(reference);
        }
    }
    Ok(references)
}

fn model_reads_itself(model: &ModelFile, name: &str) -> bool {
    ["'", "\""].iter().any(|quote| model.file.text.contains(&format!("ref({quote}{name}{quote})")))
}

fn refused(place: &Place, refusal: crate::config::Refused) -> Problem {
    Problem::new(place.clone(), refusal.fact, refusal.remedy)
}

/// `incremental_from` must name one of the model's inputs.
fn incremental_input(node: &Node, place: &Place) -> Result<(), Problem> {
    let Some(input) = &node.config.incremental_from else { return Ok(()) };
    if node.config.materialized != Materialized::Incremental {
        let fact =
            format!("incremental_from is set, but the model is a {}", node.config.materialized.as_str());
        return Err(Problem::new(
            place.clone(),
            fact,
            "set materialized='incremental', or remove incremental_from",
        ));
    }
    let sources = node.sources.iter().map(|(source, table)| format!("{source}.{table}"));
    let inputs: Vec<String> = node.refs.iter().cloned().chain(sources).collect();
    if inputs.contains(input) {
        return Ok(());
    }
    let fact = format!("incremental_from is `{input}`, which the model does not read");
    Err(Problem::new(place.clone(), fact, format!("it reads {}", inputs.join(", "))))
}

/// `config(schema=)`, else the folder, else the run's default; `config(alias=)`, else the model's name.
fn table(name: &str, model: &ModelFile, config: &ModelConfig, inputs: &Inputs) -> Result<TableName, String> {
    let schema = config.schema.as_ref().or(model.layer.as_ref()).unwrap_or(&inputs.target_schema);
    TableName::new(schema, config.alias.as_deref().unwrap_or(name)).map_err(|error| error.to_string())
}

impl Known {
    fn of(project: &Project) -> Self {
        let mut models = BTreeMap::new();
        for name in project.models.keys() {
            // Only existence counts here; the real table is known once all models are.
            models.extend(TableName::new("model", name).ok().map(|table| (name.clone(), table)));
        }
        let sources =
            project.sources.iter().map(|(key, source)| (key.clone(), source.table.clone())).collect();
        Self { models, sources }
    }

    fn resolver(self) -> Resolve {
        Arc::new(move |reference| match reference {
            Reference::Model(name) => self.models.get(name).cloned().map(Relation::table).ok_or_else(|| {
                let hint = did_you_mean(name, self.models.keys().map(String::as_str));
                format!(
                    "ref('{name}'): the project has no such model\n  {}",
                    or(&hint, "add the file or correct the name")
                )
            }),
            Reference::Source(source, table) => {
                let key = (source.clone(), table.clone());
                self.sources.get(&key).cloned().map(Relation::table).ok_or_else(|| {
                    let declared: Vec<String> =
                        self.sources.keys().map(|(s, t)| format!("{s}.{t}")).collect();
                    let hint =
                        did_you_mean(&format!("{source}.{table}"), declared.iter().map(String::as_str));
                    let fact = format!("source('{source}', '{table}'): no schema.yml declares it");
                    format!("{fact}\n  {}", or(&hint, "declare it under `sources:`"))
                })
            }
        })
    }
}

fn or<'a>(hint: &'a str, otherwise: &'a str) -> &'a str {
    if hint.is_empty() { otherwise } else { hint }
}

fn unknown_properties(project: &Project) -> Vec<Problem> {
    let unknown = project.properties.iter().filter(|(name, _)| !project.models.contains_key(*name));
    let problem = |(name, properties): (&String, &Properties)| {
        let place = properties.place.clone().unwrap_or_else(|| Place::file(crate::project::PROJECT_FILE));
        let hint = did_you_mean(name, project.models.keys().map(String::as_str));
        Problem::new(
            place,
            format!("model `{name}` is described but has no file"),
            or(&hint, "add it, or remove the entry"),
        )
    };
    unknown.map(problem).collect()
}

fn disabled_inputs(nodes: &BTreeMap<String, Node>, disabled: &BTreeSet<String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for node in nodes.values() {
        for input in node.refs.intersection(disabled) {
            let fact = format!("ref('{input}'): that model is disabled");
            problems.push(Problem::new(
                Place::file(&node.file),
                fact,
                "enable it, or disable this model too",
            ));
        }
    }
    problems
}

fn shared_tables(nodes: &BTreeMap<String, Node>) -> Vec<Problem> {
    let mut owners: BTreeMap<&TableName, &Node> = BTreeMap::new();
    let mut problems = Vec::new();
    for node in nodes.values().filter(|node| node.config.materialized != Materialized::Ephemeral) {
        if let Some(first) = owners.insert(&node.table, node) {
            let fact = format!("{} is also the table of {}", node.table, first.file);
            problems.push(Problem::new(
                Place::file(&node.file),
                fact,
                "give one of them another schema or alias",
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests;
