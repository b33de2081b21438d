//! The queries that stream now: how many there may be, and how each is cancelled.
//!
//! ```text
//! stop (server) --child--> query (all streams of one ticket) --> the task that pumps its batches
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::fault::{Fault, Result};

/// The register of running queries.
#[derive(Debug)]
pub(crate) struct Running {
    queries: Mutex<HashMap<Uuid, Entry>>,
    slots: Arc<Semaphore>,
    slots_max: usize,
    wait_max: Duration,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Entry {
    cancel: CancellationToken,
    // One ticket may be redeemed by several connections at the same time.
    streams: usize,
}

/// One stream's place in the register; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Slot {
    running: Arc<Running>,
    query: Option<Uuid>,
    cancel: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Running {
    /// A register of at most `slots_max` streams; cancelling `stop` cancels all of them.
    pub(crate) fn new(slots_max: usize, wait_max: Duration, stop: CancellationToken) -> Arc<Self> {
        let slots = Arc::new(Semaphore::new(slots_max));
        Arc::new(Self { queries: Mutex::default(), slots, slots_max, wait_max, stop })
    }

    /// Waits for a place; refused when none comes free in time.
    pub(crate) async fn enter(self: &Arc<Self>, query: Option<Uuid>) -> Result<Slot> {
        let permit = tokio::select! {
            () = self.stop.cancelled() => return Err(Fault::Stopping),
            permit = tokio::time::timeout(self.wait_max, Arc::clone(&self.slots).acquire_owned()) => permit,
        };
        let Ok(Ok(permit)) = permit else {
            return Err(Fault::Busy { max: self.slots_max, waited: self.wait_max });
        };
        let cancel = match query {
            Some(query) => {
                let mut queries = self.lock();
                let entry = queries
                    .entry(query)
                    .or_insert_with(|| Entry { cancel: self.stop.child_token(), streams: 0 });
                entry.streams += 1;
                entry.cancel.clone()
            }
            None => self.stop.child_token(),
        };
        metrics::gauge!("sluice_flight_active_streams").increment(1);
        Ok(Slot { running: Arc::clone(self), query, cancel, _permit: permit })
    }

    /// Cancels a query; its streams end with CANCELLED.
    pub(crate) fn cancel(&self, query: Uuid) -> Result<()> {
        let cancel = self.lock().get(&query).map(|entry| entry.cancel.clone()).ok_or(Fault::NotRunning)?;
        cancel.cancel();
        Ok(())
    }

    /// Streams that are open now.
    pub(crate) fn count(&self) -> usize {
        self.slots_max - self.slots.available_permits()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Entry>> {
        // Every change of the map is complete before the lock is released, so a poisoned one is sound.
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Resolves when the query is cancelled, and says by whom.
    pub(crate) async fn cancelled(&self) -> Fault {
        self.cancel.cancelled().await;
        match self.running.stop.is_cancelled() {
            true => Fault::Stopping,
            false => Fault::Cancelled,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        metrics::gauge!("sluice_flight_active_streams").decrement(1);
        let Some(query) = self.query else { return };
        let mut queries = self.running.lock();
        if let Some(entry) = queries.get_mut(&query) {
            entry.streams -= 1;
            if entry.streams == 0 {
                queries.remove(&query);
            }
        }
    }
}
