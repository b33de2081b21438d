//! The object store client: one for Iceberg's metadata, for writers and for every reader.
//!
//! ```text
//! LakeSettings + Warehouse -> connect -> Arc<dyn ObjectStore>
//! ```
//!
//! Where the catalog hands out keys with its tables, those open the tables' places ([`vended`]).
//!
//! An S3 store is asked one question before the lake opens, through a client that gives up early: a wrong
//! key, a missing bucket or a silent endpoint is then one clear message within about ten seconds. The client
//! that is handed out retries for longer, because by then the settings are known to be right.

mod local;
pub(crate) mod vended;

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures::StreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::memory::InMemory;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use crate::error::{Error, Result};
use crate::settings::{LakeSettings, S3Settings};
use crate::warehouse::{Kind, Warehouse};
use local::DurableLocal;
use vended::{Keyring, TableKeys, VendedStore};

/// How long one answer and all its retries may take.
struct Patience {
    connect: Duration,
    request: Duration,
    retries: usize,
    total: Duration,
}

/// For the first question.
const PROBE: Patience = Patience {
    connect: Duration::from_secs(3),
    request: Duration::from_secs(5),
    retries: 2,
    total: Duration::from_secs(6),
};

/// For the work: a store may restart meanwhile.
const WORK: Patience = Patience {
    connect: Duration::from_secs(5),
    request: Duration::from_secs(60),
    retries: 10,
    total: Duration::from_secs(90),
};

/// Bounds the probe as a whole, also where credentials are looked for on the network first.
const PROBE_DEADLINE: Duration = Duration::from_secs(14);

/// The client for a warehouse, checked to answer.
pub(crate) async fn connect(settings: &LakeSettings, warehouse: &Warehouse) -> Result<Arc<dyn ObjectStore>> {
    match warehouse.kind() {
        Kind::File => Ok(Arc::new(DurableLocal::new())),
        Kind::Memory => Ok(Arc::new(InMemory::new())),
        Kind::S3 { bucket } => {
            probe(&s3(&settings.s3, bucket, &PROBE, Keys::Own)?, warehouse).await?;
            Ok(Arc::new(s3(&settings.s3, bucket, &WORK, Keys::Own)?))
        }
    }
}

/// The client for an S3 warehouse whose catalog hands out keys, and the ring that they go on. Nothing is asked yet:
/// without a table there are no keys, and the lake may have none of its own.
pub(crate) fn connect_with_vended_keys(
    settings: &LakeSettings,
    warehouse: &Warehouse,
) -> Result<(Arc<dyn ObjectStore>, Arc<Keyring>)> {
    let Kind::S3 { bucket } = warehouse.kind() else { return Err(no_bucket(warehouse)) };
    #[expect(clippy::disallowed_methods, reason = "the life of keys is told by the clock on the wall")]
    let keyring = Arc::new(Keyring::new(warehouse.clone(), &settings.s3, Utc::now));
    let own = Arc::new(s3(&settings.s3, bucket, &WORK, Keys::Own)?);
    Ok((Arc::new(VendedStore::new(keyring.clone(), own)), keyring))
}

fn no_bucket(warehouse: &Warehouse) -> Error {
    Error::Setting {
        fact: "keys for S3 open no other store",
        value: warehouse.root().to_owned(),
        remedy: "use a warehouse like s3://bucket/prefix".to_owned(),
    }
}

/// Whose keys a client signs with.
enum Keys {
    /// The lake's own: of the settings, or of the environment.
    Own,
    /// A table's, which the catalog handed out.
    HandedOut(Arc<TableKeys>),
}

/// Lists the first object under the root: the cheapest request that every missing part makes fail.
async fn probe(store: &dyn ObjectStore, warehouse: &Warehouse) -> Result<()> {
    let mut listing = store.list(Some(warehouse.root_path()));
    match tokio::time::timeout(PROBE_DEADLINE, listing.next()).await {
        Ok(None | Some(Ok(_))) => Ok(()),
        Ok(Some(Err(error))) => Err(failed("open", warehouse.root(), &error)),
        Err(_) => Err(Error::Store {
            action: "open",
            location: warehouse.root().to_owned(),
            cause: format!("no answer within {} s", PROBE_DEADLINE.as_secs()),
            remedy: UNREACHABLE,
            transient: true,
        }),
    }
}

fn s3(settings: &S3Settings, bucket: &str, patience: &Patience, keys: Keys) -> Result<AmazonS3> {
    let mut builder = match (keys, &settings.access_key_id, &settings.secret_access_key) {
        (Keys::HandedOut(keys), ..) => AmazonS3Builder::new().with_credentials(keys),
        (Keys::Own, Some(id), Some(secret)) => {
            AmazonS3Builder::new().with_access_key_id(id).with_secret_access_key(secret.reveal())
        }
        (Keys::Own, None, None) => AmazonS3Builder::from_env(),
        (Keys::Own, ..) => return Err(half_credentials(bucket)),
    };
    let mut options =
        ClientOptions::new().with_connect_timeout(patience.connect).with_timeout(patience.request);
    if let Some(endpoint) = &settings.endpoint {
        let url = Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| invalid_endpoint(endpoint))?;
        // Without encryption only where the address says so.
        options = options.with_allow_http(url.scheme() == "http");
        builder =
            builder.with_endpoint(endpoint.trim_end_matches('/')).with_virtual_hosted_style_request(false);
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        base: 2.0,
    };
    let retry = RetryConfig { backoff, max_retries: patience.retries, retry_timeout: patience.total };
    let builder = builder.with_bucket_name(bucket).with_client_options(options).with_retry(retry);
    builder.build().map_err(|error| failed("open", &format!("s3://{bucket}"), &error))
}

fn half_credentials(bucket: &str) -> Error {
    Error::Setting {
        fact: "the S3 credentials are incomplete for bucket",
        value: bucket.to_owned(),
        remedy: "give both the access key id and the secret access key, or neither to take them from the \
                 environment"
            .to_owned(),
    }
}

fn invalid_endpoint(endpoint: &str) -> Error {
    Error::Setting {
        fact: "the S3 endpoint is not an http or https URL",
        value: endpoint.to_owned(),
        remedy: "use a form like http://127.0.0.1:9000".to_owned(),
    }
}

const UNREACHABLE: &str = "start the store, or correct the S3 endpoint";

/// An object store's error as fact, subject and remedy.
pub(crate) fn failed(action: &'static str, location: &str, error: &object_store::Error) -> Error {
    let text = full_text(error);
    let (cause, remedy, transient) = explain(error, &text);
    Error::Store { action, location: location.to_owned(), cause, remedy, transient }
}

/// The message with the messages of its causes, where they say more.
fn full_text(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = inner.source();
    }
    text
}

/// Known facts by the S3 codes and the errors of the transport, what to do, and whether waiting may help;
/// anything else in the store's own words.
fn explain(error: &object_store::Error, text: &str) -> (String, &'static str, bool) {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["NoSuchBucket"]) {
        return (
            "the bucket does not exist".to_owned(),
            "create the bucket, or correct the warehouse",
            false,
        );
    }
    if has(&["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"]) {
        let fact = "the store does not know these credentials".to_owned();
        return (fact, "correct the access key id and the secret access key", false);
    }
    if has(&["AccessDenied"])
        || matches!(
            error,
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }
        )
    {
        let fact = format!("access is denied ({})", one_line(text));
        return (fact, "give this user the right to list, read and write there", false);
    }
    if has(&["handed-out keys"]) {
        let remedy = "look at the catalog's own log: it hands out the keys to the files of its tables";
        return (one_line(text), remedy, true);
    }
    if has(&["169.254.169.254", "instance metadata"]) {
        let fact = "no credentials were given, and the machine offers none".to_owned();
        return (fact, "set the access key id and the secret access key", false);
    }
    if has(&[
        "onnection refused",
        "error sending request",
        "dns error",
        "timed out",
        "error trying to connect",
    ]) {
        let reason = text.rsplit("HTTP error: ").next().unwrap_or(text);
        let address = address(text).map(|address| format!(" at {address}")).unwrap_or_default();
        return (format!("nothing answers{address} ({})", one_line(reason)), UNREACHABLE, true);
    }
    if has(&["non-2xx status code: 404", "non-2xx status code: 405"]) {
        let fact = format!("what answers is not an S3 store ({})", one_line(text));
        return (fact, "correct the S3 endpoint", false);
    }
    if has(&["No space left", "StorageFull"]) {
        return (one_line(text), "free space in the store", true);
    }
    if matches!(error, object_store::Error::NotFound { .. }) {
        let remedy = "restore the file, or roll the table back to a state without it";
        return ("it does not exist".to_owned(), remedy, false);
    }
    (one_line(text), "look at the store's own log for the reason", true)
}

/// The scheme, host and port of the URL that a message mentions.
fn address(text: &str) -> Option<String> {
    let url =
        text.split_whitespace().find(|word| word.starts_with("http://") || word.starts_with("https://"))?;
    Some(Url::parse(url).ok()?.origin().ascii_serialization())
}

/// A long answer, such as an XML page, cut to what fits a message.
fn one_line(text: &str) -> String {
    const CHARS_MAX: usize = 300;
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &words[..end]),
        None => words,
    }
}

#[cfg(test)]
mod tests;
