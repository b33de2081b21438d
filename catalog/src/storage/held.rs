//! Files that are written together: held back until all are known, then stored at the same time.
//!
//! A commit makes a few small files of which each names the one before: manifests, their list, the metadata. Only
//! the names and lengths go into the next one, so none has to be stored before the next is made. Stored one after
//! the other they cost a round trip each, stored together they cost one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::future::join_all;
use iceberg::io::{FileIO, FileIOBuilder};

use super::LakeStorage;
use crate::error::Result;

/// Beyond so many bytes held back a file is stored when it is written.
const BYTES_MAX: usize = 32 << 20;

/// A store in which small files wait until [`Held::store`].
#[derive(Debug)]
pub(crate) struct Held {
    io: FileIO,
    storage: LakeStorage,
    files: Arc<HeldFiles>,
}

#[derive(Debug, Default)]
pub(super) struct HeldFiles {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<(String, Bytes)>,
    bytes: usize,
    /// Locations that were sent to the store, whether they arrived or not.
    begun: Vec<String>,
}

impl HeldFiles {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a file back; gives it back when there are too many bytes already: it is to be stored now.
    pub(super) fn hold(&self, location: &str, bytes: Bytes) -> Option<Bytes> {
        let mut state = self.state();
        if state.bytes + bytes.len() > BYTES_MAX {
            state.begun.push(location.to_owned());
            return Some(bytes);
        }
        state.bytes += bytes.len();
        state.waiting.push((location.to_owned(), bytes));
        None
    }
}

impl LakeStorage {
    /// The same store, with small files held back.
    pub(crate) fn held(&self) -> Held {
        let files = Arc::new(HeldFiles::default());
        let holding = Self { held: Some(files.clone()), ..self.clone() };
        let io = FileIOBuilder::new(Arc::new(holding)).build();
        Held { io, storage: self.clone(), files }
    }
}

impl Held {
    /// What writes are held back of.
    pub(crate) fn io(&self) -> &FileIO {
        &self.io
    }

    /// Holds a file back.
    pub(crate) async fn write(&self, location: &str, bytes: Bytes) -> Result<()> {
        match self.files.hold(location, bytes) {
            None => Ok(()),
            Some(bytes) => self.storage.write_object(location, bytes).await,
        }
    }

    /// Stores what waits, all at the same time. When it returns, nothing is on its way any more.
    ///
    /// # Errors
    /// That of one of the files that could not be stored; the others may have been.
    pub(crate) async fn store(&self) -> Result<()> {
        let waiting = {
            let mut state = self.files.state();
            let waiting = std::mem::take(&mut state.waiting);
            state.begun.extend(waiting.iter().map(|(location, _)| location.clone()));
            state.bytes = 0;
            waiting
        };
        let writes =
            waiting.iter().map(|(location, bytes)| self.storage.write_object(location, bytes.clone()));
        join_all(writes).await.into_iter().collect()
    }

    /// Every location that was sent to the store.
    pub(crate) fn begun(&self) -> Vec<String> {
        self.files.state().begun.clone()
    }
}
