//! Another engine on a SQL catalog: it swaps pointers itself, leaves properties as they are, and knows no rule of
//! Sluice. It rolls back, moves `main` to any snapshot, creates branches, and lets snapshots expire.

use std::str::FromStr;

use chrono::TimeDelta;
use iceberg::spec::{MAIN_BRANCH, SnapshotReference, SnapshotRetention};
use iceberg::{MetadataLocation, TableUpdate};

use super::actors::STEPS;
use super::world::{World, tables};
use crate::catalogs::SwapOutcome;
use crate::commit::restate;
use crate::refs;
use crate::testing::swap;
use crate::{TableName, TableSnapshot};

/// Snapshots of main's history that an expiry leaves, at least.
const KEPT: u64 = 3;

pub(super) async fn meddler(world: &World) {
    for _ in 0..STEPS {
        tokio::time::sleep(world.dice.delay() * 6).await;
        let table = &tables()[world.dice.below(2) as usize];
        let Ok(base) = world.lake.load(table).await else { continue };
        let ancestors: Vec<i64> = base.ancestors().map(|snapshot| snapshot.snapshot_id()).collect();
        let Some(&current) = ancestors.first() else { continue };
        let (update, moves) = match world.dice.below(8) {
            0..=3 => (main(ancestors[world.dice.below(ancestors.len().min(5) as u64) as usize]), true),
            4 => {
                let mut all: Vec<_> =
                    base.metadata().snapshots().map(|snapshot| snapshot.snapshot_id()).collect();
                // The library keeps them in a map of its own, in no order.
                all.sort_unstable();
                (main(all[world.dice.below(all.len() as u64) as usize]), true)
            }
            5 | 6 => (branch(&format!("audit-{}", world.dice.below(3)), current), false),
            _ => (expiry(world, &base, &ancestors), false),
        };
        change(world, table, &base, update, moves).await;
    }
}

fn main(snapshot_id: i64) -> TableUpdate {
    branch(MAIN_BRANCH, snapshot_id)
}

fn branch(name: &str, snapshot_id: i64) -> TableUpdate {
    let reference = SnapshotReference { snapshot_id, retention: SnapshotRetention::branch(None, None, None) };
    TableUpdate::SetSnapshotRef { ref_name: name.to_owned(), reference }
}

/// What no branch names goes, but for the newest of main's history.
fn expiry(world: &World, base: &TableSnapshot, ancestors: &[i64]) -> TableUpdate {
    let kept = ancestors.len().min((KEPT + world.dice.below(4)) as usize);
    let named: Vec<i64> = refs::all(base.metadata()).unwrap().values().map(|head| head.snapshot_id).collect();
    let mut all: Vec<_> = base.metadata().snapshots().map(|snapshot| snapshot.snapshot_id()).collect();
    all.retain(|id| !named.contains(id) && !ancestors[..kept].contains(id));
    all.sort_unstable();
    TableUpdate::RemoveSnapshots { snapshot_ids: all }
}

async fn change(world: &World, table: &TableName, base: &TableSnapshot, update: TableUpdate, moves: bool) {
    let now = world.now(TimeDelta::zero()).timestamp_millis().max(base.metadata().last_updated_ms());
    let (next, _) = restate(base.metadata(), base.metadata_location(), &[update], now).unwrap();
    let location = MetadataLocation::from_str(base.metadata_location()).unwrap().with_next_version();
    if next.write_to(&world.lake.inner().file_io, &location).await.is_err() {
        return;
    }
    let swap = swap(table, base.metadata_location(), &location.to_string());
    let outcome = world.lake.inner().catalog.swap(&[swap]).await;
    // Lost for certain, or it may still arrive.
    if moves && !matches!(outcome, Ok(SwapOutcome::Lost { .. })) {
        *world.moves.lock().unwrap() += 1;
    }
}
