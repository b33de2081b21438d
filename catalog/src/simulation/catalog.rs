//! A catalog in memory that loses requests and replies, answers late, and fails at COMMIT. In some lives it moves
//! one pointer at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::dice::{Dice, Fault};
use crate::catalogs::{
    Catalog, Entry, Insert, Kind, NamespaceDropped, Properties, Renamed, State, Swap, SwapOutcome,
};
use crate::error::{Error, Result};
use crate::name::TableName;

#[derive(Debug)]
pub(super) struct FaultyCatalog {
    pointers: Mutex<BTreeMap<String, String>>,
    /// Requests that arrive before a later one.
    late: Mutex<Vec<Vec<Swap>>>,
    dice: Arc<Dice>,
    together: bool,
}

impl FaultyCatalog {
    pub(super) fn new(dice: Arc<Dice>, together: bool) -> Self {
        Self { pointers: Mutex::default(), late: Mutex::default(), dice, together }
    }

    async fn meet(&self, read: bool) -> Option<Fault> {
        tokio::time::sleep(self.dice.delay()).await;
        let fault = self.dice.of_catalog(read);
        // What was delayed arrives at any later moment.
        if self.dice.below(2) == 0 {
            self.deliver();
        }
        fault
    }

    /// Requests that are still on their way arrive.
    pub(super) fn deliver(&self) {
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        for swaps in late {
            let _ = self.apply(&swaps);
        }
    }

    /// All or none, as a database transaction.
    fn apply(&self, swaps: &[Swap]) -> SwapOutcome {
        let mut pointers = self.pointers.lock().unwrap();
        for swap in swaps {
            if pointers.get(&swap.table.to_string()) != Some(&swap.expected) {
                return SwapOutcome::Lost { table: swap.table.clone() };
            }
        }
        let entry = |swap: &Swap| {
            pointers.insert(swap.table.to_string(), swap.new.clone());
            Entry { kind: Kind::Table, location: swap.new.clone(), state: None }
        };
        SwapOutcome::Swapped(swaps.iter().map(entry).collect())
    }
}

fn away() -> Error {
    Error::Catalog {
        action: "change",
        location: "simulation".to_owned(),
        cause: "connection reset".to_owned(),
        remedy: "wait",
        transient: true,
    }
}

#[async_trait]
impl Catalog for FaultyCatalog {
    fn swaps_together(&self) -> bool {
        self.together
    }

    async fn entry(&self, name: &TableName) -> Result<Option<Entry>> {
        if self.meet(true).await.is_some() {
            return Err(away());
        }
        let location = self.pointers.lock().unwrap().get(&name.to_string()).cloned();
        Ok(location.map(|location| Entry { kind: Kind::Table, location, state: None }))
    }

    async fn insert(&self, new: Insert) -> Result<Option<Entry>> {
        let State::Table(_) = new.state else { return Ok(None) };
        self.pointers.lock().unwrap().insert(new.name.to_string(), new.location.clone());
        Ok(Some(Entry { kind: Kind::Table, location: new.location, state: Some(new.state) }))
    }

    async fn swap(&self, swaps: &[Swap]) -> Result<SwapOutcome> {
        assert!(self.together || swaps.len() == 1, "this catalog moves one pointer at a time");
        match self.meet(false).await {
            None => Ok(self.apply(swaps)),
            Some(Fault::After) => match self.apply(swaps) {
                SwapOutcome::Swapped(_) => Ok(SwapOutcome::Unknown(away())),
                lost => Ok(lost),
            },
            Some(Fault::Late) => {
                self.late.lock().unwrap().push(swaps.to_vec());
                Ok(SwapOutcome::Unknown(away()))
            }
            // Half of the lost requests are known to be lost.
            Some(_) if self.dice.below(2) == 0 => Ok(SwapOutcome::Unknown(away())),
            Some(_) => Err(away()),
        }
    }

    async fn namespaces(&self) -> Result<Vec<String>> {
        Ok(vec!["bronze".to_owned()])
    }

    async fn namespace(&self, _: &str) -> Result<Option<Properties>> {
        Ok(Some(Properties::new()))
    }

    async fn create_namespace(&self, _: &str, _: &Properties) -> Result<bool> {
        Ok(false)
    }

    async fn change_namespace(&self, _: &str, _: &[String], _: &Properties) -> Result<bool> {
        Ok(false)
    }

    async fn drop_namespace(&self, _: &str) -> Result<NamespaceDropped> {
        Ok(NamespaceDropped::NotEmpty)
    }

    async fn names(&self, _: &str, _: Kind) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn register(&self, _: &TableName, _: &str) -> Result<Option<Entry>> {
        Ok(None)
    }

    async fn remove(&self, _: &TableName, _: Kind) -> Result<bool> {
        Ok(false)
    }

    async fn rename(&self, _: &TableName, _: &TableName, _: Kind) -> Result<Renamed> {
        Ok(Renamed::Missing)
    }
}
