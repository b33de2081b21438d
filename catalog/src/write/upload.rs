//! The way of a file's bytes into the store: one request if small, parts if not.

use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;

use super::file::unusable;
use super::meter::Share;
use crate::error::{Error, Result};
use crate::store::failed;

/// Bytes of one part of an upload; a smaller file is put in one request.
const PART_BYTES: usize = 8 << 20;
/// Parts of one file on their way at the same time.
const PARTS_AT_ONCE: usize = 4;

/// An upload under way; one that is dropped is aborted.
#[derive(Debug)]
pub(super) struct Upload {
    /// None once completed or aborted.
    writer: Option<BufWriter>,
    handed: usize,
    share: Share,
}

impl Upload {
    pub(super) fn new(store: Arc<dyn ObjectStore>, path: Path, share: Share) -> Self {
        let writer = BufWriter::with_capacity(store, path, PART_BYTES).with_max_concurrency(PARTS_AT_ONCE);
        Self { writer: Some(writer), handed: 0, share }
    }

    pub(super) async fn put(&mut self, bytes: Vec<u8>, location: &str) -> Result<()> {
        let Some(writer) = &mut self.writer else { return Err(unusable(location)) };
        let mut bytes = Bytes::from(bytes);
        while !bytes.is_empty() {
            let part = bytes.split_to(PART_BYTES.min(bytes.len()));
            self.handed += part.len();
            // At most the parts on their way and the one being filled are in memory.
            self.share.set(self.handed.min((PARTS_AT_ONCE + 1) * PART_BYTES));
            writer.put(part).await.map_err(|cause| failed("write", location, &cause))?;
        }
        Ok(())
    }

    pub(super) async fn complete(&mut self, location: &str) -> Result<()> {
        let Some(mut writer) = self.writer.take() else { return Err(unusable(location)) };
        let completed = writer.shutdown().await.map_err(|cause| not_completed(location, cause));
        self.share.set(0);
        completed
    }

    pub(super) async fn abort(&mut self, location: &str) {
        if let Some(mut writer) = self.writer.take()
            && let Err(cause) = writer.abort().await
        {
            tracing::warn!(location, %cause, "cannot abort an upload; its parts stay until the store expires them");
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let (Some(mut writer), Ok(runtime)) = (self.writer.take(), Handle::try_current()) {
            // Nobody is left to tell if this fails; the store expires unfinished parts.
            runtime.spawn(async move { writer.abort().await });
        }
    }
}

/// What the store said, on its way through the interfaces of I/O.
fn not_completed(location: &str, cause: std::io::Error) -> Error {
    let text = cause.to_string();
    match cause.into_inner().and_then(|inner| inner.downcast::<object_store::Error>().ok()) {
        Some(cause) => failed("write", location, &cause),
        None => Error::Store {
            action: "write",
            location: location.to_owned(),
            cause: text,
            remedy: "check that the store is reachable, has room and lets this user write",
            transient: true,
        },
    }
}
