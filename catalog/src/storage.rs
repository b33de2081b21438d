//! Iceberg's file access over the lake's one object store client.
//!
//! The library reads and writes metadata, manifest lists and manifests through [`LakeStorage`]. Every path goes
//! through the warehouse check, and nothing larger than [`OBJECT_BYTES_MAX`] is read into memory: a manifest of
//! that size is damaged, or someone's attack. What is Avro is walked (`manifest::avro`) before the library decodes
//! it. Data files do not pass here; their writers and readers stream through the client itself.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig,
    StorageFactory,
};
use iceberg::{Error as IcebergError, ErrorKind, Result as IcebergResult};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::manifest::avro;
use crate::store::failed;
use crate::warehouse::Warehouse;

mod held;

pub(crate) use held::Held;
use held::HeldFiles;

/// The largest metadata object that is read.
pub(crate) const OBJECT_BYTES_MAX: u64 = 256 << 20;

/// The lake's store behind Iceberg's interface; clones share one client.
#[derive(Clone, Debug)]
pub(crate) struct LakeStorage {
    store: Arc<dyn ObjectStore>,
    warehouse: Arc<Warehouse>,
    /// Where writes wait, if they do.
    held: Option<Arc<HeldFiles>>,
}

impl LakeStorage {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, warehouse: Arc<Warehouse>) -> Self {
        Self { store, warehouse, held: None }
    }

    /// The same store as the library's handle.
    pub(crate) fn file_io(&self) -> FileIO {
        FileIOBuilder::new(Arc::new(self.clone())).build()
    }

    /// Reads a whole object.
    ///
    /// # Errors
    /// Outside the warehouse, missing, larger than [`OBJECT_BYTES_MAX`], not readable, or damaged Avro.
    pub(crate) async fn read_object(&self, location: &str) -> Result<Bytes> {
        let path = self.warehouse.object_path(location)?;
        let object = self.store.get(&path).await.map_err(|error| failed("read", location, &error))?;
        check_size(location, object.meta.size)?;
        let size = object.meta.size;
        let bytes = object.bytes().await.map_err(|error| failed("read", location, &error))?;
        let fault = match avro::is_avro(&bytes) {
            _ if bytes.len() as u64 != size => Some(format!("{} of {size} bytes came", bytes.len()).into()),
            true => avro::check(&bytes).err(),
            false => None,
        };
        match fault {
            None => Ok(bytes),
            Some(fault) => Err(Error::File {
                subject: location.to_owned(),
                fact: format!("it is damaged: {fault}"),
                remedy: "restore the file, or roll the table back to a state without it",
            }),
        }
    }

    /// Writes a whole object.
    ///
    /// # Errors
    /// Outside the warehouse, or refused by the store.
    pub(crate) async fn write_object(&self, location: &str, bytes: Bytes) -> Result<()> {
        let path = self.warehouse.object_path(location)?;
        let written = self.store.put(&path, bytes.into()).await;
        written.map(|_| ()).map_err(|error| failed("write", location, &error))
    }

    fn path(&self, location: &str) -> IcebergResult<Path> {
        self.warehouse.object_path(location).map_err(to_iceberg)
    }
}

fn check_size(location: &str, bytes: u64) -> Result<()> {
    if bytes <= OBJECT_BYTES_MAX {
        return Ok(());
    }
    Err(Error::File {
        subject: location.to_owned(),
        fact: format!("{bytes} bytes are more than a metadata file may have ({OBJECT_BYTES_MAX})"),
        remedy: "expire snapshots of the table with the engine that wrote it, or restore the file",
    })
}

/// Our error on its way through the library, which carries it as its source.
fn to_iceberg(error: Error) -> IcebergError {
    let kind = match &error {
        Error::Store { .. } => ErrorKind::Unexpected,
        _ => ErrorKind::DataInvalid,
    };
    IcebergError::new(kind, error.to_string()).with_retryable(error.is_transient())
}

fn io_error(action: &'static str, location: &str, error: &object_store::Error) -> IcebergError {
    to_iceberg(failed(action, location, error))
}

#[async_trait]
#[typetag::serde(name = "SluiceLakeStorage")]
impl Storage for LakeStorage {
    async fn exists(&self, path: &str) -> IcebergResult<bool> {
        match self.store.head(&self.path(path)?).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(io_error("read", path, &error)),
        }
    }

    async fn metadata(&self, path: &str) -> IcebergResult<FileMetadata> {
        let meta =
            self.store.head(&self.path(path)?).await.map_err(|error| io_error("read", path, &error))?;
        Ok(FileMetadata { size: meta.size })
    }

    async fn read(&self, path: &str) -> IcebergResult<Bytes> {
        self.read_object(path).await.map_err(to_iceberg)
    }

    async fn reader(&self, path: &str) -> IcebergResult<Box<dyn FileRead>> {
        let object = self.path(path)?;
        Ok(Box::new(RangeReader { store: self.store.clone(), object, location: path.to_owned() }))
    }

    async fn write(&self, path: &str, bs: Bytes) -> IcebergResult<()> {
        self.path(path)?;
        let now = match &self.held {
            Some(held) => held.hold(path, bs),
            None => Some(bs),
        };
        match now {
            Some(bytes) => self.write_object(path, bytes).await.map_err(to_iceberg),
            None => Ok(()),
        }
    }

    async fn writer(&self, path: &str) -> IcebergResult<Box<dyn FileWrite>> {
        self.path(path)?;
        Ok(Box::new(WholeWriter {
            storage: self.clone(),
            location: path.to_owned(),
            parts: Some(Vec::new()),
        }))
    }

    async fn delete(&self, path: &str) -> IcebergResult<()> {
        match self.store.delete(&self.path(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(io_error("delete", path, &error)),
        }
    }

    async fn delete_prefix(&self, path: &str) -> IcebergResult<()> {
        let found = self.store.list(Some(&self.path(path)?)).map_ok(|meta| meta.location).boxed();
        let deleted = self.store.delete_stream(found).try_for_each(|_| async { Ok(()) });
        deleted.await.map_err(|error| io_error("delete", path, &error))
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> IcebergResult<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> IcebergResult<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> IcebergResult<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

#[typetag::serde(name = "SluiceLakeStorage")]
impl StorageFactory for LakeStorage {
    fn build(&self, _config: &StorageConfig) -> IcebergResult<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

// The library asks for these, to send a handle to another process. A connection cannot travel.
impl Serialize for LakeStorage {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("an open store cannot be serialized"))
    }
}

impl<'de> Deserialize<'de> for LakeStorage {
    fn deserialize<D: Deserializer<'de>>(_deserializer: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("an open store cannot be deserialized"))
    }
}

/// Reads parts of one object.
struct RangeReader {
    store: Arc<dyn ObjectStore>,
    object: Path,
    location: String,
}

#[async_trait]
impl FileRead for RangeReader {
    async fn read(&self, range: Range<u64>) -> IcebergResult<Bytes> {
        check_size(&self.location, range.end.saturating_sub(range.start)).map_err(to_iceberg)?;
        let read = self.store.get_range(&self.object, range).await;
        read.map_err(|error| io_error("read", &self.location, &error))
    }
}

/// Collects a metadata file and stores it in one request, so that it is there whole or not at all.
struct WholeWriter {
    storage: LakeStorage,
    location: String,
    /// `None` after closing.
    parts: Option<Vec<u8>>,
}

#[async_trait]
impl FileWrite for WholeWriter {
    async fn write(&mut self, bs: Bytes) -> IcebergResult<()> {
        let closed = || IcebergError::new(ErrorKind::Unexpected, format!("{} is closed", self.location));
        self.parts.as_mut().ok_or_else(closed)?.extend_from_slice(&bs);
        Ok(())
    }

    async fn close(&mut self) -> IcebergResult<()> {
        let closed = || IcebergError::new(ErrorKind::Unexpected, format!("{} is closed", self.location));
        let parts = self.parts.take().ok_or_else(closed)?;
        self.storage.write(&self.location, parts.into()).await
    }
}

#[cfg(test)]
mod tests;
