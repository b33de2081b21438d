//! What clients are told: about the catalog, and about a table and how its files are reached.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use sluice_catalog::{TableSnapshot, ViewState};

use super::Catalog;
use super::fault::{Answer, Fault};

/// What this catalog serves, as the protocol writes it.
const ENDPOINTS: [&str; 24] = [
    "GET /v1/{prefix}/namespaces",
    "POST /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "HEAD /v1/{prefix}/namespaces/{namespace}",
    "DELETE /v1/{prefix}/namespaces/{namespace}",
    "POST /v1/{prefix}/namespaces/{namespace}/properties",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "POST /v1/{prefix}/namespaces/{namespace}/tables",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}/credentials",
    "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/metrics",
    "POST /v1/{prefix}/namespaces/{namespace}/register",
    "POST /v1/{prefix}/tables/rename",
    "POST /v1/{prefix}/transactions/commit",
    "GET /v1/{prefix}/namespaces/{namespace}/views",
    "POST /v1/{prefix}/namespaces/{namespace}/views",
    "GET /v1/{prefix}/namespaces/{namespace}/views/{view}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/views/{view}",
    "POST /v1/{prefix}/namespaces/{namespace}/views/{view}",
    "DELETE /v1/{prefix}/namespaces/{namespace}/views/{view}",
    "POST /v1/{prefix}/views/rename",
];

/// `GET /v1/config`.
pub(super) async fn config(State(catalog): State<Catalog>) -> Json<Value> {
    Json(json!({"defaults": file_io(&catalog), "overrides": {}, "endpoints": ENDPOINTS}))
}

/// A table as clients load it.
pub(super) fn table(catalog: &Catalog, table: &TableSnapshot) -> Answer<Json<Value>> {
    let metadata = json_of(table.metadata())?;
    let mut answer = json!({
        "metadata-location": table.metadata_location(),
        "metadata": metadata,
        "config": table_config(catalog),
    });
    let credentials = credentials(catalog, table.metadata().location());
    if !credentials.is_empty() {
        answer["storage-credentials"] = Value::Array(credentials);
    }
    Ok(Json(answer))
}

/// A view as clients load it.
pub(super) fn view(state: &ViewState) -> Answer<Json<Value>> {
    let metadata = json_of(state.metadata.as_ref())?;
    Ok(Json(json!({"metadata-location": state.metadata_location, "metadata": metadata, "config": {}})))
}

pub(super) fn json_of(metadata: &impl serde::Serialize) -> Answer<Value> {
    serde_json::to_value(metadata)
        .map_err(|error| Fault::bad_request(format!("the metadata cannot be written as JSON: {error}")))
}

/// How files are reached: the address of the store where one is configured, never a secret.
pub(super) fn file_io(catalog: &Catalog) -> BTreeMap<&'static str, String> {
    let settings = catalog.lake.settings();
    let mut config = BTreeMap::new();
    if !settings.warehouse.starts_with("s3://") {
        return config;
    }
    let endpoint = catalog.settings.s3_endpoint.as_ref().or(settings.s3.endpoint.as_ref());
    if let Some(endpoint) = endpoint {
        config.insert("s3.endpoint", endpoint.clone());
        config.insert("s3.path-style-access", "true".to_owned());
    }
    if let Some(region) = &settings.s3.region {
        config.insert("s3.region", region.clone());
        config.insert("client.region", region.clone());
    }
    config
}

/// The same for one table, with the reader's keys where a setting hands them out.
pub(super) fn table_config(catalog: &Catalog) -> BTreeMap<&'static str, String> {
    let mut config = file_io(catalog);
    if let Some(keys) = &catalog.settings.reader_keys
        && catalog.lake.settings().warehouse.starts_with("s3://")
    {
        config.insert("s3.access-key-id", keys.access_key_id.clone());
        config.insert("s3.secret-access-key", keys.secret_access_key.reveal().to_owned());
    }
    config
}

/// The reader's keys for the files below `location`; none unless a setting hands them out.
pub(super) fn credentials(catalog: &Catalog, location: &str) -> Vec<Value> {
    match catalog.settings.reader_keys.is_some() && location.starts_with("s3://") {
        true => vec![json!({"prefix": location, "config": table_config(catalog)})],
        false => Vec::new(),
    }
}
