//! Project: a folder with `dbt_project.yml`, read into memory as it stands.
//!
//! ```text
//! dbt_project.yml      name, model-paths, macro-paths, vars, models: folder defaults
//! models/**/*.sql      one model each; the file's name is the model's
//! models/**/*.yml      descriptions, checks, sources
//! macros/**/*.sql      macros, known to every model
//! ```
//!
//! Nothing is rendered here. Keys and folders that other versions of dbt know are tolerated with a warning;
//! what cannot be read, two models of one name, and YAML that does not parse are problems.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::config::Settings;
use crate::embedded;
use crate::error::{Error, Place, Problem, Problems, Result};
use crate::properties::{self, Properties, Source};

/// The name of the file that makes a folder a project.
pub(crate) const PROJECT_FILE: &str = "dbt_project.yml";

/// Files larger than this are no SQL or YAML that anyone wrote.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A file of the project: path relative to it, with `/`.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// One model as it stands in its file.
#[derive(Clone, Debug)]
pub(crate) struct ModelFile {
    pub(crate) file: SourceFile,
    /// Folders below the model path: where the folder defaults of `dbt_project.yml` apply.
    pub(crate) folders: Vec<String>,
    /// The namespace that the folder implies.
    pub(crate) layer: Option<String>,
}

/// A model project in memory.
#[derive(Clone, Debug)]
pub struct Project {
    pub(crate) name: String,
    pub(crate) vars: BTreeMap<String, Value>,
    /// The `models:` section of `dbt_project.yml`.
    pub(crate) defaults: Value,
    pub(crate) models: BTreeMap<String, ModelFile>,
    pub(crate) properties: BTreeMap<String, Properties>,
    pub(crate) sources: BTreeMap<(String, String), Source>,
    pub(crate) macros: Vec<SourceFile>,
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ProjectYaml {
    name: String,
    #[serde(default = "models_folder", alias = "source-paths")]
    model_paths: Vec<String>,
    #[serde(default = "macros_folder")]
    macro_paths: Vec<String>,
    #[serde(default)]
    vars: Value,
    #[serde(default)]
    models: Value,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

fn models_folder() -> Vec<String> {
    vec!["models".to_owned()]
}

fn macros_folder() -> Vec<String> {
    vec!["macros".to_owned()]
}

/// Keys without an effect on what models return.
const HARMLESS: [&str; 12] = [
    "analysis-paths",
    "asset-paths",
    "clean-targets",
    "config-version",
    "docs-paths",
    "flags",
    "log-path",
    "profile",
    "query-comment",
    "require-dbt-version",
    "target-path",
    "version",
];

impl Project {
    /// Reads the project in `dir`.
    ///
    /// # Errors
    /// When `dir` is no project, a file cannot be read, or the project contradicts itself.
    pub fn load(dir: &Path) -> Result<Self> {
        if !dir.join(PROJECT_FILE).is_file() {
            return Err(Error::NotAProject { dir: dir.display().to_string() });
        }
        let mut files = Vec::new();
        read_folder(dir, "", &mut files)?;
        Self::from_files(files)
    }

    /// The shop's own models: bronze events to silver and gold tables.
    pub fn shop() -> Result<Self> {
        Self::from_files(embedded::shop())
    }

    /// Models over the Olist data set that `sluice load olist` brings in.
    pub fn olist() -> Result<Self> {
        Self::from_files(embedded::olist())
    }

    /// The project's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What was tolerated while reading, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The declared sources.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.values()
    }

    /// Puts the files of a project together.
    pub(crate) fn from_files(mut files: Vec<SourceFile>) -> Result<Self> {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let yaml = files.iter().find(|file| file.path == PROJECT_FILE);
        let Some(yaml) = yaml else {
            return Err(Error::NotAProject { dir: ".".to_owned() });
        };
        let head: ProjectYaml = parse_yaml(yaml)?;
        let mut project = Self {
            vars: flat_vars(&head.name, &head.vars),
            name: head.name,
            defaults: head.models,
            models: BTreeMap::new(),
            properties: BTreeMap::new(),
            sources: BTreeMap::new(),
            macros: Vec::new(),
            warnings: unknown_keys(&head.rest),
        };
        let mut problems = Vec::new();
        let mut ignored = BTreeSet::new();
        for file in files {
            if let Some((path, inside)) = below(&file.path, &head.model_paths) {
                project.add_model_file(file, &path, &inside, &mut problems)?;
            } else if below(&file.path, &head.macro_paths).is_some() && file.path.ends_with(".sql") {
                project.macros.push(file);
            } else if file.path != PROJECT_FILE {
                ignored.extend(file.path.split_once('/').map(|(folder, _)| folder.to_owned()));
            }
        }
        project.warn_ignored(&ignored);
        if problems.is_empty() { Ok(project) } else { Err(Error::Invalid(Problems(problems))) }
    }

    fn add_model_file(
        &mut self,
        file: SourceFile,
        model_path: &str,
        inside: &str,
        problems: &mut Vec<Problem>,
    ) -> Result<()> {
        if file.path.ends_with(".yml") || file.path.ends_with(".yaml") {
            return properties::read(self, &file, problems);
        }
        let Some(stem) = inside.strip_suffix(".sql") else {
            if !inside.ends_with(".md") {
                self.warnings.push(format!(
                    "{}: only .sql and .yml files are models; this one is not read",
                    file.path
                ));
            }
            return Ok(());
        };
        let mut folders: Vec<String> = stem.split('/').map(str::to_owned).collect();
        let name = folders.pop().unwrap_or_default();
        if let Some(other) = self.models.get(&name) {
            let fact = format!("two models are called `{name}`; the other is {}", other.file.path);
            problems.push(Problem::new(Place::file(&file.path), fact, "rename one of the files"));
            return Ok(());
        }
        let own = model_path.rsplit('/').next().filter(|folder| !matches!(*folder, "models" | "." | ""));
        let layer = folders.first().cloned().or_else(|| own.map(str::to_owned));
        self.models.insert(name, ModelFile { file, folders, layer });
        Ok(())
    }

    /// The settings of `dbt_project.yml` for a model: under the project's name or directly, by folder.
    pub(crate) fn folder_settings(&self, model: &ModelFile) -> Settings {
        let mut settings = crate::config::along(&self.defaults, &[]);
        let mut path = model.folders.clone();
        // A layer folder that is itself a model path may be named in the tree as well.
        if path.is_empty() {
            path.extend(model.layer.clone());
        }
        let own = self.defaults.get(&self.name).unwrap_or(&Value::Null);
        for tree in [&self.defaults, own] {
            crate::config::merge(&mut settings, &crate::config::along(tree, &path));
        }
        settings
    }

    fn warn_ignored(&mut self, folders: &BTreeSet<String>) {
        let meaningful = ["seeds", "data", "snapshots", "tests", "analyses"];
        for folder in folders.iter().filter(|folder| meaningful.contains(&folder.as_str())) {
            self.warnings
                .push(format!("{folder}/: not used by this version; its files are neither built nor run"));
        }
    }
}

/// The model path that holds `path`, and the rest of `path` below it.
fn below(path: &str, folders: &[String]) -> Option<(String, String)> {
    folders.iter().find_map(|folder| {
        let folder = folder.trim_start_matches("./").trim_end_matches('/');
        let inside = if folder.is_empty() || folder == "." {
            Some(path)
        } else {
            path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'))
        };
        inside.filter(|_| path != PROJECT_FILE).map(|inside| (folder.to_owned(), inside.to_owned()))
    })
}

fn read_folder(root: &Path, folder: &str, files: &mut Vec<SourceFile>) -> Result<()> {
    let dir = root.join(folder);
    let unreadable = |path: &Path, source| Error::Read { path: path.display().to_string(), source };
    let entries = fs::read_dir(&dir).map_err(|source| unreadable(&dir, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| unreadable(&dir, source))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let full = entry.path();
        let kind = fs::metadata(&full).map_err(|source| unreadable(&full, source))?;
        if kind.is_dir() {
            // A nested project is a project of its own; compiled output is no input.
            let skipped =
                name.starts_with('.') || matches!(name.as_str(), "target" | "dbt_packages" | "logs");
            let link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if !skipped && !link && !full.join(PROJECT_FILE).is_file() {
                read_folder(root, &path, files)?;
            }
        } else if is_text(&name) && kind.len() <= FILE_BYTES_MAX {
            let text = fs::read_to_string(&full).map_err(|source| unreadable(&full, source))?;
            files.push(SourceFile { path, text });
        }
    }
    Ok(())
}

fn is_text(name: &str) -> bool {
    [".sql", ".yml", ".yaml"].iter().any(|ending| name.ends_with(ending))
}

/// Parses YAML; the error names the line.
pub(crate) fn parse_yaml<T: serde::de::DeserializeOwned>(file: &SourceFile) -> Result<T> {
    serde_norway::from_str(&file.text).map_err(|error| {
        let line = error.location().map(|location| location.line());
        let fact = format!("not valid here: {error}");
        Problem::new(
            Place::line(&file.path, line),
            fact,
            "correct the YAML; keys and their indentation matter",
        )
        .into()
    })
}

/// `vars:` may hold values directly or, under a project's name, for one package.
fn flat_vars(project: &str, vars: &Value) -> BTreeMap<String, Value> {
    let mut flat = BTreeMap::new();
    for (key, value) in vars.as_object().into_iter().flatten() {
        if key != project {
            flat.insert(key.clone(), value.clone());
        }
    }
    let own = vars.get(project).and_then(Value::as_object);
    flat.extend(own.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
    flat
}

fn unknown_keys(rest: &BTreeMap<String, Value>) -> Vec<String> {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        _ => false,
    };
    let has_effect = |key: &str| !HARMLESS.contains(&key) && !key.ends_with("-paths");
    let keys = rest.iter().filter(|(key, value)| has_effect(key) && !empty(value));
    keys.map(|(key, _)| format!("{PROJECT_FILE}: `{key}` has no effect in this version")).collect()
}

#[cfg(test)]
mod tests;
