//! The protocol over a real port: statuses, errors, pages, tokens.

use serde_json::json;
use sluice_catalog::Secret;
use wire::{Reply, call};

use crate::flight::tests::{TestServer, any_ports};
use crate::settings::{IcebergSettings, ServeSettings};

mod wire;

async fn get(server: &TestServer, path: &str) -> Reply {
    call(server.http, "GET", path, None, None).await
}

async fn post(server: &TestServer, path: &str, body: serde_json::Value) -> Reply {
    call(server.http, "POST", path, Some(body), None).await
}

fn schema() -> serde_json::Value {
    json!({"type": "struct", "schema-id": 0, "fields": [
        {"id": 1, "name": "id", "required": true, "type": "long"}
    ]})
}

#[tokio::test]
async fn names_are_listed_created_and_dropped_with_the_protocols_statuses() {
    let server = TestServer::start(3).await;
    let config = get(&server, "/iceberg/v1/config").await;
    assert_eq!(config.status, 200);
    assert!(config.json["endpoints"].as_array().unwrap().len() > 20);
    let path = "/iceberg/v1/namespaces";
    assert_eq!(
        post(&server, path, json!({"namespace": ["a", "b"], "properties": {"k": "v"}})).await.status,
        200
    );
    let again = post(&server, path, json!({"namespace": ["a", "b"]})).await;
    assert_eq!((again.status, again.error()), (409, "AlreadyExistsException"));
    assert_eq!(get(&server, path).await.json["namespaces"], json!([["a"], ["bronze"], ["gold"]]));
    assert_eq!(get(&server, "/iceberg/v1/namespaces?parent=a").await.json["namespaces"], json!([["a", "b"]]));
    assert_eq!(get(&server, "/iceberg/v1/namespaces/a%1Fb").await.json["properties"], json!({"k": "v"}));
    let changed = json!({"removals": ["k", "x"], "updates": {"l": "w"}});
    let changed = post(&server, "/iceberg/v1/namespaces/a%1Fb/properties", changed).await;
    assert_eq!(changed.json, json!({"updated": ["l"], "removed": ["k"], "missing": ["x"]}));
    let full = call(server.http, "DELETE", "/iceberg/v1/namespaces/bronze", None, None).await;
    assert_eq!((full.status, full.error()), (409, "NamespaceNotEmptyException"));
    assert_eq!(call(server.http, "DELETE", "/iceberg/v1/namespaces/a%1Fb", None, None).await.status, 204);
    let missing = get(&server, "/iceberg/v1/namespaces/a%1Fb").await;
    assert_eq!((missing.status, missing.error()), (404, "NoSuchNamespaceException"));
    assert_eq!(get(&server, "/iceberg/v1/nowhere").await.error(), "UnsupportedOperationException");
}

#[tokio::test]
async fn tables_are_created_loaded_renamed_and_dropped() {
    let server = TestServer::start(3).await;
    let tables = "/iceberg/v1/namespaces/bronze/tables";
    let created = post(&server, tables, json!({"name": "t", "schema": schema()})).await;
    assert_eq!(created.status, 200, "{}", created.json);
    assert_eq!(created.json["metadata"]["format-version"], 2);
    let again = post(&server, tables, json!({"name": "t", "schema": schema()})).await;
    assert_eq!((again.status, again.error()), (409, "AlreadyExistsException"));
    let nowhere =
        post(&server, "/iceberg/v1/namespaces/x/tables", json!({"name": "t", "schema": schema()})).await;
    assert_eq!((nowhere.status, nowhere.error()), (404, "NoSuchNamespaceException"));
    let bad = post(&server, tables, json!({"name": "u"})).await;
    assert_eq!((bad.status, bad.error()), (400, "BadRequestException"));
    let loaded = get(&server, &format!("{tables}/t")).await;
    assert_eq!(loaded.json["metadata-location"], created.json["metadata-location"]);
    let first = get(&server, &format!("{tables}?pageSize=1")).await.json;
    assert_eq!(first["identifiers"], json!([{"namespace": ["bronze"], "name": "numbers"}]));
    let next = first["next-page-token"].as_str().unwrap();
    let second = get(&server, &format!("{tables}?pageSize=1&pageToken={next}")).await.json;
    assert_eq!(second["identifiers"], json!([{"namespace": ["bronze"], "name": "t"}]));
    assert!(second["next-page-token"].is_null());
    let rename = json!({
        "source": {"namespace": ["bronze"], "name": "t"}, "destination": {"namespace": ["gold"], "name": "t"}
    });
    assert_eq!(post(&server, "/iceberg/v1/tables/rename", rename).await.status, 204);
    let moved = "/iceberg/v1/namespaces/gold/tables/t";
    assert_eq!(call(server.http, "HEAD", moved, None, None).await.status, 204);
    let purge = call(server.http, "DELETE", &format!("{moved}?purgeRequested=true"), None, None).await;
    assert_eq!(purge.status, 406, "files are not purged, and nobody is told that they are");
    let unpurged = format!("{moved}?purgeRequested=False");
    assert_eq!(call(server.http, "DELETE", &unpurged, None, None).await.status, 204);
    let location = created.json["metadata-location"].clone();
    let register = json!({"name": "back", "metadata-location": location});
    assert_eq!(post(&server, "/iceberg/v1/namespaces/gold/register", register).await.status, 200);
    assert_eq!(post(&server, "/iceberg/v1/namespaces/gold/tables/back/metrics", json!({})).await.status, 204);
}

#[tokio::test]
async fn under_a_name_that_nothing_can_have_there_is_nothing() {
    let server = TestServer::start(1).await;
    for (kind, error) in [("tables", "NoSuchTableException"), ("views", "NoSuchViewException")] {
        // Spark asks the first when it is told to make a table `bronze.files`.
        for path in [format!("namespaces//{kind}/bronze"), format!("namespaces/bronze/{kind}/a%20b")] {
            let found = get(&server, &format!("/iceberg/v1/{path}")).await;
            assert_eq!((found.status, found.error()), (404, error), "{path}");
            assert_eq!(
                call(server.http, "HEAD", &format!("/iceberg/v1/{path}"), None, None).await.status,
                404
            );
            let dropped = call(server.http, "DELETE", &format!("/iceberg/v1/{path}"), None, None).await;
            assert_eq!(dropped.status, 404, "{path}");
        }
    }
    let bad =
        post(&server, "/iceberg/v1/namespaces/bronze/tables", json!({"name": "a b", "schema": schema()}))
            .await;
    assert_eq!((bad.status, bad.error()), (400, "BadRequestException"));
}

#[tokio::test]
async fn commits_answer_conflicts_with_409_and_change_several_tables_at_once() {
    let server = TestServer::start(3).await;
    let tables = "/iceberg/v1/namespaces/bronze/tables";
    for name in ["t", "u"] {
        post(&server, tables, json!({"name": name, "schema": schema()})).await;
    }
    let set = |value: &str| json!([{"action": "set-properties", "updates": {"k": value}}]);
    let uuid = get(&server, &format!("{tables}/t")).await.json["metadata"]["table-uuid"].clone();
    let good = json!([{"type": "assert-table-uuid", "uuid": uuid}]);
    let committed =
        post(&server, &format!("{tables}/t"), json!({"requirements": good, "updates": set("1")})).await;
    assert_eq!((committed.status, &committed.json["metadata"]["properties"]["k"]), (200, &json!("1")));
    let change = |name: &str, requirements: &serde_json::Value| json!({"identifier": {"namespace": ["bronze"], "name": name}, "requirements": requirements, "updates": set("2")});
    // The uuid is that of `t`, so the second change fails, and with it the first.
    let both = json!({"table-changes": [change("t", &good), change("u", &good)]});
    let conflict = post(&server, "/iceberg/v1/transactions/commit", both).await;
    assert_eq!((conflict.status, conflict.error()), (409, "CommitFailedException"));
    let properties = get(&server, &format!("{tables}/t")).await.json["metadata"]["properties"].clone();
    assert_eq!(properties["k"], "1");
    let both = json!({"table-changes": [change("t", &good), change("u", &json!([]))]});
    assert_eq!(post(&server, "/iceberg/v1/transactions/commit", both).await.status, 204);
    let unknown = json!({"requirements": [], "updates": [{"action": "make-coffee"}]});
    let unknown = post(&server, &format!("{tables}/t"), unknown).await;
    assert_eq!((unknown.status, unknown.error()), (400, "BadRequestException"));
    let missing = post(&server, &format!("{tables}/x"), json!({"requirements": [], "updates": []})).await;
    assert_eq!((missing.status, missing.error()), (404, "NoSuchTableException"));
}

#[tokio::test]
async fn views_are_created_loaded_replaced_and_dropped() {
    let server = TestServer::start(3).await;
    let views = "/iceberg/v1/namespaces/gold/views";
    let version = |id: i32, sql: &str| {
        json!({"version-id": id, "schema-id": 0, "timestamp-ms": 1_700_000_000_000_i64, "summary": {},
            "default-namespace": ["gold"], "representations": [{"type": "sql", "sql": sql, "dialect": "spark"}]})
    };
    let request =
        json!({"name": "v", "schema": schema(), "view-version": version(1, "SELECT 1"), "properties": {}});
    let created = post(&server, views, request).await;
    assert_eq!(created.status, 200, "{}", created.json);
    let change = json!({
        "requirements": [{"type": "assert-view-uuid", "uuid": created.json["metadata"]["view-uuid"]}],
        "updates": [
            {"action": "add-view-version", "view-version": version(2, "SELECT 2")},
            {"action": "set-current-view-version", "view-version-id": -1},
        ],
    });
    let replaced = post(&server, &format!("{views}/v"), change).await;
    assert_eq!(
        (replaced.status, &replaced.json["metadata"]["current-version-id"]),
        (200, &json!(2)),
        "{}",
        replaced.json
    );
    assert_eq!(get(&server, &format!("{views}/even")).await.status, 200, "Sluice's own views are there, too");
    assert_eq!(call(server.http, "DELETE", &format!("{views}/v"), None, None).await.status, 204);
    assert_eq!(get(&server, &format!("{views}/v")).await.error(), "NoSuchViewException");
}

#[tokio::test]
async fn with_tokens_only_their_bearers_enter() {
    let iceberg = IcebergSettings { tokens: vec![Secret::new("good")], ..IcebergSettings::default() };
    let server = TestServer::with(1, ServeSettings { iceberg, ..any_ports() }).await;
    for (token, status) in [(None, 401), (Some("bad"), 401), (Some("good"), 200)] {
        let reply = call(server.http, "GET", "/iceberg/v1/config", None, token).await;
        assert_eq!(reply.status, status, "{token:?}");
    }
}

#[test]
fn without_tokens_other_machines_are_refused() {
    let everywhere = super::access::Tokens::new(&[], "0.0.0.0:80".parse().unwrap());
    assert!(everywhere.admit(None).is_err());
    let here = super::access::Tokens::new(&[], "127.0.0.1:80".parse().unwrap());
    assert!(here.admit(None).is_ok());
}
