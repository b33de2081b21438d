//! Any catalog that speaks the Iceberg REST protocol.
//!
//! ```text
//! Swap -> requirements + updates -> POST -> the server makes and writes the new state -> its answer is the state
//! ```
//!
//! Several tables change together only where the server offers `transactions/commit`. Where it does not, one swap of
//! several is refused; commits then land table by table ([`crate::commit`]).
//!
//! Keys that the server hands out with a table go to the [`Keyring`], where the lake has one; they open that table's
//! places inside the warehouse and nothing else.

mod client;
mod keys;
mod messages;
mod token;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Catalog, Change, Entry, Insert, Kind, NamespaceDropped, Properties, Renamed, State, Swap, SwapOutcome,
};
use crate::error::Result;
use crate::name::TableName;
use crate::settings::RestSettings;
use crate::store::vended::Keyring;
use client::{Client, Outcome};
use keys::Renewal;
use messages::{create_table, create_view, entry, identifier, levels, names, view_entry};

/// Levels of namespaces that are listed.
const LEVELS_MAX: usize = 8;

/// A catalog behind a REST endpoint.
#[derive(Debug)]
pub(crate) struct RestCatalog {
    client: Arc<Client>,
    /// Where keys go that the server hands out; without one none are asked for.
    keyring: Option<Arc<Keyring>>,
}

impl RestCatalog {
    /// Asks the server for its configuration, with one sign-in where credentials are given.
    pub(crate) async fn open(settings: &RestSettings, keyring: Option<Arc<Keyring>>) -> Result<Self> {
        let client = Arc::new(Client::open(settings, keyring.is_some()).await?);
        Ok(Self { client, keyring })
    }

    /// `namespaces/{namespace}`, its levels separated as paths have them.
    fn namespace_path(namespace: &str) -> String {
        let levels: Vec<_> = namespace.split('.').map(encoded).collect();
        format!("namespaces/{}", levels.join("%1F"))
    }

    fn path(name: &TableName, kind: Kind) -> String {
        let kind = match kind {
            Kind::Table => "tables",
            Kind::View => "views",
        };
        format!("{}/{kind}/{}", Self::namespace_path(name.namespace()), encoded(name.name()))
    }

    /// All pages of a list.
    async fn list(&self, path: &str, parent: Option<&str>, list: &str) -> Result<Option<Vec<Value>>> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let mut query = vec![("pageToken", token.as_str())];
            let joined = parent.map(|parent| parent.replace('.', "\u{1f}"));
            if let Some(parent) = &joined {
                query.push(("parent", parent));
            }
            let Some(mut page) = self.client.read(path, &query).await? else { return Ok(None) };
            match page[list].take() {
                Value::Array(mut names) => all.append(&mut names),
                _ => return Err(self.client.misunderstood(path, "it holds no list")),
            }
            match page["next-page-token"].as_str() {
                Some(next) if !next.is_empty() && next != token => token = next.to_owned(),
                _ => return Ok(Some(all)),
            }
        }
    }

    /// Creates the namespace unless it exists.
    async fn ensure_namespace(&self, namespace: &str) -> Result<()> {
        self.create_namespace(namespace, &Properties::new()).await.map(|_| ())
    }

    async fn load(&self, name: &TableName, kind: Kind) -> Result<Option<Entry>> {
        let path = Self::path(name, kind);
        let Some(answer) = self.client.read(&path, &[]).await? else { return Ok(None) };
        self.found(name, kind, &path, answer).await.map(Some)
    }

    /// What an answer says of a name, its keys put on the ring.
    async fn found(&self, name: &TableName, kind: Kind, path: &str, answer: Value) -> Result<Entry> {
        if let (Kind::Table, Some(keyring)) = (kind, &self.keyring) {
            let places = keys::places(&answer);
            let location = places.first().map(String::as_str).unwrap_or_default();
            if let Some(keys) = keys::keys(&answer, location, self.client.config()) {
                let source = Arc::new(Renewal { client: self.client.clone() });
                keyring.put(name, &places, keys, source).await?;
            }
        }
        let found = match kind {
            Kind::Table => entry(answer),
            Kind::View => view_entry(answer),
        };
        found.map_err(|fact| self.client.misunderstood(path, &fact))
    }

    /// Sends what makes a new name; `None` when it is taken, also by an attempt whose answer was lost.
    async fn add(&self, name: &TableName, kind: Kind, path: &str, body: &Value) -> Result<Option<Entry>> {
        match self.client.write(Method::POST, path, Some(body)).await? {
            Outcome::Done(answer) => self.found(name, kind, path, answer).await.map(Some),
            Outcome::Refused(refusal) if refusal.status == 409 => Ok(None),
            Outcome::Refused(refusal) => Err(self.client.refused("change", &refusal)),
            Outcome::Unknown(error) => match self.load(name, kind).await? {
                Some(_) => Ok(None),
                None => Err(error),
            },
        }
    }

    /// One table or view.
    async fn swap_one(&self, swap: &Swap) -> Result<SwapOutcome> {
        let path = Self::path(&swap.table, swap.change.kind());
        let body = match &swap.change {
            Change::Table { requirements, updates } => {
                json!({"identifier": identifier(&swap.table), "requirements": requirements, "updates": updates})
            }
            Change::View { updates } => {
                json!({"identifier": identifier(&swap.table), "requirements": [], "updates": updates})
            }
        };
        match self.client.write(Method::POST, &path, Some(&body)).await? {
            Outcome::Done(answer) => {
                let state = match swap.change.kind() {
                    Kind::Table => entry(answer),
                    Kind::View => view_entry(answer),
                };
                match state {
                    Ok(state) => Ok(SwapOutcome::Swapped(vec![state])),
                    Err(fact) => Ok(SwapOutcome::Unknown(self.client.misunderstood(&path, &fact))),
                }
            }
            Outcome::Refused(refusal) if matches!(refusal.status, 404 | 409) => {
                Ok(SwapOutcome::Lost { table: swap.table.clone() })
            }
            Outcome::Refused(refusal) => Err(self.client.refused("change", &refusal)),
            Outcome::Unknown(error) => Ok(SwapOutcome::Unknown(error)),
        }
    }

    /// Several tables in one transaction of the server.
    async fn swap_together(&self, swaps: &[Swap], first: &Swap) -> Result<SwapOutcome> {
        if !self.swaps_together() {
            return Err(self.client.lacks(
                "it offers no transactions over several tables",
                "use a catalog that offers transactions/commit, such as PostgreSQL or `sluice serve`",
            ));
        }
        let mut changes = Vec::with_capacity(swaps.len());
        for swap in swaps {
            let Change::Table { requirements, updates } = &swap.change else {
                return Err(self.client.lacks("a transaction holds tables only", "change views one by one"));
            };
            changes.push(json!({
                "identifier": identifier(&swap.table), "requirements": requirements, "updates": updates
            }));
        }
        let body = json!({"table-changes": changes});
        match self.client.write(Method::POST, "transactions/commit", Some(&body)).await? {
            Outcome::Done(_) => {
                // The answer holds no states. If they cannot be read, the next look finds the commit.
                let mut states = Vec::with_capacity(swaps.len());
                for swap in swaps {
                    match self.load(&swap.table, Kind::Table).await {
                        Ok(Some(state)) => states.push(state),
                        Ok(None) => return Ok(SwapOutcome::Lost { table: swap.table.clone() }),
                        Err(error) => return Ok(SwapOutcome::Unknown(error)),
                    }
                }
                Ok(SwapOutcome::Swapped(states))
            }
            Outcome::Refused(refusal) if matches!(refusal.status, 404 | 409) => {
                Ok(SwapOutcome::Lost { table: first.table.clone() })
            }
            Outcome::Refused(refusal) => Err(self.client.refused("change", &refusal)),
            Outcome::Unknown(error) => Ok(SwapOutcome::Unknown(error)),
        }
    }
}

#[async_trait]
impl Catalog for RestCatalog {
    fn writes_metadata(&self) -> bool {
        true
    }

    fn swaps_together(&self) -> bool {
        self.client.offers("POST", "transactions/commit")
    }

    async fn namespaces(&self) -> Result<Vec<String>> {
        let mut all = BTreeSet::new();
        let mut parents = vec![None];
        for _ in 0..LEVELS_MAX {
            let mut children = Vec::new();
            for parent in &parents {
                let found = self.list("namespaces", parent.as_deref(), "namespaces").await?;
                children.extend(found.unwrap_or_default().iter().filter_map(levels));
            }
            parents = children.iter().filter(|child| !all.contains(*child)).cloned().map(Some).collect();
            all.extend(children);
            if parents.is_empty() {
                break;
            }
        }
        Ok(all.into_iter().collect())
    }

    async fn namespace(&self, namespace: &str) -> Result<Option<Properties>> {
        let Some(mut answer) = self.client.read(&Self::namespace_path(namespace), &[]).await? else {
            return Ok(None);
        };
        Ok(Some(serde_json::from_value(answer["properties"].take()).unwrap_or_default()))
    }

    async fn create_namespace(&self, namespace: &str, properties: &Properties) -> Result<bool> {
        let body = json!({
            "namespace": namespace.split('.').collect::<Vec<_>>(), "properties": properties
        });
        match self.client.write(Method::POST, "namespaces", Some(&body)).await? {
            Outcome::Done(_) => Ok(true),
            Outcome::Refused(refusal) if refusal.status == 409 => Ok(false),
            Outcome::Refused(refusal) => Err(self.client.refused("change", &refusal)),
            Outcome::Unknown(error) => match self.namespace(namespace).await? {
                Some(_) => Ok(true),
                None => Err(error),
            },
        }
    }

    async fn change_namespace(
        &self,
        namespace: &str,
        removals: &[String],
        updates: &Properties,
    ) -> Result<bool> {
        let path = format!("{}/properties", Self::namespace_path(namespace));
        let body = json!({"removals": removals, "updates": updates});
        self.client.found(Method::POST, &path, Some(&body)).await
    }

    async fn drop_namespace(&self, namespace: &str) -> Result<NamespaceDropped> {
        match self.client.write(Method::DELETE, &Self::namespace_path(namespace), None).await? {
            Outcome::Done(_) => Ok(NamespaceDropped::Dropped),
            Outcome::Refused(refusal) if refusal.status == 404 => Ok(NamespaceDropped::Missing),
            Outcome::Refused(refusal) if refusal.status == 409 => Ok(NamespaceDropped::NotEmpty),
            Outcome::Refused(refusal) => Err(self.client.refused("change", &refusal)),
            Outcome::Unknown(error) => Err(error),
        }
    }

    async fn names(&self, namespace: &str, kind: Kind) -> Result<Vec<String>> {
        if kind == Kind::View && !self.client.serves_views() {
            return Ok(Vec::new());
        }
        let list = if kind == Kind::Table { "tables" } else { "views" };
        let path = format!("{}/{list}", Self::namespace_path(namespace));
        let found = self.list(&path, None, "identifiers").await?.unwrap_or_default();
        Ok(names(&found))
    }

    async fn entry(&self, name: &TableName) -> Result<Option<Entry>> {
        match self.load(name, Kind::Table).await? {
            None if self.client.serves_views() => self.load(name, Kind::View).await,
            found => Ok(found),
        }
    }

    async fn table(&self, name: &TableName) -> Result<Option<Entry>> {
        self.load(name, Kind::Table).await
    }

    async fn insert(&self, new: Insert) -> Result<Option<Entry>> {
        self.ensure_namespace(new.name.namespace()).await?;
        let path = Self::namespace_path(new.name.namespace());
        match &new.state {
            State::Table(metadata) => {
                let body = create_table(&new.name, metadata);
                self.add(&new.name, Kind::Table, &format!("{path}/tables"), &body).await
            }
            State::View(metadata) => {
                let body = create_view(&new.name, metadata);
                self.add(&new.name, Kind::View, &format!("{path}/views"), &body).await
            }
        }
    }

    async fn register(&self, name: &TableName, location: &str) -> Result<Option<Entry>> {
        let path = format!("{}/register", Self::namespace_path(name.namespace()));
        let body = json!({"name": name.name(), "metadata-location": location});
        self.add(name, Kind::Table, &path, &body).await
    }

    async fn remove(&self, name: &TableName, kind: Kind) -> Result<bool> {
        self.client.found(Method::DELETE, &Self::path(name, kind), None).await
    }

    async fn rename(&self, from: &TableName, to: &TableName, kind: Kind) -> Result<Renamed> {
        let path = if kind == Kind::Table { "tables/rename" } else { "views/rename" };
        let body = json!({"source": identifier(from), "destination": identifier(to)});
        match self.client.write(Method::POST, path, Some(&body)).await? {
            Outcome::Done(_) => Ok(Renamed::Done),
            Outcome::Refused(refusal) if refusal.status == 404 => Ok(Renamed::Missing),
            Outcome::Refused(refusal) if refusal.status == 409 => Ok(Renamed::Taken),
            Outcome::Refused(refusal) => Err(self.client.refused("change", &refusal)),
            Outcome::Unknown(error) => Err(error),
        }
    }

    async fn swap(&self, swaps: &[Swap]) -> Result<SwapOutcome> {
        match swaps {
            [] => Ok(SwapOutcome::Swapped(Vec::new())),
            [swap] => self.swap_one(swap).await,
            [first, ..] => self.swap_together(swaps, first).await,
        }
    }
}

/// A name as a path holds it.
fn encoded(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

#[cfg(test)]
mod tests;
