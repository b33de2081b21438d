//! A server on a lake in memory with `bronze.numbers`, and a client of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{FlightInfo, Ticket};
use futures::TryStreamExt;
use sluice_catalog::{Lake, LakeSettings, TableName, View};
use sluice_sql::{Engine, EngineSettings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use uuid::Uuid;

use super::numbers;
use crate::{Result, ServeSettings, Server};

pub(crate) type Client = FlightSqlServiceClient<Channel>;

/// Far longer than any step takes: a step that hangs fails instead.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct TestServer {
    pub(crate) flight: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<Result<()>>,
    pub(crate) lake: Lake,
    _catalog: tempfile::TempDir,
}

/// Settings with ports that the system chooses.
pub(crate) fn any_ports() -> ServeSettings {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    ServeSettings { flight: any_port, http: any_port, ..ServeSettings::default() }
}

/// An engine on a lake in memory that holds `bronze.numbers` and the view `gold.even`.
pub(crate) async fn engine(rows: i64) -> (Engine, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let settings = LakeSettings { warehouse: "memory:///".to_owned(), ..LakeSettings::local(dir.path()) };
    let lake = Lake::open(settings).await.unwrap();
    let now = chrono::DateTime::UNIX_EPOCH;
    numbers::create(&lake, rows, Uuid::from_u128(1), now).await.unwrap();
    lake.create_namespace("gold").await.unwrap();
    let even = View {
        name: TableName::new("gold", "even").unwrap(),
        sql: "SELECT id, amount FROM bronze.numbers WHERE flag".to_owned(),
        schema: Arc::new(numbers::schema().project(&[0, 2]).unwrap()),
    };
    lake.put_view(even, now).await.unwrap();
    (Engine::new(lake, EngineSettings::default()).unwrap(), dir)
}

impl TestServer {
    pub(crate) async fn start(rows: i64) -> Self {
        Self::with(rows, any_ports()).await
    }

    pub(crate) async fn with(rows: i64, settings: ServeSettings) -> Self {
        let (engine, catalog) = engine(rows).await;
        let lake = engine.lake().clone();
        let server = Server::bind(engine, settings).await.unwrap();
        let (flight, http) = (server.flight_addr(), server.http_addr());
        let stop = CancellationToken::new();
        let served = tokio::spawn(server.run(stop.clone()));
        Self { flight, http, stop, served, lake, _catalog: catalog }
    }

    pub(crate) async fn client(&self) -> Client {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.flight)).unwrap();
        Client::new(endpoint.connect().await.unwrap())
    }
}

pub(crate) fn ticket(info: &FlightInfo) -> Ticket {
    info.endpoint[0].ticket.clone().unwrap()
}

/// Runs a statement to its end.
pub(crate) async fn query(client: &mut Client, sql: &str) -> Result<Vec<RecordBatch>, Status> {
    let info = client.execute(sql.to_owned(), None).await.map_err(status)?;
    rows(client, &info).await
}

/// Fetches a result to its end.
pub(crate) async fn rows(client: &mut Client, info: &FlightInfo) -> Result<Vec<RecordBatch>, Status> {
    client.do_get(ticket(info)).await.map_err(status)?.try_collect().await.map_err(status)
}

pub(crate) async fn count(client: &mut Client, sql: &str) -> i64 {
    let batches = query(client, sql).await.unwrap();
    use arrow::array::cast::AsArray;
    batches[0].column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0)
}

/// The status inside the client library's error.
pub(crate) fn status(error: arrow_flight::error::FlightError) -> Status {
    match error {
        arrow_flight::error::FlightError::Tonic(status) => *status,
        other => Status::new(Code::Unknown, other.to_string()),
    }
}

/// Waits for `step`, failing when it hangs.
pub(crate) async fn soon<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, step).await.expect("this step hangs")
}
