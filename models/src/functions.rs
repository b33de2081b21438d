//! Functions: what a template can call, with dbt's names and meanings.
//!
//! | known | where |
//! |---|---|
//! | `var`, `env_var`, `target`, `flags`, `log`, `exceptions` | everywhere |
//! | `run_started_at`, `invocation_id`, `project_name` | everywhere |
//! | `ref`, `source` | models and relationships checks |
//! | `config`, `this`, `is_incremental`, `execute`, `model` | models |
//! | the project's macros, each by its name | everywhere, also in other macros |

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Utc};
use minijinja::value::{Kwargs, Object, Rest, Value};
use minijinja::{Environment, Error, ErrorKind, State, context};
use sluice_catalog::TableName;

use crate::config::{Settings, merge};
use crate::error::did_you_mean;
use crate::project::SourceFile;
use crate::relation::{DATABASE, Relation};
use crate::render::{Inputs, Recording, Reference, Resolve, lock, may_be_read};

/// Macros that may call each other before the stack is at risk.
const MACRO_DEPTH_MAX: usize = 32;

/// Macro calls of one rendering.
const MACRO_CALLS_MAX: usize = 10_000;

fn refuse(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// Binds what every template of a run can see.
pub(crate) fn add_run(
    environment: &mut Environment<'static>,
    inputs: &Arc<Inputs>,
    vars: &Arc<BTreeMap<String, serde_json::Value>>,
    project: &str,
) {
    let values = Arc::clone(vars);
    environment.add_function("var", move |name: &str, default: Option<Value>| var(&values, name, default));
    let allowed = Arc::clone(inputs);
    environment.add_function("env_var", move |name: &str, default: Option<Value>| {
        env_var(&allowed.environment, name, default)
    });
    environment.add_function("log", |message: Value, _options: Rest<Value>| {
        tracing::debug!(%message, "a template says");
        ""
    });
    let schema = inputs.target_schema.as_str();
    let target = context! { name => DATABASE, schema, database => DATABASE, type => DATABASE };
    environment.add_global("target", target);
    environment.add_global("flags", context! { FULL_REFRESH => inputs.full_refresh });
    environment.add_global("invocation_id", inputs.invocation_id.to_string());
    environment.add_global("project_name", project);
    environment.add_global("run_started_at", Value::from_object(Moment(inputs.started_at)));
    environment.add_global("exceptions", Value::from_object(Exceptions));
    environment.add_global("__macros", Value::from_object(MacroCalls::default()));
}

/// Binds what a model can call.
pub(crate) fn add_model(
    environment: &mut Environment<'static>,
    recording: &Arc<Recording>,
    model: &str,
    this: TableName,
    incremental: bool,
    resolve: Resolve,
) {
    add_references(environment, recording, resolve);
    let schema = this.namespace().to_owned();
    let alias = this.name().to_owned();
    environment.add_global("model", context! { name => model, schema, alias });
    environment.add_global("this", Value::from_object(Relation::table(this)));
    environment.add_global("execute", true);
    environment.add_global("config", Value::from_object(Config(Arc::clone(recording))));
    environment.add_function("is_incremental", move || incremental);
}

/// Binds `ref` and `source`.
pub(crate) fn add_references(
    environment: &mut Environment<'static>,
    recording: &Arc<Recording>,
    resolve: Resolve,
) {
    let (recorded, known) = (Arc::clone(recording), Arc::clone(&resolve));
    environment.add_function("ref", move |names: Rest<String>, options: Kwargs| -> Result<Value, Error> {
        if options.args().next().is_some() {
            return Err(refuse("ref: versions of models are not available\n  write ref('model')"));
        }
        let Some(name) = names.last().filter(|_| names.len() <= 2) else {
            return Err(refuse("ref takes the name of a model\n  write ref('model')"));
        };
        relation(&recorded, &known, Reference::Model(name.clone()))
    });
    let recorded = Arc::clone(recording);
    environment.add_function("source", move |source: String, table: String| {
        relation(&recorded, &resolve, Reference::Source(source, table))
    });
}

/// Resolves every reference to a name of no meaning: for finding out which ones are used.
pub(crate) fn placeholder() -> Resolve {
    Arc::new(|_| {
        let table = TableName::new("placeholder", "placeholder").map_err(|error| error.to_string())?;
        Ok(Relation::table(table))
    })
}

fn relation(recording: &Recording, resolve: &Resolve, reference: Reference) -> Result<Value, Error> {
    let relation = resolve(&reference).map_err(refuse)?;
    lock(&recording.references).insert(reference);
    Ok(Value::from_object(relation))
}

fn var(
    vars: &BTreeMap<String, serde_json::Value>,
    name: &str,
    default: Option<Value>,
) -> Result<Value, Error> {
    match (vars.get(name), default) {
        (Some(value), _) => Ok(Value::from_serialize(value)),
        (None, Some(default)) => Ok(default),
        (None, None) => {
            let hint = did_you_mean(name, vars.keys().map(String::as_str));
            Err(refuse(format!(
                "var `{name}` is not set\n  \
                 set it under `vars:` in dbt_project.yml, with --var, or give a default. {hint}"
            )))
        }
    }
}

fn env_var(
    environment: &BTreeMap<String, String>,
    name: &str,
    default: Option<Value>,
) -> Result<Value, Error> {
    if !may_be_read(name) {
        return Err(refuse(format!(
            "env_var: templates may not read `{name}`\n  \
             name the variable DBT_... or SLUICE_VAR_...; secrets stay out of SQL"
        )));
    }
    match (environment.get(name), default) {
        (Some(value), _) => Ok(Value::from(value.as_str())),
        (None, Some(default)) => Ok(default),
        (None, None) => Err(refuse(format!("env_var: `{name}` is not set\n  set it, or give a default"))),
    }
}

/// `config(...)`, `config.get(...)`.
#[derive(Debug)]
struct Config(Arc<Recording>);

impl Object for Config {
    fn call(self: &Arc<Self>, _state: &State<'_, '_>, arguments: &[Value]) -> Result<Value, Error> {
        for argument in arguments {
            let json = serde_json::to_value(argument).map_err(|error| refuse(format!("config: {error}")))?;
            let Some(settings) = json.as_object() else {
                return Err(refuse("config takes settings by name\n  write config(materialized='table')"));
            };
            let settings: &Settings = settings;
            merge(&mut lock(&self.0.own_settings), settings);
            merge(&mut lock(&self.0.settings), settings);
        }
        Ok(Value::from(""))
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &State<'_, '_>,
        method: &str,
        arguments: &[Value],
    ) -> Result<Value, Error> {
        let name = arguments.first().and_then(Value::as_str).unwrap_or_default();
        let found = lock(&self.0.settings).get(name).map(Value::from_serialize);
        match (method, found) {
            ("get" | "require", Some(value)) => Ok(value),
            ("get", None) => Ok(arguments.get(1).cloned().unwrap_or(Value::from(()))),
            ("require", None) => Err(refuse(format!("config: `{name}` is not set"))),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

/// `exceptions.raise_compiler_error(...)`, `exceptions.warn(...)`.
#[derive(Debug)]
struct Exceptions;

impl Object for Exceptions {
    fn call_method(
        self: &Arc<Self>,
        _state: &State<'_, '_>,
        method: &str,
        arguments: &[Value],
    ) -> Result<Value, Error> {
        let message = arguments.first().map(Value::to_string).unwrap_or_default();
        match method {
            "raise_compiler_error" => Err(refuse(message)),
            "warn" => {
                tracing::warn!(message, "a template warns");
                Ok(Value::from(""))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

/// A time as Python prints it, with `strftime` and `isoformat`.
#[derive(Debug)]
struct Moment(DateTime<Utc>);

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> minijinja::value::ObjectRepr {
        minijinja::value::ObjectRepr::Plain
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &State<'_, '_>,
        method: &str,
        arguments: &[Value],
    ) -> Result<Value, Error> {
        let format = match method {
            "strftime" => arguments.first().and_then(Value::as_str).unwrap_or_default(),
            "isoformat" => "%Y-%m-%dT%H:%M:%S%.6f+00:00",
            _ => return Err(Error::from(ErrorKind::UnknownMethod)),
        };
        let mut text = String::new();
        // An unknown letter surfaces while writing; `to_string` would panic there.
        write!(text, "{}", self.0.format(format))
            .map_err(|_| refuse(format!("strftime: `{format}` is no time format")))?;
        Ok(Value::from(text))
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%d %H:%M:%S%.6f+00:00"))
    }
}

/// How many macro calls one rendering has made, and how deep it is in them.
#[derive(Debug, Default)]
struct MacroCalls {
    depth: AtomicUsize,
    calls: AtomicUsize,
}

impl Object for MacroCalls {}

/// Makes every macro of a file callable by name; those of a broken file say why they cannot be used.
pub(crate) fn add_macros(environment: &mut Environment<'static>, file: &SourceFile, broken: Option<String>) {
    for name in macro_names(&file.text) {
        let (path, called, broken) = (file.path.clone(), name.clone(), broken.clone());
        environment.add_function(name, move |state: &State<'_, '_>, arguments: Rest<Value>| match &broken {
            Some(reason) => Err(refuse(format!("macro `{called}` cannot be used\n  {reason}"))),
            None => call_macro(state, &path, &called, &arguments),
        });
    }
}

fn call_macro(state: &State<'_, '_>, path: &str, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let calls = state.env().globals().find(|(key, _)| *key == "__macros");
    let Some(calls) = calls.and_then(|(_, value)| value.downcast_object::<MacroCalls>()) else {
        return Err(refuse(format!("macro `{name}` is called outside a run")));
    };
    let depth = calls.depth.fetch_add(1, Ordering::Relaxed);
    let total = calls.calls.fetch_add(1, Ordering::Relaxed);
    let result = if depth >= MACRO_DEPTH_MAX {
        Err(refuse(format!(
            "macro `{name}`: calls are nested more than {MACRO_DEPTH_MAX} deep\n  does it call itself?"
        )))
    } else if total >= MACRO_CALLS_MAX {
        Err(refuse(format!("macro `{name}`: more than {MACRO_CALLS_MAX} macro calls in one model")))
    } else {
        let template = state.env().get_template(path)?;
        let module = template.render_captured(())?;
        module.state().call_macro(name, arguments)
    };
    calls.depth.fetch_sub(1, Ordering::Relaxed);
    result.map(Value::from_safe_string)
}

/// The names after `{% macro`, with or without a dash.
fn macro_names(text: &str) -> Vec<String> {
    let blocks = text.split("{%").skip(1);
    let heads =
        blocks.filter_map(|block| block.trim_start_matches(['-', '+']).trim_start().strip_prefix("macro "));
    heads.filter_map(|head| head.split('(').next()).map(|name| name.trim().to_owned()).collect()
}
