//! Select: which models a run is about, in dbt's selection language.
//!
//! | selector | picks |
//! |---|---|
//! | `orders`, `silver.orders` | the model of that name or table; `*` stands for any text |
//! | `tag:daily` | models with the tag |
//! | `path:silver`, `silver/orders.sql` | models in the folder, or of the file |
//! | `source:bronze.orders+` | what reads the source |
//! | `+x`, `x+`, `+x+` | and all ancestors, all descendants, both |
//! | `a,b` | what both pick |
//!
//! Several selectors add up; `exclude` is taken away at the end. A selector that picks nothing is an error,
//! because a build that does nothing looks like one that succeeded.

use std::collections::BTreeSet;

use crate::config::Materialized;
use crate::error::{Error, Result, did_you_mean};
use crate::graph::{Graph, Node};

/// Selectors as given; no `select` means all models.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// What to pick.
    pub select: Vec<String>,
    /// What to leave out of it.
    pub exclude: Vec<String>,
}

impl Selection {
    /// Every model.
    pub fn all() -> Self {
        Self::default()
    }

    /// What one `--select` text picks; selectors are separated by spaces.
    pub fn of(select: &str) -> Self {
        Self { select: select.split_whitespace().map(str::to_owned).collect(), exclude: Vec::new() }
    }

    /// The selected models that have a result of their own, by name.
    pub(crate) fn apply<'a>(&self, graph: &'a Graph) -> Result<BTreeSet<&'a str>> {
        let mut picked: BTreeSet<&str> = if self.select.is_empty() {
            graph.nodes().map(|node| node.name.as_str()).collect()
        } else {
            union(graph, &self.select)?
        };
        for left_out in union(graph, &self.exclude)? {
            picked.remove(left_out);
        }
        let built =
            |name: &&str| graph.node(name).is_some_and(|n| n.config.materialized != Materialized::Ephemeral);
        Ok(picked.into_iter().filter(built).collect())
    }
}

fn union<'a>(graph: &'a Graph, selectors: &[String]) -> Result<BTreeSet<&'a str>> {
    let mut picked = BTreeSet::new();
    for selector in selectors.iter().flat_map(|text| text.split_whitespace()) {
        let mut parts = selector.split(',').map(|part| one(graph, part));
        let mut all: BTreeSet<&str> = parts.next().unwrap_or_default();
        for part in parts {
            all.retain(|name| part.contains(name));
        }
        if all.is_empty() {
            return Err(nothing(graph, selector));
        }
        picked.extend(all);
    }
    Ok(picked)
}

fn one<'a>(graph: &'a Graph, selector: &str) -> BTreeSet<&'a str> {
    let (upwards, rest) = selector.strip_prefix('+').map_or((false, selector), |rest| (true, rest));
    let (downwards, rest) = rest.strip_suffix('+').map_or((false, rest), |rest| (true, rest));
    let mut picked = BTreeSet::new();
    for node in graph.nodes().filter(|node| matches(node, rest, downwards)) {
        picked.insert(node.name.as_str());
        if upwards {
            picked.extend(graph.ancestors(&node.name));
        }
        if downwards {
            picked.extend(graph.descendants(&node.name));
        }
    }
    picked
}

fn matches(node: &Node, selector: &str, downwards: bool) -> bool {
    match selector.split_once(':') {
        Some(("tag", tag)) => node.config.tags.iter().any(|own| like(own, tag)),
        Some(("path", path)) => in_path(node, path),
        // The source itself is no model: only what follows from it can be picked.
        Some(("source", source)) => {
            let reads = |(name, table): &(String, String)| {
                like(&format!("{name}.{table}"), source) || like(name, source)
            };
            downwards && node.sources.iter().any(reads)
        }
        Some(("config.materialized", kind)) => node.config.materialized.as_str() == kind,
        Some(_) => false,
        None if selector.contains('/') || selector.ends_with(".sql") => in_path(node, selector),
        None => like(&node.name, selector) || like(&node.table.to_string(), selector),
    }
}

fn in_path(node: &Node, path: &str) -> bool {
    let path = path.trim_start_matches("./").trim_end_matches('/');
    let below =
        |file: &str| file.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    below(&node.file) || node.file.split_once('/').is_some_and(|(_, inside)| below(inside))
}

/// Equality in which `*` stands for any text.
fn like(text: &str, pattern: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return text == pattern };
    let Some(rest) = text.strip_prefix(head) else { return false };
    (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| like(&rest[at..], tail))
}

fn nothing(graph: &Graph, selector: &str) -> Error {
    let names: Vec<&str> = graph.nodes().map(|node| node.name.as_str()).collect();
    let hint = did_you_mean(selector.trim_matches('+'), names.iter().copied());
    let remedy = if hint.is_empty() { format!("the models are {}", names.join(", ")) } else { hint };
    Error::NothingSelected { selector: selector.to_owned(), remedy }
}

#[cfg(test)]
mod tests;
