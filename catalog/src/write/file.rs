//! One open Parquet file: an encoder that works on blocking threads, and the upload of what it has encoded.
//!
//! ```text
//! encode(batch):  wait for the batch before -> hand its bytes to the upload -> start this batch -> return
//! ```
//!
//! So one batch is encoded while the caller prepares the next, and never more than one.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use iceberg::spec::{DataFile, SchemaRef as TableSchemaRef, Struct};
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::file::properties::WriterProperties;
use tokio::task::{JoinError, JoinHandle};
use uuid::Uuid;

use super::encoder::Encoder;
use super::meter::{Meter, Share};
use super::metrics::{self, ClosedFile, Content};
use super::upload::Upload;
use crate::error::{Error, Result};

/// What all files of a writer have in common.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) table_uuid: Uuid,
    /// The folder of the table's data files.
    pub(super) location: String,
    pub(super) token: Uuid,
    pub(super) arrow_schema: SchemaRef,
    pub(super) schema: TableSchemaRef,
    pub(super) spec_id: i32,
    /// How files are encoded, before their first rows are known.
    pub(super) properties: WriterProperties,
    /// Threads that encode the columns of one file.
    pub(super) threads: usize,
}

/// A file that takes rows.
#[derive(Debug)]
pub(super) struct OpenFile {
    target: Arc<Target>,
    number: usize,
    partition: Struct,
    location: String,
    content: Content,
    state: State,
    upload: Upload,
    /// Batch under way, row group in progress, and bytes not yet handed to the upload.
    encoding: Arc<Share>,
    encoded: usize,
    last_use: u64,
}

#[derive(Debug)]
enum State {
    Idle(Box<Encoder>),
    Busy(JoinHandle<Result<(Box<Encoder>, Vec<u8>)>>),
    /// A step failed; the file is worth nothing.
    Broken,
}

impl OpenFile {
    pub(super) fn new(
        target: Arc<Target>,
        meter: Arc<Meter>,
        number: usize,
        partition: Struct,
        location: String,
        path: Path,
    ) -> Self {
        let encoder = Encoder::new(&target, meter.clone(), &location);
        let upload = Upload::new(target.store.clone(), path, Share::new(meter.clone()));
        Self {
            number,
            partition,
            content: Content::Rows,
            state: State::Idle(Box::new(encoder)),
            upload,
            encoding: Arc::new(Share::new(meter)),
            encoded: 0,
            last_use: 0,
            location,
            target,
        }
    }

    /// Says what the file holds, if not rows.
    pub(super) fn holding(mut self, content: Content) -> Self {
        self.content = content;
        self
    }

    /// Starts encoding `rows`; their order in the file is the order of the calls.
    pub(super) async fn encode(&mut self, rows: RecordBatch, now: u64) -> Result<()> {
        self.last_use = now;
        self.idle().await?;
        self.encoding.set(self.encoding.get() + slice_bytes(&rows));
        self.start(move |encoder| encoder.encode(&rows))
    }

    /// Ends the row group in progress and hands it to the upload, to free its memory.
    pub(super) async fn cut(&mut self) -> Result<()> {
        self.idle().await?;
        self.start(Encoder::cut)?;
        self.idle().await
    }

    /// Waits for the encoder and hands over what it has encoded.
    pub(super) async fn idle(&mut self) -> Result<()> {
        if let State::Busy(job) = &mut self.state {
            let done = job.await;
            self.state = State::Broken;
            let (encoder, bytes) = done.map_err(|cause| broke_off(&cause))??;
            self.encoded = encoder.encoded_bytes();
            self.encoding.set(encoder.memory_bytes());
            self.upload.put(bytes, &self.location).await?;
            self.state = State::Idle(encoder);
        }
        Ok(())
    }

    /// Bytes of the file so far: written, and the estimate of the row group in progress.
    pub(super) fn encoded_bytes(&self) -> usize {
        self.encoded
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.encoding.get()
    }

    pub(super) fn last_use(&self) -> u64 {
        self.last_use
    }

    /// Writes the footer, completes the upload and describes the file.
    pub(super) async fn close(mut self) -> Result<(usize, DataFile)> {
        self.idle().await?;
        let location = self.location.clone();
        let State::Idle(encoder) = std::mem::replace(&mut self.state, State::Broken) else {
            return Err(unusable(&location));
        };
        let end = blocking(move || encoder.finish()).await?;
        self.encoding.set(end.rest.len());
        self.upload.put(end.rest, &location).await?;
        self.encoding.set(0);
        self.upload.complete(&location).await?;
        let file = ClosedFile {
            location,
            bytes: end.bytes,
            partition: self.partition.clone(),
            spec_id: self.target.spec_id,
            nan_counts: end.nan_counts,
            content: self.content.clone(),
        };
        Ok((self.number, metrics::data_file(&self.target.schema, &end.footer, file)?))
    }

    /// Gives the file up; nothing of it stays in the store.
    pub(super) async fn abort(mut self) {
        if let State::Busy(job) = &mut self.state {
            // The encoder cannot be interrupted; its result is of no use.
            drop(job.await);
        }
        self.upload.abort(&self.location).await;
    }

    fn start(&mut self, step: impl FnOnce(&mut Encoder) -> Result<()> + Send + 'static) -> Result<()> {
        let State::Idle(mut encoder) = std::mem::replace(&mut self.state, State::Broken) else {
            return Err(unusable(&self.location));
        };
        let encoding = self.encoding.clone();
        self.state = State::Busy(tokio::task::spawn_blocking(move || {
            step(&mut encoder)?;
            let bytes = encoder.take_bytes();
            encoding.set(encoder.memory_bytes() + bytes.len());
            Ok((encoder, bytes))
        }));
        Ok(())
    }
}

/// Runs CPU work where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|cause| broke_off(&cause))?
}

/// A task that panicked or was cancelled by a runtime that shuts down.
pub(super) fn broke_off(cause: &JoinError) -> Error {
    Error::File {
        subject: "data file".to_owned(),
        fact: format!("writing it broke off: {cause}"),
        remedy: "write the batch again; report it if the program is not shutting down",
    }
}

pub(super) fn unusable(location: &str) -> Error {
    Error::File {
        subject: location.to_owned(),
        fact: "an earlier step of writing it failed".to_owned(),
        remedy: "write the rows again with a new writer",
    }
}

/// Bytes that the rows take, not the buffers they are a slice of.
fn slice_bytes(rows: &RecordBatch) -> usize {
    rows.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum()
}
