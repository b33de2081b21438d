//! Keys that a server hands out: which are taken, for what, and until when.

use iceberg::spec::TableMetadata;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::*;
use crate::Lake;
use crate::catalogs::rest::keys::keys;
use crate::create::first_metadata;
use crate::settings::{CatalogSettings, LakeSettings, S3Settings};
use crate::spec::TableSpec;
use crate::testing::two_columns;

const TABLE: &str = "s3://lake/w/a/t";

fn pair(id: &str) -> Value {
    json!({"s3.access-key-id": id, "s3.secret-access-key": format!("{id}-hush")})
}

#[test]
fn the_longest_prefix_counts_and_a_set_is_never_mixed() {
    let listed = |entries: Value| json!({"storage-credentials": entries, "config": pair("table")});
    let id = |answer: &Value| keys(answer, TABLE, &Value::Null).map(|keys| keys.id);
    let both = listed(json!([
        {"prefix": "s3", "config": pair("all")},
        {"prefix": "s3://lake/w/a/t", "config": pair("near")},
        {"prefix": "s3://lake/w", "config": pair("far")},
        {"prefix": "s3://lake/w/a/t2", "config": pair("other")},
    ]));
    assert_eq!(id(&both).as_deref(), Some("near"));
    let other = listed(json!([{"prefix": "s3://lake/w/a/t2", "config": pair("other")}]));
    assert_eq!(id(&other).as_deref(), Some("table"), "`t` is not below `t2`, nor the other way round");
    assert_eq!(id(&json!({"config": {"s3.access-key-id": "half"}})), None);
    let half = json!({
        "storage-credentials": [{"prefix": TABLE, "config": {"s3.access-key-id": "half"}}],
        "config": {"s3.secret-access-key": "of-another"}
    });
    assert_eq!(id(&half), None, "an id of one and a secret of the other are no pair");
}

#[test]
fn a_set_brings_its_token_its_end_and_its_address() {
    let answer = json!({
        "config": {"s3.session-token": "not-of-this-set", "s3.region": "eu-north-1"},
        "storage-credentials": [{"prefix": TABLE, "config": {
            "s3.access-key-id": "id", "s3.secret-access-key": "hush-hush",
            "s3.session-token-expires-at-ms": "1800000000000",
        }}],
    });
    let found = keys(&answer, TABLE, &json!({"s3.endpoint": "http://store:9000", "s3.region": "x"})).unwrap();
    assert_eq!(found.session_token, None, "a token of another set is not taken");
    assert_eq!(found.expires_at.unwrap().timestamp(), 1_800_000_000);
    assert_eq!(found.endpoint.as_deref(), Some("http://store:9000"));
    assert_eq!(found.region.as_deref(), Some("eu-north-1"), "the table's word goes before the catalog's");
    assert!(!format!("{found:?}").contains("hush-hush"));
}

/// A table as a server answers it.
fn loaded(table: &str, id: &str, store: &Stub) -> Step {
    let metadata = first_metadata(&name(table), location(table), &TableSpec::new(two_columns())).unwrap();
    answer(&metadata, json!([{"prefix": location(table), "config": pair(id)}]), store)
}

fn answer(metadata: &TableMetadata, credentials: Value, store: &Stub) -> Step {
    let location = format!("{}/metadata/00000-x.metadata.json", metadata.location());
    Step::Answer(
        200,
        json!({
            "metadata-location": location, "metadata": metadata, "storage-credentials": credentials,
            "config": {"s3.endpoint": store.address(), "s3.region": "eu-north-1"},
        }),
    )
}

fn location(table: &str) -> String {
    format!("s3://lake/w/{}", table.replace('.', "/"))
}

fn lake(catalog: &Stub, own: &Stub) -> LakeSettings {
    LakeSettings {
        catalog: CatalogSettings::Rest(RestSettings { vended_credentials: Some(true), ..settings(catalog) }),
        warehouse: "s3://lake/w".to_owned(),
        s3: S3Settings {
            endpoint: Some(own.address()),
            region: None,
            access_key_id: Some("own".to_owned()),
            secret_access_key: Some(Secret::new("own-hush")),
        },
        ..LakeSettings::local("unused".as_ref())
    }
}

/// The id that a request was signed with, and the path that it asked for.
fn signed(request: &str) -> (String, String) {
    let header = request.lines().find(|line| line.to_lowercase().starts_with("authorization:")).unwrap();
    let id = header.split_once("Credential=").unwrap().1.split('/').next().unwrap();
    (id.to_owned(), request.split(' ').nth(1).unwrap().to_owned())
}

fn stored() -> Step {
    Step::Told(200, "ETag: \"x\"\r\n", Value::Null)
}

#[tokio::test]
async fn each_table_is_reached_with_its_keys_and_everything_else_with_the_lakes() {
    let (vending, own) = (Stub::start([stored(), stored()]).await, Stub::start([stored()]).await);
    let steps = [config(), loaded("a.t", "of-t", &vending), loaded("a.t2", "of-t2", &vending)];
    let catalog = Stub::start(steps).await;
    let lake = Lake::open(lake(&catalog, &own)).await.unwrap();
    for table in ["a.t", "a.t2"] {
        lake.load(&name(table)).await.unwrap();
    }
    for path in ["w/a/t2/data/x", "w/a/t/data/x", "w/a/t3/data/x"] {
        lake.store().put(&Path::from(path), "rows".into()).await.unwrap();
    }
    let vended: Vec<_> = vending.asked().iter().map(|request| signed(request)).collect();
    let pairs = |id: &str, path: &str| (id.to_owned(), path.to_owned());
    assert_eq!(vended, [pairs("of-t2", "/lake/w/a/t2/data/x"), pairs("of-t", "/lake/w/a/t/data/x")]);
    let own: Vec<_> = own.asked().iter().map(|request| signed(request)).collect();
    assert_eq!(own, [pairs("own", "/lake/w/a/t3/data/x")]);
    let asked = catalog.asked();
    let asks =
        |request: &String| request.to_lowercase().contains("x-iceberg-access-delegation: vended-credentials");
    assert!(asked.iter().all(asks), "{asked:?}");
    assert!(!format!("{lake:?}").contains("-hush"), "secrets are not shown");
}

#[tokio::test]
async fn a_lake_with_keys_of_its_own_asks_for_none_unless_told_to() {
    let own = Stub::start([Step::Answer(404, json!({})), stored()]).await;
    let catalog = Stub::start([config()]).await;
    let settings = lake(&catalog, &own);
    let CatalogSettings::Rest(rest) = settings.catalog.clone() else { unreachable!() };
    let unsaid = CatalogSettings::Rest(RestSettings { vended_credentials: None, ..rest });
    assert!(!LakeSettings { catalog: unsaid.clone(), ..settings.clone() }.asks_for_keys());
    let keyless = LakeSettings { catalog: unsaid, s3: S3Settings::default(), ..settings.clone() };
    assert!(keyless.asks_for_keys());
    assert!(!LakeSettings { warehouse: "memory:///".to_owned(), ..settings }.asks_for_keys());
}
