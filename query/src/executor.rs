//! The threads on which queries are planned and executed, apart from those that serve the network.
//!
//! A plan keeps a core busy for milliseconds at a time. On the network's threads that would delay every
//! other client's keepalives and probes; here it delays other queries only.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// A runtime of its own; dropping it aborts what still runs, without waiting.
#[derive(Debug)]
pub(crate) struct Executor {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Executor {
    /// Starts the threads: `threads` of them, or one per core.
    pub(crate) fn start(threads: Option<NonZeroUsize>) -> io::Result<Self> {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let threads = threads.unwrap_or_else(cores).get();
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(threads).thread_name("sluice-query").enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Starts `work`; dropping the handle aborts it.
    pub(crate) fn spawn<F>(&self, work: F) -> AbortOnDropHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        AbortOnDropHandle::new(self.handle.spawn(work))
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // A runtime that is merely dropped waits for its tasks, which is forbidden on the network's threads.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
