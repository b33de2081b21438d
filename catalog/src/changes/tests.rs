//! Changes in the JSON of the REST protocol, on a lake in memory.

use serde_json::{Value, json};

use super::*;
use crate::commit::{Commit, CommitOutcome, Operation};
use crate::fixture::{self, at};
use crate::testing::{memory_lake, name, new_table};

fn change(requirements: Value, updates: Value) -> TableChange {
    serde_json::from_value(json!({"requirements": requirements, "updates": updates})).unwrap()
}

async fn one(lake: &Lake, table: &str, requirements: Value, updates: Value) -> ChangeOutcome {
    lake.change(vec![(name(table), change(requirements, updates))], at(5)).await.unwrap()
}

fn applied(outcome: ChangeOutcome) -> Vec<TableSnapshot> {
    match outcome {
        ChangeOutcome::Applied(tables) => tables,
        other => panic!("{other:?}"),
    }
}

fn set(key: &str, value: &str) -> Value {
    json!({"action": "set-properties", "updates": {key: value}})
}

/// A snapshot of no files on the table as it is.
fn snapshot(table: &TableSnapshot, id: i64) -> Value {
    let metadata = table.metadata();
    json!({"action": "add-snapshot", "snapshot": {
        "snapshot-id": id,
        "parent-snapshot-id": metadata.current_snapshot_id(),
        "sequence-number": metadata.last_sequence_number() + 1,
        "timestamp-ms": metadata.last_updated_ms() + 1,
        "manifest-list": format!("{}/metadata/{id}.avro", metadata.location()),
        "summary": {"operation": "append"},
        "schema-id": 0,
    }})
}

fn main_to(id: i64) -> Value {
    json!({"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": id})
}

#[tokio::test]
async fn requirements_decide_and_a_change_sent_twice_is_applied_once() {
    let test = memory_lake().await;
    let table = new_table(&test.lake, "a.t").await;
    let none = json!([{"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": null}]);
    let updates = json!([snapshot(&table, 7), main_to(7)]);
    let first = applied(one(&test.lake, "a.t", none.clone(), updates.clone()).await);
    assert_eq!(first[0].snapshot_id(), Some(7));
    let again = applied(one(&test.lake, "a.t", none.clone(), updates).await);
    assert_eq!(again[0].metadata_location(), first[0].metadata_location(), "nothing was written again");
    let other = one(&test.lake, "a.t", none, json!([snapshot(&first[0], 8), main_to(8)])).await;
    assert!(matches!(other, ChangeOutcome::Conflict { .. }), "{other:?}");
    let missing = one(&test.lake, "a.x", json!([]), json!([])).await;
    assert!(matches!(missing, ChangeOutcome::Missing { .. }), "{missing:?}");
}

#[tokio::test]
async fn several_tables_change_together_or_not_at_all() {
    let test = memory_lake().await;
    let uuid =
        |table: &TableSnapshot| json!([{"type": "assert-table-uuid", "uuid": table.metadata().uuid()}]);
    let (t, u) = (new_table(&test.lake, "a.t").await, new_table(&test.lake, "a.u").await);
    let good = |table: &TableSnapshot, value: &str| {
        (table.name().clone(), change(uuid(table), json!([set("k", value)])))
    };
    applied(test.lake.change(vec![good(&t, "1"), good(&u, "1")], at(1)).await.unwrap());
    let stale = (u.name().clone(), change(uuid(&t), json!([set("k", "2")])));
    let refused = test.lake.change(vec![good(&t, "2"), stale], at(2)).await.unwrap();
    assert!(matches!(refused, ChangeOutcome::Conflict { .. }), "{refused:?}");
    for table in ["a.t", "a.u"] {
        let table = test.lake.load(&name(table)).await.unwrap();
        assert_eq!(table.metadata().properties().get("k").map(String::as_str), Some("1"));
    }
}

#[tokio::test]
async fn time_never_runs_backwards() {
    let test = memory_lake().await;
    let table = new_table(&test.lake, "a.t").await;
    let before = table.metadata().last_updated_ms();
    let after = applied(one(&test.lake, "a.t", json!([]), json!([set("k", "v")])).await);
    assert!(after[0].metadata().last_updated_ms() >= before);
}

#[tokio::test]
async fn nothing_leads_outside_the_warehouse() {
    let test = memory_lake().await;
    let table = new_table(&test.lake, "a.t").await;
    let mut away = snapshot(&table, 9);
    away["snapshot"]["manifest-list"] = json!("s3://secrets/x.avro");
    for update in [
        json!({"action": "set-location", "location": "s3://secrets/t"}),
        set("write.data.path", "file:///etc"),
        away,
    ] {
        let outcome = one(&test.lake, "a.t", json!([]), json!([update])).await;
        assert!(matches!(outcome, ChangeOutcome::Refused { .. }), "{outcome:?}");
    }
    let request = json!({"name": "u", "location": "file:///etc", "schema": schema()});
    let request: TableRequest = serde_json::from_value(request).unwrap();
    let outcome = test.lake.create_requested(&name("a.u"), request, at(0)).await.unwrap();
    assert!(matches!(outcome, Requested::Refused { .. }), "{outcome:?}");
}

fn schema() -> Value {
    json!({"type": "struct", "schema-id": 0, "fields": [
        {"id": 1, "name": "id", "required": true, "type": "long"},
        {"id": 2, "name": "name", "required": false, "type": "string"},
    ]})
}

#[tokio::test]
async fn progress_of_an_ingest_is_protected() {
    let test = memory_lake().await;
    let offsets = |next: i64| {
        set(
            "sluice.offsets.orders",
            &json!({"cluster": "c", "next": {"0": next}, "token": "t", "snapshot": null}).to_string(),
        )
    };
    let table = new_table(&test.lake, "a.t").await;
    let first = applied(
        one(&test.lake, "a.t", json!([]), json!([snapshot(&table, 7), main_to(7), offsets(100)])).await,
    );
    let second = json!([snapshot(&first[0], 8), main_to(8), offsets(200)]);
    applied(one(&test.lake, "a.t", json!([]), second).await);
    let back = one(&test.lake, "a.t", json!([]), json!([offsets(150)])).await;
    assert!(matches!(back, ChangeOutcome::Conflict { .. }), "{back:?}");
    for update in [
        json!({"action": "remove-properties", "removals": ["sluice.offsets.orders"]}),
        json!({"action": "remove-snapshot-ref", "ref-name": "main"}),
        json!({"action": "upgrade-format-version", "format-version": 3}),
        set("sluice.offsets.orders", "nonsense"),
    ] {
        let outcome = one(&test.lake, "a.t", json!([]), json!([update])).await;
        assert!(matches!(outcome, ChangeOutcome::Refused { .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn rows_of_an_ingest_may_be_taken_back_and_those_of_a_model_may_not() {
    let test = memory_lake().await;
    let table = new_table(&test.lake, "a.t").await;
    let landed = |table: &TableSnapshot, id: i64, start: i64, end: i64| {
        let mut snapshot = snapshot(table, id);
        snapshot["snapshot"]["summary"]["sluice.ranges.orders"] =
            json!(format!(r#"{{"0":[{start},{end}]}}"#));
        let record = json!({"cluster": "c", "next": {"0": end}, "token": "t", "snapshot": id});
        json!([snapshot, main_to(id), set("sluice.offsets.orders", &record.to_string())])
    };
    let first = applied(one(&test.lake, "a.t", json!([]), landed(&table, 7, 0, 100)).await);
    applied(one(&test.lake, "a.t", json!([]), landed(&first[0], 8, 100, 200)).await);
    let back = applied(one(&test.lake, "a.t", json!([]), json!([main_to(7)])).await);
    assert_eq!(back[0].offsets("orders").unwrap().unwrap().next[&0], 100, "they are read again");
    let again = applied(one(&test.lake, "a.t", json!([]), landed(&back[0], 9, 100, 150)).await);
    assert_eq!(again[0].offsets("orders").unwrap().unwrap().next[&0], 150);

    applied(one(&test.lake, "a.t", json!([]), json!([set("sluice.cursor.bronze.x", "5")])).await);
    let outcome = one(&test.lake, "a.t", json!([]), json!([main_to(7)])).await;
    assert!(
        matches!(&outcome, ChangeOutcome::Refused { reason } if reason.contains("cursors")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_change_of_metadata_that_is_sent_again_is_applied_once() {
    let test = memory_lake().await;
    let table = new_table(&test.lake, "a.t").await;
    let wider = json!({"type": "struct", "schema-id": 1, "fields": [
        {"id": 1, "name": "id", "required": true, "type": "long"},
        {"id": 2, "name": "name", "required": false, "type": "string"},
        {"id": 3, "name": "more", "required": false, "type": "string"},
    ]});
    let requirements = json!([{"type": "assert-last-assigned-field-id", "last-assigned-field-id": 2}]);
    let updates = json!([
        {"action": "add-schema", "schema": wider}, {"action": "set-current-schema", "schema-id": -1}
    ]);
    let first = applied(one(&test.lake, "a.t", requirements.clone(), updates.clone()).await);
    let again = applied(one(&test.lake, "a.t", requirements.clone(), updates.clone()).await);
    assert_eq!(again[0].metadata_location(), first[0].metadata_location());
    assert_ne!(first[0].metadata_location(), table.metadata_location());
    // Another change in between, or another one with the same requirement, is a conflict.
    let other = one(&test.lake, "a.t", requirements.clone(), json!([set("k", "v")])).await;
    assert!(matches!(other, ChangeOutcome::Conflict { .. }), "{other:?}");
}

#[tokio::test]
async fn a_table_whose_log_is_ahead_of_the_clock_may_be_changed() {
    let test = memory_lake().await;
    let table = new_table(&test.lake, "a.t").await;
    let mut ahead = snapshot(&table, 7);
    let future = 4_102_444_800_000_i64;
    ahead["snapshot"]["timestamp-ms"] = json!(future);
    applied(one(&test.lake, "a.t", json!([]), json!([ahead, main_to(7)])).await);
    let after = applied(one(&test.lake, "a.t", json!([]), json!([set("k", "v")])).await);
    assert_eq!(after[0].metadata().last_updated_ms(), future);
    assert_eq!(after[0].metadata().properties()["k"], "v");
}

#[tokio::test]
async fn a_staged_table_is_created_by_its_first_commit() {
    let test = memory_lake().await;
    let request = json!({"name": "t", "schema": schema(), "stage-create": true, "properties": {"k": "v"}});
    let request: TableRequest = serde_json::from_value(request).unwrap();
    let Requested::Staged(staged) = test.lake.create_requested(&name("a.t"), request, at(1)).await.unwrap()
    else {
        panic!("not staged")
    };
    assert!(!test.lake.is_taken(&name("a.t")).await.unwrap());
    let updates = json!([
        {"action": "assign-uuid", "uuid": staged.uuid()},
        {"action": "upgrade-format-version", "format-version": 2},
        {"action": "add-schema", "schema": staged.current_schema(), "last-column-id": 2},
        {"action": "set-current-schema", "schema-id": -1},
        {"action": "add-spec", "spec": {"spec-id": 0, "fields": []}},
        {"action": "set-default-spec", "spec-id": -1},
        {"action": "add-sort-order", "sort-order": {"order-id": 0, "fields": []}},
        {"action": "set-default-sort-order", "sort-order-id": -1},
        {"action": "set-location", "location": staged.location()},
        set("k", "v"),
    ]);
    let create = json!([{"type": "assert-create"}]);
    let created = applied(one(&test.lake, "a.t", create.clone(), updates.clone()).await);
    assert_eq!(created[0].metadata().uuid(), staged.uuid());
    assert_eq!(created[0].metadata().properties().get("k").map(String::as_str), Some("v"));
    let again = one(&test.lake, "a.t", create, updates).await;
    assert!(matches!(again, ChangeOutcome::Conflict { .. }), "{again:?}");
}

#[tokio::test]
async fn a_clock_behind_the_table_stops_no_change() {
    let test = memory_lake().await;
    let lake = &test.lake;
    let table = fixture::orders(lake, "orders", Vec::new(), &[]).await;
    // Far ahead of the library's own clock.
    let files = fixture::staged(lake, &table, fixture::token(1), 0..3).await;
    let append = Commit::new(table.name().clone(), Operation::Append, fixture::token(1));
    let outcome = lake.commit(vec![Commit { files: Some(files), ..append }], at(60)).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    let after = applied(one(lake, "bronze.orders", json!([]), json!([set("k", "v")])).await);
    assert_eq!(after[0].metadata().properties()["k"], "v");
    assert_eq!(after[0].metadata().last_updated_ms(), at(60).timestamp_millis(), "time does not go back");
}
