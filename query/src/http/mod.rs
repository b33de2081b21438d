//! HTTP: for people (`/`), programs (`/api/tables`), orchestrators (`/healthz`, `/readyz`), Prometheus (`/metrics`)
//! and other engines (`/iceberg`, see [`crate::iceberg`]).
//!
//! All but the last is read-only and answers JSON except the page and the metrics. Errors are
//! `{"error": "..."}` with a fitting status.

mod health;
mod metrics;
mod page;
mod tables;

use std::net::SocketAddr;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use sluice_catalog::Lake;
use tokio_util::sync::CancellationToken;

use crate::iceberg;

pub use metrics::install_metrics;
pub(crate) use metrics::{recorder, upkeep};

/// What probes and metrics answer from.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) lake: Lake,
    pub(crate) metrics: PrometheusHandle,
    /// Cancelled when the server stops: it is alive still, but no longer ready.
    pub(crate) stop: CancellationToken,
}

/// What the routes answer from.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) watched: Watched,
    /// Where Flight SQL listens, for the lines that say how to connect.
    pub(crate) flight: SocketAddr,
    /// The catalog behind `/iceberg`.
    pub(crate) iceberg: iceberg::Catalog,
}

impl FromRef<Site> for Watched {
    fn from_ref(site: &Site) -> Self {
        site.watched.clone()
    }
}

/// All routes.
pub(crate) fn router(site: Site) -> Router {
    watching()
        .route("/", get(page::show))
        .route("/api/tables", get(tables::list))
        .nest("/iceberg", iceberg::router(site.iceberg.clone()))
        .with_state(site)
}

/// The routes for whoever watches the process.
pub(crate) fn watching<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Watched: FromRef<S>,
{
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
}

#[cfg(test)]
mod tests;
