//! The life of keys: renewed in time, never replaced by other ones.

use std::collections::VecDeque;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::error::Error;
use crate::testing::name;

/// A source that gives what it is told to, and counts.
#[derive(Debug, Default)]
struct Source {
    answers: StdMutex<VecDeque<Result<Option<VendedKeys>>>>,
    asked: StdMutex<u32>,
}

#[async_trait]
impl KeySource for Source {
    async fn renew(&self, table: &TableName, location: &str) -> Result<Option<VendedKeys>> {
        assert_eq!((table.to_string().as_str(), location), ("a.t", "s3://lake/a/t"));
        *self.asked.lock().unwrap() += 1;
        self.answers.lock().unwrap().pop_front().unwrap()
    }
}

static NOW: AtomicI64 = AtomicI64::new(1000);

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn keys(id: &str, end: Option<i64>) -> VendedKeys {
    VendedKeys {
        id: id.to_owned(),
        secret: Secret::new("hush-hush"),
        session_token: Some(Secret::new("hush-token")),
        expires_at: end.map(at),
        endpoint: None,
        region: None,
    }
}

fn away() -> Error {
    Error::Catalog {
        action: "reach",
        location: "http://catalog".to_owned(),
        cause: "connection reset".to_owned(),
        remedy: "wait",
        transient: true,
    }
}

/// The id that a request is signed with at `now`, or why there is none.
async fn id(held: &TableKeys, now: i64) -> Result<String, String> {
    NOW.store(now, Ordering::Relaxed);
    let credential = held.get_credential().await.map_err(|error| error.to_string())?;
    Ok(credential.key_id.clone())
}

#[tokio::test]
async fn keys_are_renewed_before_they_end_and_an_outage_is_sat_out() {
    let answers = [Err(away()), Ok(Some(keys("second", Some(3000)))), Err(away()), Err(away()), Ok(None)];
    let source = Arc::new(Source { answers: StdMutex::new(answers.into()), ..Source::default() });
    let clock = || at(NOW.load(Ordering::Relaxed));
    let held =
        TableKeys::new(&name("a.t"), "s3://lake/a/t", keys("first", Some(2000)), source.clone(), clock);
    let asked = || *source.asked.lock().unwrap();
    assert_eq!(id(&held, 1799).await.unwrap(), "first");
    assert_eq!(asked(), 0);
    assert_eq!(id(&held, 1800).await.unwrap(), "first", "not renewed yet, and still good");
    assert_eq!(id(&held, 1805).await.unwrap(), "first", "a failed renewal is not tried at once again");
    assert_eq!(asked(), 1);
    assert_eq!(id(&held, 1811).await.unwrap(), "second");
    assert_eq!(
        id(&held, 2500).await.unwrap(),
        "second",
        "the end of the first set says nothing of the second"
    );
    assert_eq!(id(&held, 2800).await.unwrap(), "second");
    assert_eq!(asked(), 3);
    let ended = id(&held, 3001).await.unwrap_err();
    assert!(ended.contains("table a.t") && ended.contains("connection reset"), "{ended}");
    let withheld = id(&held, 3002).await.unwrap_err();
    assert!(withheld.contains("hands out no more keys"), "{withheld}");
    assert!(!format!("{held:?}").contains("hush"), "{held:?}");
}

#[tokio::test]
async fn keys_without_an_end_are_held_until_others_come() {
    let warehouse = Warehouse::resolve("s3://lake").await.unwrap();
    let keyring = Keyring::new(warehouse, &S3Settings::default(), || at(1));
    let source = Arc::new(Source::default());
    let places = ["s3://lake/a/t".to_owned(), "s3://lake/elsewhere".to_owned(), "s3://other/x".to_owned()];
    for id in ["first", "second"] {
        keyring.put(&name("a.t"), &places, keys(id, None), source.clone()).await.unwrap();
    }
    let held = keyring.read().get("a/t").unwrap().keys.clone();
    assert_eq!(held.get_credential().await.unwrap().key_id, "second");
    let client = |path: &str| keyring.client(&Path::from(path));
    let (one, other) = (client("a/t/data/x").unwrap(), client("elsewhere/y").unwrap());
    assert!(Arc::ptr_eq(&one, &other), "one client for all places of a table");
    assert!(client("a/t2/data/x").is_none() && client("a").is_none() && client("x").is_none());
    assert_eq!(keyring.read().len(), 2, "a place outside the warehouse is left out");
}
