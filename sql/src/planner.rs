//! Where plans are made: on a thread with a deep stack, a few at a time.
//!
//! Parsing, planning and optimising walk trees by recursion. On a worker thread's stack a deep tree ends
//! the process; here it has room for everything the limits of `text` let through. A panic in a rule ends
//! that thread alone.

use std::future::Future;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use crate::error::{Complaint, Error, Result};

const STACK_BYTES: usize = 64 << 20;
/// Plans made at the same time; further statements wait.
const PLANNERS_MAX: usize = 16;
/// The most nodes in a plan once views and WITH queries are put in place of their names. Each use of such a
/// name repeats its plan, so a short text can grow without bound.
const NODES_MAX: usize = 20_000;

/// Gives planning its threads.
#[derive(Debug)]
pub(crate) struct Planner {
    places: Semaphore,
}

impl Default for Planner {
    fn default() -> Self {
        Self { places: Semaphore::new(PLANNERS_MAX) }
    }
}

impl Planner {
    /// Runs `work` to its end on a deep stack. When the caller goes away the work still ends, unheard.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let _place = self.places.acquire().await.map_err(|_| Error::Cancelled)?;
        let runtime = Handle::current();
        let (answer, answered) = oneshot::channel();
        std::thread::Builder::new()
            .name("sluice-planner".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                // A caller that went away is no error.
                drop(answer.send(runtime.block_on(work)));
            })
            .map_err(|error| {
                Error::ResourcesExhausted(Complaint::new(format!("cannot start a planner thread: {error}")))
            })?;
        answered.await.unwrap_or_else(|_| {
            Err(Error::Internal(
                Complaint::new("the planner stopped at this statement")
                    .remedy("this is a defect; please report the statement"),
            ))
        })
    }
}

/// Refuses a plan that grew beyond what can be optimised in reasonable time.
pub(crate) fn check_size(plan: &LogicalPlan) -> Result<()> {
    let mut nodes = 0_usize;
    plan.apply_with_subqueries(|_| {
        nodes += 1;
        Ok(if nodes > NODES_MAX { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if nodes > NODES_MAX {
        let message = format!("the statement unfolds to more than {NODES_MAX} steps");
        let remedy = "build the WITH queries or views that are used repeatedly as tables";
        return Err(Error::Plan(Complaint::new(message).remedy(remedy)));
    }
    Ok(())
}
