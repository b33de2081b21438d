//! Flight SQL: gRPC calls become plans, plans become streams of batches.
//!
//! ```text
//! service   one short method per RPC: who calls (session), what is asked (command), answer or status
//! command   protobuf Any -> Call                 handle    what a ticket carries, signed
//! prepared  create, bind parameters, close       query     SQL -> plan -> stream; limits and cancellation
//! action    DoAction by name                     running   the queries that stream now
//! metadata  catalogs, schemas, tables, keys      sqlinfo   what this server can do
//! types     Arrow types as SQL names             stream    batches -> FlightData, never collected
//! session   options per client                   status    every fault -> gRPC code, no catch-all
//! ```

mod action;
mod command;
mod fault;
mod handle;
mod metadata;
mod prepared;
mod query;
mod running;
mod service;
mod session;
mod session_message;
mod sqlinfo;
mod status;
mod stream;
mod types;
mod vocabulary;
mod xdbc;

pub(crate) use handle::HandleKey;
pub(crate) use query::Queries;
pub(crate) use running::Running;
pub(crate) use service::FlightSql;

#[cfg(test)]
pub(crate) mod tests;
