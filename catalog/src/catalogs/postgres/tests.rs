//! Addresses and errors of PostgreSQL, without a server.

use super::*;
use crate::settings::Secret;

fn parsed(url: &str) -> (PgConnectOptions, String) {
    let settings = PostgresSettings { url: url.to_owned(), password: Some(Secret::new("hush-hush")) };
    options(&settings).unwrap()
}

#[test]
fn messages_show_the_address_without_a_password() {
    let (_, location) = parsed("postgresql://sluice:in-the-url@db.example:5433/lake?sslmode=disable&x=y");
    assert_eq!(location, "postgresql://sluice@db.example:5433/lake");
}

#[test]
fn another_machine_is_spoken_to_with_its_certificate_checked() {
    let mode = |url| parsed(url).0.get_ssl_mode();
    assert!(matches!(mode("postgresql://u@db.example/lake"), PgSslMode::VerifyFull));
    assert!(matches!(mode("postgresql://u@db.example/lake?sslmode=disable"), PgSslMode::Disable));
    assert!(matches!(mode("postgresql://u@127.0.0.1/lake"), PgSslMode::Prefer));
    assert!(matches!(mode("postgresql://u@localhost/lake"), PgSslMode::Prefer));
}

#[test]
fn what_is_no_address_is_refused_without_showing_it() {
    for url in ["mysql://u:hush-hush@h/d", "postgresql://u:hush-hush@h:port/d", "hush-hush"] {
        let error =
            options(&PostgresSettings { url: url.to_owned(), password: None }).unwrap_err().to_string();
        assert!(error.contains("lake.catalog") && !error.contains("hush-hush"), "{error}");
    }
}

#[test]
fn an_outage_passes_and_a_wrong_address_does_not() {
    assert!(explain(&sqlx::Error::PoolTimedOut).1);
    assert!(explain(&sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())).1);
    assert!(!explain(&sqlx::Error::Tls("no".into())).1);
}

#[tokio::test]
async fn a_silent_port_is_named_with_a_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    drop(taken);
    let url = format!("postgresql://u@127.0.0.1:{port}/lake");
    let error = open(&PostgresSettings { url, password: None }).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("start the database"), "{error}");
}
