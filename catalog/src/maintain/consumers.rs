//! Who still needs history: tables that are built from other tables, increment by increment.
//!
//! Such a table keeps, for each input, the snapshot up to which it has read ([`CURSOR`]` + input`). What came
//! after that snapshot is known only as long as the input keeps the snapshots between; when they expire, the
//! next build must begin from nothing.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::lake::Lake;
use crate::name::TableName;

/// Prefix of the property that says up to which snapshot of an input a table was built; the input's name
/// follows.
pub const CURSOR: &str = "sluice.cursor.";

/// The snapshots that other tables stand at, by input.
#[derive(Clone, Debug, Default)]
pub struct Cursors {
    by_input: BTreeMap<String, Vec<i64>>,
}

impl Cursors {
    /// Looks through the properties of all tables.
    ///
    /// # Errors
    /// When a table's state cannot be read: what it needs is not known then, and nothing may expire.
    pub async fn of(lake: &Lake) -> Result<Self> {
        let mut cursors = Self::default();
        for namespace in lake.namespaces().await? {
            for name in lake.tables(&namespace).await? {
                let Some(table) = lake.find(&name).await? else { continue };
                for (key, value) in table.metadata().properties() {
                    cursors.add(key, value);
                }
            }
        }
        Ok(cursors)
    }

    fn add(&mut self, key: &str, value: &str) {
        if let Some(input) = key.strip_prefix(CURSOR)
            && let Ok(snapshot) = value.parse()
        {
            self.by_input.entry(input.to_owned()).or_default().push(snapshot);
        }
    }

    /// The snapshots of `table` that others stand at.
    pub(super) fn at(&self, table: &TableName) -> &[i64] {
        self.by_input.get(&table.to_string()).map_or(&[], Vec::as_slice)
    }
}
