//! Where statements are planned and run: threads of their own, with deep stacks.
//!
//! Planning, optimising and evaluating walk trees by recursion. On an ordinary stack a deep tree ends the
//! process; here it has room for everything the limits of `text` let through. A panic ends one statement.
//! And a query that keeps a core busy delays other queries, not the server that answers for them.

use std::future::Future;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::{self, Stream, StreamExt};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::error::{Complaint, Error, Result};

/// Virtual memory: only what is used is ever backed.
const STACK_BYTES: usize = 64 << 20;
/// Batches that wait for a slow reader before the query waits too.
const BATCHES_AHEAD: usize = 2;

/// The threads of one engine; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Workers {
    runtime: Arc<Owned>,
}

/// Ends its threads without waiting for them, which may be asked for on one of them.
#[derive(Debug)]
struct Owned(Option<Runtime>, Handle);

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Workers {
    /// Starts `threads` threads.
    pub(crate) fn start(threads: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("sluice-sql")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|error| {
                Error::ResourcesExhausted(Complaint::new(format!(
                    "cannot start threads for queries: {error}"
                )))
            })?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Arc::new(Owned(Some(runtime), handle)) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.runtime.1
    }

    /// Runs `work` there; when the caller goes away it is aborted.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        tasks.spawn_on(work, self.handle());
        match tasks.join_next().await {
            Some(Ok(outcome)) => outcome,
            Some(Err(error)) => Err(broken(&error)),
            None => Err(Error::Cancelled),
        }
    }

    /// The batches that `source` makes there. It works a little ahead of the reader; dropping the stream
    /// aborts it.
    pub(crate) fn stream<S, F>(&self, schema: SchemaRef, source: F) -> SendableRecordBatchStream
    where
        S: Stream<Item = Result<RecordBatch, DataFusionError>> + Send + 'static,
        F: Future<Output = Result<S, DataFusionError>> + Send + 'static,
    {
        let (batches, received) = mpsc::channel(BATCHES_AHEAD);
        let mut tasks = JoinSet::new();
        tasks.spawn_on(forward(source, batches), self.handle());
        // The stream holds the threads: an engine may be dropped before the last batch is read.
        let state = (received, tasks, self.clone());
        let items = stream::unfold(state, |(mut received, mut tasks, workers)| async move {
            if let Some(item) = received.recv().await {
                return Some((item, (received, tasks, workers)));
            }
            // Without a further batch it has ended, well or by a panic.
            match tasks.join_next().await {
                Some(Err(error)) => Some((Err(broken(&error).into()), (received, tasks, workers))),
                Some(Ok(())) | None => None,
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, items))
    }
}

async fn forward<S, F>(source: F, batches: mpsc::Sender<Result<RecordBatch, DataFusionError>>)
where
    S: Stream<Item = Result<RecordBatch, DataFusionError>> + Send,
    F: Future<Output = Result<S, DataFusionError>> + Send,
{
    let source = match source.await {
        Ok(source) => source,
        // When nobody is left to read the error there is nobody to tell.
        Err(error) => return drop(batches.send(Err(error)).await),
    };
    let mut source = std::pin::pin!(source);
    while let Some(item) = source.next().await {
        let last = item.is_err();
        if batches.send(item).await.is_err() || last {
            break;
        }
    }
}

fn broken(error: &JoinError) -> Error {
    if error.is_cancelled() {
        return Error::Cancelled;
    }
    Error::Internal(
        Complaint::new("the query engine stopped at this statement")
            .remedy("this is a defect; please report the statement"),
    )
}
