//! What a user reads when a store cannot be opened. Real servers are asked in the tests of the whole program;
//! here the server is a socket of this process.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::error::Error;
use crate::lake::Lake;
use crate::settings::{LakeSettings, S3Settings, Secret};

const SECRET: &str = "a-secret-that-is-never-printed";

/// Tries to open `s3://lake` at `endpoint`.
async fn open(endpoint: String) -> Error {
    let dir = tempfile::tempdir().unwrap();
    let s3 = S3Settings {
        endpoint: Some(endpoint),
        region: None,
        access_key_id: Some("user".to_owned()),
        secret_access_key: Some(Secret::new(SECRET)),
    };
    let settings =
        LakeSettings { warehouse: "s3://lake/shop".to_owned(), s3, ..LakeSettings::local(dir.path()) };
    Lake::open(settings).await.unwrap_err()
}

/// A server that gives every request the same answer, as long as the test runs.
fn server(status: &'static str, code: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let body =
                format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\n\
                 connection: close\r\n\r\n{body}"
            );
        }
    });
    endpoint
}

fn assert_says(error: &Error, fact: &str, remedy: &str) {
    let text = error.to_string();
    assert!(text.contains("cannot open s3://lake/shop"), "{text}");
    assert!(text.contains(fact) && text.contains(remedy), "{text}");
    assert!(!text.contains(SECRET), "{text}");
}

#[tokio::test]
async fn a_missing_bucket_is_named() {
    let error = open(server("404 Not Found", "NoSuchBucket")).await;
    assert_says(&error, "the bucket does not exist", "create the bucket");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn wrong_credentials_are_named_as_such() {
    for code in ["InvalidAccessKeyId", "SignatureDoesNotMatch"] {
        let error = open(server("403 Forbidden", code)).await;
        assert_says(&error, "does not know these credentials", "correct the access key id");
        assert!(!error.is_transient());
    }
    let error = open(server("403 Forbidden", "AccessDenied")).await;
    assert_says(&error, "access is denied", "give this user the right");
}

#[tokio::test]
async fn a_server_that_is_no_store_is_told_from_a_missing_bucket() {
    let error = open(server("404 Not Found", "")).await;
    assert_says(&error, "not an S3 store", "correct the S3 endpoint");
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_found_out_soon() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", unused.local_addr().unwrap());
    drop(unused);
    let error = open(endpoint.clone()).await;
    assert_says(&error, &format!("nothing answers at {endpoint} "), "start the store");
    assert!(error.is_transient());
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_before_asking() {
    let error = open("127.0.0.1:9000".to_owned()).await.to_string();
    assert!(error.contains("is not an http or https URL") && error.contains("127.0.0.1:9000"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let s3 = S3Settings { access_key_id: Some("user".to_owned()), ..S3Settings::default() };
    let settings = LakeSettings { warehouse: "s3://lake".to_owned(), s3, ..LakeSettings::local(dir.path()) };
    let error = Lake::open(settings).await.unwrap_err().to_string();
    assert!(error.contains("credentials are incomplete"), "{error}");
}
