//! Namespaces: list, create, load, change, drop.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_catalog::NamespaceDropped;

use super::Catalog;
use super::fault::{Answer, Body, Fault};
use super::names::{Page, from_path, join, levels};

/// The namespaces one level below the parent, or the topmost ones.
pub(super) async fn list(State(catalog): State<Catalog>, Query(page): Query<Page>) -> Answer<Json<Value>> {
    let all = catalog.lake.namespaces().await?;
    let parent = page.parent.as_deref().filter(|parent| !parent.is_empty()).map(from_path);
    if let Some(parent) = &parent
        && !all.contains(parent)
    {
        return Err(Fault::no_namespace(parent));
    }
    let below = parent.map_or(String::new(), |parent| format!("{parent}."));
    let children: BTreeSet<_> = all
        .iter()
        .filter_map(|namespace| namespace.strip_prefix(&below))
        .filter_map(|rest| rest.split('.').next())
        .map(|level| format!("{below}{level}"))
        .collect();
    let (names, next) = page.cut(children.into_iter().collect());
    let namespaces: Vec<_> = names.iter().map(|namespace| levels(namespace)).collect();
    Ok(Json(json!({"namespaces": namespaces, "next-page-token": next})))
}

#[derive(Deserialize)]
pub(super) struct NewNamespace {
    namespace: Vec<String>,
    properties: Option<BTreeMap<String, String>>,
}

pub(super) async fn create(
    State(catalog): State<Catalog>,
    Body(new): Body<NewNamespace>,
) -> Answer<Json<Value>> {
    let namespace = join(&new.namespace)?;
    let properties = new.properties.unwrap_or_default();
    match catalog.lake.add_namespace(&namespace, &properties).await? {
        true => Ok(Json(json!({"namespace": new.namespace, "properties": properties}))),
        false => Err(Fault::exists(format!("namespace {namespace}"))),
    }
}

pub(super) async fn load(
    State(catalog): State<Catalog>,
    Path(namespace): Path<String>,
) -> Answer<Json<Value>> {
    let namespace = from_path(&namespace);
    let properties = properties(&catalog, &namespace).await?;
    Ok(Json(json!({"namespace": levels(&namespace), "properties": properties})))
}

pub(super) async fn exists(
    State(catalog): State<Catalog>,
    Path(namespace): Path<String>,
) -> Answer<StatusCode> {
    properties(&catalog, &from_path(&namespace)).await.map(|_| StatusCode::NO_CONTENT)
}

/// The properties of a namespace that exists.
pub(super) async fn properties(catalog: &Catalog, namespace: &str) -> Answer<BTreeMap<String, String>> {
    let found = catalog.lake.namespace_properties(namespace).await?;
    found.ok_or_else(|| Fault::no_namespace(namespace))
}

#[derive(Deserialize)]
pub(super) struct PropertyChange {
    #[serde(default)]
    removals: Vec<String>,
    #[serde(default)]
    updates: BTreeMap<String, String>,
}

pub(super) async fn change(
    State(catalog): State<Catalog>,
    Path(namespace): Path<String>,
    Body(change): Body<PropertyChange>,
) -> Answer<Json<Value>> {
    let namespace = from_path(&namespace);
    if let Some(key) = change.removals.iter().find(|key| change.updates.contains_key(*key)) {
        return Err(Fault::unprocessable(format!("property {key} is both set and removed")));
    }
    let before = properties(&catalog, &namespace).await?;
    if !catalog.lake.change_namespace(&namespace, &change.removals, &change.updates).await? {
        return Err(Fault::no_namespace(&namespace));
    }
    let (removed, missing): (Vec<_>, Vec<_>) =
        change.removals.iter().partition(|key| before.contains_key(*key));
    let updated: Vec<_> = change.updates.keys().collect();
    Ok(Json(json!({"updated": updated, "removed": removed, "missing": missing})))
}

pub(super) async fn drop(
    State(catalog): State<Catalog>,
    Path(namespace): Path<String>,
) -> Answer<StatusCode> {
    let namespace = from_path(&namespace);
    match catalog.lake.drop_namespace(&namespace).await? {
        NamespaceDropped::Dropped => Ok(StatusCode::NO_CONTENT),
        NamespaceDropped::Missing => Err(Fault::no_namespace(&namespace)),
        NamespaceDropped::NotEmpty => Err(Fault::not_empty(&namespace)),
    }
}
