//! The lake: one catalog, one object store, all tables.
//!
//! ```text
//! name -> catalog: pointer -> metadata cache or object store: metadata -> TableSnapshot
//! ```
//!
//! Invariants:
//! - The catalog is the only arbiter of what a table is; the store holds files that never change.
//! - Metadata is cached by its location, which names one state for ever. Finding a table costs one query of
//!   the catalog, and a read of the store only when the table changed.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use iceberg::MetadataLocation;
use iceberg::io::FileIO;
use iceberg::spec::TableMetadata;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

use crate::catalogs::{self, Catalog, Entry, Insert, Kind, State};
use crate::commit::{Commit, CommitOutcome, Refused};
use crate::create::first_metadata;
use crate::error::{Error, Result};
use crate::files::ManifestCache;
use crate::metadata::MetadataCache;
use crate::name::{TableName, is_valid_namespace};
use crate::schema;
use crate::settings::LakeSettings;
use crate::snapshot::TableSnapshot;
use crate::spec::TableSpec;
use crate::storage::LakeStorage;
use crate::store;
use crate::store::vended::Keyring;
use crate::turns::Turns;
use crate::view::{self, View};
use crate::warehouse::Warehouse;

/// A handle to the lake; clones share one catalog connection pool and one object store client.
#[derive(Clone, Debug)]
pub struct Lake {
    inner: Arc<LakeInner>,
}

/// The parts that all clones of a [`Lake`] share.
#[derive(Debug)]
pub(crate) struct LakeInner {
    pub(crate) settings: LakeSettings,
    pub(crate) warehouse: Arc<Warehouse>,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) storage: LakeStorage,
    pub(crate) file_io: FileIO,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) manifests: ManifestCache,
    pub(crate) metadata: MetadataCache,
    /// Who may commit to which table now, among the writers of this process.
    pub(crate) turns: Turns,
}

/// What [`Lake::create`] found.
#[derive(Clone, Debug)]
pub enum Created {
    /// The table is new.
    New(TableSnapshot),
    /// A table of that name was there already; its schema may differ from the one asked for.
    Existed(TableSnapshot),
}

impl Lake {
    /// Opens (and on first use creates) the lake, checking that the catalog and the store answer.
    ///
    /// # Errors
    /// A missing bucket, wrong credentials, a silent endpoint or an unreadable catalog file: each within 15 s.
    pub async fn open(settings: LakeSettings) -> Result<Self> {
        let warehouse = Warehouse::resolve(&settings.warehouse).await?;
        if settings.asks_for_keys() {
            let (store, keyring) = store::connect_with_vended_keys(&settings, &warehouse)?;
            return Self::assemble(settings, warehouse, store, Some(keyring)).await;
        }
        let store = store::connect(&settings, &warehouse).await?;
        Self::assemble(settings, warehouse, store, None).await
    }

    /// Opens the lake over a given object store: in tests, one in memory or one that fails on purpose.
    ///
    /// The store is not asked anything; its paths must be those of the warehouse's URL.
    pub async fn open_with_store(settings: LakeSettings, store: Arc<dyn ObjectStore>) -> Result<Self> {
        let warehouse = Warehouse::resolve(&settings.warehouse).await?;
        Self::assemble(settings, warehouse, store, None).await
    }

    async fn assemble(
        mut settings: LakeSettings,
        warehouse: Warehouse,
        store: Arc<dyn ObjectStore>,
        keyring: Option<Arc<Keyring>>,
    ) -> Result<Self> {
        settings.warehouse = warehouse.root().to_owned();
        let catalog = catalogs::open(&settings, keyring).await?;
        Ok(Self::over(settings, warehouse, store, catalog))
    }

    /// A lake over a given store and catalog.
    #[cfg(test)]
    pub(crate) async fn open_with(
        settings: LakeSettings,
        store: Arc<dyn ObjectStore>,
        catalog: Arc<dyn Catalog>,
    ) -> Result<Self> {
        let warehouse = Warehouse::resolve(&settings.warehouse).await?;
        Ok(Self::over(settings, warehouse, store, catalog))
    }

    fn over(
        settings: LakeSettings,
        warehouse: Warehouse,
        store: Arc<dyn ObjectStore>,
        catalog: Arc<dyn Catalog>,
    ) -> Self {
        let warehouse = Arc::new(warehouse);
        let storage = LakeStorage::new(store.clone(), warehouse.clone());
        let inner = LakeInner {
            settings,
            warehouse,
            store,
            file_io: storage.file_io(),
            storage,
            catalog,
            manifests: ManifestCache::new(),
            metadata: MetadataCache::new(),
            turns: Turns::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The shared parts.
    pub(crate) fn inner(&self) -> &LakeInner {
        &self.inner
    }

    /// The path inside [`Lake::store`] of a location such as a data file's `file_path()`.
    ///
    /// # Errors
    /// When the location lies outside the warehouse: nothing there is read or written.
    pub fn object_path(&self, location: &str) -> Result<Path> {
        self.inner.warehouse.object_path(location)
    }

    /// The settings this lake was opened with; the warehouse is the full URL.
    pub fn settings(&self) -> &LakeSettings {
        &self.inner.settings
    }

    /// The one object store client under Iceberg and every reader.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        self.inner.store.clone()
    }

    /// The URL whose paths [`Lake::store`] resolves: `file:///`, `s3://bucket` or `memory:///`.
    pub fn store_url(&self) -> &Url {
        self.inner.warehouse.store_url()
    }

    /// Creates a namespace; one that exists is left as it is.
    pub async fn create_namespace(&self, namespace: &str) -> Result<()> {
        if !is_valid_namespace(namespace) {
            return Err(Error::InvalidName { name: namespace.to_owned() });
        }
        self.inner.catalog.create_namespace(namespace, &Default::default()).await.map(|_| ())
    }

    /// All namespaces, sorted.
    pub async fn namespaces(&self) -> Result<Vec<String>> {
        self.inner.catalog.namespaces().await
    }

    /// The tables of a namespace, sorted; views are not among them.
    pub async fn tables(&self, namespace: &str) -> Result<Vec<TableName>> {
        self.names(namespace, Kind::Table).await
    }

    async fn names(&self, namespace: &str, kind: Kind) -> Result<Vec<TableName>> {
        let mut names = Vec::new();
        for name in self.inner.catalog.names(namespace, kind).await? {
            match TableName::new(namespace, &name) {
                Ok(name) => names.push(name),
                Err(error) => tracing::warn!(%error, "a name of another program is left out"),
            }
        }
        Ok(names)
    }

    /// Creates a table and its namespace; two creators of one name both get the same table.
    ///
    /// # Errors
    /// When the specification makes no Iceberg table, or a view has the name.
    pub async fn create(&self, table: &TableName, spec: TableSpec) -> Result<Created> {
        if let Some(existing) = self.find_unless_view(table).await? {
            return Ok(Created::Existed(existing));
        }
        let metadata = first_metadata(table, self.inner.warehouse.location_of(table), &spec)?;
        if let Some(new) = self.insert_table(table, metadata).await? {
            return Ok(Created::New(new));
        }
        match self.find_unless_view(table).await? {
            Some(existing) => Ok(Created::Existed(existing)),
            None => Err(Error::NoSuchTable { table: table.clone() }),
        }
    }

    /// Adds a table in its first state; `None` when the name is taken.
    pub(crate) async fn insert_table(
        &self,
        name: &TableName,
        metadata: TableMetadata,
    ) -> Result<Option<TableSnapshot>> {
        let location = MetadataLocation::new_with_metadata(metadata.location(), &metadata);
        let (catalog, metadata) = (&self.inner.catalog, Arc::new(metadata));
        if !catalog.writes_metadata() {
            self.write_metadata(&metadata, &location).await?;
        }
        let location = location.to_string();
        let state = State::Table(metadata);
        let insert = Insert { name: name.clone(), location: location.clone(), state };
        match catalog.insert(insert).await? {
            Some(entry) => self.pin(name, entry).await.map(Some),
            None => {
                if !catalog.writes_metadata() {
                    // Another creator was first. Nobody knows our file, so it may go; if it stays it does no harm.
                    let _ = self.inner.store.delete(&self.object_path(&location)?).await;
                }
                Ok(None)
            }
        }
    }

    async fn find_unless_view(&self, table: &TableName) -> Result<Option<TableSnapshot>> {
        match self.inner.catalog.entry(table).await? {
            Some(entry) if entry.kind == Kind::Table => self.pin(table, entry).await.map(Some),
            Some(entry) => Err(Error::NameTaken { name: table.clone(), by: entry.kind.noun() }),
            None => Ok(None),
        }
    }

    /// The table as it is now, pinned; `None` when there is none.
    pub async fn find(&self, table: &TableName) -> Result<Option<TableSnapshot>> {
        match self.inner.catalog.table(table).await? {
            Some(entry) => self.pin(table, entry).await.map(Some),
            None => Ok(None),
        }
    }

    /// As [`Lake::find`], but a missing table is [`crate::Error::NoSuchTable`].
    pub async fn load(&self, table: &TableName) -> Result<TableSnapshot> {
        self.find(table).await?.ok_or_else(|| Error::NoSuchTable { table: table.clone() })
    }

    pub(crate) async fn pin(&self, table: &TableName, entry: Entry) -> Result<TableSnapshot> {
        let metadata = match entry.state {
            Some(State::Table(metadata)) => {
                self.check(&metadata)?;
                metadata
            }
            _ => self.metadata(&entry.location).await?,
        };
        Ok(TableSnapshot::new(table.clone(), metadata, entry.location, self.clone()))
    }

    /// Refuses a state that this program cannot keep its promises on.
    pub(crate) fn check(&self, metadata: &TableMetadata) -> Result<()> {
        // The files that a table's own metadata places elsewhere would be refused one by one; say it once.
        self.object_path(metadata.location())?;
        schema::check(metadata.current_schema())
    }

    /// Removes the table from the catalog; its files stay for orphan removal.
    ///
    /// # Errors
    /// [`crate::Error::NoSuchTable`] when there is none.
    pub async fn drop_table(&self, table: &TableName) -> Result<()> {
        match self.inner.catalog.remove(table, Kind::Table).await? {
            true => Ok(()),
            false => Err(Error::NoSuchTable { table: table.clone() }),
        }
    }

    /// Commits to one or several tables, at `now`: all or none where the catalog moves several pointers together
    /// ([`Lake::commits_together`]), else one after the other in the order of the commits. Either way each table
    /// has all of its part or nothing of it, and a commit that is run again goes on where it broke off.
    ///
    /// # Errors
    /// Only what retrying cannot cure. A lost race is retried on the new base; a fence, a conflict or a
    /// commit found to be there already is a [`CommitOutcome`].
    pub async fn commit(&self, commits: Vec<Commit>, now: DateTime<Utc>) -> Result<CommitOutcome> {
        crate::commit::commit(self, &commits, now, Refused::Over).await
    }

    /// As [`Lake::commit`], for a caller that computes changes of rows again when they conflict: after
    /// [`CommitOutcome::Conflicted`] the files of each [`crate::Operation::ChangeRows`] are deleted, and those of the
    /// other commits are still there for the next try. Who gives up commits once more with [`Lake::commit`], which
    /// leaves nothing.
    ///
    /// # Errors
    /// As [`Lake::commit`].
    pub async fn try_commit(&self, commits: &[Commit], now: DateTime<Utc>) -> Result<CommitOutcome> {
        crate::commit::commit(self, commits, now, Refused::MayComeAgain).await
    }

    /// Whether a commit to several tables becomes visible in all of them at once.
    pub fn commits_together(&self) -> bool {
        self.inner.catalog.swaps_together()
    }

    /// Creates or replaces a view.
    ///
    /// # Errors
    /// When a table has the name, or a column type has no Iceberg counterpart.
    pub async fn put_view(&self, view: View, now: DateTime<Utc>) -> Result<()> {
        view::put(self, view, now).await
    }

    /// The view of that name, if there is one.
    pub async fn find_view(&self, name: &TableName) -> Result<Option<View>> {
        view::find(self, name).await
    }

    /// The views of a namespace, sorted.
    pub async fn views(&self, namespace: &str) -> Result<Vec<TableName>> {
        self.names(namespace, Kind::View).await
    }

    /// Removes a view; one that does not exist is no error.
    pub async fn drop_view(&self, name: &TableName) -> Result<()> {
        self.inner.catalog.remove(name, Kind::View).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests;
