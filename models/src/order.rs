//! Order: inputs before readers, ties by name; or the cycle that makes it impossible.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Place, Problem};
use crate::graph::Node;

/// Repeatedly takes the first model (by name) whose inputs are all placed; what never gets there is in or
/// behind a cycle.
pub(crate) fn order(nodes: &BTreeMap<String, Node>) -> Result<Vec<String>, Problem> {
    let mut missing: BTreeMap<&str, usize> =
        nodes.values().map(|n| (n.name.as_str(), n.refs.len())).collect();
    let mut readers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in nodes.values() {
        for input in &node.refs {
            readers.entry(input).or_default().push(&node.name);
        }
    }
    let mut ready: BTreeSet<&str> =
        missing.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(name) = ready.pop_first() {
        missing.remove(name);
        order.push(name.to_owned());
        for reader in readers.get(name).into_iter().flatten() {
            if let Some(count) = missing.get_mut(reader) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(reader);
                }
            }
        }
    }
    match missing.keys().next() {
        None => Ok(order),
        Some(start) => Err(cycle(nodes, start)),
    }
}

/// Walks inputs from `start` until a model repeats; only models that lead into the cycle are followed.
fn cycle(nodes: &BTreeMap<String, Node>, start: &str) -> Problem {
    let in_cycle = |name: &str| reaches_itself(nodes, name);
    let mut path: Vec<&Node> = Vec::new();
    let mut current = nodes.keys().find(|name| in_cycle(name)).map_or(start, String::as_str);
    while let Some(node) = nodes.get(current) {
        let again = path.iter().position(|seen| seen.name == node.name);
        path.push(node);
        if let Some(first) = again {
            path.drain(..first);
            break;
        }
        let Some(next) = node.refs.iter().find(|input| in_cycle(input)) else { break };
        current = next;
    }
    let steps: Vec<String> = path.iter().map(|node| format!("{} ({})", node.name, node.file)).collect();
    let place = Place::file(path.first().map_or("", |node| node.file.as_str()));
    let fact = format!("the models read each other in a cycle:\n    {}", steps.join("\n    -> "));
    Problem::new(place, fact, "remove one of these refs, or move the shared part into a model of its own")
}

fn reaches_itself(nodes: &BTreeMap<String, Node>, name: &str) -> bool {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = vec![name];
    while let Some(current) = open.pop() {
        for input in nodes.get(current).into_iter().flat_map(|node| &node.refs) {
            if input == name {
                return true;
            }
            if seen.insert(input) {
                open.push(input);
            }
        }
    }
    false
}
