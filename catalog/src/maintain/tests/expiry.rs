//! Which snapshots go, and which files with them.

use super::*;
use crate::fixture::{ids, lake, objects, orders};
use crate::maintain::expire::{change, choose};

fn branch(least: Option<i32>, age_ms: Option<i64>, ref_age_ms: Option<i64>) -> SnapshotRetention {
    SnapshotRetention::branch(least, age_ms, ref_age_ms)
}

/// A table with one append each tick.
async fn appended(lake: &Lake, count: i64) -> TableSnapshot {
    let mut table = orders(lake, "orders", vec![], &[]).await;
    for number in 0..count {
        table = append(lake, number).await;
    }
    table
}

async fn run(lake: &Lake, policy: &Policy, now: i64) -> Expired {
    expire(lake, &name("orders"), policy, &Cursors::default(), at(now), false).await.unwrap()
}

fn kept(table: &TableSnapshot, policy: &Policy, cursors: &[i64], now: i64) -> usize {
    let choice = choose(table, policy, cursors, at(now)).unwrap();
    table.metadata().snapshots().len() - choice.snapshots.len()
}

#[tokio::test]
async fn each_rule_keeps_the_snapshots_it_is_for() {
    let fixture = lake().await;
    let table = appended(&fixture.lake, 10).await;
    let now = 9;
    assert_eq!(kept(&table, &strict(), &[], now), 1, "the current one always stays");
    let least = Policy { min_snapshots: 4, ..strict() };
    assert_eq!(kept(&table, &least, &[], now), 4);
    let young = Policy { max_snapshot_age: ticks(3), ..strict() };
    assert_eq!(kept(&table, &young, &[], now), 3, "those of the ticks 7, 8 and 9");
    let most = Policy { max_snapshot_age: ticks(100), max_snapshots: 2, ..strict() };
    assert_eq!(kept(&table, &most, &[], now), 2, "their number wins over their age");
    let grace = Policy { reader_grace: ticks(3), ..most };
    assert_eq!(kept(&table, &grace, &[], now), 4, "that of tick 6 was current until tick 7");
    let oldest = table.history()[6].id;
    assert_eq!(kept(&table, &strict(), &[oldest], now), 7, "what a model has not read yet stays");
    let late = Policy { consumer_lag_max: ticks(2), ..strict() };
    assert_eq!(kept(&table, &late, &[oldest], now), 1, "a model that is too far behind holds nothing");
}

#[tokio::test]
async fn files_that_are_still_live_survive_and_the_others_go() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    appended(lake, 3).await;
    overwrite(lake, 10).await;
    append(lake, 11).await;
    let before = objects(lake, ".parquet").await;
    let says = expire(lake, &name("orders"), &strict(), &Cursors::default(), at(20), true).await.unwrap();
    assert_eq!(objects(lake, ".parquet").await, before, "a dry run changes nothing");
    assert_eq!(lake.load(&name("orders")).await.unwrap().metadata().snapshots().len(), 5);

    let expired = run(lake, &strict(), 20).await;
    assert_eq!(expired, says, "a dry run says what happens");
    assert_eq!((expired.snapshots, expired.left), (4, 0));
    let table = lake.load(&name("orders")).await.unwrap();
    assert_eq!(ids(&table).await, [10, 11]);
    assert_eq!(objects(lake, ".parquet").await.len(), 2);
    let lists = objects(lake, ".avro").await;
    assert_eq!(lists.iter().filter(|path| path.contains("/snap-")).count(), 1);
    assert_eq!(run(lake, &strict(), 20).await, Expired::default());
}

#[tokio::test]
async fn what_a_tag_or_branch_leads_to_survives() {
    for retention in [SnapshotRetention::Tag { max_ref_age_ms: None }, branch(None, None, None)] {
        let fixture = lake().await;
        let lake = &fixture.lake;
        let old = appended(lake, 3).await;
        refer(lake, "audit", old.snapshot_id().unwrap(), retention).await;
        overwrite(lake, 10).await;
        let expired = run(lake, &strict(), 20).await;
        assert_eq!(expired.snapshots, 2, "the older appends");
        let table = lake.load(&name("orders")).await.unwrap();
        assert!(table.metadata().snapshot_for_ref("audit").is_some());
        assert_eq!(ids(&table).await, [10]);
        assert_eq!(ids(&old).await, [0, 1, 2], "the files of the reference are all there");
    }
}

#[tokio::test]
async fn a_branch_keeps_what_its_own_limits_say() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = appended(lake, 6).await;
    let head = table.snapshot_id().unwrap();
    refer(lake, "long", head, branch(Some(4), None, None)).await;
    let table = lake.load(&name("orders")).await.unwrap();
    assert_eq!(kept(&table, &strict(), &[], 10), 4);
    refer(lake, "long", head, branch(None, Some(350), None)).await;
    let table = lake.load(&name("orders")).await.unwrap();
    let few = Policy { max_snapshots: 1, ..strict() };
    assert_eq!(kept(&table, &few, &[], 10), 2, "those of the ticks 4 and 5; no limit by number");
}

#[tokio::test]
async fn references_go_when_they_are_old_and_main_never() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = appended(lake, 4).await;
    let history = table.history();
    refer(lake, "old", history[3].id, SnapshotRetention::Tag { max_ref_age_ms: None }).await;
    refer(lake, "own", history[2].id, SnapshotRetention::Tag { max_ref_age_ms: Some(i64::MAX) }).await;
    let policy = Policy { max_ref_age: Some(ticks(1)), ..strict() };
    let expired = run(lake, &policy, 100).await;
    assert_eq!((expired.refs.as_slice(), expired.snapshots), (&["old".to_owned()][..], 2));
    let table = lake.load(&name("orders")).await.unwrap();
    assert!(table.metadata().snapshot_for_ref("own").is_some());
    assert!(table.metadata().snapshot_for_ref("old").is_none());
    assert_eq!(ids(&table).await, [0, 1, 2, 3]);
}

#[tokio::test]
async fn models_hold_what_they_have_not_read() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let table = appended(lake, 5).await;
    let read = table.history()[2].id.to_string();
    orders(lake, "daily", vec![], &[("sluice.cursor.bronze.orders", &read)]).await;
    let cursors = Cursors::of(lake).await.unwrap();
    let expired = expire(lake, &name("orders"), &strict(), &cursors, at(9), false).await.unwrap();
    assert_eq!(expired.snapshots, 2);
    let table = lake.load(&name("orders")).await.unwrap();
    let since = table.files_added_since(read.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(since.len(), 2);
}

#[tokio::test]
async fn a_table_can_forbid_it() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    appended(lake, 3).await;
    for property in ["gc.enabled", "sluice.maintain.enabled"] {
        properties(lake, "orders", json!({ property: "false" })).await;
        assert_eq!(run(lake, &strict(), 9).await, Expired::default());
        properties(lake, "orders", json!({ property: "true" })).await;
    }
    assert_eq!(run(lake, &strict(), 9).await.snapshots, 2);
}

#[tokio::test]
async fn an_expiry_that_was_computed_from_an_older_state_is_a_conflict() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let base = appended(lake, 3).await;
    let choice = choose(&base, &strict(), &[], at(9)).unwrap();
    let stale = change(&base, &choice).unwrap();
    // Somebody needs one of the chosen snapshots now.
    refer(lake, "late", base.history()[2].id, branch(None, None, None)).await;
    let outcome = lake.change(vec![(name("orders"), stale)], at(9)).await.unwrap();
    assert!(matches!(outcome, ChangeOutcome::Conflict { .. }), "{outcome:?}");
    assert_eq!(run(lake, &strict(), 9).await.snapshots, 1, "the run decides again on the new state");
}

fn second(number: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + number, 0).unwrap()
}

/// By the default policy a stream that commits every ten seconds, with maintenance every ten minutes.
#[tokio::test]
async fn a_day_of_commits_leaves_fewer_than_a_thousand_snapshots() {
    const COMMITS: i64 = 8_640;
    let fixture = lake().await;
    let base = appended(&fixture.lake, 1).await;
    let first = base.metadata().current_snapshot().unwrap().clone();
    // The history is made of metadata only: what is chosen does not depend on files.
    let mut alive: Vec<(i64, i64)> = Vec::new();
    let mut most = 0;
    for number in 0..COMMITS {
        alive.push((number + 1, number * 10));
        if number % 60 != 59 {
            continue;
        }
        most = most.max(alive.len());
        let table = with_history(&base, first.manifest_list(), &alive);
        let choice = choose(&table, &Policy::default(), &[], second(number * 10)).unwrap();
        alive.retain(|(id, _)| !choice.snapshots.contains(id));
    }
    assert!(most < 1_000, "{most} snapshots at most");
    assert!(alive.len() >= 360, "readers of the last hour find theirs: {}", alive.len());
}

/// The table with a history of these snapshot ids and times, in seconds.
fn with_history(base: &TableSnapshot, list: &str, snapshots: &[(i64, i64)]) -> TableSnapshot {
    let mut json = serde_json::to_value(base.metadata()).unwrap();
    let entries = snapshots.iter().enumerate().map(|(place, (id, seconds))| {
        let parent = place.checked_sub(1).map(|before| snapshots[before].0);
        let mut entry = json!({
            "snapshot-id": id, "sequence-number": id, "timestamp-ms": second(*seconds).timestamp_millis(),
            "manifest-list": list, "summary": { "operation": "append" }, "schema-id": 0,
        });
        if let Some(parent) = parent {
            entry["parent-snapshot-id"] = json!(parent);
        }
        entry
    });
    json["snapshots"] = entries.collect();
    let (head, last) = snapshots[snapshots.len() - 1];
    json["current-snapshot-id"] = json!(head);
    json["refs"] = json!({ "main": { "snapshot-id": head, "type": "branch" } });
    json["snapshot-log"] = json!([{ "snapshot-id": head, "timestamp-ms": second(last).timestamp_millis() }]);
    json["last-sequence-number"] = json!(head);
    json["last-updated-ms"] = json!(second(last).timestamp_millis());
    json["metadata-log"] = json!([]);
    let metadata = serde_json::from_value(json).unwrap();
    let location = base.metadata_location().to_owned();
    TableSnapshot::new(base.name().clone(), std::sync::Arc::new(metadata), location, base.lake().clone())
}
