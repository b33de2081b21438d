//! The layout and the statements, in the SQL that SQLite and PostgreSQL share.
//!
//! Values are always bound: `$1` is the catalog's name in every statement but the insertion's.

/// The tables of a new catalog, as the other SQL catalogs create them.
pub(super) const CREATE_TABLES: &str = "CREATE TABLE IF NOT EXISTS iceberg_tables (
    catalog_name VARCHAR(255) NOT NULL,
    table_namespace VARCHAR(255) NOT NULL,
    table_name VARCHAR(255) NOT NULL,
    metadata_location VARCHAR(1000),
    previous_metadata_location VARCHAR(1000),
    iceberg_type VARCHAR(5),
    PRIMARY KEY (catalog_name, table_namespace, table_name))";

/// Namespaces: a row for each property.
pub(super) const CREATE_NAMESPACES: &str = "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
    catalog_name VARCHAR(255) NOT NULL,
    namespace VARCHAR(255) NOT NULL,
    property_key VARCHAR(255),
    property_value VARCHAR(1000),
    PRIMARY KEY (catalog_name, namespace, property_key))";

/// From the older layout to the one with views.
pub(super) const ADD_TYPE: &str = "ALTER TABLE iceberg_tables ADD COLUMN iceberg_type VARCHAR(5)";

/// A namespace without properties is one row with this key, as the other SQL catalogs write it.
pub(super) const EXISTS: &str = "exists";

/// A property that is there already stays as it is.
pub(super) const INSERT_PROPERTY: &str = "INSERT INTO iceberg_namespace_properties
    (catalog_name, namespace, property_key, property_value) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";

/// A property that is there already is replaced.
pub(super) const PUT_PROPERTY: &str = "INSERT INTO iceberg_namespace_properties
    (catalog_name, namespace, property_key, property_value) VALUES ($1, $2, $3, $4)
    ON CONFLICT (catalog_name, namespace, property_key) DO UPDATE SET property_value = excluded.property_value";

pub(super) const REMOVE_PROPERTY: &str = "DELETE FROM iceberg_namespace_properties
    WHERE catalog_name = $1 AND namespace = $2 AND property_key = $3";

pub(super) const PROPERTIES: &str = "SELECT property_key, property_value FROM iceberg_namespace_properties
    WHERE catalog_name = $1 AND namespace = $2";

/// Those with a row of their own and those that only tables name.
pub(super) const NAMESPACES: &str =
    "SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = $1
    UNION SELECT table_namespace FROM iceberg_tables WHERE catalog_name = $1";

/// Only when nothing is in it.
pub(super) const DROP_NAMESPACE: &str = "DELETE FROM iceberg_namespace_properties
    WHERE catalog_name = $1 AND namespace = $2 AND NOT EXISTS
    (SELECT 1 FROM iceberg_tables WHERE catalog_name = $1 AND table_namespace = $2)";

/// What depends on whether rows have a type.
#[derive(Debug)]
pub(super) struct Statements {
    /// Whether rows have a type.
    pub(super) typed: bool,
    pub(super) entry: String,
    pub(super) names: String,
    pub(super) insert: &'static str,
    pub(super) remove: String,
    pub(super) rename: String,
    pub(super) swap: String,
}

impl Statements {
    pub(super) fn new(typed: bool) -> Self {
        // The casts tell PostgreSQL the type of a text that stands alone.
        let kind = if typed { "coalesce(iceberg_type, 'TABLE')" } else { "CAST('TABLE' AS VARCHAR(5))" };
        let insert = match typed {
            true => {
                "INSERT INTO iceberg_tables
                 (catalog_name, table_namespace, table_name, metadata_location, iceberg_type)
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING"
            }
            false => {
                "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location)
                 VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
            }
        };
        Self {
            typed,
            entry: format!(
                "SELECT {kind}, coalesce(metadata_location, '') FROM iceberg_tables
                 WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3"
            ),
            names: format!(
                "SELECT table_name FROM iceberg_tables
                 WHERE catalog_name = $1 AND table_namespace = $2 AND {kind} = $3"
            ),
            insert,
            remove: format!(
                "DELETE FROM iceberg_tables
                 WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3 AND {kind} = $4"
            ),
            rename: format!(
                "UPDATE iceberg_tables SET table_namespace = $4, table_name = $5
                 WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3 AND {kind} = $6
                 AND NOT EXISTS (SELECT 1 FROM iceberg_tables
                 WHERE catalog_name = $1 AND table_namespace = $4 AND table_name = $5)"
            ),
            swap: format!(
                "UPDATE iceberg_tables SET metadata_location = $5, previous_metadata_location = $4
                 WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3
                 AND metadata_location = $4 AND {kind} = $6"
            ),
        }
    }
}
