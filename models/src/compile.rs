//! Compile: a node's final SQL, with every `ref` resolved, and errors of that SQL led back to the model's
//! file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Materialized;
use crate::error::{Error, Place, Problem, Result};
use crate::graph::{Graph, Node};
use crate::project::Project;
use crate::relation::Relation;
use crate::render::{Job, Reference, Resolve, Templates};

/// Compiles the nodes of one run.
#[derive(Clone)]
pub(crate) struct Compiler {
    project: Arc<Project>,
    graph: Arc<Graph>,
    templates: Templates,
    /// Where compiled SQL is written, if anywhere.
    dir: Option<PathBuf>,
}

/// SQL, and the text it came from.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) sql: String,
    file: String,
    template: String,
}

impl Compiler {
    pub(crate) fn new(
        project: Arc<Project>,
        graph: Arc<Graph>,
        templates: Templates,
        dir: Option<PathBuf>,
    ) -> Self {
        Self { project, graph, templates, dir }
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(crate) fn project(&self) -> &Project {
        &self.project
    }

    /// The SQL of a model; `incremental` is what `is_incremental()` returns.
    pub(crate) fn compile(&self, node: &Node, incremental: bool) -> Result<Compiled> {
        let file = &self.project.models.get(&node.name).ok_or_else(|| Error::Broken {
            model: node.name.clone(),
            reason: "its file is gone from the project".to_owned(),
        })?;
        let rendered = self.templates.render(Job {
            model: &node.name,
            file: &file.file,
            settings: node.settings.clone(),
            this: node.table.clone(),
            incremental,
            resolve: self.resolver(node)?,
        })?;
        let sql = rendered.sql.trim().trim_end_matches(';').trim_end().to_owned();
        let compiled = Compiled { sql, file: node.file.clone(), template: file.file.text.clone() };
        if compiled.sql.is_empty() {
            let problem = Problem::new(Place::file(&node.file), "the model has no SQL", "write one SELECT");
            return Err(problem.into());
        }
        self.write(&compiled)?;
        Ok(compiled)
    }

    /// What a check compares with, as it stands in SQL.
    pub(crate) fn relation(&self, to: &str, place: &Place) -> Result<String> {
        let reference = self.templates.reference(to, place)?;
        let found = match &reference {
            Reference::Model(name) => self.graph.node(name).map(|node| self.of_model(node)).transpose()?,
            Reference::Source(source, table) => {
                let source = self.project.sources.get(&(source.clone(), table.clone()));
                source.map(|source| Relation::table(source.table.clone()))
            }
        };
        let missing = || Problem::new(place.clone(), format!("`{to}` names nothing that is built"), "");
        Ok(found.ok_or_else(missing)?.to_string())
    }

    fn of_model(&self, node: &Node) -> Result<Relation> {
        match node.config.materialized {
            Materialized::Ephemeral => {
                Ok(Relation::inline(node.table.clone(), self.compile(node, false)?.sql))
            }
            _ => Ok(Relation::table(node.table.clone())),
        }
    }

    fn resolver(&self, node: &Node) -> Result<Resolve> {
        let mut relations = BTreeMap::new();
        for name in &node.refs {
            if let Some(input) = self.graph.node(name) {
                relations.insert(Reference::Model(name.clone()), self.of_model(input)?);
            }
        }
        for key in &node.sources {
            if let Some(source) = self.project.sources.get(key) {
                let (source_name, table) = key.clone();
                relations
                    .insert(Reference::Source(source_name, table), Relation::table(source.table.clone()));
            }
        }
        Ok(Arc::new(move |reference| {
            relations.get(reference).cloned().ok_or_else(|| {
                format!(
                    "{reference:?} was not seen when the models were put in order\n  \
                     let the template always name it, in a comment for example: \
                     `-- depends_on: {{{{ ref('x') }}}}`"
                )
            })
        }))
    }

    fn write(&self, compiled: &Compiled) -> Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let path = dir.join("compiled").join(&self.project.name).join(&compiled.file);
        let failed = |source| Error::Write { path: path.display().to_string(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::write(&path, format!("{}\n", compiled.sql)).map_err(failed)
    }
}

impl Compiled {
    /// The query as a relation that another query can read.
    pub(crate) fn relation(&self) -> String {
        // The line break ends a trailing `--` comment.
        format!("({}\n)", self.sql)
    }

    /// The engine's error at the model's own line, as well as that can be told.
    pub(crate) fn problem(&self, error: &sluice_sql::Error) -> Problem {
        let line = error.location().and_then(|(line, _)| self.template_line(usize::try_from(line).ok()?));
        let text = error.to_string();
        let mut lines = text.lines();
        let fact = lines.next().unwrap_or_default().to_owned();
        // The engine counts lines of the compiled text; where the file's own line is known, that one is
        // said instead.
        let rest: Vec<&str> =
            lines.filter(|text| line.is_none() || !text.starts_with("  at line ")).collect();
        Problem::new(Place::line(&self.file, line), fact, rest.join("\n").trim_start())
    }

    /// The line of the template that a line of the SQL came from: the line with the same text and the same
    /// rank among its equals; else the nearest such line above, plus the distance.
    fn template_line(&self, line: usize) -> Option<usize> {
        let compiled: Vec<&str> = self.sql.lines().map(str::trim).collect();
        let template: Vec<&str> = self.template.lines().map(str::trim).collect();
        for above in (1..=line.min(compiled.len())).rev() {
            let text = compiled[above - 1];
            if text.is_empty() {
                continue;
            }
            let rank = compiled[..above].iter().filter(|other| **other == text).count();
            let mut same = template.iter().enumerate().filter(|(_, other)| **other == text);
            if let Some((index, _)) = same.nth(rank - 1) {
                return Some((index + 1 + line - above).min(template.len()));
            }
        }
        None
    }
}

/// Every table that must exist before `node` can be built: what it is called in the project, and what to do
/// if not.
pub(crate) struct Need {
    pub(crate) table: sluice_catalog::TableName,
    pub(crate) what: String,
    pub(crate) remedy: String,
}

impl Compiler {
    /// The tables behind a model's references, looking through ephemeral models.
    pub(crate) fn needs(&self, node: &Node) -> Vec<Need> {
        let mut needs = Vec::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            for key in &node.sources {
                if let Some(source) = self.project.sources.get(key) {
                    needs.push(Need {
                        table: source.table.clone(),
                        what: format!("source {}.{} (declared in {})", key.0, key.1, source.place),
                        remedy: "bring it in first: `sluice ingest` or `sluice load`".to_owned(),
                    });
                }
            }
            for input in node.refs.iter().filter_map(|name| self.graph.node(name)) {
                if !seen.insert(&input.name) {
                    continue;
                }
                if input.config.materialized == Materialized::Ephemeral {
                    open.push(input);
                } else {
                    needs.push(Need {
                        table: input.table.clone(),
                        what: format!("model {} ({})", input.name, input.file),
                        remedy: format!("build it first: select `+{}`", node.name),
                    });
                }
            }
        }
        needs
    }
}

#[cfg(test)]
mod tests;
