//! Commits: to one table, or to several in one transaction.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_catalog::{ChangeOutcome, TableChange, TableName, TableSnapshot};

use super::Catalog;
use super::answer;
use super::fault::{Answer, Body, Fault};
use super::names::{Identifier, in_path};
use super::namespaces::properties;
use super::tables::now;

/// Tables that one transaction may change.
const TABLES_MAX: usize = 1_000;

pub(super) async fn commit_table(
    State(catalog): State<Catalog>,
    Path((namespace, table)): Path<(String, String)>,
    Body(change): Body<TableChange>,
) -> Answer<Json<Value>> {
    let name = in_path(&namespace, &table)?;
    if change.creates() {
        properties(&catalog, name.namespace()).await?;
    }
    let tables = commit(&catalog, vec![(name.clone(), change)]).await?;
    let table = tables.first().ok_or_else(|| Fault::no_table(&name))?;
    let metadata = answer::json_of(table.metadata())?;
    Ok(Json(json!({"metadata-location": table.metadata_location(), "metadata": metadata})))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Transaction {
    table_changes: Vec<IdentifiedChange>,
}

#[derive(Deserialize)]
struct IdentifiedChange {
    identifier: Identifier,
    #[serde(flatten)]
    change: TableChange,
}

pub(super) async fn commit_transaction(
    State(catalog): State<Catalog>,
    Body(transaction): Body<Transaction>,
) -> Answer<StatusCode> {
    if transaction.table_changes.len() > TABLES_MAX {
        return Err(Fault::bad_request(format!("a transaction changes at most {TABLES_MAX} tables")));
    }
    let changes = transaction.table_changes.into_iter();
    let changes: Answer<Vec<_>> =
        changes.map(|table| Ok((table.identifier.table_name()?, table.change))).collect();
    commit(&catalog, changes?).await.map(|_| StatusCode::NO_CONTENT)
}

async fn commit(catalog: &Catalog, changes: Vec<(TableName, TableChange)>) -> Answer<Vec<TableSnapshot>> {
    // A client that hangs up does not stop a commit half way: it runs to its end on a task of its own.
    let lake = catalog.lake.clone();
    let committing = tokio::spawn(async move { lake.change(changes, now()).await });
    let outcome = committing.await.map_err(|_| Fault::conflict("the commit was stopped; try again"))??;
    match outcome {
        ChangeOutcome::Applied(tables) => Ok(tables),
        ChangeOutcome::Conflict { reason } => Err(Fault::conflict(reason)),
        ChangeOutcome::Refused { reason } => Err(Fault::bad_request(reason)),
        ChangeOutcome::Missing { table } => Err(Fault::no_table(&table)),
        ChangeOutcome::Unknown(error) => Err(Fault::unknown(&error)),
    }
}
