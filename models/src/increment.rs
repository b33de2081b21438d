//! Increment: what an incremental model reads this time.
//!
//! A model with `incremental_from` reads only the files that were appended to that input since the snapshot
//! it read last. The cursor, [`CURSOR`]` + table`, is a property of the model's own table and changes in
//! the same commit as its rows, so that every row of the input is read by exactly one committed build.
//! Other incremental models filter by themselves, with `is_incremental()`.
//!
//! | the input since the cursor | this build |
//! |---|---|
//! | first build, or full refresh | reads all of it, pinned |
//! | only appends, and rewrites of files | reads the files that the appends added |
//! | no new snapshot | nothing to do |
//! | rows changed otherwise, or history expired past the cursor | refused: a full refresh is needed |

use std::collections::BTreeMap;

use sluice_catalog::maintain::CURSOR;
use sluice_catalog::{TableName, TableSnapshot};
use sluice_sql::Session;

use crate::config::Materialized;
use crate::error::{Error, Place, Problem, Result};
use crate::graph::Node;
use crate::materialize::Run;

/// The cursor of an input that had no snapshot yet.
const EMPTY: &str = "empty";

/// What to read, and what to remember with the rows.
pub(crate) enum Increment {
    /// Everything as it is.
    All,
    /// One input pinned or narrowed; the cursor to commit.
    Pinned { session: Box<Session>, cursor: (String, String) },
    /// The input has nothing new.
    Nothing,
}

impl Increment {
    /// The session to plan in, if it is not the plain one.
    pub(crate) fn session(&self) -> Option<&Session> {
        match self {
            Self::Pinned { session, .. } => Some(session),
            Self::All | Self::Nothing => None,
        }
    }

    /// The table properties to commit with the rows.
    pub(crate) fn properties(self) -> BTreeMap<String, String> {
        match self {
            Self::Pinned { cursor, .. } => BTreeMap::from([cursor]),
            Self::All | Self::Nothing => BTreeMap::new(),
        }
    }
}

/// Decides what `node` reads; `last` is its own table when this build appends to it.
pub(crate) async fn increment(run: &Run, node: &Node, last: Option<&TableSnapshot>) -> Result<Increment> {
    let Some(input) = &node.config.incremental_from else { return Ok(Increment::All) };
    let table = input_table(run, node, input)?;
    let Some(now) = run.engine.lake().find(&table).await? else {
        let fact = format!("incremental_from `{input}` is a view, and only tables have snapshots");
        return Err(refused(node, fact, "make the input a table, or filter with is_incremental()"));
    };
    let key = format!("{CURSOR}{table}");
    let session = run.engine.session();
    let cursor = (key.clone(), now.snapshot_id().map_or_else(|| EMPTY.to_owned(), |id| id.to_string()));
    let all =
        |now| Ok(Increment::Pinned { session: Box::new(session.with_pinned(now)), cursor: cursor.clone() });
    let Some(last) = last else { return all(now) };
    let Some(read) = last.metadata().properties().get(&key) else {
        let fact = format!("{} does not say up to where it has read {table}", node.table);
        return Err(refused(node, fact, FULL_REFRESH));
    };
    if *read == cursor.1 {
        return Ok(Increment::Nothing);
    }
    if read == EMPTY {
        return all(now);
    }
    let since = read.parse::<i64>().map_err(|_| {
        refused(node, format!("property {key} of {} is `{read}`, no snapshot id", node.table), FULL_REFRESH)
    })?;
    match now.files_added_since(since).await? {
        Some(files) => {
            let session = Box::new(session.with_files(&now, files));
            Ok(Increment::Pinned { session, cursor: cursor.clone() })
        }
        None => {
            let fact =
                format!("rows of {table} were changed since {} read it, or its history expired", node.table);
            Err(refused(node, fact, FULL_REFRESH))
        }
    }
}

const FULL_REFRESH: &str = "build it once with --full-refresh";

fn input_table(run: &Run, node: &Node, input: &str) -> Result<TableName> {
    let compiler = &run.compiler;
    let of_model = compiler.graph().node(input).filter(|other| node.refs.contains(&other.name));
    if let Some(model) = of_model.filter(|model| model.config.materialized != Materialized::Ephemeral) {
        return Ok(model.table.clone());
    }
    let keys = node.sources.iter().filter(|(source, table)| format!("{source}.{table}") == input);
    let source = keys.filter_map(|key| compiler.project().sources.get(key)).next();
    source.map(|source| source.table.clone()).ok_or_else(|| {
        refused(
            node,
            format!("incremental_from `{input}` is no table"),
            "name a source or a model that is a table",
        )
    })
}

fn refused(node: &Node, fact: impl Into<String>, remedy: impl Into<String>) -> Error {
    Problem::new(Place::file(&node.file), fact, remedy).into()
}
