//! The edge of the process: the only place that reads the clock and draws ids; everything below takes them as
//! arguments.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The current time.
pub(crate) fn now() -> DateTime<Utc> {
    #[expect(clippy::disallowed_methods, reason = "the edge is where the clock is read")]
    Utc::now()
}

/// A new id, ordered by time.
pub(crate) fn new_id() -> Uuid {
    #[expect(clippy::disallowed_methods, reason = "the edge is where ids are drawn")]
    Uuid::now_v7()
}
