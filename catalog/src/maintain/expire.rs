//! Expiry: snapshots that nobody needs are forgotten, then the files that only they led to are deleted.
//!
//! ```text
//! base -> choose -> list what only the chosen ones lead to -> commit (asserts the base) -> delete
//!   ^                                                          |
//!   +------------------------------ another writer was first --+      no answer: delete nothing
//! ```
//!
//! A snapshot of a branch stays when any of this says so, and so does every one that followed it, because the
//! history of a branch has no holes:
//!
//! | rule | for |
//! |---|---|
//! | one of the newest `min_snapshots` | going back |
//! | younger than `max_snapshot_age` and one of the newest `max_snapshots` | time travel |
//! | followed by another one less than `reader_grace` ago | queries that began before |
//! | an incremental model has read up to it, not longer than `consumer_lag_max` ago | the next build |
//! | it tells where a topic stood, after another engine moved `main` ([`crate::offsets`]) | the next landing |
//!
//! A branch may have limits of its own. A tag keeps its snapshot. A snapshot that no branch has stays until
//! it is older than `max_snapshot_age` and `reader_grace`.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use iceberg::spec::{DataFile, MAIN_BRANCH, Snapshot, SnapshotRetention, TableMetadata};
use iceberg::{TableRequirement, TableUpdate};

use super::consumers::Cursors;
use super::policy::Policy;
use super::reach;
use crate::changes::{ChangeOutcome, TableChange};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::name::TableName;
use crate::offsets;
use crate::refs;
use crate::snapshot::TableSnapshot;

/// Lost races before the run gives up; the next one will do better.
const ATTEMPTS_MAX: u32 = 10;
const FIRST_WAIT: Duration = Duration::from_millis(20);

/// What an expiry did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Snapshots that were forgotten.
    pub snapshots: usize,
    /// Branches and tags that were older than they may be.
    pub refs: Vec<String>,
    /// Files that only those led to: data, deletes, manifests, manifest lists, statistics.
    pub files: usize,
    /// Bytes of those files, but for manifest lists and statistics.
    pub bytes: u64,
    /// Files among them that could not be deleted, or lie outside the table's folder, and stay.
    pub left: usize,
}

/// Snapshots and references that may go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) snapshots: HashSet<i64>,
    pub(super) refs: Vec<String>,
}

/// Expires snapshots of a table at `now`; with `dry_run` nothing changes and the result says what would
/// happen.
///
/// Nothing happens to a table whose policy is off. Where files may not be deleted (`gc.enabled`), nothing
/// expires.
///
/// # Errors
/// When the catalog or the store fails, or did not say whether the commit holds: then no file was deleted.
pub async fn expire(
    lake: &Lake,
    name: &TableName,
    policy: &Policy,
    cursors: &Cursors,
    now: DateTime<Utc>,
    dry_run: bool,
) -> Result<Expired> {
    let mut wait = FIRST_WAIT;
    for _ in 0..ATTEMPTS_MAX {
        let base = lake.load(name).await?;
        let policy = policy.with_properties(base.metadata().properties())?;
        if !policy.enabled || !policy.delete_files {
            return Ok(Expired::default());
        }
        let choice = choose(&base, &policy, cursors.at(name), now)?;
        if choice.snapshots.is_empty() && choice.refs.is_empty() {
            return Ok(Expired::default());
        }
        let mut doomed = Doomed::of(&base, &choice.snapshots).await?;
        if dry_run {
            return Ok(doomed.report(choice, 0));
        }
        match lake.change(vec![(name.clone(), change(&base, &choice)?)], now).await? {
            ChangeOutcome::Applied(tables) => {
                let after = tables.into_iter().next().unwrap_or(base.clone());
                doomed.spare_what_came_since(&base, &after).await?;
                let left = reach::delete(&base, doomed.locations()).await;
                return Ok(doomed.report(choice, left));
            }
            ChangeOutcome::Conflict { .. } => {}
            ChangeOutcome::Refused { reason } => {
                return Err(Error::InvalidCommit { subject: name.to_string(), fact: reason });
            }
            ChangeOutcome::Missing { table } => return Err(Error::NoSuchTable { table }),
            // Should the commit arrive later, its files are orphans.
            ChangeOutcome::Unknown(error) => return Err(error),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(1));
    }
    Err(Error::Contended { table: name.clone(), attempts: ATTEMPTS_MAX, seconds: 5 })
}

/// Which snapshots and references may go; `cursors` are snapshots that other tables have read up to.
pub(super) fn choose(
    base: &TableSnapshot,
    policy: &Policy,
    cursors: &[i64],
    now: DateTime<Utc>,
) -> Result<Choice> {
    let metadata = base.metadata();
    let ago = |age: Duration| {
        now.timestamp_millis().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
    };
    let mut choice = Choice::default();
    let mut kept = offsets::held(metadata, base.name())?;
    let mut in_a_branch = HashSet::new();
    for (name, reference) in refs::all(metadata)? {
        let Some(head) = metadata.snapshot_by_id(reference.snapshot_id) else { continue };
        let limits = Limits::of(&reference.retention, policy);
        if name != MAIN_BRANCH && limits.ref_age.is_some_and(|age| head.timestamp_ms() < ago(age)) {
            choice.refs.push(name);
            continue;
        }
        if let SnapshotRetention::Tag { .. } = reference.retention {
            kept.insert(head.snapshot_id());
            continue;
        }
        let history = history(metadata, head);
        in_a_branch.extend(history.iter().map(|snapshot| snapshot.snapshot_id()));
        let held = |snapshot: &Snapshot| {
            cursors.contains(&snapshot.snapshot_id())
                && snapshot.timestamp_ms() >= ago(policy.consumer_lag_max)
        };
        let mut newest = 0;
        let mut followed_at = i64::MAX;
        for (place, snapshot) in history.iter().enumerate() {
            let young = snapshot.timestamp_ms() > ago(limits.age) && place < limits.most;
            if place < limits.least || young || followed_at > ago(policy.reader_grace) || held(snapshot) {
                newest = place;
            }
            followed_at = snapshot.timestamp_ms();
        }
        kept.extend(history.iter().take(newest + 1).map(|snapshot| snapshot.snapshot_id()));
    }
    let oldest_loose = ago(policy.max_snapshot_age.max(policy.reader_grace));
    for snapshot in metadata.snapshots() {
        let id = snapshot.snapshot_id();
        let loose = !in_a_branch.contains(&id) && snapshot.timestamp_ms() > oldest_loose;
        if !kept.contains(&id) && !loose {
            choice.snapshots.insert(id);
        }
    }
    choice.refs.sort_unstable();
    Ok(choice)
}

/// The limits of one branch or tag.
struct Limits {
    age: Duration,
    least: usize,
    most: usize,
    ref_age: Option<Duration>,
}

impl Limits {
    fn of(retention: &SnapshotRetention, policy: &Policy) -> Self {
        let (age, least, ref_age) = match retention {
            SnapshotRetention::Branch { min_snapshots_to_keep, max_snapshot_age_ms, max_ref_age_ms } => {
                (*max_snapshot_age_ms, *min_snapshots_to_keep, *max_ref_age_ms)
            }
            SnapshotRetention::Tag { max_ref_age_ms } => (None, None, *max_ref_age_ms),
        };
        let duration = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        Self {
            age: age.map_or(policy.max_snapshot_age, duration),
            least: least.and_then(|least| usize::try_from(least).ok()).unwrap_or(policy.min_snapshots).max(1),
            // A branch that says how long its snapshots live is not cut by their number.
            most: if age.is_some() { usize::MAX } else { policy.max_snapshots },
            ref_age: ref_age.map_or(policy.max_ref_age, |age| (age != i64::MAX).then(|| duration(age))),
        }
    }
}

/// A snapshot and those it follows, as far as they are kept.
fn history<'a>(metadata: &'a TableMetadata, head: &'a Snapshot) -> Vec<&'a Snapshot> {
    let parent = |snapshot: &&'a Snapshot| {
        snapshot.parent_snapshot_id().and_then(|id| metadata.snapshot_by_id(id)).map(AsRef::as_ref)
    };
    std::iter::successors(Some(head), parent).take(metadata.snapshots().len()).collect()
}

/// The commit: every branch and tag is where the choice saw it, on the very state it was made from.
pub(super) fn change(base: &TableSnapshot, choice: &Choice) -> Result<TableChange> {
    let metadata = base.metadata();
    let mut requirements = vec![TableRequirement::UuidMatch { uuid: metadata.uuid() }];
    for (name, reference) in refs::all(metadata)? {
        let snapshot_id = Some(reference.snapshot_id);
        requirements.push(TableRequirement::RefSnapshotIdMatch { r#ref: name, snapshot_id });
    }
    let going = choice.refs.iter().cloned();
    let mut updates: Vec<_> = going.map(|ref_name| TableUpdate::RemoveSnapshotRef { ref_name }).collect();
    let mut snapshot_ids: Vec<_> = choice.snapshots.iter().copied().collect();
    snapshot_ids.sort_unstable();
    updates.extend(refs::forget(metadata, snapshot_ids));
    Ok(TableChange::on(base, requirements, updates))
}

/// Files that only snapshots to be forgotten lead to.
struct Doomed {
    /// Manifest lists and statistics.
    lists: HashSet<String>,
    /// Manifests with their lengths.
    manifests: HashMap<String, u64>,
    /// Data and delete files with their lengths.
    files: HashMap<String, u64>,
}

impl Doomed {
    async fn of(base: &TableSnapshot, gone: &HashSet<i64>) -> Result<Self> {
        let snapshots = || base.metadata().snapshots().map(AsRef::as_ref);
        let (going, staying): (Vec<&Snapshot>, Vec<_>) =
            snapshots().partition(|snapshot| gone.contains(&snapshot.snapshot_id()));
        let mut doomed = reach::manifests(base, going.iter().copied()).await?;
        let kept = reach::manifests(base, staying.iter().copied()).await?;
        doomed.retain(|location, _| !kept.contains_key(location));
        let mut files = HashMap::new();
        reach::live_files(base, doomed.values(), |file| {
            files.insert(file.file_path().to_owned(), file.file_size_in_bytes());
        })
        .await?;
        if !files.is_empty() {
            let spare = |file: &DataFile| {
                files.remove(file.file_path());
            };
            reach::live_files(base, kept.values(), spare).await?;
        }
        let mut lists: HashSet<_> =
            going.iter().map(|snapshot| snapshot.manifest_list().to_owned()).collect();
        for snapshot in &staying {
            lists.remove(snapshot.manifest_list());
        }
        statistics(base.metadata(), gone, &mut lists);
        let length = |length: i64| u64::try_from(length).unwrap_or(0);
        let manifests =
            doomed.into_iter().map(|(path, manifest)| (path, length(manifest.manifest_length))).collect();
        Ok(Self { lists, manifests, files })
    }

    /// Where the catalog applied the change to a newer state than ours, what that one leads to stays.
    async fn spare_what_came_since(&mut self, base: &TableSnapshot, after: &TableSnapshot) -> Result<()> {
        let known: HashSet<_> = base.metadata().snapshots().map(|snapshot| snapshot.snapshot_id()).collect();
        let snapshots = after.metadata().snapshots().map(AsRef::as_ref);
        let newer: Vec<&Snapshot> =
            snapshots.filter(|snapshot| !known.contains(&snapshot.snapshot_id())).collect();
        if newer.is_empty() {
            return Ok(());
        }
        for snapshot in &newer {
            self.lists.remove(snapshot.manifest_list());
        }
        let manifests = reach::manifests(after, newer.into_iter()).await?;
        self.manifests.retain(|location, _| !manifests.contains_key(location));
        reach::live_files(after, manifests.values(), |file| {
            self.files.remove(file.file_path());
        })
        .await
    }

    /// Data first: a run that breaks off leaves what still names them.
    fn locations(&self) -> impl Iterator<Item = String> {
        self.files
            .keys()
            .chain(self.manifests.keys())
            .chain(&self.lists)
            .cloned()
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn report(&self, choice: Choice, left: usize) -> Expired {
        Expired {
            snapshots: choice.snapshots.len(),
            refs: choice.refs,
            files: self.files.len() + self.manifests.len() + self.lists.len(),
            bytes: self.files.values().chain(self.manifests.values()).sum(),
            left,
        }
    }
}

/// Adds the statistics files that only snapshots to be forgotten have.
fn statistics(metadata: &TableMetadata, gone: &HashSet<i64>, lists: &mut HashSet<String>) {
    let of_tables = metadata.statistics_iter().map(|file| (file.snapshot_id, &file.statistics_path));
    let of_partitions = metadata.partition_statistics_iter();
    let all: Vec<_> =
        of_tables.chain(of_partitions.map(|file| (file.snapshot_id, &file.statistics_path))).collect();
    let kept: HashSet<_> = all.iter().filter(|(id, _)| !gone.contains(id)).map(|(_, path)| *path).collect();
    let going = all.iter().filter(|(id, path)| gone.contains(id) && !kept.contains(path));
    lists.extend(going.map(|(_, path)| (*path).clone()));
}
