//! The threads on which queries are planned and executed, apart from those that serve the network.
//!
//! A plan keeps a core busy for milliseconds at a time. On the network's threads that would delay every
//! other client's keepalives and probes; here it delays other queries only.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// A runtime of its own; dropping it aborts what still runs, without waiting.
#[derive(Debug)]
pub(crate) struct Executor {
    runtime: Option<Runtime>,
}

impl Executor {
    /// Starts the threads: `threads` of them, or one per core.
    pub(crate) fn start(threads: Option<NonZeroUsize>) -> io::Result<Self> {
        let threads =
            threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("sluice-query")
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Starts `work`; dropping the handle aborts it.
    pub(crate) fn spawn<F>(&self, work: F) -> AbortOnDropHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let task = match &self.runtime {
            Some(runtime) => runtime.spawn(work),
            // Only `drop` takes the runtime; until then this arm is not reached.
            None => tokio::spawn(work),
        };
        AbortOnDropHandle::new(task)
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
