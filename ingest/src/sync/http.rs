//! A JSON feed over HTTP: asked, checked, made into columns, and only then landed.
//!
//! | answer | what follows |
//! |---|---|
//! | 200 | its records, all of them; anything that does not fit is an error |
//! | 304 | unchanged; asked for only while the table is as the last run left it |
//! | 3xx | followed at most [`REDIRECTS_MAX`] times, to the same host or those that are allowed, never from https to http |
//! | 408, 425, 429, 5xx, none in time, no connection | asked again, after a wait that doubles |
//! | other | an error |
//!
//! A secret goes to the origin of the configured address and nowhere else. Every answer has a deadline and a largest
//! size.

mod records;

#[cfg(test)]
pub(super) mod tests;

use std::time::Duration;

use futures::{StreamExt, stream};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use reqwest::header::{
    ACCEPT, ETAG, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use sluice_catalog::{Lake, Operation, Secret, TableSpec, TableWriter, WriterSettings};
use url::Url;

use self::records::Answer;
use super::error::{Error, Result};
use super::replace::{Replacement, no_rows};
use super::state::{self, Found, State};
use super::{Attempt, Auth, HttpSource, Keep, Outcome, SyncJob, content};
use crate::pipeline::{new_token, now};

const CONNECT_MAX: Duration = Duration::from_secs(5);
const REDIRECTS_MAX: usize = 5;
const TRIES: u32 = 4;
/// The longest wait that a server may ask for before the run gives up.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How long to wait between tries.
#[derive(Clone, Copy, Debug)]
struct Patience {
    first: Duration,
}

/// What a server gave.
#[derive(Debug)]
enum Fetched {
    Body { text: String, etag: Option<String>, last_modified: Option<String> },
    NotModified,
}

/// One request that did not do.
enum Failed {
    /// It may do later, at the earliest after this.
    Later(String, Option<Duration>),
    Never(Error),
}

pub(super) async fn run(lake: &Lake, job: &SyncJob, source: &HttpSource, dry_run: bool) -> Result<Attempt> {
    let found = state::find(lake, job).await?;
    let known = found.state.as_ref().filter(|_| found.untouched);
    let patience = Patience { first: Duration::from_millis(500) };
    let Fetched::Body { text, etag, last_modified } = fetch(job, source, known, patience).await? else {
        return Ok(Attempt::Done(job.report()));
    };
    let answer = records::read(job, source, &text, found.table.as_ref().map(|table| table.schema()))?;
    if answer.batch.num_rows() == 0 && !source.allow_empty {
        return Err(no_rows(&job.name));
    }
    let state = State { etag, last_modified, ..State::default() };
    let ignored = answer.ignored.clone();
    let attempt = match source.keep {
        Keep::History => append(lake, job, &found, answer, state, dry_run).await?,
        Keep::Latest => {
            let (schema, allow_empty) = (answer.batch.schema(), source.allow_empty);
            let replacement = Replacement { lake, job, found: &found, schema, allow_empty, dry_run, state };
            replacement.run(stream::iter([Ok(answer.batch)]).boxed()).await?
        }
    };
    Ok(match attempt {
        Attempt::Done(report) => Attempt::Done(super::SyncReport { ignored, ..report }),
        moved => moved,
    })
}

/// Adds the records of an answer that differs from the last one, with its time.
async fn append(
    lake: &Lake,
    job: &SyncJob,
    found: &Found,
    answer: Answer,
    state: State,
    dry_run: bool,
) -> Result<Attempt> {
    let mut rows = content::Content::new(&answer.batch.schema())?;
    rows.add(&answer.batch)?;
    let fingerprint = rows.fingerprint();
    let read = rows.count();
    let known = found.state.as_ref().and_then(|state| state.content.as_ref());
    if known == Some(&fingerprint) {
        return Ok(Attempt::Done(super::SyncReport { read, ..job.report() }));
    }
    let report = super::SyncReport { outcome: Outcome::Appended, read, written: read, ..job.report() };
    if dry_run {
        return Ok(Attempt::Done(report));
    }
    let batch = records::stamped(&answer.batch, now())?;
    let Some(target) = state::target(lake, job, found, TableSpec::new(batch.schema())).await? else {
        return Ok(Attempt::Moved("another run made the table".to_owned()));
    };
    let token = new_token();
    let mut writer = TableWriter::new(lake, &target.table, token, WriterSettings::default())?;
    let landed = match writer.write(batch).await {
        Ok(()) => {
            let files = Some(writer.finish().await?);
            let state = State { content: Some(fingerprint), ..state };
            state::commit(lake, job, &target.table, (Operation::Append, files, token), state, report).await
        }
        Err(error) => {
            writer.abort().await;
            Err(error.into())
        }
    };
    if !matches!(&landed, Ok(Attempt::Done(_))) {
        target.take_back(lake, job).await;
    }
    landed
}

/// Asks until there is an answer, a definite refusal, or no try left.
async fn fetch(
    job: &SyncJob,
    source: &HttpSource,
    known: Option<&State>,
    patience: Patience,
) -> Result<Fetched> {
    let secret = source.auth.as_ref().map(|(_, place)| place.read(&job.name)).transpose()?;
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_MAX)
        .timeout(source.timeout)
        .redirect(Policy::none())
        .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| unreached(job, source, error.to_string()))?;
    let mut dice = ChaCha8Rng::from_seed(seed(new_token().as_u128()));
    let mut wait = patience.first;
    let mut tries = 1;
    loop {
        let failed = match ask(&client, job, source, secret.as_ref(), known).await {
            Ok(fetched) => return Ok(fetched),
            Err(Failed::Never(error)) => return Err(error),
            Err(Failed::Later(cause, asked)) => (cause, asked),
        };
        let (cause, asked) = failed;
        if tries == TRIES || asked.is_some_and(|asked| asked > WAIT_MAX) {
            return Err(unreached(job, source, cause));
        }
        // Between half and all of it, so that many clients do not come back together.
        let jitter = wait.mul_f64(0.5 + f64::from(dice.next_u32()) / f64::from(u32::MAX) / 2.0);
        tracing::info!(sync = %job.name, %cause, tries, "the source is asked again");
        tokio::time::sleep(jitter.max(asked.unwrap_or_default())).await;
        (wait, tries) = (wait * 2, tries + 1);
    }
}

/// One request, and the redirects that it leads to.
async fn ask(
    client: &reqwest::Client,
    job: &SyncJob,
    source: &HttpSource,
    secret: Option<&Secret>,
    known: Option<&State>,
) -> Result<Fetched, Failed> {
    let never =
        |fact: String, remedy| Failed::Never(Error::source(&job.name, address(&source.url), fact, remedy));
    let wrong = |_| never("`url` cannot be read".to_owned(), "correct `url`");
    let configured = Url::parse(&source.url).map_err(wrong)?;
    let mut url = configured.clone();
    for _ in 0..=REDIRECTS_MAX {
        let request = signed(client, &url, &configured, source, secret, known);
        let answer = request.send().await;
        let answer = answer.map_err(|error| Failed::Later(reason(error), None))?;
        let status = answer.status();
        if status == StatusCode::NOT_MODIFIED && known.is_some() {
            return Ok(Fetched::NotModified);
        }
        if status.is_success() {
            return body(answer, job, source).await;
        }
        let retry = matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error();
        if retry {
            let seconds = text(answer.headers(), RETRY_AFTER).and_then(|text| text.parse().ok());
            return Err(Failed::Later(format!("it answered {status}"), seconds.map(Duration::from_secs)));
        }
        if !status.is_redirection() {
            let remedy = match status.as_u16() {
                401 | 403 => "check `auth` and what its secret allows",
                404 | 410 => "correct `url`",
                _ => "look up what the service means by this status",
            };
            return Err(never(format!("it answered {status}"), remedy));
        }
        let next = text(answer.headers(), LOCATION).and_then(|location| url.join(&location).ok());
        let next =
            next.ok_or_else(|| never(format!("it answered {status} and leads nowhere"), "correct `url`"))?;
        if !may_follow(&configured, &next, &source.redirect_hosts) {
            let fact = format!("it leads to {}, which is not allowed", address(next.as_str()));
            return Err(never(fact, "put that address into `url`, or its host into `redirect_hosts`"));
        }
        url = next;
    }
    Err(never(format!("it leads on more than {REDIRECTS_MAX} times"), "put the last address into `url`"))
}

/// Same host, or an allowed one; encryption is never given up.
fn may_follow(from: &Url, to: &Url, allowed: &[String]) -> bool {
    let same = from.host() == to.host() && from.port_or_known_default() == to.port_or_known_default();
    let upgraded = from.host() == to.host() && from.scheme() == "http" && to.scheme() == "https";
    let named = to.host_str().is_some_and(|host| allowed.iter().any(|it| it.eq_ignore_ascii_case(host)));
    let kept = to.scheme() == "https" || (from.scheme() == "http" && to.scheme() == "http");
    kept && (same || upgraded || named)
}

/// The request; the secret and the configured headers only where they belong.
fn signed(
    client: &reqwest::Client,
    url: &Url,
    configured: &Url,
    source: &HttpSource,
    secret: Option<&Secret>,
    known: Option<&State>,
) -> reqwest::RequestBuilder {
    let mut request = client.get(url.clone()).header(ACCEPT, "application/json");
    if url.origin() == configured.origin() {
        for (name, value) in &source.headers {
            request = request.header(name, value);
        }
        request = match (&source.auth, secret) {
            (Some((Auth::Bearer, _)), Some(secret)) => request.bearer_auth(secret.reveal()),
            (Some((Auth::Header(name), _)), Some(secret)) => request.header(name, secret.reveal()),
            (Some((Auth::Query(name), _)), Some(secret)) => request.query(&[(name, secret.reveal())]),
            _ => request,
        };
    }
    let Some(known) = known else { return request };
    match (&known.etag, &known.last_modified) {
        (Some(etag), _) => request.header(IF_NONE_MATCH, etag),
        (None, Some(time)) => request.header(IF_MODIFIED_SINCE, time),
        _ => request,
    }
}

async fn body(mut answer: Response, job: &SyncJob, source: &HttpSource) -> Result<Fetched, Failed> {
    let (etag, last_modified) = (text(answer.headers(), ETAG), text(answer.headers(), LAST_MODIFIED));
    let never =
        |fact: String, remedy| Failed::Never(Error::source(&job.name, address(&source.url), fact, remedy));
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| Failed::Later(reason(error), None))? {
        if bytes.len() + chunk.len() > source.max_bytes as usize {
            let fact = format!("the answer is larger than {} bytes", source.max_bytes);
            return Err(never(fact, "ask for less, or raise `max_bytes`"));
        }
        bytes.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(bytes);
    let text =
        text.map_err(|_| never("the answer is no UTF-8".to_owned(), "ask the service for JSON in UTF-8"))?;
    Ok(Fetched::Body { text, etag, last_modified })
}

fn text(headers: &HeaderMap, name: reqwest::header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The transport's words, without an address that may hold a secret.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn unreached(job: &SyncJob, source: &HttpSource, cause: String) -> Error {
    let remedy = "wait until it answers again, or correct `url`; the table was left as it was";
    Error::source(&job.name, address(&source.url), cause, remedy)
}

/// An address without its parameters.
fn address(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

fn seed(token: u128) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(&token.to_be_bytes());
    seed
}
