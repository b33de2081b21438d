//! Plan: what a build will do, in which order, and why; pure and printable.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::config::Materialized;
use crate::error::Result;
use crate::graph::{Graph, Node};
use crate::project::Project;
use crate::render::Inputs;
use crate::select::Selection;

/// The steps of a build, inputs first.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// One step per model.
    pub steps: Vec<Step>,
}

/// One model to build.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// The model's name.
    pub model: String,
    /// Its file, relative to the project.
    pub file: String,
    /// Where its result goes, `silver.orders`.
    pub table: String,
    /// How it is kept.
    pub materialized: Materialized,
    /// The steps of this plan that it waits for.
    pub after: Vec<String>,
    /// Everything it reads: models, and sources as `source.table`.
    pub reads: Vec<String>,
    /// The checks that decide whether it is published.
    pub checks: Vec<String>,
}

/// Plans the build of a selection, touching nothing.
///
/// # Errors
/// What is wrong with the project's text, or a selector that picks nothing.
pub fn plan(project: &Project, inputs: &Inputs, selection: &Selection) -> Result<Plan> {
    Plan::new(&Graph::new(project, inputs)?, selection)
}

impl Plan {
    /// The steps for a selection of a graph.
    ///
    /// # Errors
    /// When a selector picks nothing.
    pub fn new(graph: &Graph, selection: &Selection) -> Result<Self> {
        let selected = selection.apply(graph)?;
        let steps = graph.nodes().filter(|node| selected.contains(node.name.as_str()));
        Ok(Self { steps: steps.map(|node| step(graph, node, &selected)).collect() })
    }
}

fn step(graph: &Graph, node: &Node, selected: &BTreeSet<&str>) -> Step {
    let sources = node.sources.iter().map(|(source, table)| format!("{source}.{table}"));
    Step {
        model: node.name.clone(),
        file: node.file.clone(),
        table: node.table.to_string(),
        materialized: node.config.materialized,
        after: waits_for(graph, node, selected).into_iter().map(str::to_owned).collect(),
        reads: sources.chain(node.refs.iter().cloned()).collect(),
        checks: node.checks.iter().map(crate::check::Check::name).collect(),
    }
}

/// The nearest selected models upstream: models that are not built (ephemeral, or not selected) are looked
/// through, so that `a` and `c` selected out of `a -> b -> c` still run in that order.
fn waits_for<'a>(graph: &'a Graph, node: &'a Node, selected: &BTreeSet<&str>) -> BTreeSet<&'a str> {
    let mut waits = BTreeSet::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = node.refs.iter().map(String::as_str).collect();
    while let Some(name) = open.pop() {
        if !seen.insert(name) {
            continue;
        }
        if selected.contains(name) {
            waits.insert(name);
        } else if let Some(other) = graph.node(name) {
            open.extend(other.refs.iter().map(String::as_str));
        }
    }
    waits
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.steps.len();
        for (index, step) in self.steps.iter().enumerate() {
            let kind = step.materialized.as_str();
            writeln!(f, "{} of {total} {kind} {} ({})", index + 1, step.table, step.file)?;
            if !step.reads.is_empty() {
                writeln!(f, "    reads {}", step.reads.join(", "))?;
            }
            if !step.checks.is_empty() {
                writeln!(f, "    checks {}", step.checks.join(", "))?;
            }
        }
        Ok(())
    }
}
