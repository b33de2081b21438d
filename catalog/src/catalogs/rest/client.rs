//! Requests to a REST catalog and what their answers mean.
//!
//! | answer | meaning for a change |
//! |---|---|
//! | 2xx | done |
//! | 401, 419 | not done; once more with a new token |
//! | 3xx, other 4xx | not done |
//! | 408, 429, 5xx, none in time, a broken connection | nobody knows |
//!
//! Redirects are not followed: they would carry the token elsewhere. Every request has a deadline, and an answer
//! a largest size. Where the server says how long to stay away (`Retry-After`), all requests wait so long.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::token::Tokens;
use crate::error::{Error, Result};
use crate::settings::RestSettings;

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A commit makes the server read and write metadata.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// The metadata of a table with a long history, and room.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// How often a question is asked whose answer did not come.
const READS_MAX: u32 = 4;
/// The longest that a server may keep us waiting.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Asks for keys to a table's files.
const DELEGATION: (&str, &str) = ("X-Iceberg-Access-Delegation", "vended-credentials");

const OUTAGE: &str = "wait until the catalog answers again, or correct lake.catalog";

/// A connection to one catalog of a server.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    /// `v1` with the prefix that the server gave.
    root: String,
    tokens: Tokens,
    /// What the server says that it offers; none when it does not say.
    endpoints: Vec<String>,
    /// What the server tells its clients about all tables.
    config: Value,
    asks_for_keys: bool,
    /// Until when the server asked us to stay away.
    paused: Mutex<Option<Instant>>,
}

/// How a change ended.
pub(super) enum Outcome {
    Done(Value),
    Refused(Refusal),
    Unknown(Error),
}

/// A definite no.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: String,
}

impl Client {
    /// With `asks_for_keys` each request says that keys for files are welcome.
    pub(super) async fn open(settings: &RestSettings, asks_for_keys: bool) -> Result<Self> {
        let invalid = |fact: &'static str| Error::Setting {
            fact,
            value: "lake.catalog".to_owned(),
            remedy: "use a form like https://host/iceberg; tokens and credentials have settings of their own"
                .to_owned(),
        };
        let mut base = Url::parse(settings.uri.trim_end_matches('/'))
            .map_err(|_| invalid("the address of the REST catalog cannot be read"))?;
        if !matches!(base.scheme(), "http" | "https") || base.password().is_some() {
            return Err(invalid("the address is not one of a REST catalog"));
        }
        base.set_query(None);
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .timeout(ANSWER_MAX)
            .redirect(Policy::none())
            .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| invalid("no connection can be prepared for the REST catalog"))?;
        let tokens = Tokens::new(settings, &base).map_err(|fact| Error::Setting {
            fact: "the credential of the REST catalog cannot be used",
            value: fact,
            remedy: "give client-id:client-secret".to_owned(),
        })?;
        let mut client = Self {
            http,
            base,
            root: "v1".to_owned(),
            tokens,
            endpoints: Vec::new(),
            config: Value::Null,
            asks_for_keys,
            paused: Mutex::new(None),
        };
        let warehouse = settings.warehouse.as_deref();
        let query: Vec<_> = warehouse.map(|warehouse| ("warehouse", warehouse)).into_iter().collect();
        let config = client.read("config", &query).await?;
        let config = config.ok_or_else(|| client.misunderstood("config", "there is no catalog"))?;
        let prefix = config["overrides"]["prefix"].as_str().or(config["defaults"]["prefix"].as_str());
        if let Some(prefix) = prefix.map(|prefix| prefix.trim_matches('/')).filter(|it| !it.is_empty()) {
            client.root = format!("v1/{prefix}");
        }
        let endpoints = config["endpoints"].as_array().map(Vec::as_slice).unwrap_or_default();
        client.endpoints = endpoints.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect();
        let told = ["defaults", "overrides"].iter().filter_map(|part| config[part].as_object().cloned());
        client.config = Value::Object(told.flatten().collect::<Map<_, _>>());
        Ok(client)
    }

    /// What the server tells its clients about all tables.
    pub(super) fn config(&self) -> &Value {
        &self.config
    }

    /// Whether the server says that it offers this endpoint.
    pub(super) fn offers(&self, method: &str, path: &str) -> bool {
        let wanted = format!("{method} /v1/{{prefix}}/{path}");
        self.endpoints.contains(&wanted)
    }

    /// Whether there can be views. A server that does not say what it offers is asked.
    pub(super) fn serves_views(&self) -> bool {
        self.endpoints.is_empty() || self.offers("GET", "namespaces/{namespace}/views/{view}")
    }

    /// Asks a question; `None` when there is no such thing. One that is not answered is asked again.
    pub(super) async fn read(&self, path: &str, query: &[(&str, &str)]) -> Result<Option<Value>> {
        let mut wait = Duration::from_millis(50);
        let mut asked = 0;
        loop {
            asked += 1;
            match self.send(Method::GET, path, query, None).await {
                Ok(Outcome::Done(answer)) => return Ok(Some(answer)),
                Ok(Outcome::Refused(refusal)) if refusal.status == 404 => return Ok(None),
                Ok(Outcome::Refused(refusal)) => return Err(self.refused("read", &refusal)),
                Ok(Outcome::Unknown(error)) | Err(error) if asked >= READS_MAX || !error.is_transient() => {
                    return Err(error);
                }
                Ok(Outcome::Unknown(_)) | Err(_) => tokio::time::sleep(wait).await,
            }
            wait *= 2;
        }
    }

    /// Asks for a change, once. An error means that it was not sent.
    pub(super) async fn write(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Outcome> {
        self.send(method, path, &[], body).await
    }

    /// A change that is the same when it is done twice: `false` when there is nothing to change.
    pub(super) async fn found(&self, method: Method, path: &str, body: Option<&Value>) -> Result<bool> {
        match self.write(method, path, body).await? {
            Outcome::Done(_) => Ok(true),
            Outcome::Refused(refusal) if refusal.status == 404 => Ok(false),
            Outcome::Refused(refusal) => Err(self.refused("change", &refusal)),
            Outcome::Unknown(error) => Err(error),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Outcome> {
        let url = format!("{}/{}/{path}", self.base.as_str().trim_end_matches('/'), self.root);
        let mut refused = None;
        loop {
            let token = self.tokens.bearer(&self.http, refused.as_ref()).await;
            let token = token.map_err(|(cause, transient)| Error::Catalog {
                action: "sign in to",
                location: self.base.to_string(),
                cause,
                remedy: "check the client's id and secret and the address of the OAuth2 server",
                transient,
            })?;
            self.stay_away().await;
            let mut request = self.http.request(method.clone(), &url).query(query);
            if self.asks_for_keys {
                request = request.header(DELEGATION.0, DELEGATION.1);
            }
            if let Some(token) = &token {
                request = request.bearer_auth(token.reveal());
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(error) => return Ok(Outcome::Unknown(self.silent(&error.without_url().to_string()))),
            };
            let rejected = matches!(answer.status().as_u16(), 401 | 419);
            if rejected && refused.is_none() && self.tokens.renews() && token.is_some() {
                refused = token;
                continue;
            }
            return Ok(self.outcome(answer).await);
        }
    }

    /// Waits as long as the server asked for.
    async fn stay_away(&self) {
        let until = *self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    /// Notes how long the server wants to be left alone, where it says it in seconds.
    fn note_pause(&self, answer: &Response) {
        let wait = answer.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.trim().parse().ok());
        if let Some(wait) = wait {
            let until = Instant::now() + Duration::from_secs(wait).min(PAUSE_MAX);
            *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        }
    }

    async fn outcome(&self, mut answer: Response) -> Outcome {
        let status = answer.status();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            self.note_pause(&answer);
        }
        let mut body = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_BYTES_MAX => {
                    body.extend_from_slice(&chunk)
                }
                Ok(Some(_)) => return Outcome::Unknown(self.silent("the answer is too large")),
                Ok(None) => break,
                Err(error) if status.is_success() => {
                    return Outcome::Unknown(self.silent(&error.without_url().to_string()));
                }
                Err(_) => break,
            }
        }
        let json = serde_json::from_slice::<Value>(&body);
        if status.is_success() {
            return match json {
                Ok(json) => Outcome::Done(json),
                Err(_) if body.is_empty() => Outcome::Done(Value::Null),
                Err(error) => Outcome::Unknown(self.silent(&format!("the answer is not JSON: {error}"))),
            };
        }
        let message = json.ok().and_then(|json| Some(json["error"]["message"].as_str()?.to_owned()));
        let message = message.map_or_else(|| status.to_string(), |message| format!("{status}: {message}"));
        let unsure = status.is_server_error()
            || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        match unsure {
            true => Outcome::Unknown(self.silent(&message)),
            false => Outcome::Refused(Refusal { status: status.as_u16(), message }),
        }
    }

    fn silent(&self, cause: &str) -> Error {
        self.error("reach", cause.to_owned(), OUTAGE, true)
    }

    /// A definite no as an error.
    pub(super) fn refused(&self, action: &'static str, refusal: &Refusal) -> Error {
        let remedy = match refusal.status {
            401 | 403 | 419 => "check the token or the credential, and what it may do",
            _ => "look at the catalog's own log for the reason",
        };
        self.error(action, refusal.message.clone(), remedy, false)
    }

    /// An answer that is not of the protocol.
    pub(super) fn misunderstood(&self, path: &str, fact: &str) -> Error {
        let remedy = "check that lake.catalog is the address of an Iceberg REST catalog";
        self.error("understand", format!("the answer to {path}: {fact}"), remedy, false)
    }

    /// Something that the server does not offer.
    pub(super) fn lacks(&self, fact: &str, remedy: &'static str) -> Error {
        self.error("change", fact.to_owned(), remedy, false)
    }

    fn error(&self, action: &'static str, cause: String, remedy: &'static str, transient: bool) -> Error {
        Error::Catalog { action, location: self.base.to_string(), cause, remedy, transient }
    }
}
