//! Both servers: bound together, run together, stopped together.
//!
//! ```text
//! stop ─> not ready, no new connections, no new calls ─> open streams go on for the grace period
//!      ─> what still streams ends in UNAVAILABLE ─> connections are closed
//! ```

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use metrics_exporter_prometheus::PrometheusHandle;
use sluice_sql::Engine;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::flight::{FlightSql, HandleKey, Queries, Running};
use crate::http::{self, Site, Watched};
use crate::iceberg;
use crate::settings::ServeSettings;

/// Dashboards idle for hours behind proxies that drop silent connections.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// A connection whose peer does not answer a keepalive for so long is closed.
const KEEPALIVE_ANSWER_MAX: Duration = Duration::from_secs(20);
/// What closing the connections may take once nothing streams any more.
const CLOSING_MAX: Duration = Duration::from_secs(2);

/// Two servers that listen already; [`Server::run`] serves.
#[derive(Debug)]
pub struct Server {
    engine: Engine,
    settings: ServeSettings,
    metrics: PrometheusHandle,
    flight: TcpListener,
    flight_addr: SocketAddr,
    http: TcpListener,
    http_addr: SocketAddr,
}

impl Server {
    /// Listens on both addresses and installs the recorder of metrics.
    ///
    /// # Errors
    /// When an address is in use or not allowed; the message names the setting that changes it.
    pub async fn bind(engine: Engine, settings: ServeSettings) -> Result<Self> {
        let metrics = http::recorder()?;
        let (flight, flight_addr) =
            listen("Flight SQL", settings.flight, "flight", "SLUICE_SERVE_FLIGHT").await?;
        let (http, http_addr) = listen("HTTP", settings.http, "http", "SLUICE_SERVE_HTTP").await?;
        for address in [flight_addr, http_addr] {
            if !address.ip().is_loopback() {
                tracing::warn!(%address, "whoever reaches this address can read every table: no users are configured");
            }
        }
        Ok(Self { engine, settings, metrics, flight, flight_addr, http, http_addr })
    }

    /// The address of Flight SQL, with the port that was given to it.
    pub fn flight_addr(&self) -> SocketAddr {
        self.flight_addr
    }

    /// The address of HTTP, with the port that was given to it.
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Serves until `stop` is cancelled, then lets open streams go on for the grace period.
    ///
    /// # Errors
    /// When a server ends by itself or the query threads cannot be started.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let executor = Executor::start(self.settings.query_threads).map_err(Error::Threads)?;
        let hard_stop = CancellationToken::new();
        // Whatever way this ends, nothing keeps running.
        let _end = hard_stop.clone().drop_guard();
        let running =
            Running::new(self.settings.queries_max, self.settings.queue_wait_max, hard_stop.clone());
        let lake = self.engine.lake().clone();
        let queries = Arc::new(Queries::new(self.engine, executor, Arc::clone(&running), &self.settings));
        let iceberg = iceberg::Catalog::new(lake.clone(), self.settings.iceberg.clone(), self.http_addr);
        let service = FlightSql::new(queries, handle_key(), &self.settings)?;
        let watched = Watched { lake, metrics: self.metrics.clone(), stop: stop.clone() };
        let site = Site { watched, flight: self.flight_addr, iceberg };

        let flight = serve_flight(service, self.flight, self.settings.message_bytes_max, stop.clone());
        let http = serve_http(site, self.http, stop.clone());
        let upkeep = http::upkeep(self.metrics, hard_stop.clone());
        let both = async { tokio::try_join!(flight, http).map(|_| ()) };
        let deadline = grace(&running, self.settings.grace, stop, hard_stop);
        tokio::select! {
            outcome = both => outcome,
            () = async { tokio::join!(deadline, upkeep); } => Ok(()),
        }
    }
}

/// Listens on an address; errors name what changes it.
pub(crate) async fn listen(
    server: &'static str,
    address: SocketAddr,
    flag: &'static str,
    variable: &'static str,
) -> Result<(TcpListener, SocketAddr)> {
    let refused = |source: std::io::Error| match source.kind() {
        ErrorKind::AddrInUse => Error::AddressInUse { server, address, flag, variable },
        _ => Error::Listen { server, address, flag, variable, source },
    };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

async fn serve_flight(
    service: FlightSql,
    listener: TcpListener,
    message_bytes_max: usize,
    stop: CancellationToken,
) -> Result<()> {
    let service = FlightServiceServer::new(service).max_decoding_message_size(message_bytes_max);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(KEEPALIVE));
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER_MAX))
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await
        .map_err(|source| Error::Stopped { server: "Flight SQL", source: source.into() })
}

async fn serve_http(site: Site, listener: TcpListener, stop: CancellationToken) -> Result<()> {
    axum::serve(listener, http::router(site))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .map_err(|source| Error::Stopped { server: "HTTP", source: source.into() })
}

/// Waits for the stop, lets open streams go on for `grace`, cancels the rest, and gives them time to say so.
async fn grace(running: &Running, grace: Duration, stop: CancellationToken, hard_stop: CancellationToken) {
    stop.cancelled().await;
    let open = running.count();
    if open > 0 {
        tracing::info!(streams = open, seconds = grace.as_secs(), "stopping: open results may go on");
    }
    tokio::time::sleep(grace).await;
    hard_stop.cancel();
    let cut = running.count();
    if cut > 0 {
        tracing::warn!(streams = cut, "stopping: the results still open are cut off");
    }
    tokio::time::sleep(CLOSING_MAX).await;
}

/// A key nobody knows: handles of another run are refused.
#[expect(
    clippy::disallowed_methods,
    reason = "the key must differ from run to run and must not be guessable"
)]
fn handle_key() -> HandleKey {
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    let mut secret = [0; 32];
    let (head, tail) = secret.split_at_mut(16);
    head.copy_from_slice(first.as_bytes());
    tail.copy_from_slice(second.as_bytes());
    HandleKey::new(secret)
}
