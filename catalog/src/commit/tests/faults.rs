//! A catalog that does to chosen swaps what networks and databases do.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;

use super::super::landing::{self, Pointers};
use super::*;
use crate::catalogs::{Swap, SwapOutcome};
use crate::commit::Refused;
use crate::error::{Error, Result};
use crate::fixture::at;
use crate::lake::Lake;
use crate::name::TableName;

pub(super) enum Fault {
    /// The swap is done, its reply is lost.
    ReplyLost,
    /// The same, and somebody else commits this before anybody looks.
    ReplyLostThen(Vec<Commit>),
    /// The request is lost: nothing is done, nobody knows.
    RequestLost,
    /// The request arrives only after the next one was answered.
    Late,
    /// The database is busy: nothing is done, and it says so.
    Busy,
    /// Somebody else commits this first.
    Overtaken(Vec<Commit>),
}

/// The lake's pointers, with faults for the first swaps; after each lost message a few loads fail too.
pub(super) struct Faulty<'a> {
    pub(super) lake: &'a Lake,
    faults: Mutex<VecDeque<Fault>>,
    late: Mutex<Option<Vec<Swap>>>,
    deaf: Mutex<u32>,
}

impl<'a> Faulty<'a> {
    pub(super) fn new(lake: &'a Lake, faults: impl IntoIterator<Item = Fault>) -> Self {
        let faults = Mutex::new(faults.into_iter().collect());
        Self { lake, faults, late: Mutex::new(None), deaf: Mutex::new(0) }
    }

    pub(super) async fn commit(&self, commits: &[Commit]) -> Result<CommitOutcome> {
        landing::land(self, self.lake, commits, at(0), Refused::Over).await
    }

    fn no_answer(&self) -> Error {
        Error::Catalog {
            action: "change",
            location: "test".to_owned(),
            cause: "connection reset".to_owned(),
            remedy: "wait",
            transient: true,
        }
    }
}

#[async_trait]
impl Pointers for Faulty<'_> {
    async fn load(&self, table: &TableName) -> Result<TableSnapshot> {
        {
            let mut deaf = self.deaf.lock().unwrap();
            if *deaf > 0 {
                *deaf -= 1;
                return Err(self.no_answer());
            }
        }
        self.lake.load(table).await
    }

    async fn swap(&self, swaps: Vec<Swap>) -> Result<SwapOutcome> {
        let fault = self.faults.lock().unwrap().pop_front();
        let catalog = &self.lake.inner().catalog;
        match fault {
            None => {
                let outcome = catalog.swap(&swaps).await;
                let late = self.late.lock().unwrap().take();
                if let Some(late) = late {
                    assert!(matches!(catalog.swap(&late).await, Ok(SwapOutcome::Lost { .. })));
                }
                outcome
            }
            Some(Fault::ReplyLost) => {
                assert!(matches!(catalog.swap(&swaps).await, Ok(SwapOutcome::Swapped(_))));
                *self.deaf.lock().unwrap() = 2;
                Ok(SwapOutcome::Unknown(self.no_answer()))
            }
            Some(Fault::ReplyLostThen(commits)) => {
                assert!(matches!(catalog.swap(&swaps).await, Ok(SwapOutcome::Swapped(_))));
                assert!(matches!(self.lake.commit(commits, at(0)).await, Ok(CommitOutcome::Committed(_))));
                Ok(SwapOutcome::Unknown(self.no_answer()))
            }
            Some(Fault::RequestLost) => {
                *self.deaf.lock().unwrap() = 2;
                Ok(SwapOutcome::Unknown(self.no_answer()))
            }
            Some(Fault::Late) => {
                *self.late.lock().unwrap() = Some(swaps);
                Ok(SwapOutcome::Unknown(self.no_answer()))
            }
            Some(Fault::Busy) => Err(self.no_answer()),
            Some(Fault::Overtaken(commits)) => {
                assert!(matches!(self.lake.commit(commits, at(0)).await, Ok(CommitOutcome::Committed(_))));
                catalog.swap(&swaps).await
            }
        }
    }
}
