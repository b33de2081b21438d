//! Where the servers listen and what a stranger may ask of them.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use sluice_catalog::Secret;
use sluice_sql::Writes;

/// Settings of both servers. The default listens on loopback only.
#[derive(Clone, Debug)]
pub struct ServeSettings {
    /// Address of the Flight SQL server (default 127.0.0.1:50051; port 0 lets the system choose).
    pub flight: SocketAddr,
    /// Address of the HTTP server (default 127.0.0.1:8080; port 0 lets the system choose).
    pub http: SocketAddr,
    /// Threads that plan and execute queries, apart from the network's; all cores when `None`.
    pub query_threads: Option<NonZeroUsize>,
    /// How long open streams may go on after a stop was asked for (default 10 s).
    pub grace: Duration,
    /// Queries that may stream at the same time (default 64).
    pub queries_max: usize,
    /// How long a query waits for its turn before it is refused (default 30 s).
    pub queue_wait_max: Duration,
    /// How long a client may leave an open stream unread before its query is stopped (default 15 min).
    pub stream_idle_max: Duration,
    /// Largest message a client may send (default 64 MiB: a batch of bound parameters).
    pub message_bytes_max: usize,
    /// What statements that write are given; `None` (the default) makes the server read only. Whoever reaches
    /// the port may write then: nobody signs in yet.
    pub writes: Option<Writes>,
    /// Longest SQL text (default 1 MiB).
    pub sql_bytes_max: usize,
    /// The Iceberg REST catalog at `/iceberg` of the HTTP server.
    pub iceberg: IcebergSettings,
}

/// Who may use the Iceberg REST catalog, and what its clients are handed.
#[derive(Clone, Debug, Default)]
pub struct IcebergSettings {
    /// Bearer tokens that are taken. Without any, only a loopback address is served, without asking.
    pub tokens: Vec<Secret>,
    /// The S3 endpoint as clients reach it; the lake's own unless given.
    pub s3_endpoint: Option<String>,
    /// Keys that every client is handed with a table; none unless given. They should read and no more.
    pub reader_keys: Option<ReaderKeys>,
}

/// S3 keys to be handed out.
#[derive(Clone, Debug)]
pub struct ReaderKeys {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: Secret,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            flight: SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)),
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            query_threads: None,
            grace: Duration::from_secs(10),
            queries_max: 64,
            queue_wait_max: Duration::from_secs(30),
            stream_idle_max: Duration::from_secs(15 * 60),
            message_bytes_max: 64 << 20,
            writes: None,
            sql_bytes_max: 1 << 20,
            iceberg: IcebergSettings::default(),
        }
    }
}
