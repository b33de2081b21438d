//! Names in paths and bodies, and lists of them in pages.
//!
//! In a path the levels of a namespace are separated by the byte 0x1F, in a body they are a list; the lake joins
//! them by dots. A page ends with the name after which the next one begins.

use serde::{Deserialize, Serialize};
use sluice_catalog::TableName;

use super::fault::{Answer, Fault};

/// Separates the levels of a namespace in a path.
const SEPARATOR: char = '\u{1f}';

/// `{"namespace": ["a", "b"], "name": "t"}`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Identifier {
    namespace: Vec<String>,
    name: String,
}

impl Identifier {
    pub(super) fn table_name(&self) -> Answer<TableName> {
        TableName::new(join(&self.namespace)?, &self.name).map_err(Fault::from)
    }
}

impl From<&TableName> for Identifier {
    fn from(name: &TableName) -> Self {
        Self { namespace: levels(name.namespace()), name: name.name().to_owned() }
    }
}

/// The namespace of a list of levels.
pub(super) fn join(levels: &[String]) -> Answer<String> {
    if levels.is_empty() || levels.iter().any(|level| level.is_empty() || level.contains('.')) {
        return Err(Fault::bad_request("a namespace needs levels that are not empty and hold no dots"));
    }
    Ok(levels.join("."))
}

/// The namespace of a path.
pub(super) fn from_path(text: &str) -> String {
    text.split(SEPARATOR).collect::<Vec<_>>().join(".")
}

/// The levels of a namespace.
pub(super) fn levels(namespace: &str) -> Vec<String> {
    namespace.split('.').map(str::to_owned).collect()
}

/// A table or view of a path, in a namespace of a path.
pub(super) fn in_path(namespace: &str, name: &str) -> Answer<TableName> {
    TableName::new(from_path(namespace), name).map_err(Fault::from)
}

/// As [`in_path`], for something that shall exist: under a name that nothing can have there is nothing. Engines ask
/// for such names, as Spark does when it looks for the metadata table `files` of a table without a namespace.
pub(super) fn named(namespace: &str, name: &str, kind: &str) -> Answer<TableName> {
    TableName::new(from_path(namespace), name).map_err(|_| Fault::nothing(kind, name))
}

/// Which part of a list is asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    page_token: Option<String>,
    page_size: Option<usize>,
    /// Only for namespaces: whose children are listed.
    pub(super) parent: Option<String>,
}

impl Page {
    /// The page of a sorted list, and the token of the next.
    pub(super) fn cut(&self, names: Vec<String>) -> (Vec<String>, Option<String>) {
        let after = self.page_token.clone().unwrap_or_default();
        let mut rest = names.into_iter().filter(|name| *name > after);
        let Some(size) = self.page_size else { return (rest.collect(), None) };
        let page: Vec<_> = rest.by_ref().take(size.max(1)).collect();
        let more = rest.next().is_some();
        let next = page.last().filter(|_| more).cloned();
        (page, next)
    }
}
