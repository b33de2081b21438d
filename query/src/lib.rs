//! BATCHES to CLIENTS: Arrow Flight SQL for BI tools, HTTP for people, probes and Prometheus, the Iceberg REST
//! catalog for other engines.
//!
//! ```text
//! Flight SQL:  command -> metadata ------------------------> stream -> client
//!                      -> prepared -> handle -> query ------^
//! HTTP:        health, tables, metrics, page, /iceberg
//! ```
//!
//! Invariants:
//! - This is the only crate that knows gRPC and HTTP; it decides nothing about tables or plans.
//! - The server keeps no state per statement: handles carry it, signed by this process.
//! - Results stream. A client that leaves stops its plan; an error in mid-stream ends in a status.
//! - Whatever describes a result (prepared schema, FlightInfo, stream) comes from one function.

mod error;
mod executor;
mod flight;
mod http;
mod iceberg;
mod monitor;
mod server;
mod settings;

pub use error::{Error, Result};
pub use http::install_metrics;
pub use monitor::Monitor;
pub use server::Server;
pub use settings::{IcebergSettings, ReaderKeys, ServeSettings};
