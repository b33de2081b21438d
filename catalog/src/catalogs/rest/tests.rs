//! The client against a stub that answers as told, loses answers, and counts.

mod keys;

use super::*;
use crate::error::Error;
use crate::settings::Secret;
use crate::testing::stub::{Step, Stub};
use crate::testing::{name, swap};

fn settings(stub: &Stub) -> RestSettings {
    RestSettings { uri: stub.uri(), ..RestSettings::default() }
}

fn config() -> Step {
    Step::Answer(
        200,
        json!({"defaults": {}, "overrides": {"prefix": "p"}, "endpoints": [
            "POST /v1/{prefix}/transactions/commit"
        ]}),
    )
}

fn error(status: u16) -> Step {
    Step::Answer(status, json!({"error": {"message": "no", "type": "X", "code": status}}))
}

async fn swapped(step: Step) -> Result<SwapOutcome> {
    let stub = Stub::start([config(), step]).await;
    let catalog = RestCatalog::open(&settings(&stub), None).await.unwrap();
    let outcome = catalog.swap(&[swap(&name("a.b.t"), "m0", "m1")]).await;
    let asked = stub.asked();
    assert_eq!(asked.len(), 2, "a change is sent once: {asked:?}");
    assert!(asked[1].starts_with("POST /iceberg/v1/p/namespaces/a%1Fb/tables/t "), "{}", asked[1]);
    outcome
}

#[tokio::test]
async fn only_a_definite_answer_is_taken_for_one() {
    assert!(matches!(swapped(error(409)).await, Ok(SwapOutcome::Lost { .. })));
    assert!(matches!(swapped(error(400)).await, Err(Error::Catalog { transient: false, .. })));
    assert!(matches!(swapped(error(403)).await, Err(Error::Catalog { transient: false, .. })));
    for status in [408, 429, 500, 502, 503, 504] {
        assert!(matches!(swapped(error(status)).await, Ok(SwapOutcome::Unknown(_))), "{status}");
    }
    assert!(matches!(swapped(Step::Hang).await, Ok(SwapOutcome::Unknown(_))));
    let redirect = swapped(error(307)).await;
    assert!(matches!(redirect, Err(Error::Catalog { .. })), "a redirect is not followed");
    let garbled = swapped(Step::Answer(200, json!({"x": 1}))).await;
    assert!(matches!(garbled, Ok(SwapOutcome::Unknown(_))), "done, but nobody can tell what");
}

#[tokio::test]
async fn several_tables_go_in_one_transaction_where_it_is_offered() {
    let both = [swap(&name("a.t"), "m0", "m1"), swap(&name("a.u"), "m0", "m1")];
    let stub = Stub::start([config(), error(409)]).await;
    let catalog = RestCatalog::open(&settings(&stub), None).await.unwrap();
    assert!(matches!(catalog.swap(&both).await, Ok(SwapOutcome::Lost { .. })));
    assert!(stub.asked()[1].starts_with("POST /iceberg/v1/p/transactions/commit "));
    let stub = Stub::start([Step::Answer(200, json!({"defaults": {}, "overrides": {}}))]).await;
    let catalog = RestCatalog::open(&settings(&stub), None).await.unwrap();
    let refused = catalog.swap(&both).await.unwrap_err().to_string();
    assert!(refused.contains("no transactions over several tables"), "{refused}");
    assert_eq!(stub.asked().len(), 1, "nothing was sent");
}

#[tokio::test]
async fn a_question_is_asked_again_and_a_missing_thing_is_no_error() {
    let stub = Stub::start([config(), Step::Hang, error(503), error(404)]).await;
    let catalog = RestCatalog::open(&settings(&stub), None).await.unwrap();
    assert!(catalog.table(&name("a.t")).await.unwrap().is_none());
    assert_eq!(stub.asked().len(), 4);
}

#[tokio::test]
async fn credentials_are_exchanged_and_a_refused_token_is_renewed_once() {
    let token = |token: &str| Step::Answer(200, json!({"access_token": token, "expires_in": 3600}));
    let steps =
        [token("t1"), config(), error(401), token("t2"), error(404), error(401), token("t3"), error(401)];
    let stub = Stub::start(steps).await;
    let signing_in = RestSettings { credential: Some(Secret::new("me:hush-hush")), ..settings(&stub) };
    let catalog = RestCatalog::open(&signing_in, None).await.unwrap();
    assert!(catalog.table(&name("a.t")).await.unwrap().is_none());
    let refused = catalog.table(&name("a.t")).await.unwrap_err().to_string();
    assert!(refused.contains("check the token") && !refused.contains("hush-hush"), "{refused}");
    let asked = stub.asked();
    assert!(
        asked[0].starts_with("POST /iceberg/v1/oauth/tokens ")
            && asked[0].contains("client_secret=hush-hush")
    );
    let bearer = |at: usize, token: &str| asked[at].contains(&format!("Bearer {token}"));
    assert!(bearer(1, "t1") && bearer(2, "t1") && bearer(4, "t2") && bearer(5, "t2") && bearer(7, "t3"));
    assert!(!format!("{catalog:?}").contains("hush-hush"));
}

#[tokio::test]
async fn a_failing_token_server_is_an_outage_and_wrong_credentials_are_not() {
    let signing_in =
        |stub: &Stub| RestSettings { credential: Some(Secret::new("me:hush-hush")), ..settings(stub) };
    let stub = Stub::start([error(500), error(503), error(500), error(500)]).await;
    let away = RestCatalog::open(&signing_in(&stub), None).await.unwrap_err();
    assert!(away.is_transient() && away.to_string().contains("the OAuth2 server answers 500"), "{away}");
    assert_eq!(stub.asked().len(), 4, "a question is asked again");
    let stub = Stub::start([error(401)]).await;
    let wrong = RestCatalog::open(&signing_in(&stub), None).await.unwrap_err();
    assert!(!wrong.is_transient() && !wrong.to_string().contains("hush-hush"), "{wrong}");
    assert_eq!(stub.asked().len(), 1);
    // A change whose token cannot be had was not sent, and may be tried later.
    let token = Step::Answer(200, json!({"access_token": "t1", "expires_in": 3600}));
    let stub = Stub::start([token, config(), error(401), error(503)]).await;
    let catalog = RestCatalog::open(&signing_in(&stub), None).await.unwrap();
    let unsent = catalog.swap(&[swap(&name("a.t"), "m0", "m1")]).await.unwrap_err();
    assert!(unsent.is_transient(), "{unsent}");
}

#[tokio::test]
async fn a_redirect_carries_no_credentials_elsewhere() {
    let elsewhere = Stub::start([]).await;
    let to: &'static str = format!("Location: {}\r\n", elsewhere.uri()).leak();
    let stub = Stub::start([Step::Told(307, to, json!({}))]).await;
    let signing_in = RestSettings { credential: Some(Secret::new("me:hush-hush")), ..settings(&stub) };
    RestCatalog::open(&signing_in, None).await.unwrap_err();
    let stub = Stub::start([config(), Step::Told(308, to, json!({}))]).await;
    let with_token = RestSettings { token: Some(Secret::new("t")), ..settings(&stub) };
    let catalog = RestCatalog::open(&with_token, None).await.unwrap();
    catalog.table(&name("a.t")).await.unwrap_err();
    assert!(elsewhere.asked().is_empty(), "{:?}", elsewhere.asked());
}

#[tokio::test]
async fn a_server_that_asks_for_time_is_given_it() {
    let busy = |status| Step::Told(status, "Retry-After: 1\r\n", json!({}));
    for status in [429, 503] {
        let stub = Stub::start([config(), busy(status), error(404)]).await;
        let catalog = RestCatalog::open(&settings(&stub), None).await.unwrap();
        let begun = tokio::time::Instant::now();
        assert!(catalog.table(&name("a.t")).await.unwrap().is_none());
        let waited = begun.elapsed();
        assert!(waited >= std::time::Duration::from_millis(900), "{status}: {waited:?}");
    }
}
