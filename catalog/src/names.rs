//! Names of a lake: namespaces with their properties, registered and renamed tables.
//!
//! The data is not touched: a renamed table keeps its files where they are.

use std::collections::BTreeMap;

use crate::catalogs::{Kind, NamespaceDropped, Renamed};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::name::{TableName, is_valid_namespace};
use crate::snapshot::TableSnapshot;

impl Lake {
    /// Adds a namespace with properties; `false` when it exists, which is then left as it is.
    pub async fn add_namespace(
        &self,
        namespace: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<bool> {
        if !is_valid_namespace(namespace) {
            return Err(Error::InvalidName { name: namespace.to_owned() });
        }
        self.inner().catalog.create_namespace(namespace, properties).await
    }

    /// The properties of a namespace; `None` when there is no such namespace.
    pub async fn namespace_properties(&self, namespace: &str) -> Result<Option<BTreeMap<String, String>>> {
        self.inner().catalog.namespace(namespace).await
    }

    /// Removes and sets properties of a namespace; `false` when there is no such namespace.
    pub async fn change_namespace(
        &self,
        namespace: &str,
        removals: &[String],
        updates: &BTreeMap<String, String>,
    ) -> Result<bool> {
        self.inner().catalog.change_namespace(namespace, removals, updates).await
    }

    /// Removes a namespace that holds nothing.
    pub async fn drop_namespace(&self, namespace: &str) -> Result<NamespaceDropped> {
        self.inner().catalog.drop_namespace(namespace).await
    }

    /// Takes up a table whose metadata file lies in the warehouse; `None` when the name is taken.
    ///
    /// # Errors
    /// When the file is missing, outside the warehouse, or not readable as a table's metadata.
    pub async fn register_table(
        &self,
        table: &TableName,
        metadata_location: &str,
    ) -> Result<Option<TableSnapshot>> {
        // A pointer to what nobody can read would be found out by the first query only.
        self.metadata(metadata_location).await?;
        match self.inner().catalog.register(table, metadata_location).await? {
            Some(entry) => self.pin(table, entry).await.map(Some),
            None => Ok(None),
        }
    }

    /// Gives a table another name, also in another namespace.
    pub async fn rename_table(&self, from: &TableName, to: &TableName) -> Result<Renamed> {
        self.inner().catalog.rename(from, to, Kind::Table).await
    }

    /// Gives a view another name, also in another namespace.
    pub async fn rename_view(&self, from: &TableName, to: &TableName) -> Result<Renamed> {
        self.inner().catalog.rename(from, to, Kind::View).await
    }
}
