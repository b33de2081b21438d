//! Keys that a catalog hands out with a table: each set opens that table's places and nothing else.
//!
//! ```text
//! answer of the catalog -> Keyring: place -> client with these keys
//! path -> VendedStore: the longest place above it -> its client; none -> the lake's own client
//! ```
//!
//! Invariants:
//! - A set of keys comes whole from one answer. Nothing of it is taken from the settings, nothing of theirs fills
//!   it up.
//! - Keys that were handed out go only to the store that the catalog names with them; the lake's own keys go
//!   only to the lake's own endpoint.
//! - A place that was opened with handed-out keys is never reached with the lake's own: when they cannot be renewed,
//!   the request fails.
//!
//! Keys are renewed after 80 % of their life. One renewal of a table runs at a time; the others wait for it.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::aws::AwsCredential;
use object_store::path::Path;
use object_store::{
    CopyOptions, CredentialProvider, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result as StoreResult,
};
use tokio::sync::Mutex;

use super::{Keys, WORK, s3};
use crate::error::Result;
use crate::name::TableName;
use crate::settings::{S3Settings, Secret};
use crate::warehouse::{Kind, Warehouse};

/// How long a failed renewal is not tried again while the keys still live.
const RENEWAL_PAUSE: TimeDelta = TimeDelta::seconds(10);
/// Objects that are deleted at the same time.
const DELETES_AT_ONCE: usize = 10;

/// One set of keys, from one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VendedKeys {
    pub(crate) id: String,
    pub(crate) secret: Secret,
    pub(crate) session_token: Option<Secret>,
    /// When they end; `None` when the catalog did not say.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// The store they are for; the lake's endpoint when the catalog names none.
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
}

/// Who hands out keys again before they end.
#[async_trait]
pub(crate) trait KeySource: fmt::Debug + Send + Sync {
    /// New keys for a table's files below `location`; `None` when there are none any more.
    async fn renew(&self, table: &TableName, location: &str) -> Result<Option<VendedKeys>>;
}

/// The keys that were handed out, by the places that they open.
#[derive(Debug)]
pub(crate) struct Keyring {
    warehouse: Warehouse,
    settings: S3Settings,
    clock: fn() -> DateTime<Utc>,
    places: RwLock<HashMap<String, Place>>,
}

/// Below one place all requests go through one client.
#[derive(Clone, Debug)]
struct Place {
    client: Arc<dyn ObjectStore>,
    keys: Arc<TableKeys>,
    /// Endpoint and region that the client was made for.
    address: [Option<String>; 2],
}

impl Keyring {
    /// `settings` give endpoint and region where the catalog names none; their keys are not used.
    pub(crate) fn new(warehouse: Warehouse, settings: &S3Settings, clock: fn() -> DateTime<Utc>) -> Self {
        let settings = S3Settings { access_key_id: None, secret_access_key: None, ..settings.clone() };
        Self { warehouse, settings, clock, places: RwLock::default() }
    }

    /// Takes the keys for a table's places, the first of which is its location. Places outside the warehouse are
    /// left out: nothing there is read or written.
    pub(crate) async fn put(
        &self,
        table: &TableName,
        places: &[String],
        keys: VendedKeys,
        source: Arc<dyn KeySource>,
    ) -> Result<()> {
        let Some(location) = places.first() else { return Ok(()) };
        let paths = places.iter().filter_map(|place| self.warehouse.object_path(place).ok());
        let paths: Vec<String> = paths.map(|path| path.to_string()).collect();
        let address = [keys.endpoint.clone(), keys.region.clone()];
        let known = paths.first().and_then(|path| self.read().get(path).cloned());
        let place = match known.filter(|known| known.address == address && known.keys.table == *table) {
            Some(known) => {
                known.keys.replace(keys).await;
                known
            }
            None => self.place(TableKeys::new(table, location, keys, source, self.clock), address)?,
        };
        let mut held = self.places.write().unwrap_or_else(PoisonError::into_inner);
        held.extend(paths.into_iter().map(|path| (path, place.clone())));
        Ok(())
    }

    fn place(&self, keys: TableKeys, address: [Option<String>; 2]) -> Result<Place> {
        let Kind::S3 { bucket } = self.warehouse.kind() else {
            return Err(super::no_bucket(&self.warehouse));
        };
        let [endpoint, region] = address.clone();
        let settings = S3Settings {
            endpoint: endpoint.or(self.settings.endpoint.clone()),
            region: region.or(self.settings.region.clone()),
            ..S3Settings::default()
        };
        let keys = Arc::new(keys);
        let client = Arc::new(s3(&settings, bucket, &WORK, Keys::HandedOut(keys.clone()))?);
        Ok(Place { client, keys, address })
    }

    /// The client of the longest place that `path` lies in.
    fn client(&self, path: &Path) -> Option<Arc<dyn ObjectStore>> {
        let places = self.read();
        let mut prefix = path.as_ref();
        loop {
            if let Some(place) = places.get(prefix) {
                return Some(place.client.clone());
            }
            prefix = &prefix[..prefix.rfind('/')?];
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<String, Place>> {
        self.places.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys of one table as its client takes them, renewed before they end.
#[derive(Debug)]
pub(super) struct TableKeys {
    table: TableName,
    location: String,
    source: Arc<dyn KeySource>,
    clock: fn() -> DateTime<Utc>,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    credential: Arc<AwsCredential>,
    renew_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
}

impl Held {
    fn new(keys: VendedKeys, now: DateTime<Utc>) -> Self {
        let life = keys.expires_at.map(|end| end.signed_duration_since(now).max(TimeDelta::zero()));
        Self {
            renew_at: life.map(|life| now + life * 4 / 5),
            expires_at: keys.expires_at,
            credential: Arc::new(AwsCredential {
                key_id: keys.id,
                secret_key: keys.secret.reveal().to_owned(),
                token: keys.session_token.map(|token| token.reveal().to_owned()),
            }),
        }
    }
}

impl TableKeys {
    fn new(
        table: &TableName,
        location: &str,
        keys: VendedKeys,
        source: Arc<dyn KeySource>,
        clock: fn() -> DateTime<Utc>,
    ) -> Self {
        let held = Mutex::new(Held::new(keys, clock()));
        Self { table: table.clone(), location: location.to_owned(), source, clock, held }
    }

    async fn replace(&self, keys: VendedKeys) {
        *self.held.lock().await = Held::new(keys, (self.clock)());
    }

    fn failed(&self, fact: String) -> StoreError {
        let source = format!("the catalog {fact} for table {}", self.table).into();
        StoreError::Generic { store: "handed-out keys", source }
    }
}

#[async_trait]
impl CredentialProvider for TableKeys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> StoreResult<Arc<AwsCredential>> {
        let mut held = self.held.lock().await;
        let now = (self.clock)();
        if held.renew_at.is_none_or(|at| now < at) {
            return Ok(held.credential.clone());
        }
        match self.source.renew(&self.table, &self.location).await {
            Ok(Some(keys)) => *held = Held::new(keys, (self.clock)()),
            Ok(None) => return Err(self.failed("hands out no more keys".to_owned())),
            Err(error) if held.expires_at.is_some_and(|end| now < end) => {
                tracing::warn!(table = %self.table, %error, "keys of a table cannot be renewed yet");
                held.renew_at = Some(now + RENEWAL_PAUSE);
            }
            Err(error) => return Err(self.failed(format!("could not be asked for new keys ({error})"))),
        }
        Ok(held.credential.clone())
    }
}

/// The store of a lake whose catalog hands out keys.
#[derive(Debug)]
pub(crate) struct VendedStore {
    keyring: Arc<Keyring>,
    /// For places that nobody handed out keys for.
    own: Arc<dyn ObjectStore>,
}

impl VendedStore {
    pub(crate) fn new(keyring: Arc<Keyring>, own: Arc<dyn ObjectStore>) -> Self {
        Self { keyring, own }
    }

    fn at(&self, path: &Path) -> Arc<dyn ObjectStore> {
        self.keyring.client(path).unwrap_or_else(|| self.own.clone())
    }

    fn below(&self, prefix: Option<&Path>) -> Arc<dyn ObjectStore> {
        prefix.map_or_else(|| self.own.clone(), |prefix| self.at(prefix))
    }
}

impl fmt::Display for VendedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with keys from the catalog", self.own)
    }
}

#[async_trait]
impl ObjectStore for VendedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> StoreResult<PutResult> {
        self.at(location).put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.at(location).put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.at(location).get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        self.at(location).get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        let this = Self { keyring: self.keyring.clone(), own: self.own.clone() };
        let delete = move |location: StoreResult<Path>| {
            let client = location.as_ref().map(|location| this.at(location)).ok();
            async move {
                let location = location?;
                if let Some(client) = client {
                    client.delete(&location).await?;
                }
                Ok(location)
            }
        };
        locations.map(delete).buffered(DELETES_AT_ONCE).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.below(prefix).list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.below(prefix).list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        let (source, target) = (self.at(from), self.at(to));
        if Arc::ptr_eq(&source, &target) {
            return source.copy_opts(from, to, options).await;
        }
        // No set of keys opens both places.
        let bytes = source.get_opts(from, GetOptions::default()).await?.bytes().await?;
        target.put_opts(to, bytes.into(), PutOptions::default()).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests;
