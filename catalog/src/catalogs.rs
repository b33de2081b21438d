//! Catalogs: who says which metadata file is the current state of each table and view.
//!
//! | catalog | pointers move by | metadata files are written by |
//! |---|---|---|
//! | SQLite, PostgreSQL ([`sql`]) | one database transaction for all tables | Sluice, before the swap |
//! | Iceberg REST ([`rest`]) | requirements and updates, one request for all tables | the server |
//!
//! Invariants:
//! - A pointer moves by compare-and-swap only: from the state the change was staged on, to the next.
//! - Several pointers of one swap move together or not at all; a catalog that cannot do so says it.
//! - Whether a change holds is one of three answers: swapped, lost, unknown. An error means that nothing changed.

mod postgres;
mod rest;
mod sql;
mod sqlite;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use iceberg::spec::{TableMetadata, ViewMetadata};
use iceberg::{TableRequirement, TableUpdate, ViewUpdate};

use crate::error::{Error, Result};
use crate::name::TableName;
use crate::settings::{CatalogSettings, LakeSettings};
use crate::store::vended::Keyring;

use rest::RestCatalog;
use sql::SqlCatalog;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A table.
    Table,
    /// A view.
    View,
}

impl Kind {
    /// The noun with its article, for messages.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Table => "a table",
            Self::View => "a view",
        }
    }
}

/// A state, where the catalog handed it out together with its location.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// Of a table.
    Table(Arc<TableMetadata>),
    /// Of a view.
    View(Arc<ViewMetadata>),
}

impl State {
    /// What it is a state of.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Table(_) => Kind::Table,
            Self::View(_) => Kind::View,
        }
    }
}

/// What the catalog holds under a name.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Table or view.
    pub(crate) kind: Kind,
    /// The metadata file that is its current state.
    pub(crate) location: String,
    /// The content of that file, where the catalog said it too.
    pub(crate) state: Option<State>,
}

/// A name that is new to the catalog.
#[derive(Clone, Debug)]
pub(crate) struct Insert {
    /// The name.
    pub(crate) name: TableName,
    /// Its first metadata file; written already, unless the catalog writes such files itself.
    pub(crate) location: String,
    /// Its first state.
    pub(crate) state: State,
}

/// A change in the terms of the Iceberg REST protocol.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// To a table.
    Table {
        /// What must hold on the table.
        requirements: Vec<TableRequirement>,
        /// What is done to it.
        updates: Vec<TableUpdate>,
    },
    /// To a view.
    View {
        /// What is done to it.
        updates: Vec<ViewUpdate>,
    },
}

impl Change {
    /// What is changed.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Table { .. } => Kind::Table,
            Self::View { .. } => Kind::View,
        }
    }
}

/// Moves the pointer of one table or view from the state that was looked at to the next one.
#[derive(Clone, Debug)]
pub(crate) struct Swap {
    /// The table or view.
    pub(crate) table: TableName,
    /// The metadata location the change was staged on.
    pub(crate) expected: String,
    /// The metadata location of the new state; written already, unless the catalog writes such files itself.
    pub(crate) new: String,
    /// The same step for a catalog that makes the new state itself.
    pub(crate) change: Change,
}

/// How a swap of one or several pointers ended; all tables or none.
#[derive(Debug)]
#[must_use]
pub(crate) enum SwapOutcome {
    /// Every pointer is at its new place; the new states in the order of the swaps.
    Swapped(Vec<Entry>),
    /// Nothing changed: this table's pointer was not where the change was staged on.
    Lost {
        /// The first table found elsewhere (or gone).
        table: TableName,
    },
    /// The catalog did not say whether the change holds: look before anything else.
    Unknown(Error),
}

/// How the removal of a namespace ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceDropped {
    /// It is gone.
    Dropped,
    /// There was none.
    Missing,
    /// It still holds tables, views or namespaces; nothing was changed.
    NotEmpty,
}

/// How a renaming ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renamed {
    /// It has the new name.
    Done,
    /// There is nothing of that kind under the old name.
    Missing,
    /// The new name is taken.
    Taken,
}

/// Properties of a namespace.
pub(crate) type Properties = BTreeMap<String, String>;

/// A catalog: names, and the pointer of each to its current state.
///
/// Namespaces are given as text, their levels joined by dots. An error means that nothing was changed, except
/// where an outcome says otherwise.
#[async_trait]
pub(crate) trait Catalog: fmt::Debug + Send + Sync {
    /// Whether new metadata files are written by the catalog, so that nobody else shall.
    fn writes_metadata(&self) -> bool {
        false
    }

    /// Whether several pointers can move together; where they cannot, [`Catalog::swap`] refuses more than one.
    fn swaps_together(&self) -> bool {
        true
    }

    /// All namespaces that exist, sorted; parents of namespaces are among them.
    async fn namespaces(&self) -> Result<Vec<String>>;

    /// The properties of a namespace; `None` when there is no such namespace.
    async fn namespace(&self, namespace: &str) -> Result<Option<Properties>>;

    /// Adds a namespace; `false` when it exists, which is then left as it is.
    async fn create_namespace(&self, namespace: &str, properties: &Properties) -> Result<bool>;

    /// Changes properties of a namespace; `false` when there is no such namespace.
    async fn change_namespace(
        &self,
        namespace: &str,
        removals: &[String],
        updates: &Properties,
    ) -> Result<bool>;

    /// Removes an empty namespace.
    async fn drop_namespace(&self, namespace: &str) -> Result<NamespaceDropped>;

    /// The names of one kind in a namespace, sorted.
    async fn names(&self, namespace: &str, kind: Kind) -> Result<Vec<String>>;

    /// What a name stands for.
    async fn entry(&self, name: &TableName) -> Result<Option<Entry>>;

    /// As [`Catalog::entry`], when only a table will do.
    async fn table(&self, name: &TableName) -> Result<Option<Entry>> {
        Ok(self.entry(name).await?.filter(|entry| entry.kind == Kind::Table))
    }

    /// Adds a name, and its namespace when missing; `None` when the name is taken.
    async fn insert(&self, new: Insert) -> Result<Option<Entry>>;

    /// Adds a table whose metadata file exists; `None` when the name is taken.
    async fn register(&self, name: &TableName, location: &str) -> Result<Option<Entry>>;

    /// Removes a name; `false` when there was none of that kind.
    async fn remove(&self, name: &TableName, kind: Kind) -> Result<bool>;

    /// Gives a table or view another name, in a namespace that exists.
    async fn rename(&self, from: &TableName, to: &TableName, kind: Kind) -> Result<Renamed>;

    /// Moves all pointers or none.
    async fn swap(&self, swaps: &[Swap]) -> Result<SwapOutcome>;
}

/// Opens the catalog that the settings name, checking that it answers. One that hands out keys is asked for them
/// where there is a ring to put them on.
pub(crate) async fn open(settings: &LakeSettings, keyring: Option<Arc<Keyring>>) -> Result<Arc<dyn Catalog>> {
    let name = &settings.name;
    Ok(match &settings.catalog {
        CatalogSettings::Rest(rest) => Arc::new(RestCatalog::open(rest, keyring).await?),
        CatalogSettings::Sqlite { path } => {
            Arc::new(SqlCatalog::open(sqlite::open(path).await?, name, settings.upgrade_catalog).await?)
        }
        CatalogSettings::Postgres(postgres) => {
            Arc::new(SqlCatalog::open(postgres::open(postgres).await?, name, settings.upgrade_catalog).await?)
        }
    })
}
