//! Each rule of safety has a test that fails without it.

mod dangling;
mod expiry;
mod manifests;
mod orphans;
mod plan;
mod policy;

use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use iceberg::TableUpdate;
use iceberg::spec::{SnapshotReference, SnapshotRetention};
use serde_json::json;

use super::*;
use crate::changes::{ChangeOutcome, TableChange};
use crate::commit::{Commit, CommitOutcome, Operation};
use crate::fixture::{name, staged, token};
use crate::lake::Lake;
use crate::snapshot::TableSnapshot;

/// One unit of time in these tests.
const TICK: Duration = Duration::from_millis(50);

/// The library refuses changes of a table whose log is a minute ahead of its own clock, and stamps new tables
/// by that clock: so the tests begin a little ahead of it, and last a few seconds.
#[expect(clippy::disallowed_methods, reason = "the library's own clock is not an argument")]
static START: LazyLock<DateTime<Utc>> = LazyLock::new(|| Utc::now() + Duration::from_secs(20));

fn at(ticks: i64) -> DateTime<Utc> {
    *START + TICK * u32::try_from(ticks).unwrap()
}

fn ticks(ticks: u32) -> Duration {
    TICK * ticks
}

/// Everything may go at once, so that each test adds the one rule it is about.
fn strict() -> Policy {
    Policy { max_snapshot_age: Duration::ZERO, reader_grace: Duration::ZERO, ..Policy::default() }
}

/// Appends the row with this id, `number` ticks after the start.
async fn append(lake: &Lake, number: i64) -> TableSnapshot {
    let table = lake.load(&name("orders")).await.unwrap();
    let token = token(1_000 + number as u128);
    let files = staged(lake, &table, token, number..number + 1).await;
    commit(
        lake,
        Commit { files: Some(files), ..Commit::new(name("orders"), Operation::Append, token) },
        number,
    )
    .await
}

/// Replaces all rows by the one with this id.
async fn overwrite(lake: &Lake, number: i64) -> TableSnapshot {
    let table = lake.load(&name("orders")).await.unwrap();
    let token = token(2_000 + number as u128);
    let files = staged(lake, &table, token, number..number + 1).await;
    let operation = Operation::Overwrite { read_snapshot: table.snapshot_id() };
    commit(lake, Commit { files: Some(files), ..Commit::new(name("orders"), operation, token) }, number).await
}

async fn commit(lake: &Lake, commit: Commit, number: i64) -> TableSnapshot {
    match lake.commit(vec![commit], at(number)).await.unwrap() {
        CommitOutcome::Committed(tables) => tables.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Makes a branch or tag, or changes its limits.
async fn refer(lake: &Lake, ref_name: &str, snapshot_id: i64, retention: SnapshotRetention) {
    let reference = SnapshotReference { snapshot_id, retention };
    let update = TableUpdate::SetSnapshotRef { ref_name: ref_name.to_owned(), reference };
    change(lake, serde_json::to_value(update).unwrap()).await;
}

async fn change(lake: &Lake, update: serde_json::Value) {
    let change: TableChange = serde_json::from_value(json!({ "updates": [update] })).unwrap();
    match lake.change(vec![(name("orders"), change)], at(0)).await.unwrap() {
        ChangeOutcome::Applied(_) => {}
        other => panic!("{other:?}"),
    }
}

async fn properties(lake: &Lake, table: &str, properties: serde_json::Value) {
    let updates = json!({ "updates": [{ "action": "set-properties", "updates": properties }] });
    let change: TableChange = serde_json::from_value(updates).unwrap();
    match lake.change(vec![(name(table), change)], at(0)).await.unwrap() {
        ChangeOutcome::Applied(_) => {}
        other => panic!("{other:?}"),
    }
}
