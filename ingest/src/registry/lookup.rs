//! Schemas for the decode threads: asked for once, kept for the life of the process.
//!
//! A thread that needs a schema waits for it. While the registry is silent it is asked again with growing
//! pauses; when patience ends, the session ends with an error that waiting may cure and begins again from
//! the tables. So an outage delays messages and never judges them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::{Registry, SchemaText};
use crate::error::{Error, Result};

/// How long an id that the registry does not know is believed to be unknown.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// Ids that are kept; beyond it the map is emptied, because only damaged messages name so many.
const IDS_MAX: usize = 20_000;

/// What the registry says of an id.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// The schema.
    Schema(Arc<SchemaText>),
    /// There is none.
    Unknown,
    /// One that cannot be used, and why.
    Unusable(Arc<str>),
}

/// How a silent registry is asked again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// The first pause; each is twice the one before.
    pub(crate) first: Duration,
    /// The longest pause.
    pub(crate) longest: Duration,
    /// How often it is asked in all.
    pub(crate) asks: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(2), asks: 9 }
    }
}

/// Schemas by id, for threads that may block.
#[derive(Debug)]
pub(crate) struct Lookup {
    registry: Registry,
    runtime: Handle,
    patience: Patience,
    known: Mutex<HashMap<u32, (Found, Instant)>>,
}

impl Lookup {
    /// Must be called inside of the runtime that makes the requests.
    pub(crate) fn new(registry: Registry, patience: Patience) -> Self {
        Self { registry, runtime: Handle::current(), patience, known: Mutex::default() }
    }

    /// The schema of an id; blocks, so never to be called by an asynchronous task.
    ///
    /// # Errors
    /// When the registry stays silent or refuses to answer.
    pub(crate) fn schema(&self, id: u32) -> Result<Found> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        match known {
            Some((Found::Unknown, asked)) if asked.elapsed() > UNKNOWN_FOR => {}
            Some((found, _)) => return Ok(found),
            None => {}
        }
        let found = self.runtime.block_on(self.ask(id))?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= IDS_MAX {
            known.clear();
        }
        known.insert(id, (found.clone(), Instant::now()));
        Ok(found)
    }

    async fn ask(&self, id: u32) -> Result<Found> {
        let mut pause = self.patience.first;
        let mut asked = 1;
        loop {
            match self.registry.schema(id).await {
                Ok(Some(schema)) => return Ok(Found::Schema(Arc::new(schema))),
                Ok(None) => return Ok(Found::Unknown),
                Err(Error::Schema { fact, .. }) => return Ok(Found::Unusable(fact.into())),
                Err(error) if error.is_transient() && asked < self.patience.asks => {
                    tracing::warn!(%error, id, ?pause, "a schema is waited for");
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.patience.longest);
            asked += 1;
        }
    }
}
