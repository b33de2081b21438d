//! A Confluent-compatible schema registry: schemas by id and by subject, and whether a new one is compatible.
//!
//! ```text
//! message: 0, id (4 bytes) -> Lookup (cache, waits) -> Registry (HTTP) -> schema text with its references
//! ```
//!
//! | answer | meaning |
//! |---|---|
//! | 2xx | the schema; ids are never given again, so it is kept for good |
//! | 404 | there is no such schema: the only answer that makes a dead letter |
//! | 401, 403, other 4xx | an error that waiting does not cure |
//! | 408, 429, 5xx, none in time, no connection, no JSON | silence: asked again |
//!
//! Redirects are not followed: they would carry the credential elsewhere. Every request has a deadline, and an
//! answer a largest size.

mod lookup;

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_catalog::Secret;
use url::Url;

pub(crate) use self::lookup::{Found, Lookup, Patience};
use crate::error::{Error, Result};

const CONNECT_MAX: Duration = Duration::from_secs(5);
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// A schema larger than this is refused.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Schemas that one schema may refer to, directly or through others.
const REFERENCES_MAX: usize = 200;
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Where a schema registry is and who asks.
#[derive(Clone, Debug, Default)]
pub struct RegistrySettings {
    /// Its root, before `/schemas` and `/subjects`.
    pub url: String,
    /// Who asks.
    pub credential: Credential,
}

/// How a registry is signed in to.
#[derive(Clone, Debug, Default)]
pub enum Credential {
    /// Not at all.
    #[default]
    None,
    /// Name and password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A bearer token.
    Bearer(Secret),
}

/// The languages of schemas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Language {
    /// Avro; what a registry means when it says nothing.
    #[default]
    #[serde(rename = "AVRO")]
    Avro,
    /// Protobuf.
    #[serde(rename = "PROTOBUF")]
    Protobuf,
    /// JSON Schema.
    #[serde(rename = "JSON")]
    Json,
}

/// A schema and every schema that it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaText {
    /// The language.
    pub language: Language,
    /// The schema itself.
    pub text: String,
    /// The schemas referred to, directly or through others, by the name that is used for each.
    pub references: Vec<(String, String)>,
}

/// What the registry says to a new schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may follow the latest one.
    pub compatible: bool,
    /// Why not.
    pub messages: Vec<String>,
}

/// A client of one registry.
#[derive(Clone, Debug)]
pub struct Registry {
    http: reqwest::Client,
    base: String,
    credential: Credential,
}

#[derive(Deserialize)]
struct Answer {
    schema: String,
    #[serde(default, rename = "schemaType")]
    language: Language,
    #[serde(default)]
    references: Vec<Reference>,
}

/// A name under which a schema refers to a version of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Reference {
    /// The name as the schema uses it: a full name in Avro, an import in Protobuf.
    pub name: String,
    /// The subject.
    pub subject: String,
    /// Its version.
    pub version: i64,
}

impl Registry {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::Registry`] when the address is none.
    pub fn new(settings: &RegistrySettings) -> Result<Self> {
        let invalid = || Error::Registry {
            action: "use",
            url: "ingest.registry.url".to_owned(),
            cause: "it is no address of a schema registry".to_owned(),
            remedy: "use a form like https://host:8081; passwords and tokens have settings of their own",
            transient: false,
        };
        let url = Url::parse(settings.url.trim_end_matches('/')).map_err(|_| invalid())?;
        if !matches!(url.scheme(), "http" | "https") || url.password().is_some() || url.query().is_some() {
            return Err(invalid());
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .timeout(ANSWER_MAX)
            .redirect(Policy::none())
            .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| invalid())?;
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { http, base, credential: settings.credential.clone() })
    }

    /// The schema of an id with its references; `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Registry`], transient when asking again may help; [`Error::Schema`] for one that cannot be used.
    pub async fn schema(&self, id: u32) -> Result<Option<SchemaText>> {
        self.whole(&["schemas", "ids", &id.to_string()], &format!("schema {id}")).await
    }

    /// The latest schema of a subject; `None` when there is none.
    ///
    /// # Errors
    /// As [`Registry::schema`].
    pub async fn latest(&self, subject: &str) -> Result<Option<SchemaText>> {
        self.whole(&["subjects", subject, "versions", "latest"], &format!("subject `{subject}`")).await
    }

    /// What a new schema refers to, collected.
    ///
    /// # Errors
    /// As [`Registry::schema`]; also when one of them is not there.
    pub async fn with_references(
        &self,
        language: Language,
        text: String,
        references: Vec<Reference>,
    ) -> Result<SchemaText> {
        let references = self.collect(references, "the new schema").await?;
        Ok(SchemaText { language, text, references })
    }

    /// Whether a schema may become the next one of a subject; `None` when the subject has none yet.
    ///
    /// # Errors
    /// As [`Registry::schema`].
    pub async fn compatible(
        &self,
        subject: &str,
        language: Language,
        text: &str,
        references: &[Reference],
    ) -> Result<Option<Verdict>> {
        let references: Vec<Value> = references
            .iter()
            .map(|it| json!({"name": it.name, "subject": it.subject, "version": it.version}))
            .collect();
        let body = json!({"schema": text, "schemaType": language.name(), "references": references});
        let path = ["compatibility", "subjects", subject, "versions", "latest"];
        let request = self.request(Method::POST, &path).query(&[("verbose", "true")]);
        let request = request.header("Content-Type", MEDIA_TYPE).body(body.to_string());
        let Some(answer) = self.send(request, &format!("the compatibility of `{subject}`")).await? else {
            return Ok(None);
        };
        let compatible = answer["is_compatible"].as_bool();
        let compatible = compatible.ok_or_else(|| self.silent("it does not say is_compatible".to_owned()))?;
        let messages = answer["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let messages = messages.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect();
        Ok(Some(Verdict { compatible, messages }))
    }

    async fn whole(&self, path: &[&str], what: &str) -> Result<Option<SchemaText>> {
        let Some(answer) = self.answer(path, what).await? else { return Ok(None) };
        let references = self.collect(answer.references, what).await?;
        Ok(Some(SchemaText { language: answer.language, text: answer.schema, references }))
    }

    async fn answer(&self, path: &[&str], what: &str) -> Result<Option<Answer>> {
        let Some(answer) = self.send(self.request(Method::GET, path), what).await? else { return Ok(None) };
        let answer = serde_json::from_value(answer);
        answer.map(Some).map_err(|error| self.silent(format!("the answer on {what} is no schema: {error}")))
    }

    /// The schemas referred to, each once.
    async fn collect(&self, references: Vec<Reference>, what: &str) -> Result<Vec<(String, String)>> {
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut open = references;
        while let Some(next) = open.pop() {
            if !seen.insert(next.name.clone()) {
                continue;
            }
            let fault = |fact: String| Err(Error::Schema { subject: what.to_owned(), fact });
            let version = next.version.to_string();
            let path = ["subjects", next.subject.as_str(), "versions", &version];
            let Some(answer) = self.answer(&path, &next.subject).await? else {
                let (name, subject) = (next.name, next.subject);
                return fault(format!(
                    "it refers to `{name}`, version {version} of `{subject}`, which is not there"
                ));
            };
            bytes += answer.schema.len();
            if seen.len() > REFERENCES_MAX || bytes > ANSWER_BYTES_MAX {
                return fault(format!(
                    "it refers to more than {REFERENCES_MAX} schemas or {ANSWER_BYTES_MAX} bytes"
                ));
            }
            found.push((next.name, answer.schema));
            open.extend(answer.references);
        }
        Ok(found)
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        for part in path {
            url.push('/');
            url.extend(
                url::form_urlencoded::byte_serialize(part.as_bytes()).map(|it| it.replace('+', "%20")),
            );
        }
        let request = self.http.request(method, url).header("Accept", MEDIA_TYPE);
        match &self.credential {
            Credential::None => request,
            Credential::Basic { user, password } => request.basic_auth(user, Some(password.reveal())),
            Credential::Bearer(token) => request.bearer_auth(token.reveal()),
        }
    }

    /// The answer; `None` when there is no such thing.
    async fn send(&self, request: RequestBuilder, what: &str) -> Result<Option<Value>> {
        let silent = |error: reqwest::Error| self.silent(error.without_url().to_string());
        let mut answer = request.send().await.map_err(silent)?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(silent)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                let fact = format!("it is larger than {ANSWER_BYTES_MAX} bytes");
                return Err(Error::Schema { subject: what.to_owned(), fact });
            }
            body.extend_from_slice(&chunk);
        }
        let json = serde_json::from_slice::<Value>(&body);
        if status.is_success() {
            return json.map(Some).map_err(|error| self.silent(format!("the answer is not JSON: {error}")));
        }
        let message = json.ok().and_then(|json| Some(json["message"].as_str()?.to_owned()));
        let cause = message.map_or_else(|| status.to_string(), |message| format!("{status}: {message}"));
        let remedy = match status {
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "check the user, password or token of ingest.registry, and what they may read"
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => return Err(self.silent(cause)),
            status if status.is_client_error() => "look at the registry's own log for the reason",
            _ => return Err(self.silent(cause)),
        };
        let url = self.base.clone();
        Err(Error::Registry {
            action: "read",
            url,
            cause: format!("{what}: {cause}"),
            remedy,
            transient: false,
        })
    }

    fn silent(&self, cause: String) -> Error {
        let remedy = "wait until the registry answers again, or correct ingest.registry.url";
        Error::Registry { action: "reach", url: self.base.clone(), cause, remedy, transient: true }
    }
}

impl Language {
    /// The name that registries use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Protobuf => "PROTOBUF",
            Self::Json => "JSON",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
