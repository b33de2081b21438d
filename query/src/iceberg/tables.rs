//! Tables: list, create, load, register, rename, drop; their changes are in [`super::commits`].

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_catalog::{Renamed, Requested, TableName, TableRequest, TableSnapshot};

use super::Catalog;
use super::answer;
use super::fault::{Answer, Body, Fault};
use super::names::{Identifier, Page, from_path, in_path, named};
use super::namespaces::properties;

pub(super) async fn list(
    State(catalog): State<Catalog>,
    Path(namespace): Path<String>,
    Query(page): Query<Page>,
) -> Answer<Json<Value>> {
    let namespace = from_path(&namespace);
    properties(&catalog, &namespace).await?;
    identifiers(&page, catalog.lake.tables(&namespace).await?)
}

/// A page of names of one namespace.
pub(super) fn identifiers(page: &Page, names: Vec<TableName>) -> Answer<Json<Value>> {
    let namespace = names.first().map(|name| name.namespace().to_owned()).unwrap_or_default();
    let (names, next) = page.cut(names.iter().map(|name| name.name().to_owned()).collect());
    let mut identifiers = Vec::with_capacity(names.len());
    for name in names {
        identifiers.push(Identifier::from(&TableName::new(&namespace, name)?));
    }
    Ok(Json(json!({"identifiers": identifiers, "next-page-token": next})))
}

pub(super) async fn create(
    State(catalog): State<Catalog>,
    Path(namespace): Path<String>,
    Body(request): Body<TableRequest>,
) -> Answer<Json<Value>> {
    let name = in_path(&namespace, request.name())?;
    properties(&catalog, name.namespace()).await?;
    match catalog.lake.create_requested(&name, request, now()).await? {
        Requested::Created(table) => answer::table(&catalog, &table),
        Requested::Staged(metadata) => {
            let metadata = answer::json_of(metadata.as_ref())?;
            Ok(Json(json!({"metadata": metadata, "config": answer::table_config(&catalog)})))
        }
        Requested::Taken => Err(Fault::exists(name)),
        Requested::Refused { reason } => Err(Fault::bad_request(reason)),
    }
}

pub(super) async fn load(
    State(catalog): State<Catalog>,
    Path((namespace, table)): Path<(String, String)>,
) -> Answer<Json<Value>> {
    let table = find(&catalog, &namespace, &table).await?;
    answer::table(&catalog, &table)
}

pub(super) async fn exists(
    State(catalog): State<Catalog>,
    Path((namespace, table)): Path<(String, String)>,
) -> Answer<StatusCode> {
    find(&catalog, &namespace, &table).await.map(|_| StatusCode::NO_CONTENT)
}

/// The table of a path, or the answer that there is none.
async fn find(catalog: &Catalog, namespace: &str, table: &str) -> Answer<TableSnapshot> {
    let name = named(namespace, table, "table")?;
    catalog.lake.find(&name).await?.ok_or_else(|| Fault::no_table(&name))
}

/// `GET …/credentials`: fresh keys for the table's files.
pub(super) async fn credentials(
    State(catalog): State<Catalog>,
    Path((namespace, table)): Path<(String, String)>,
) -> Answer<Json<Value>> {
    let table = find(&catalog, &namespace, &table).await?;
    Ok(Json(json!({"storage-credentials": answer::credentials(&catalog, table.metadata().location())})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Drop {
    /// `true` or `false`; PyIceberg writes them with a capital.
    purge_requested: Option<String>,
}

/// Removes the table from the catalog. Its files stay; a client that wants them gone is told that they are not.
pub(super) async fn drop(
    State(catalog): State<Catalog>,
    Path((namespace, table)): Path<(String, String)>,
    Query(how): Query<Drop>,
) -> Answer<StatusCode> {
    let name = named(&namespace, &table, "table")?;
    if how.purge_requested.is_some_and(|purge| purge.eq_ignore_ascii_case("true")) {
        return Err(Fault::unsupported(
            "files are not purged over this protocol: drop the table without purging; maintenance removes them",
        ));
    }
    catalog.lake.drop_table(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Registration {
    name: String,
    metadata_location: String,
    overwrite: Option<bool>,
}

pub(super) async fn register(
    State(catalog): State<Catalog>,
    Path(namespace): Path<String>,
    Body(registration): Body<Registration>,
) -> Answer<Json<Value>> {
    let name = in_path(&namespace, &registration.name)?;
    if registration.overwrite == Some(true) {
        return Err(Fault::unsupported("a registration does not overwrite: drop the table first"));
    }
    properties(&catalog, name.namespace()).await?;
    match catalog.lake.register_table(&name, &registration.metadata_location).await? {
        Some(table) => answer::table(&catalog, &table),
        None => Err(Fault::exists(name)),
    }
}

#[derive(Deserialize)]
pub(super) struct Rename {
    pub(super) source: Identifier,
    pub(super) destination: Identifier,
}

pub(super) async fn rename(State(catalog): State<Catalog>, Body(rename): Body<Rename>) -> Answer<StatusCode> {
    let (from, to) = (rename.source.table_name()?, rename.destination.table_name()?);
    properties(&catalog, to.namespace()).await?;
    match catalog.lake.rename_table(&from, &to).await? {
        Renamed::Done => Ok(StatusCode::NO_CONTENT),
        Renamed::Missing => Err(Fault::no_table(&from)),
        Renamed::Taken => Err(Fault::exists(to)),
    }
}

/// `POST …/metrics`: what a client tells of its scans and commits is taken, counted and not kept.
pub(super) async fn report(Body(_): Body<serde::de::IgnoredAny>) -> StatusCode {
    metrics::counter!("sluice_iceberg_reports_total").increment(1);
    StatusCode::NO_CONTENT
}

/// The time at which a change is made.
pub(super) fn now() -> chrono::DateTime<chrono::Utc> {
    #[expect(clippy::disallowed_methods, reason = "a request comes in here; below, time is an argument")]
    chrono::Utc::now()
}
