//! Malformed messages on purpose: each kind is one that must end in the dead letters, whole and with its cause.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::Serialize;

use super::shop::Stream;

/// How a message was made malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The second half is missing.
    Truncated,
    /// A byte inside a text is no UTF-8.
    InvalidUtf8,
    /// The timestamp is a word.
    WrongType,
    /// `event_id` is not there.
    MissingField,
    /// The event type is one that no table takes; only in `user-events`, whose routes go by type.
    UnknownEventType,
    /// Two events in one message.
    TwoObjects,
    /// The event is inside an array.
    NotAnObject,
}

impl Fault {
    const ALL: [Self; 7] = [
        Self::Truncated,
        Self::InvalidUtf8,
        Self::WrongType,
        Self::MissingField,
        Self::UnknownEventType,
        Self::TwoObjects,
        Self::NotAnObject,
    ];
}

/// Chooses which messages are spoilt, from a random sequence of its own: the good messages of a run are
/// the same whatever share is spoilt.
#[derive(Debug)]
pub(super) struct Spoiler {
    rng: ChaCha8Rng,
    /// Out of 2^32.
    share: u32,
}

impl Spoiler {
    /// Spoils this share (0 to 1) of the messages.
    pub(super) fn new(seed: u64, share: f64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(1);
        Self { rng, share: (share.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u32 }
    }

    /// Perhaps spoils a message.
    pub(super) fn pass(&mut self, stream: Stream, payload: &mut Vec<u8>) -> Option<Fault> {
        if self.share == 0 || self.rng.next_u32() > self.share {
            return None;
        }
        let mut fault = Fault::ALL[self.rng.next_u32() as usize % Fault::ALL.len()];
        if fault == Fault::UnknownEventType && stream != Stream::UserEvents {
            fault = Fault::MissingField;
        }
        spoil(fault, payload);
        Some(fault)
    }
}

/// Relies on the first fields that `encode.rs` writes: `{"event_id":"...","event_type":"...","timestamp":...`.
pub(super) fn spoil(fault: Fault, payload: &mut Vec<u8>) {
    match fault {
        Fault::Truncated => payload.truncate(payload.len() / 2),
        Fault::InvalidUtf8 => payload[b"{\"event_id\":\"".len()] = 0xff,
        Fault::WrongType => replace(payload, b"\"timestamp\":", b",", b"\"soon\""),
        Fault::MissingField => replace(payload, b"{", b"\"event_type\"", b""),
        Fault::UnknownEventType => replace(payload, b"\"event_type\":\"", b"\"", b"teleport"),
        Fault::TwoObjects => payload.extend_from_within(..),
        Fault::NotAnObject => {
            payload.insert(0, b'[');
            payload.push(b']');
        }
    }
}

/// Puts `new` between the first `before` and the `after` that follows it.
fn replace(payload: &mut Vec<u8>, before: &[u8], after: &[u8], new: &[u8]) {
    let find = |from: usize, what: &[u8]| {
        payload[from..].windows(what.len()).position(|window| window == what).map(|at| from + at)
    };
    let Some(start) = find(0, before).map(|at| at + before.len()) else { return };
    let Some(end) = find(start, after) else { return };
    payload.splice(start..end, new.iter().copied());
}
