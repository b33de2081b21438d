//! `/api/tables`: every table of the lake with its current state.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use sluice_catalog::{Error, Lake, TableName};

use super::Watched;

/// Tables loaded at the same time.
const LOADED_AT_ONCE: usize = 8;

/// One table or view.
#[derive(Debug, Serialize)]
pub(crate) struct TableState {
    /// Its namespace.
    namespace: String,
    /// Its name in the namespace.
    name: String,
    /// `table` or `view`.
    kind: &'static str,
    /// The current snapshot, as text: ids have 63 bits, and JavaScript's numbers only 53.
    snapshot: Option<String>,
    /// Rows, where the snapshot's summary counts them exactly.
    rows: Option<u64>,
    /// Where the table lies.
    location: Option<String>,
}

pub(crate) async fn list(State(watched): State<Watched>) -> Response {
    match read(&watched.lake).await {
        Ok(tables) => Json(tables).into_response(),
        Err(error) => {
            tracing::warn!(%error, "the tables cannot be listed");
            let body = Json(serde_json::json!({ "error": error.to_string() }));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

/// All tables and views, sorted by name.
pub(crate) async fn read(lake: &Lake) -> Result<Vec<TableState>, Error> {
    let mut names = Vec::new();
    for namespace in lake.namespaces().await? {
        names.extend(lake.tables(&namespace).await?.into_iter().map(|name| (name, true)));
        names.extend(lake.views(&namespace).await?.into_iter().map(|name| (name, false)));
    }
    names.sort();
    let states = names.into_iter().map(|(name, table)| async move {
        match table {
            true => table_state(lake, &name).await,
            false => Ok(Some(TableState { kind: "view", ..named(&name) })),
        }
    });
    let states: Vec<_> = stream::iter(states).buffered(LOADED_AT_ONCE).try_collect().await?;
    Ok(states.into_iter().flatten().collect())
}

/// `None` when the table was dropped since it was listed.
async fn table_state(lake: &Lake, name: &TableName) -> Result<Option<TableState>, Error> {
    let Some(table) = lake.find(name).await? else { return Ok(None) };
    Ok(Some(TableState {
        snapshot: table.snapshot_id().map(|id| id.to_string()),
        rows: table.row_count(),
        location: Some(table.metadata().location().to_owned()),
        ..named(name)
    }))
}

fn named(name: &TableName) -> TableState {
    let (namespace, name) = (name.namespace().to_owned(), name.name().to_owned());
    TableState { namespace, name, kind: "table", snapshot: None, rows: None, location: None }
}
