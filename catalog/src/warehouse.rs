//! The warehouse: the root of all table locations, and the only place that is read or written.
//!
//! A location is a text such as `s3://bucket/lake/bronze/orders/data/x.parquet`; the object store wants
//! a path inside the bucket. Locations are taken literally, nothing in them is percent-decoded, because
//! that is how the other Iceberg readers take them.
//!
//! Invariant: [`Warehouse::object_path`] is the one way from a location to a path, and it refuses what lies
//! outside the root. A damaged or hostile metadata file can therefore name no other bucket and no other
//! file of the machine.

use std::path::Path as FsPath;

use object_store::path::Path;
use url::Url;

use crate::error::{Error, Result};
use crate::name::TableName;

/// Where tables live.
#[derive(Clone, Debug)]
pub(crate) struct Warehouse {
    kind: Kind,
    /// The URL of the store: `file:///`, `s3://bucket` or `memory:///`.
    store_url: Url,
    /// The root without a slash at its end: `file:///abs/warehouse`, `s3://bucket/lake`, `memory://`.
    root: String,
    /// The root as a path of the store.
    path: Path,
}

/// The kinds of store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Folders of this machine.
    File,
    /// A bucket of an S3-compatible store.
    S3 {
        /// Its name.
        bucket: String,
    },
    /// Memory of this process.
    Memory,
}

impl Warehouse {
    /// Finds out where `text` points; a local folder is created, and named by its absolute path.
    pub(crate) async fn resolve(text: &str) -> Result<Self> {
        let trimmed = text.trim_end_matches('/');
        if text.starts_with("s3://") {
            let rest = trimmed.strip_prefix("s3://").unwrap_or_default();
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let store_url = format!("s3://{bucket}");
            return Self::new(Kind::S3 { bucket: bucket.to_owned() }, &store_url, trimmed.to_owned(), prefix);
        }
        if let Some(rest) = trimmed.strip_prefix("memory:") {
            let prefix = rest.trim_start_matches('/');
            let root = if prefix.is_empty() { "memory://".to_owned() } else { format!("memory:///{prefix}") };
            return Self::new(Kind::Memory, "memory:///", root, prefix);
        }
        let folder = text.strip_prefix("file://").unwrap_or(text);
        if folder.is_empty() || folder.contains("://") {
            return Err(invalid("the warehouse is of an unknown kind", text));
        }
        let folder = local_folder(folder).await?;
        let root = format!("file://{}", folder.trim_end_matches('/'));
        Self::new(Kind::File, "file:///", root, &folder)
    }

    fn new(kind: Kind, store_url: &str, root: String, path: &str) -> Result<Self> {
        if matches!(&kind, Kind::S3 { bucket } if bucket.is_empty()) {
            return Err(invalid("the warehouse names no bucket", &root));
        }
        let store_url = Url::parse(store_url).map_err(|_| invalid("the warehouse is not a URL", &root))?;
        let path = Path::parse(path).map_err(|_| invalid("the warehouse is not a URL", &root))?;
        Ok(Self { kind, store_url, root, path })
    }

    /// The kind of its store.
    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The URL whose paths the store resolves.
    pub(crate) fn store_url(&self) -> &Url {
        &self.store_url
    }

    /// The root of all locations, without a slash at its end.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// The root inside the store.
    pub(crate) fn root_path(&self) -> &Path {
        &self.path
    }

    /// Where a table or view of this name keeps its files.
    pub(crate) fn location_of(&self, name: &TableName) -> String {
        format!("{}/{}/{}", self.root, name.namespace(), name.name())
    }

    /// The path inside the store of a location.
    ///
    /// # Errors
    /// When the location lies outside the warehouse.
    pub(crate) fn object_path(&self, location: &str) -> Result<Path> {
        let outside =
            || Error::OutsideWarehouse { location: location.to_owned(), warehouse: self.root.clone() };
        let key = self.key(location).ok_or_else(outside)?;
        let path = Path::parse(key).map_err(|_| outside())?;
        if path.prefix_matches(&self.path) { Ok(path) } else { Err(outside()) }
    }

    /// What follows the store's URL in a location; other writers spell the same place in several ways.
    fn key<'a>(&self, location: &'a str) -> Option<&'a str> {
        match &self.kind {
            Kind::File => {
                let path = location.strip_prefix("file://").or_else(|| location.strip_prefix("file:"));
                Some(path.unwrap_or(location)).filter(|path| path.starts_with('/'))
            }
            Kind::S3 { bucket } => ["s3://", "s3a://", "s3n://"]
                .iter()
                .find_map(|scheme| location.strip_prefix(scheme))
                .and_then(|rest| rest.strip_prefix(bucket.as_str()))
                .and_then(|rest| rest.strip_prefix('/')),
            Kind::Memory => location.strip_prefix("memory:"),
        }
        .map(|key| key.trim_start_matches('/'))
    }
}

/// Creates the folder and names it without `..` and links, so that one folder has one name.
async fn local_folder(folder: &str) -> Result<String> {
    let failed = |error: std::io::Error| Error::Store {
        action: "open",
        location: folder.to_owned(),
        cause: error.to_string(),
        remedy: "choose a folder that this user may write",
        transient: false,
    };
    tokio::fs::create_dir_all(FsPath::new(folder)).await.map_err(failed)?;
    let absolute = tokio::fs::canonicalize(folder).await.map_err(failed)?;
    absolute.to_str().map(str::to_owned).ok_or_else(|| invalid("the warehouse's path is not UTF-8", folder))
}

fn invalid(fact: &'static str, value: &str) -> Error {
    let remedy = "use file:///abs/path, s3://bucket/prefix or memory:///".to_owned();
    Error::Setting { fact, value: value.to_owned(), remedy }
}

#[cfg(test)]
mod tests;
