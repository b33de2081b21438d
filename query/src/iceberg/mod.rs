//! `/iceberg`: the Iceberg REST catalog protocol, so that other engines read and write the lake's tables.
//!
//! ```text
//! bearer token (access) -> path and body (names, fault) -> lake -> JSON of the protocol (answer) or its error
//! ```
//!
//! Invariants:
//! - Nothing is decided here: the lake checks requirements, guards offsets and swaps pointers.
//! - A status of 4xx means that nothing was changed; 5xx to a commit means that nobody knows, as clients take it.
//! - No secret leaves but the reader's keys that a setting names for exactly that.
//! - Without tokens only a loopback address is served.

mod access;
mod answer;
mod commits;
mod fault;
mod names;
mod namespaces;
mod tables;
mod views;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use sluice_catalog::Lake;

use crate::settings::IcebergSettings;
use access::Tokens;
use fault::Fault;

/// The largest body: a commit names files by one manifest list, so it stays small whatever it adds.
const BODY_BYTES_MAX: usize = 16 << 20;

/// What the handlers answer from.
#[derive(Clone)]
pub(crate) struct Catalog {
    lake: Lake,
    tokens: Arc<Tokens>,
    settings: Arc<IcebergSettings>,
}

impl Catalog {
    pub(crate) fn new(lake: Lake, settings: IcebergSettings, address: SocketAddr) -> Self {
        let tokens = Tokens::new(&settings.tokens, address);
        Self { lake, tokens: Arc::new(tokens), settings: Arc::new(settings) }
    }
}

/// All routes of the protocol, below the prefix that the caller gives them.
pub(crate) fn router<S>(catalog: Catalog) -> Router<S> {
    let namespace = get(namespaces::load).head(namespaces::exists).delete(namespaces::drop);
    let table = get(tables::load).head(tables::exists).post(commits::commit_table).delete(tables::drop);
    let view = get(views::load).head(views::exists).post(views::change).delete(views::drop);
    Router::new()
        .route("/v1/config", get(answer::config))
        .route("/v1/namespaces", get(namespaces::list).post(namespaces::create))
        .route("/v1/namespaces/{namespace}", namespace)
        .route("/v1/namespaces/{namespace}/properties", post(namespaces::change))
        .route("/v1/namespaces/{namespace}/tables", get(tables::list).post(tables::create))
        .route("/v1/namespaces/{namespace}/tables/{table}", table)
        .route("/v1/namespaces/{namespace}/tables/{table}/credentials", get(tables::credentials))
        .route("/v1/namespaces/{namespace}/tables/{table}/metrics", post(tables::report))
        .route("/v1/namespaces/{namespace}/register", post(tables::register))
        .route("/v1/tables/rename", post(tables::rename))
        .route("/v1/transactions/commit", post(commits::commit_transaction))
        .route("/v1/namespaces/{namespace}/views", get(views::list).post(views::create))
        .route("/v1/namespaces/{namespace}/views/{view}", view)
        .route("/v1/views/rename", post(views::rename))
        .fallback(async || Fault::unsupported("this catalog has no such endpoint"))
        .method_not_allowed_fallback(async || Fault::unsupported("this endpoint has no such method"))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(catalog.clone(), access::check))
        .with_state(catalog)
}

#[cfg(test)]
mod tests;
