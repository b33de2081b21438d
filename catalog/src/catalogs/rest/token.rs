//! Bearer tokens: one that was given, or those that client credentials are exchanged for.
//!
//! An exchanged token is renewed after 80 % of its life, and at once when the server does not take it. One
//! renewal runs at a time; the others wait for it.

use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::settings::{RestSettings, Secret};

/// How long a token lives whose life the server does not tell.
const LIFE_DEFAULT: Duration = Duration::from_secs(3600);

/// How requests prove who sends them.
#[derive(Debug)]
pub(super) enum Tokens {
    None,
    Given(Secret),
    Exchanged(Box<Exchange>),
}

/// OAuth2 with client credentials.
#[derive(Debug)]
pub(super) struct Exchange {
    server: Url,
    client_id: String,
    client_secret: Secret,
    scope: String,
    current: Mutex<Option<Current>>,
}

#[derive(Debug, Clone)]
struct Current {
    token: Secret,
    renew_at: Instant,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<u64>,
}

impl Tokens {
    /// `base` is the root of the catalog, whose own endpoint is asked where the settings name no other.
    pub(super) fn new(settings: &RestSettings, base: &Url) -> Result<Self, String> {
        if let Some(token) = &settings.token {
            return Ok(Self::Given(token.clone()));
        }
        let Some(credential) = &settings.credential else { return Ok(Self::None) };
        let (client_id, client_secret) =
            credential.reveal().split_once(':').ok_or("it has not the form client-id:client-secret")?;
        let server = match &settings.oauth2_server_uri {
            Some(server) => Url::parse(server).map_err(|error| format!("its OAuth2 server: {error}"))?,
            None => Url::parse(&format!("{base}/v1/oauth/tokens")).map_err(|error| error.to_string())?,
        };
        Ok(Self::Exchanged(Box::new(Exchange {
            server,
            client_id: client_id.to_owned(),
            client_secret: Secret::new(client_secret),
            scope: settings.scope.clone().unwrap_or_else(|| "catalog".to_owned()),
            current: Mutex::new(None),
        })))
    }

    /// The token to send; `refused` is one that the server did not take.
    ///
    /// # Errors
    /// In words without secrets, and whether waiting may help.
    pub(super) async fn bearer(
        &self,
        http: &reqwest::Client,
        refused: Option<&Secret>,
    ) -> Result<Option<Secret>, (String, bool)> {
        match self {
            Self::None => Ok(None),
            Self::Given(token) => Ok(Some(token.clone())),
            Self::Exchanged(exchange) => exchange.bearer(http, refused).await.map(Some),
        }
    }

    /// Whether a token that was refused can be replaced.
    pub(super) fn renews(&self) -> bool {
        matches!(self, Self::Exchanged(_))
    }
}

impl Exchange {
    async fn bearer(
        &self,
        http: &reqwest::Client,
        refused: Option<&Secret>,
    ) -> Result<Secret, (String, bool)> {
        let mut current = self.current.lock().await;
        if let Some(held) = current.as_ref()
            && refused != Some(&held.token)
            && Instant::now() < held.renew_at
        {
            return Ok(held.token.clone());
        }
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.client_id),
            ("client_secret", self.client_secret.reveal()),
            ("scope", &self.scope),
        ];
        let asked = Instant::now();
        let failed = |error: reqwest::Error| (format!("the OAuth2 server: {}", error.without_url()), true);
        let answer = http.post(self.server.clone()).form(&form).send().await.map_err(failed)?;
        let status = answer.status();
        if !status.is_success() {
            let passes = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
            return Err((format!("the OAuth2 server answers {status} to these credentials"), passes));
        }
        let granted: Granted = answer.json().await.map_err(failed)?;
        let life = granted.expires_in.map_or(LIFE_DEFAULT, Duration::from_secs);
        let token = Secret::new(granted.access_token);
        *current = Some(Current { token: token.clone(), renew_at: asked + life.mul_f64(0.8) });
        Ok(token)
    }
}
