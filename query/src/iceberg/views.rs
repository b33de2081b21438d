//! Views: list, create, load, change, rename, drop.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde_json::Value;
use sluice_catalog::{Renamed, TableName, ViewChange, ViewRequest, ViewState};

use super::Catalog;
use super::answer;
use super::fault::{Answer, Body, Fault};
use super::names::{Page, from_path, in_path, named};
use super::namespaces::properties;
use super::tables::{Rename, identifiers};

pub(super) async fn list(
    State(catalog): State<Catalog>,
    Path(namespace): Path<String>,
    Query(page): Query<Page>,
) -> Answer<Json<Value>> {
    let namespace = from_path(&namespace);
    properties(&catalog, &namespace).await?;
    identifiers(&page, catalog.lake.views(&namespace).await?)
}

pub(super) async fn create(
    State(catalog): State<Catalog>,
    Path(namespace): Path<String>,
    Body(request): Body<ViewRequest>,
) -> Answer<Json<Value>> {
    let name = in_path(&namespace, request.name())?;
    properties(&catalog, name.namespace()).await?;
    match catalog.lake.create_view_requested(&name, request).await? {
        Ok(true) => answer::view(&find(&catalog, &name).await?),
        Ok(false) => Err(Fault::exists(name)),
        Err(reason) => Err(Fault::bad_request(reason)),
    }
}

pub(super) async fn load(
    State(catalog): State<Catalog>,
    Path((namespace, view)): Path<(String, String)>,
) -> Answer<Json<Value>> {
    answer::view(&find(&catalog, &named(&namespace, &view, "view")?).await?)
}

pub(super) async fn exists(
    State(catalog): State<Catalog>,
    Path((namespace, view)): Path<(String, String)>,
) -> Answer<StatusCode> {
    find(&catalog, &named(&namespace, &view, "view")?).await.map(|_| StatusCode::NO_CONTENT)
}

/// The view of that name, or the answer that there is none.
async fn find(catalog: &Catalog, name: &TableName) -> Answer<ViewState> {
    catalog.lake.view_state(name).await?.ok_or_else(|| Fault::no_view(name))
}

pub(super) async fn change(
    State(catalog): State<Catalog>,
    Path((namespace, view)): Path<(String, String)>,
    Body(change): Body<ViewChange>,
) -> Answer<Json<Value>> {
    let name = in_path(&namespace, &view)?;
    match catalog.lake.change_view(&name, change).await? {
        Some(Ok(view)) => answer::view(&view),
        Some(Err((true, reason))) => Err(Fault::conflict(reason)),
        Some(Err((false, reason))) => Err(Fault::bad_request(reason)),
        None => Err(Fault::no_view(&name)),
    }
}

pub(super) async fn drop(
    State(catalog): State<Catalog>,
    Path((namespace, view)): Path<(String, String)>,
) -> Answer<StatusCode> {
    let name = named(&namespace, &view, "view")?;
    find(&catalog, &name).await?;
    catalog.lake.drop_view(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn rename(State(catalog): State<Catalog>, Body(rename): Body<Rename>) -> Answer<StatusCode> {
    let (from, to) = (rename.source.table_name()?, rename.destination.table_name()?);
    properties(&catalog, to.namespace()).await?;
    match catalog.lake.rename_view(&from, &to).await? {
        Renamed::Done => Ok(StatusCode::NO_CONTENT),
        Renamed::Missing => Err(Fault::no_view(&from)),
        Renamed::Taken => Err(Fault::exists(to)),
    }
}
