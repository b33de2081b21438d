//! HTTP for a process that answers no queries: `/healthz`, `/readyz` and `/metrics`, so that each of many workers can
//! be watched.

use std::net::SocketAddr;

use metrics_exporter_prometheus::PrometheusHandle;
use sluice_catalog::Lake;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::http::{self, Watched};
use crate::server::listen;

/// A server that listens already; [`Monitor::run`] serves.
#[derive(Debug)]
pub struct Monitor {
    lake: Lake,
    metrics: PrometheusHandle,
    listener: TcpListener,
    address: SocketAddr,
}

impl Monitor {
    /// Listens and installs the recorder of metrics. It tells names of topics and tables, and no rows.
    ///
    /// # Errors
    /// When the address is in use or not allowed; the message names the setting that changes it.
    pub async fn bind(lake: Lake, address: SocketAddr) -> Result<Self> {
        let metrics = http::recorder()?;
        let (listener, address) = listen("HTTP", address, "http", "SLUICE_INGEST_HTTP").await?;
        Ok(Self { lake, metrics, listener, address })
    }

    /// The address, with the port that was given to it.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled.
    ///
    /// # Errors
    /// When the server ends by itself.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let watched = Watched { lake: self.lake, metrics: self.metrics.clone(), stop: stop.clone() };
        let routes = http::watching().with_state(watched);
        let serve = axum::serve(self.listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
        let (served, ()) = tokio::join!(serve, http::upkeep(self.metrics, stop));
        served.map_err(|source| Error::Stopped { server: "HTTP", source: source.into() })
    }
}
