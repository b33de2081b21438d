//! Render: a model's Jinja text becomes SQL, and what it asked for (`ref`, `source`, `config`) is recorded.
//!
//! Undefined names are errors, never empty text. Work is bounded: steps, macro calls and their depth have
//! limits, so that a template cannot hang or overflow the process. A template sees only what it is given:
//! variables, the environment variables in [`Inputs`], the start time of the run. Every error names the
//! file and the line, also inside a macro.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde_json::Value;
use sluice_catalog::TableName;
use uuid::Uuid;

use crate::config::Settings;
use crate::error::{Place, Problem};
use crate::functions;
use crate::project::{Project, SourceFile};
use crate::relation::Relation;

/// Instructions that one template or macro call may execute.
const FUEL: u64 = 1_000_000;

/// Environment variables with these prefixes may be read by templates; all others are out of reach.
const ENVIRONMENT_PREFIXES: [&str; 2] = ["DBT_", "SLUICE_VAR_"];

/// The prefix that dbt reserves for secrets; templates never see them.
const SECRET_PREFIX: &str = "DBT_ENV_SECRET";

/// What templates can see of the world; all of it is passed in.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Variables given for this run; they override those of `dbt_project.yml`.
    pub vars: BTreeMap<String, Value>,
    /// Environment variables that `env_var` may return: see [`allowed_environment`].
    pub environment: BTreeMap<String, String>,
    /// Namespace of models whose folder and config name none.
    pub target_schema: String,
    /// Names this run: in templates, and in the tokens of its commits.
    pub invocation_id: Uuid,
    /// When the run started.
    pub started_at: DateTime<Utc>,
    /// Whether `flags.FULL_REFRESH` is set and `is_incremental()` is always false.
    pub full_refresh: bool,
}

impl Inputs {
    /// No variables, no environment, namespace `main`.
    pub fn new(invocation_id: Uuid, started_at: DateTime<Utc>) -> Self {
        Self {
            vars: BTreeMap::new(),
            environment: BTreeMap::new(),
            target_schema: "main".to_owned(),
            invocation_id,
            started_at,
            full_refresh: false,
        }
    }
}

/// The part of an environment that templates may see: `DBT_*` (without dbt's secrets) and `SLUICE_VAR_*`.
pub fn allowed_environment(all: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    all.into_iter().filter(|(name, _)| may_be_read(name)).collect()
}

pub(crate) fn may_be_read(name: &str) -> bool {
    !name.starts_with(SECRET_PREFIX) && ENVIRONMENT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Something a template asked for by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reference {
    Model(String),
    Source(String, String),
}

/// Says what a reference stands for; the error is fact and remedy.
pub(crate) type Resolve = Arc<dyn Fn(&Reference) -> Result<Relation, String> + Send + Sync>;

/// What is rendered, and for whom.
pub(crate) struct Job<'a> {
    pub(crate) model: &'a str,
    pub(crate) file: &'a SourceFile,
    /// Settings known before the model's own `config(...)`.
    pub(crate) settings: Settings,
    pub(crate) this: TableName,
    pub(crate) incremental: bool,
    pub(crate) resolve: Resolve,
}

/// The SQL, and what the template asked for.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) sql: String,
    pub(crate) own_settings: Settings,
    pub(crate) references: BTreeSet<Reference>,
}

/// What one rendering records; shared by the functions of its environment.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    pub(crate) settings: Mutex<Settings>,
    pub(crate) own_settings: Mutex<Settings>,
    pub(crate) references: Mutex<BTreeSet<Reference>>,
}

/// The templates of a project: macros parsed once, functions bound for each rendering.
#[derive(Clone)]
pub(crate) struct Templates {
    base: Environment<'static>,
    vars: Arc<BTreeMap<String, Value>>,
    inputs: Arc<Inputs>,
    project: String,
}

impl Templates {
    /// Parses the macros; the second value warns of files that cannot be used.
    pub(crate) fn new(project: &Project, inputs: &Inputs) -> (Self, Vec<String>) {
        let mut base = Environment::new();
        base.set_undefined_behavior(UndefinedBehavior::Strict);
        base.set_auto_escape_callback(|_| AutoEscape::None);
        base.set_fuel(Some(FUEL));
        base.set_debug(true);
        let mut warnings = Vec::new();
        for file in &project.macros {
            let broken = base.add_template_owned(file.path.clone(), file.text.clone()).err();
            let broken = broken.map(|error| problem(&error, file).to_string());
            warnings.extend(broken.iter().cloned());
            functions::add_macros(&mut base, file, broken);
        }
        let mut vars = project.vars.clone();
        vars.extend(inputs.vars.clone());
        let project = project.name.clone();
        (Self { base, vars: Arc::new(vars), inputs: Arc::new(inputs.clone()), project }, warnings)
    }

    /// Renders a model.
    pub(crate) fn render(&self, job: Job<'_>) -> Result<Rendered, Problem> {
        let recording = Arc::new(Recording::default());
        *lock(&recording.settings) = job.settings;
        let mut environment = self.environment();
        functions::add_model(&mut environment, &recording, job.model, job.this, job.incremental, job.resolve);
        let sql = environment
            .render_named_str(&job.file.path, &job.file.text, ())
            .map_err(|error| problem(&error, job.file))?;
        let own_settings = lock(&recording.own_settings).clone();
        let references = lock(&recording.references).clone();
        Ok(Rendered { sql, own_settings, references })
    }

    /// Renders the Jinja inside the values of `dbt_project.yml` and `schema.yml`.
    pub(crate) fn settings(&self, settings: &Settings, place: &Place) -> Result<Settings, Problem> {
        let environment = self.environment();
        let mut rendered = Settings::new();
        for (key, value) in settings {
            let text = value.as_str().filter(|text| text.contains("{{") || text.contains("{%"));
            let value = match text {
                None => value.clone(),
                Some(text) => {
                    let result = environment.render_named_str(&place.file, text, ());
                    Value::from(result.map_err(|error| {
                        Problem::new(place.clone(), format!("{key}: {}", fact(&error)), "")
                    })?)
                }
            };
            rendered.insert(key.clone(), value);
        }
        Ok(rendered)
    }

    /// What the `to` of a relationships check names.
    pub(crate) fn reference(&self, expression: &str, place: &Place) -> Result<Reference, Problem> {
        let recording = Arc::new(Recording::default());
        let mut environment = self.environment();
        functions::add_references(&mut environment, &recording, functions::placeholder());
        let expression = expression.trim().trim_start_matches("{{").trim_end_matches("}}");
        let evaluated = environment.compile_expression(expression).and_then(|expression| expression.eval(()));
        let found = lock(&recording.references).pop_first();
        match (evaluated, found) {
            (Ok(_), Some(reference)) => Ok(reference),
            _ => Err(Problem::new(
                place.clone(),
                format!("`{expression}` names no relation"),
                "write ref('model') or source('source', 'table')",
            )),
        }
    }

    fn environment(&self) -> Environment<'static> {
        let mut environment = self.base.clone();
        functions::add_run(&mut environment, &self.inputs, &self.vars, &self.project);
        environment
    }
}

/// A poisoned lock still holds a whole value: every change here is one insert.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn problem(error: &minijinja::Error, file: &SourceFile) -> Problem {
    let place = Place::line(error.name().unwrap_or(&file.path), error.line());
    let text = fact(error);
    match text.split_once('\n') {
        Some((fact, remedy)) => Problem::new(place, fact, remedy.trim_start()),
        None => Problem::new(place, text, ""),
    }
}

/// The error's own words, and the expression where they do not name it.
fn fact(error: &minijinja::Error) -> String {
    let expression = error.range().zip(error.template_source()).and_then(|(range, source)| source.get(range));
    match (error.detail(), expression) {
        (Some(detail), _) => detail.to_owned(),
        (None, Some(expression)) => format!("{}: `{}`", error.kind(), expression.trim()),
        (None, None) => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests;
