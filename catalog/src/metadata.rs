//! Metadata files: each holds one state of a table or view, is written whole, and never changes.
//!
//! ```text
//! location -> cache, or store: JSON (packed or not) -> parsed and checked -> cache
//! state    -> JSON (packed where the table says so) -> store; the cache, once the catalog points to it
//! ```
//!
//! A state is kept by its location. A process that commits again and again to a table never reads back what it
//! wrote: the catalog tells the location, and the state is still here.

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use iceberg::MetadataLocation;
use iceberg::compression::CompressionCodec;
use iceberg::spec::{TableMetadata, ViewMetadata};
use moka::future::Cache;

use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::schema;
use crate::storage::OBJECT_BYTES_MAX;

/// Metadata kept in memory, measured by its size as JSON.
const CACHE_BYTES: u64 = 64 << 20;

/// Views kept in memory.
const VIEWS_MAX: u64 = 1_000;

/// A state with more snapshots than this takes long enough to write out to be done beside the other tasks.
const SNAPSHOTS_IN_PLACE: usize = 100;

/// States by location, with the size of their JSON.
#[derive(Clone, Debug)]
pub(crate) struct MetadataCache {
    tables: Cache<String, (u32, Arc<TableMetadata>)>,
    views: Cache<String, Arc<ViewMetadata>>,
}

impl MetadataCache {
    pub(crate) fn new() -> Self {
        let tables = Cache::builder()
            .weigher(|_: &String, entry: &(u32, Arc<TableMetadata>)| entry.0)
            .max_capacity(CACHE_BYTES)
            .build();
        Self { tables, views: Cache::new(VIEWS_MAX) }
    }
}

/// A state as the bytes of its file.
pub(crate) struct Encoded {
    pub(crate) bytes: Bytes,
    /// Bytes of the JSON, unpacked.
    json_bytes: u32,
}

/// The file of a state, packed if its location says so.
pub(crate) async fn encode(metadata: &Arc<TableMetadata>, location: &MetadataLocation) -> Result<Encoded> {
    let packed = matches!(location.compression_codec(), CompressionCodec::Gzip(_));
    if metadata.snapshots().len() <= SNAPSHOTS_IN_PLACE {
        return encode_now(metadata, packed).map_err(|fact| unwritable(location, fact));
    }
    let state = metadata.clone();
    let encoded = tokio::task::spawn_blocking(move || encode_now(&state, packed)).await;
    encoded.map_err(|error| error.to_string()).flatten().map_err(|fact| unwritable(location, fact))
}

fn encode_now(metadata: &TableMetadata, packed: bool) -> std::result::Result<Encoded, String> {
    let json = serde_json::to_vec(metadata).map_err(|error| error.to_string())?;
    let json_bytes = u32::try_from(json.len()).unwrap_or(u32::MAX);
    if !packed {
        return Ok(Encoded { bytes: json.into(), json_bytes });
    }
    // JSON of metadata repeats itself, so the fastest level already leaves a tenth.
    let mut encoder = GzEncoder::new(Vec::with_capacity(json.len() / 8), Compression::fast());
    let bytes = encoder.write_all(&json).and_then(|()| encoder.finish());
    Ok(Encoded { bytes: bytes.map_err(|error| error.to_string())?.into(), json_bytes })
}

impl Lake {
    /// The state that a metadata location names.
    pub(crate) async fn metadata(&self, location: &str) -> Result<Arc<TableMetadata>> {
        let cache = &self.inner().metadata.tables;
        if let Some((_, metadata)) = cache.get(location).await {
            return Ok(metadata);
        }
        let json = self.read_json(location).await?;
        let metadata: TableMetadata = parse(location, &json)?;
        schema::check_defaults(&json, &metadata)?;
        self.check(&metadata)?;
        let metadata = Arc::new(metadata);
        let weight = u32::try_from(json.len()).unwrap_or(u32::MAX);
        cache.insert(location.to_owned(), (weight, metadata.clone())).await;
        Ok(metadata)
    }

    /// Writes the file of a state.
    pub(crate) async fn write_metadata(
        &self,
        metadata: &Arc<TableMetadata>,
        location: &MetadataLocation,
    ) -> Result<Encoded> {
        let encoded = encode(metadata, location).await?;
        self.inner().storage.write_object(&location.to_string(), encoded.bytes.clone()).await?;
        Ok(encoded)
    }

    /// Keeps a state that the catalog points to.
    pub(crate) async fn keep(&self, location: &str, metadata: &Arc<TableMetadata>, encoded: &Encoded) {
        let entry = (encoded.json_bytes, metadata.clone());
        self.inner().metadata.tables.insert(location.to_owned(), entry).await;
    }

    /// The state of a view that a metadata location names.
    pub(crate) async fn view_metadata(&self, location: &str) -> Result<Arc<ViewMetadata>> {
        let cache = &self.inner().metadata.views;
        if let Some(metadata) = cache.get(location).await {
            return Ok(metadata);
        }
        let json = self.read_json(location).await?;
        let metadata: ViewMetadata = parse(location, &json)?;
        schema::check(metadata.current_schema())?;
        let metadata = Arc::new(metadata);
        cache.insert(location.to_owned(), metadata.clone()).await;
        Ok(metadata)
    }

    /// A metadata file's JSON, unpacked if it is compressed.
    pub(crate) async fn read_json(&self, location: &str) -> Result<Bytes> {
        let bytes = self.inner().storage.read_object(location).await?;
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            return Ok(bytes);
        }
        let mut json = Vec::new();
        let mut unpacked = flate2::read::GzDecoder::new(bytes.as_ref()).take(OBJECT_BYTES_MAX + 1);
        let read = unpacked.read_to_end(&mut json).map_err(|error| error.to_string());
        let fact = match read {
            Ok(size) if size as u64 <= OBJECT_BYTES_MAX => return Ok(json.into()),
            Ok(_) => format!("it unpacks to more than {OBJECT_BYTES_MAX} bytes"),
            Err(fact) => fact,
        };
        Err(damaged(location, fact))
    }
}

/// Parses a metadata file; what it says about itself is checked by the library while parsing.
fn parse<T: serde::de::DeserializeOwned>(location: &str, json: &[u8]) -> Result<T> {
    // The library takes some of what it parses for granted; a damaged file must not end the program.
    match catch_unwind(AssertUnwindSafe(|| serde_json::from_slice(json))) {
        Ok(parsed) => parsed.map_err(|error| damaged(location, error.to_string())),
        Err(_) => Err(damaged(location, "the decoder stopped at it".to_owned())),
    }
}

fn damaged(location: &str, fact: String) -> Error {
    Error::File {
        subject: location.to_owned(),
        fact: format!("not readable as Iceberg metadata ({fact})"),
        remedy: "restore the file, or point the catalog back to the table's previous metadata",
    }
}

fn unwritable(location: &MetadataLocation, fact: String) -> Error {
    Error::File {
        subject: location.to_string(),
        fact: format!("the state cannot be written as Iceberg metadata ({fact})"),
        remedy: "this is a defect; report it with the table's current metadata file",
    }
}
