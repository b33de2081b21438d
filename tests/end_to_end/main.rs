//! The real binary on a real Kafka broker and a real MinIO server, judged by programs that share no code with
//! it.
//!
//! ```text
//! parts   Kafka, MinIO, PostgreSQL and the Python environment of the judges, started when the first test asks for them
//! sluice  a lake of one test, and runs of the binary on it
//! places  such a lake behind each kind of catalog
//! between a Python program between the binary and a server, and what it says
//! lossy   such a program: loses requests and answers
//! wire    between the binary and a server: kills the binary at a chosen request
//! judge   PyIceberg, DuckDB and librdkafka, as scripts in tests/clients
//! ```
//!
//! Nothing is skipped: a test starts what it needs (`tests/services/services.sh up`), or it fails and says
//! why. Tests share the broker but not their topics, and the bucket but not their tables. `tests/run` stops the
//! servers; after a bare `cargo test` that is left to `tests/services/services.sh down`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod bad_events;
mod bad_setup;
mod between;
mod catalogs;
mod changes;
mod clients;
mod compose;
mod dead_letters;
mod demo;
mod foreign;
mod interop;
mod judge;
mod kill_points;
mod kills;
mod loads;
mod lossy;
mod matrix;
mod models;
mod olist;
mod parts;
mod places;
mod registered;
mod rest_client;
mod routing;
mod sluice;
mod sync;
mod topics_change;
mod upserts;
mod wire;
mod workers;
