//! Where the lake is: settings are data, checked when [`crate::Lake::open`] uses them.

use std::fmt;
use std::path::{Path, PathBuf};

/// A text that is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one call that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Everything needed to open a lake.
#[derive(Clone, Debug)]
pub struct LakeSettings {
    /// The name under which tables are recorded in a SQL catalog; `sluice` unless told otherwise.
    pub name: String,
    /// Where the pointer to each table's current metadata lives.
    pub catalog: CatalogSettings,
    /// The root of all table locations: `file:///abs/path` (or a path, made absolute), `s3://bucket[/prefix]`
    /// or `memory:///`. Nothing outside it is read or written.
    pub warehouse: String,
    /// How an `s3://` warehouse is reached.
    pub s3: S3Settings,
    /// Whether a SQL catalog of the older layout, whose rows have no types, is given the column for them.
    pub upgrade_catalog: bool,
}

/// The kinds of catalog.
#[derive(Clone, Debug)]
pub enum CatalogSettings {
    /// The embedded default: one SQLite file, in the layout that PyIceberg's `SqlCatalog` opens.
    Sqlite {
        /// The file; it and its folder are created when missing.
        path: PathBuf,
    },
    /// A PostgreSQL database in the same layout, for several machines.
    Postgres(PostgresSettings),
    /// Any catalog that speaks the Iceberg REST protocol.
    Rest(RestSettings),
}

/// How an Iceberg REST catalog is reached.
#[derive(Clone, Debug, Default)]
pub struct RestSettings {
    /// Its root, before `/v1`: `https://host/iceberg`.
    pub uri: String,
    /// Which of the server's catalogs is meant, where it has several; a name or a URL, as the server has it.
    pub warehouse: Option<String>,
    /// A bearer token.
    pub token: Option<Secret>,
    /// `client-id:client-secret`, exchanged for tokens (OAuth2 client credentials).
    pub credential: Option<Secret>,
    /// Where tokens are asked for; the catalog's own `/v1/oauth/tokens` unless given.
    pub oauth2_server_uri: Option<String>,
    /// The scope asked for; `catalog` unless given.
    pub scope: Option<String>,
    /// Whether the server is asked for keys to the tables' files on S3. Unless given it is asked when the lake has
    /// no access key of its own.
    pub vended_credentials: Option<bool>,
}

/// How a PostgreSQL database is reached.
#[derive(Clone)]
pub struct PostgresSettings {
    /// `postgresql://user@host:5432/database`, with the options of the PostgreSQL driver behind a `?`.
    pub url: String,
    /// The password; with none, the one in the URL, in `PGPASSWORD` or in `.pgpass` is used.
    pub password: Option<Secret>,
}

impl fmt::Debug for PostgresSettings {
    /// The URL may hold a password, so it is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSettings").field("url", &"***").field("password", &self.password).finish()
    }
}

/// An S3-compatible store.
#[derive(Clone, Debug, Default)]
pub struct S3Settings {
    /// `http://127.0.0.1:9000` for MinIO; none for AWS. Only an `http://` endpoint is spoken to unencrypted.
    pub endpoint: Option<String>,
    /// Region; `us-east-1` when none is given.
    pub region: Option<String>,
    /// Access key id; with none, credentials come from the environment as the AWS tools take them.
    pub access_key_id: Option<String>,
    /// Secret access key.
    pub secret_access_key: Option<Secret>,
}

impl LakeSettings {
    /// Whether the catalog is asked for keys to the files of tables.
    pub(crate) fn asks_for_keys(&self) -> bool {
        match &self.catalog {
            CatalogSettings::Rest(rest) if self.warehouse.starts_with("s3://") => {
                rest.vended_credentials.unwrap_or(self.s3.access_key_id.is_none())
            }
            _ => false,
        }
    }

    /// The embedded lake in a folder: `DIR/catalog.db` and `DIR/warehouse/`.
    pub fn local(dir: &Path) -> Self {
        Self {
            name: "sluice".to_owned(),
            catalog: CatalogSettings::Sqlite { path: dir.join("catalog.db") },
            warehouse: format!("file://{}", dir.join("warehouse").display()),
            s3: S3Settings::default(),
            upgrade_catalog: false,
        }
    }
}

#[cfg(test)]
mod tests;
