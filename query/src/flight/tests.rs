//! The server as clients see it: real calls over a loopback port, on a lake in memory.

mod cancel;
mod client;
mod errors;
mod handles;
mod metadata;
mod numbers;
mod parameters;
mod sessions;
mod statements;
mod updates;

pub(crate) use client::{TestServer, any_ports, count};
