//! Sign-in and sessions: cookies, bearer tokens, headers.

use arrow_flight::Action;
use prost::Message;
use tonic::metadata::MetadataMap;

use super::client::{Client, TestServer, count, query};
use crate::flight::session::{Sessions, cookie_key};
use crate::flight::session_message::{GetResult, OptionValue, SetErrorKind, SetRequest, SetResult, Value};

const COUNT: &str = "SELECT count(*) FROM even";

async fn act(client: &mut Client, name: &str, body: Vec<u8>) -> Vec<u8> {
    let mut results = client.do_action(Action::new(name, body)).await.unwrap();
    results.message().await.unwrap().unwrap().body.to_vec()
}

fn set(options: &[(&str, &str)]) -> Vec<u8> {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), OptionValue::from(*value)));
    SetRequest { options: options.collect() }.encode_to_vec()
}

#[tokio::test]
async fn any_sign_in_is_accepted_and_names_a_session() {
    let server = TestServer::start(10).await;
    let (mut first, mut second) = (server.client().await, server.client().await);
    first.handshake("analyst", "anything").await.unwrap();
    second.handshake("analyst", "anything").await.unwrap();
    assert!(first.token().is_some());
    assert_ne!(first.token(), second.token());

    assert!(query(&mut first, COUNT).await.is_err());
    let answer =
        act(&mut first, "SetSessionOptions", set(&[("catalog", "sluice"), ("schema", "gold")])).await;
    assert!(SetResult::decode(&*answer).unwrap().errors.is_empty());
    assert_eq!(count(&mut first, COUNT).await, 5);
    assert!(query(&mut second, COUNT).await.is_err(), "another session's namespace is seen");

    let options =
        GetResult::decode(&*act(&mut first, "GetSessionOptions", Vec::new()).await).unwrap().options;
    assert_eq!(options["catalog"].value, Some(Value::Text("sluice".to_owned())));
    assert_eq!(options["schema"].value, Some(Value::Text("gold".to_owned())));

    act(&mut first, "CloseSession", Vec::new()).await;
    assert!(query(&mut first, COUNT).await.is_err());
}

#[tokio::test]
async fn a_client_without_a_token_gets_a_cookie() {
    let server = TestServer::start(10).await;
    let mut client = server.client().await;
    let action = Action::new("SetSessionOptions", set(&[("schema", "gold")]));
    let response = client.inner_mut().do_action(action).await.unwrap();
    let cookie = response.metadata().get("set-cookie").unwrap().to_str().unwrap().to_owned();
    assert!(cookie.starts_with("arrow_flight_session_id="), "{cookie}");
    client.set_header("cookie", format!("other=1; {cookie}"));
    assert_eq!(count(&mut client, COUNT).await, 5);
}

#[tokio::test]
async fn a_header_names_the_schema() {
    let server = TestServer::start(10).await;
    let mut client = server.client().await;
    client.set_header("schema", "gold");
    assert_eq!(count(&mut client, COUNT).await, 5);
}

#[tokio::test]
async fn a_prepared_statement_keeps_its_namespace() {
    let server = TestServer::start(10).await;
    let mut client = server.client().await;
    client.set_header("schema", "gold");
    let mut statement = client.prepare(COUNT.to_owned(), None).await.unwrap();
    client.set_header("schema", "bronze");
    let info = statement.execute().await.unwrap();
    assert_eq!(super::client::rows(&mut client, &info).await.unwrap()[0].num_rows(), 1);
}

#[tokio::test]
async fn options_that_cannot_be_set_are_named() {
    let server = TestServer::start(10).await;
    let mut client = server.client().await;
    let body = set(&[("catalog", "other"), ("schema", "absent"), ("colour", "red")]);
    let errors = SetResult::decode(&*act(&mut client, "SetSessionOptions", body).await).unwrap().errors;
    assert_eq!(errors["catalog"].kind(), SetErrorKind::InvalidValue);
    assert_eq!(errors["schema"].kind(), SetErrorKind::InvalidValue);
    assert_eq!(errors["colour"].kind(), SetErrorKind::InvalidName);
}

#[test]
fn sessions_are_bounded_and_the_oldest_goes_first() {
    let sessions = Sessions::default();
    let caller = |id: usize| {
        let mut headers = MetadataMap::new();
        headers.insert("cookie", format!("arrow_flight_session_id={id}").parse().unwrap());
        sessions.caller(&headers).namespace
    };
    for id in 0..4096 {
        sessions.set_namespace(&cookie_key(&id.to_string()), "gold");
    }
    assert_eq!(caller(0), "gold");
    sessions.set_namespace(&cookie_key("4096"), "gold");
    assert_eq!((caller(0), caller(1), caller(4096)), ("gold".to_owned(), String::new(), "gold".to_owned()));
}
