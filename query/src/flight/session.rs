//! Sessions: the one thing a client may set is the namespace of unqualified names.
//!
//! ```text
//! who calls:  cookie `arrow_flight_session_id`, else the bearer token, else nobody (no session)
//! namespace:  header `schema` (or `database`) of the call, else the session's, else none
//! ```
//!
//! JDBC and ODBC keep cookies; ADBC does so only when told, hence the token. A session that was not used
//! for a day is forgotten, and so is the least recently used one when there are too many.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tonic::metadata::MetadataMap;

const COOKIE: &str = "arrow_flight_session_id";
const SESSIONS_MAX: usize = 4096;
/// Longer values are ignored: they would only fill the memory.
const HEADER_BYTES_MAX: usize = 1024;
const IDLE_MAX: Duration = Duration::from_secs(24 * 3600);

/// All sessions of this server.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    entries: Mutex<HashMap<String, Entry>>,
}

#[derive(Debug)]
struct Entry {
    namespace: String,
    used: Instant,
}

/// What is known of the client that makes a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The key of its session, whether or not there is one.
    pub(crate) key: Option<String>,
    /// The namespace of unqualified names; empty for the default.
    pub(crate) namespace: String,
}

impl Sessions {
    /// Who makes the call with these headers.
    pub(crate) fn caller(&self, headers: &MetadataMap) -> Caller {
        let key = cookie(headers).or_else(|| bearer(headers).map(|token| format!("bearer {token}")));
        let asked = ["schema", "database"].into_iter().find_map(|name| text(headers, name));
        let namespace = match (asked, &key) {
            (Some(asked), _) => asked.to_owned(),
            (None, Some(key)) => self.namespace(key),
            (None, None) => String::new(),
        };
        Caller { key, namespace }
    }

    /// Sets a session's namespace, making the session if there is none.
    pub(crate) fn set_namespace(&self, key: &str, namespace: &str) {
        let now = Instant::now();
        let mut entries = self.lock();
        entries.retain(|_, entry| now.duration_since(entry.used) < IDLE_MAX);
        if entries.len() >= SESSIONS_MAX && !entries.contains_key(key) {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                entries.remove(&oldest);
            }
        }
        entries.insert(key.to_owned(), Entry { namespace: namespace.to_owned(), used: now });
    }

    /// Forgets a session; one that is not known is none the less closed.
    pub(crate) fn close(&self, key: &str) {
        self.lock().remove(key);
    }

    fn namespace(&self, key: &str) -> String {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(key) else { return String::new() };
        entry.used = Instant::now();
        entry.namespace.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        // Every change is one call on the map, so a poisoned lock guards a sound map.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The header that gives a client the session `id`.
pub(crate) fn set_cookie(id: &str) -> String {
    format!("{COOKIE}={id}")
}

/// The key of the session whose cookie holds `id`.
pub(crate) fn cookie_key(id: &str) -> String {
    format!("cookie {id}")
}

fn cookie(headers: &MetadataMap) -> Option<String> {
    let cookies = headers.get_all("cookie");
    cookies.iter().filter_map(|value| value.to_str().ok()).flat_map(|line| line.split(';')).find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == COOKIE && value.len() <= HEADER_BYTES_MAX)
            .then(|| cookie_key(value.trim().trim_matches('"')))
    })
}

/// The bearer token a call carries.
pub(crate) fn bearer(headers: &MetadataMap) -> Option<&str> {
    let value = text(headers, "authorization")?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn text<'h>(headers: &'h MetadataMap, name: &str) -> Option<&'h str> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty() && value.len() <= HEADER_BYTES_MAX).then_some(value)
}
