//! Keys for a table's files, as the answers of the server hold them.
//!
//! | in the answer | holds |
//! |---|---|
//! | `storage-credentials` | keys by prefix; the longest prefix of the table's location counts |
//! | `config` | keys of the table, where the list has none for it |
//! | `config` of the catalog | endpoint and region only |
//!
//! A set of keys is taken whole from one of the first two: an id of one and a secret of another open nothing, or
//! something else.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::DateTime;
use serde_json::Value;

use super::RestCatalog;
use super::client::Client;
use crate::catalogs::Kind;
use crate::changes::PATHS;
use crate::error::Result;
use crate::name::TableName;
use crate::settings::Secret;
use crate::store::vended::{KeySource, VendedKeys};

/// Asks the server for keys again.
#[derive(Debug)]
pub(super) struct Renewal {
    pub(super) client: Arc<Client>,
}

#[async_trait]
impl KeySource for Renewal {
    async fn renew(&self, table: &TableName, location: &str) -> Result<Option<VendedKeys>> {
        let path = RestCatalog::path(table, Kind::Table);
        let offered = "namespaces/{namespace}/tables/{table}/credentials";
        if self.client.offers("GET", offered)
            && let Some(answer) = self.client.read(&format!("{path}/credentials"), &[]).await?
            && let Some(keys) = keys(&answer, location, self.client.config())
        {
            return Ok(Some(keys));
        }
        let answer = self.client.read(&path, &[]).await?;
        Ok(answer.and_then(|answer| keys(&answer, location, self.client.config())))
    }
}

/// The places of a table of which an answer speaks, its location first.
pub(super) fn places(answer: &Value) -> Vec<String> {
    let metadata = &answer["metadata"];
    let location = metadata["location"].as_str();
    let named = PATHS.iter().filter_map(|key| metadata["properties"][key].as_str());
    location.into_iter().chain(named.filter(|_| location.is_some())).map(str::to_owned).collect()
}

/// The keys for files below `location`; `None` where the answer hands out none.
pub(super) fn keys(answer: &Value, location: &str, of_catalog: &Value) -> Option<VendedKeys> {
    let listed = answer["storage-credentials"].as_array().map(Vec::as_slice).unwrap_or_default();
    let prefix =
        |entry: &&Value| entry["prefix"].as_str().filter(|prefix| covers(prefix, location)).map(str::len);
    let nearest = listed.iter().filter(|entry| prefix(entry).is_some()).max_by_key(|entry| prefix(entry));
    let nearest = nearest.map(|entry| &entry["config"]);
    let whole = |config: &&Value| {
        config["s3.access-key-id"].is_string() && config["s3.secret-access-key"].is_string()
    };
    let set = nearest.into_iter().chain([&answer["config"]]).find(whole)?;
    let address = |names: &[&str]| {
        let sources = [set, &answer["config"], of_catalog];
        let mut found = sources.iter().flat_map(|source| names.iter().map(|name| source[*name].as_str()));
        found.find_map(|value| value.map(str::to_owned))
    };
    Some(VendedKeys {
        id: set["s3.access-key-id"].as_str()?.to_owned(),
        secret: Secret::new(set["s3.secret-access-key"].as_str()?),
        session_token: set["s3.session-token"].as_str().map(Secret::new),
        expires_at: number(&set["s3.session-token-expires-at-ms"]).and_then(DateTime::from_timestamp_millis),
        endpoint: address(&["s3.endpoint"]),
        region: address(&["s3.region", "client.region"]),
    })
}

/// Whether a prefix speaks of this location: `s3://lake/a` of `s3://lake/a/b` and not of `s3://lake/ab`.
fn covers(prefix: &str, location: &str) -> bool {
    location.strip_prefix(prefix).is_some_and(|rest| {
        rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/') || !prefix.contains("//")
    })
}

/// A number, also one that is written as text.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}
