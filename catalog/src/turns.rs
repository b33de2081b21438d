//! Turns: the writers of one process commit to a table one after the other.
//!
//! Two that raced would both write a state, one of them for nothing, and the loser would wait at random. A queue
//! is cheaper and fair. It is only a courtesy: whose state counts is decided by the catalog, also between the
//! writers of one process, and who waited too long goes ahead without a turn.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use crate::name::TableName;

/// How long a writer queues for one table. Commits take far less; one that hangs must not hold up the others.
const PATIENCE: Duration = Duration::from_secs(5);

/// Queues by table.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    queues: Mutex<HashMap<TableName, Weak<Queue>>>,
}

type Queue = tokio::sync::Mutex<()>;

/// A writer's turn on some tables, until it is dropped.
#[must_use]
pub(crate) struct Turn {
    _held: Vec<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for a turn on all of these tables.
    pub(crate) async fn take<'a>(&self, tables: impl IntoIterator<Item = &'a TableName>) -> Turn {
        // In one order for all, so that two writers never wait for each other.
        let tables: BTreeSet<_> = tables.into_iter().collect();
        let mut held = Vec::with_capacity(tables.len());
        for table in tables {
            match timeout(PATIENCE, self.queue(table).lock_owned()).await {
                Ok(turn) => held.push(turn),
                Err(_) => tracing::debug!(%table, "a commit goes ahead without waiting for another one"),
            }
        }
        Turn { _held: held }
    }

    fn queue(&self, table: &TableName) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(table).and_then(Weak::upgrade) {
            return queue;
        }
        // Names come from callers: those that nobody waits for are forgotten.
        queues.retain(|_, queue| queue.strong_count() > 0);
        let queue = Arc::new(Queue::new(()));
        queues.insert(table.clone(), Arc::downgrade(&queue));
        queue
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn table(name: &str) -> TableName {
        TableName::new("bronze", name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_has_one_turn_at_a_time_and_others_are_free() {
        let turns = Turns::default();
        let (a, b) = (table("a"), table("b"));
        let first = turns.take([&b, &a]).await;
        let waits = timeout(Duration::from_secs(1), turns.take([&a])).await;
        assert!(waits.is_err());
        drop(turns.take([&table("c")]).await);
        drop(first);
        let second = timeout(Duration::from_secs(1), turns.take([&a, &b])).await;
        assert!(second.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let turns = Turns::default();
        let hangs = turns.take([&table("a")]).await;
        let began = tokio::time::Instant::now();
        drop(turns.take([&table("a")]).await);
        assert_eq!(began.elapsed(), PATIENCE);
        drop(hangs);
    }

    #[tokio::test]
    async fn tables_without_a_writer_are_forgotten() {
        let turns = Turns::default();
        for number in 0..100 {
            drop(turns.take([&table(&format!("t{number}"))]).await);
        }
        assert!(turns.queues.lock().unwrap().len() <= 1);
    }
}
