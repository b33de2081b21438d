//! `/healthz`: the process serves. `/readyz`: it can answer queries, because catalog and store answer it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::Serialize;
use sluice_catalog::Lake;
use url::Url;

use super::Watched;

/// A part that takes longer is as good as gone: orchestrators probe every few seconds.
const ANSWER_MAX: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    catalog: String,
    store: String,
}

pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

pub(crate) async fn ready(State(watched): State<Watched>) -> Response {
    let (catalog, store) = tokio::join!(within(ask_catalog(&watched.lake)), within(ask_store(&watched.lake)));
    let stopping = watched.stop.is_cancelled();
    let ready = !stopping && catalog.is_ok() && store.is_ok();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let say = |part: Result<(), String>| match (part, stopping) {
        (Err(why), _) => why,
        (Ok(()), true) => "the server is stopping".to_owned(),
        (Ok(()), false) => "ok".to_owned(),
    };
    (status, Json(Readiness { ready, catalog: say(catalog), store: say(store) })).into_response()
}

async fn within(part: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    match tokio::time::timeout(ANSWER_MAX, part).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", ANSWER_MAX.as_secs())),
    }
}

async fn ask_catalog(lake: &Lake) -> Result<(), String> {
    lake.namespaces().await.map(|_| ()).map_err(|error| error.to_string())
}

/// Asks for an object that is not there: that it is missing is an answer, too.
async fn ask_store(lake: &Lake) -> Result<(), String> {
    let warehouse = Url::parse(&lake.settings().warehouse).map_err(|error| error.to_string())?;
    let probe =
        Path::from_url_path(warehouse.path()).map_err(|error| error.to_string())?.join("sluice-probe");
    match lake.store().head(&probe).await {
        Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
