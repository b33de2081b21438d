//! Handles of statements and tickets of results: they carry their whole state, so the server keeps none.
//!
//! ```text
//! handle = BLAKE3 keyed hash (32 bytes) | protobuf State
//! ```
//!
//! A reused JDBC statement prepares anew each time and never closes the handle before; nothing can leak
//! here. The key is drawn when the server starts, so a handle of another process is refused instead of
//! being trusted. Handles are not secret: they hold what the client itself sent.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use uuid::Uuid;

use super::fault::{Fault, Result};

const MAC_BYTES: usize = 32;

/// What a handle says.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct State {
    /// The SQL text as the client sent it.
    #[prost(string, tag = "1")]
    pub(crate) sql: String,
    /// The namespace that unqualified names belong to; empty for the default.
    #[prost(string, tag = "2")]
    pub(crate) namespace: String,
    /// The bound row as an Arrow IPC stream; empty when nothing is bound.
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) parameters: Bytes,
    /// The id under which the query can be cancelled: 16 bytes in a ticket, none in a prepared handle.
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) query: Bytes,
}

impl State {
    /// The query's id, if this is a ticket.
    pub(crate) fn query_id(&self) -> Option<Uuid> {
        Uuid::from_slice(&self.query).ok()
    }

    /// The same statement as a ticket of its own.
    pub(crate) fn as_ticket(&self, query: Uuid) -> Self {
        Self { query: Bytes::copy_from_slice(query.as_bytes()), ..self.clone() }
    }
}

/// The key that signs handles.
#[derive(Clone)]
pub(crate) struct HandleKey([u8; 32]);

impl HandleKey {
    /// A key made of 32 bytes that nobody else knows.
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The handle of `state`.
    pub(crate) fn seal(&self, state: &State) -> Bytes {
        let body = state.encode_to_vec();
        let mut handle = BytesMut::with_capacity(MAC_BYTES + body.len());
        handle.put_slice(blake3::keyed_hash(&self.0, &body).as_bytes());
        handle.put_slice(&body);
        handle.freeze()
    }

    /// What `handle` says, if it was sealed with this key. The comparison takes constant time.
    pub(crate) fn open(&self, handle: &[u8]) -> Result<State> {
        let (mac, body) = handle.split_first_chunk::<MAC_BYTES>().ok_or(Fault::UnknownHandle)?;
        if blake3::keyed_hash(&self.0, body) != blake3::Hash::from_bytes(*mac) {
            return Err(Fault::UnknownHandle);
        }
        State::decode(body).map_err(|_| Fault::UnknownHandle)
    }
}

impl std::fmt::Debug for HandleKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HandleKey(***)")
    }
}
