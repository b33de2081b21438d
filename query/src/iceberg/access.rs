//! Who may enter: bearer tokens, compared by their hashes in constant time.

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sluice_catalog::Secret;

use super::Catalog;
use super::fault::Fault;

/// The tokens that are taken, as hashes.
pub(super) struct Tokens {
    hashes: Vec<blake3::Hash>,
    /// Without tokens everybody on this machine may enter, and nobody else.
    loopback: bool,
}

impl Tokens {
    pub(super) fn new(tokens: &[Secret], address: SocketAddr) -> Self {
        let hashes = tokens.iter().map(|token| blake3::hash(token.reveal().as_bytes())).collect();
        Self { hashes, loopback: address.ip().is_loopback() }
    }

    pub(super) fn admit(&self, offered: Option<&str>) -> Result<(), &'static str> {
        if self.hashes.is_empty() {
            return match self.loopback {
                true => Ok(()),
                false => {
                    Err("this catalog is open to other machines only with tokens: set serve.tokens_file")
                }
            };
        }
        let offered = offered.ok_or("a bearer token is needed")?;
        // Hashes of equal length are compared in constant time, and all of them.
        let offered = blake3::hash(offered.as_bytes());
        match self.hashes.iter().fold(false, |found, hash| (*hash == offered) | found) {
            true => Ok(()),
            false => Err("this token is not known"),
        }
    }
}

/// Lets a request through or answers it with 401.
pub(super) async fn check(State(catalog): State<Catalog>, request: Request, next: Next) -> Response {
    let header = request.headers().get(AUTHORIZATION).and_then(|header| header.to_str().ok());
    let token = header.and_then(|header| {
        let (scheme, token) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match catalog.tokens.admit(token) {
        Ok(()) => next.run(request).await,
        Err(why) => Fault::unauthorized(why).into_response(),
    }
}
