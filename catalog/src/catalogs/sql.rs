//! A catalog inside a SQL database, in the layout that all Iceberg SQL catalogs share.
//!
//! PyIceberg's `SqlCatalog` and the JDBC catalog of Iceberg's Java library open the same database under the same
//! catalog name. Rows whose type is not set come from older writers and count as tables. A database of their
//! older layout, which has no types at all, is read and written as it is, but takes no views; the column is
//! added only when the owner asks for it.
//!
//! Invariants:
//! - Several pointers move in one database transaction, all or none, locked in one order by every writer.
//! - The result of COMMIT is looked at. When it is an error nobody knows what holds, and the caller is told
//!   exactly that ([`SwapOutcome::Unknown`]).

mod database;
mod statements;

use async_trait::async_trait;

use database::text;
pub(super) use database::{Database, Row, Writing, answered, rows, texts};

use super::{Catalog, Entry, Insert, Kind, NamespaceDropped, Properties, Renamed, Swap, SwapOutcome};
use crate::error::{Error, Result};
use crate::name::TableName;
use statements::{ADD_TYPE, CREATE_NAMESPACES, CREATE_TABLES, EXISTS, PUT_PROPERTY, Statements};

/// One catalog inside a SQL database.
#[derive(Debug)]
pub(crate) struct SqlCatalog<D> {
    database: D,
    /// Under which the rows of this catalog are recorded.
    name: String,
    statements: Statements,
}

fn kind_text(kind: Kind) -> &'static str {
    match kind {
        Kind::Table => "TABLE",
        Kind::View => "VIEW",
    }
}

impl<D: Database> SqlCatalog<D> {
    /// Takes the tables of the layout as they are, creating those that are missing.
    ///
    /// `upgrade` adds the column of types to a database of the older layout.
    pub(crate) async fn open(database: D, name: &str, upgrade: bool) -> Result<Self> {
        let opening = |error| failed(&database, "open", &error);
        let tables = database.columns("iceberg_tables").await.map_err(opening)?;
        let namespaces = database.columns("iceberg_namespace_properties").await.map_err(opening)?;
        let old = !tables.is_empty() && !tables.iter().any(|column| column == "iceberg_type");
        let mut missing = Vec::new();
        if tables.is_empty() {
            missing.push(CREATE_TABLES);
        }
        if namespaces.is_empty() {
            missing.push(CREATE_NAMESPACES);
        }
        if old && upgrade {
            missing.push(ADD_TYPE);
        }
        if !missing.is_empty() {
            create(&database, &missing).await.map_err(opening)?;
        }
        let statements = Statements::new(!old || upgrade);
        Ok(Self { database, name: name.to_owned(), statements })
    }

    async fn read(&self, statement: &str, values: &[&str]) -> Result<Vec<Row>> {
        self.database.query(statement, values).await.map_err(|error| self.failed("read", &error))
    }

    async fn begin(&self) -> Result<Box<dyn Writing>> {
        self.database.begin().await.map_err(|error| self.failed("change", &error))
    }

    async fn change(&self, writing: &mut dyn Writing, statement: &str, values: &[&str]) -> Result<u64> {
        writing.execute(statement, values).await.map_err(|error| self.failed("change", &error))
    }

    fn failed(&self, action: &'static str, error: &sqlx::Error) -> Error {
        failed(&self.database, action, error)
    }

    /// Adds a row and its namespace; `false` when the name is taken.
    async fn add(&self, name: &TableName, kind: Kind, location: &str) -> Result<bool> {
        if kind == Kind::View && !self.statements.typed {
            return Err(Error::Catalog {
                action: "add a view to",
                location: self.database.location().to_owned(),
                cause: "it has the older layout, which tells no views from tables".to_owned(),
                remedy: "set lake.catalog_upgrade = true once, which adds the column iceberg_type",
                transient: false,
            });
        }
        let mut writing = self.begin().await?;
        let namespace = [&self.name, name.namespace(), EXISTS, "true"];
        self.change(&mut *writing, statements::INSERT_PROPERTY, &namespace).await?;
        let row = [&self.name, name.namespace(), name.name(), location, kind_text(kind)];
        let row = if self.statements.typed { &row[..] } else { &row[..4] };
        if self.change(&mut *writing, self.statements.insert, row).await? != 1 {
            return Ok(false);
        }
        match writing.commit().await {
            Ok(()) => Ok(true),
            // The location is new in the world: if the row has it, this COMMIT did hold.
            Err(error) => match self.entry(name).await? {
                Some(found) if found.location == location => Ok(true),
                Some(_) => Ok(false),
                None => Err(self.failed("change", &error)),
            },
        }
    }

    async fn commit(&self, writing: Box<dyn Writing>) -> Result<()> {
        writing.commit().await.map_err(|error| self.failed("change", &error))
    }
}

#[async_trait]
impl<D: Database> Catalog for SqlCatalog<D> {
    async fn namespaces(&self) -> Result<Vec<String>> {
        let rows = self.read(statements::NAMESPACES, &[&self.name]).await?;
        let mut all = std::collections::BTreeSet::new();
        for namespace in rows.iter().filter_map(|row| text(row, 0)) {
            // A namespace implies its parents, whether or not anybody created them.
            for (end, _) in namespace.match_indices('.') {
                all.insert(namespace[..end].to_owned());
            }
            all.insert(namespace.to_owned());
        }
        Ok(all.into_iter().filter(|namespace| !namespace.is_empty()).collect())
    }

    async fn namespace(&self, namespace: &str) -> Result<Option<Properties>> {
        let rows = self.read(statements::PROPERTIES, &[&self.name, namespace]).await?;
        if rows.is_empty() && !self.namespaces().await?.iter().any(|found| found == namespace) {
            return Ok(None);
        }
        let pairs = rows.iter().filter_map(|row| Some((text(row, 0)?, text(row, 1).unwrap_or_default())));
        let pairs = pairs.filter(|(key, _)| *key != EXISTS);
        Ok(Some(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()))
    }

    async fn create_namespace(&self, namespace: &str, properties: &Properties) -> Result<bool> {
        if self.namespaces().await?.iter().any(|found| found == namespace) {
            return Ok(false);
        }
        let mut writing = self.begin().await?;
        let row = [self.name.as_str(), namespace, EXISTS, "true"];
        if self.change(&mut *writing, statements::INSERT_PROPERTY, &row).await? != 1 {
            return Ok(false);
        }
        for (key, value) in properties {
            self.change(&mut *writing, PUT_PROPERTY, &[&self.name, namespace, key, value]).await?;
        }
        self.commit(writing).await.map(|()| true)
    }

    async fn change_namespace(
        &self,
        namespace: &str,
        removals: &[String],
        updates: &Properties,
    ) -> Result<bool> {
        if self.namespace(namespace).await?.is_none() {
            return Ok(false);
        }
        let mut writing = self.begin().await?;
        // A namespace that only tables named gets its own row, so that it outlives them with its properties.
        let row = [self.name.as_str(), namespace, EXISTS, "true"];
        self.change(&mut *writing, statements::INSERT_PROPERTY, &row).await?;
        for key in removals.iter().filter(|key| *key != EXISTS) {
            self.change(&mut *writing, statements::REMOVE_PROPERTY, &[&self.name, namespace, key]).await?;
        }
        for (key, value) in updates.iter().filter(|(key, _)| *key != EXISTS) {
            self.change(&mut *writing, PUT_PROPERTY, &[&self.name, namespace, key, value]).await?;
        }
        self.commit(writing).await.map(|()| true)
    }

    async fn drop_namespace(&self, namespace: &str) -> Result<NamespaceDropped> {
        let below = format!("{namespace}.");
        if self.namespaces().await?.iter().any(|found| found.starts_with(&below)) {
            return Ok(NamespaceDropped::NotEmpty);
        }
        if self.namespace(namespace).await?.is_none() {
            return Ok(NamespaceDropped::Missing);
        }
        let mut writing = self.begin().await?;
        // The condition is part of the statement, so that a table created meanwhile keeps its namespace.
        let removed =
            self.change(&mut *writing, statements::DROP_NAMESPACE, &[&self.name, namespace]).await?;
        if removed == 0 {
            return Ok(NamespaceDropped::NotEmpty);
        }
        self.commit(writing).await.map(|()| NamespaceDropped::Dropped)
    }

    async fn names(&self, namespace: &str, kind: Kind) -> Result<Vec<String>> {
        let rows = self.read(&self.statements.names, &[&self.name, namespace, kind_text(kind)]).await?;
        let mut names: Vec<_> = rows.iter().filter_map(|row| text(row, 0).map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    async fn entry(&self, name: &TableName) -> Result<Option<Entry>> {
        let row = [self.name.as_str(), name.namespace(), name.name()];
        let rows = self.read(&self.statements.entry, &row).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let location = text(row, 1).unwrap_or_default().to_owned();
        let kind = match text(row, 0) {
            Some("TABLE") => Kind::Table,
            Some("VIEW") => Kind::View,
            other => {
                return Err(Error::File {
                    subject: format!("{name} in {}", self.database.location()),
                    fact: format!("its type `{}` is neither TABLE nor VIEW", other.unwrap_or_default()),
                    remedy: "repair the row, or use the program that wrote it",
                });
            }
        };
        Ok(Some(Entry { kind, location, state: None }))
    }

    async fn insert(&self, new: Insert) -> Result<Option<Entry>> {
        let kind = new.state.kind();
        let added = self.add(&new.name, kind, &new.location).await?;
        Ok(added.then_some(Entry { kind, location: new.location, state: Some(new.state) }))
    }

    async fn register(&self, name: &TableName, location: &str) -> Result<Option<Entry>> {
        let added = self.add(name, Kind::Table, location).await?;
        Ok(added.then(|| Entry { kind: Kind::Table, location: location.to_owned(), state: None }))
    }

    async fn remove(&self, name: &TableName, kind: Kind) -> Result<bool> {
        let row = [self.name.as_str(), name.namespace(), name.name(), kind_text(kind)];
        let mut writing = self.begin().await?;
        let removed = self.change(&mut *writing, &self.statements.remove, &row).await?;
        self.commit(writing).await.map(|()| removed > 0)
    }

    async fn rename(&self, from: &TableName, to: &TableName, kind: Kind) -> Result<Renamed> {
        let row =
            [self.name.as_str(), from.namespace(), from.name(), to.namespace(), to.name(), kind_text(kind)];
        let mut writing = self.begin().await?;
        match writing.execute(&self.statements.rename, &row).await {
            Ok(1) => self.commit(writing).await.map(|()| Renamed::Done),
            Ok(_) => {
                drop(writing);
                let found = self.entry(from).await?.is_some_and(|entry| entry.kind == kind);
                Ok(if found { Renamed::Taken } else { Renamed::Missing })
            }
            Err(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => {
                Ok(Renamed::Taken)
            }
            Err(error) => Err(self.failed("change", &error)),
        }
    }

    async fn swap(&self, swaps: &[Swap]) -> Result<SwapOutcome> {
        // Two writers that lock the same rows in two orders would wait for each other.
        let mut order: Vec<_> = swaps.iter().collect();
        order.sort_by_key(|swap| &swap.table);
        let mut writing = self.begin().await?;
        for swap in order {
            let row = [
                self.name.as_str(),
                swap.table.namespace(),
                swap.table.name(),
                &swap.expected,
                &swap.new,
                kind_text(swap.change.kind()),
            ];
            if self.change(&mut *writing, &self.statements.swap, &row).await? != 1 {
                // Leaving without COMMIT rolls the earlier tables back.
                return Ok(SwapOutcome::Lost { table: swap.table.clone() });
            }
        }
        let entry = |swap: &Swap| Entry { kind: swap.change.kind(), location: swap.new.clone(), state: None };
        match writing.commit().await {
            Ok(()) => Ok(SwapOutcome::Swapped(swaps.iter().map(entry).collect())),
            Err(error) => Ok(SwapOutcome::Unknown(self.failed("change", &error))),
        }
    }
}

/// Creates what is missing, in one transaction; processes that start together wait for each other.
async fn create(database: &impl Database, missing: &[&str]) -> sqlx::Result<()> {
    let mut writing = database.begin_layout().await?;
    for statement in missing {
        writing.execute(statement, &[]).await?;
    }
    writing.commit().await
}

fn failed(database: &impl Database, action: &'static str, error: &sqlx::Error) -> Error {
    let (remedy, transient) = database.explain(error);
    let cause =
        error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    Error::Catalog { action, location: database.location().to_owned(), cause, remedy, transient }
}

#[cfg(test)]
mod tests;
