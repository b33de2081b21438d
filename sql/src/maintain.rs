//! Maintenance of one table: every step in its order, what came of each, and what the metrics are told.
//!
//! ```text
//! table -> compact -> drop dangling deletes -> rewrite manifests -> expire -> remove orphans -> Maintained
//! ```
//!
//! Compaction comes first, because the other steps clean up behind it: it leaves deletes without files, manifests
//! with few entries, and snapshots that nobody needs. A step that fails ends the run; what was done before it stays
//! done, and the next run starts anew.

use std::time::Instant;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sluice_catalog::maintain::{
    Cursors, Policy, drop_dangling_deletes, expire, remove_orphans, rewrite_manifests,
};
use sluice_catalog::{TableName, TableSnapshot};
use uuid::Uuid;

use crate::compact::compact;
use crate::engine::Engine;
use crate::error::Result;

/// How tables are maintained: by which rules, and what.
#[derive(Clone, Copy)]
pub struct Maintenance<'a> {
    /// The tables' lake, and the memory to rewrite with.
    pub engine: &'a Engine,
    /// What may go, unless a table's properties say otherwise.
    pub policy: &'a Policy,
    /// Up to where incremental models have read.
    pub cursors: &'a Cursors,
    /// Whether orphans are looked for, which lists the table's folder.
    pub orphans: bool,
    /// Nothing changes; the report says what would be done.
    pub dry_run: bool,
}

/// What was done to a table, or would be.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Maintained {
    /// Live data files before, and after unless it was a dry run.
    pub files_before: usize,
    /// See `files_before`.
    pub files_after: Option<usize>,
    /// Their bytes.
    pub bytes_before: u64,
    /// See `bytes_before`.
    pub bytes_after: Option<u64>,
    /// Data files that compaction rewrote, and their bytes.
    pub files_rewritten: usize,
    /// See `files_rewritten`.
    pub bytes_rewritten: u64,
    /// Delete files that no data file needs any more.
    pub delete_files_removed: usize,
    /// Manifests that were replaced, and those that came for them.
    pub manifests_rewritten: usize,
    /// See `manifests_rewritten`.
    pub manifests_written: usize,
    /// Snapshots before.
    pub snapshots_before: usize,
    /// Snapshots that were forgotten.
    pub snapshots_expired: usize,
    /// Branches and tags that were older than they may be.
    pub refs_expired: Vec<String>,
    /// Files that only expired snapshots led to.
    pub files_expired: usize,
    /// See `files_expired`.
    pub bytes_expired: u64,
    /// Files that nothing led to.
    pub orphans_removed: usize,
    /// See `orphans_removed`.
    pub orphan_bytes: u64,
    /// Files that could not be deleted; a later run tries again.
    pub files_left: usize,
    /// Why a part was not done, though nothing is wrong: the table changed meanwhile, or cannot be compacted.
    pub note: Option<String>,
}

impl Maintenance<'_> {
    /// Maintains one table at `now`; `id` draws the name of each commit. What was done before a failure is in the
    /// report too.
    pub async fn run(
        &self,
        name: &TableName,
        now: DateTime<Utc>,
        id: impl FnMut() -> Uuid,
    ) -> (Maintained, Result<()>) {
        let began = Instant::now();
        let mut report = Maintained::default();
        let ended = self.steps(name, now, id, &mut report).await;
        if !self.dry_run {
            self.observe(name, &report, ended.is_ok());
            metrics::histogram!("sluice_maintenance_seconds").record(began.elapsed().as_secs_f64());
        }
        (report, ended)
    }

    async fn steps(
        &self,
        name: &TableName,
        now: DateTime<Utc>,
        mut id: impl FnMut() -> Uuid,
        report: &mut Maintained,
    ) -> Result<()> {
        let Self { engine, policy, cursors, orphans, dry_run } = *self;
        let lake = engine.lake();
        let table = lake.load(name).await?;
        report.snapshots_before = table.metadata().snapshots().len();
        (report.files_before, report.bytes_before) = live(&table).await?;

        let compacted = timed("compact", compact(engine, name, policy, &mut id, now, dry_run)).await?;
        report.files_rewritten = compacted.files_in;
        report.bytes_rewritten = compacted.bytes_in;
        let dropped = drop_dangling_deletes(lake, name, policy, id(), now, dry_run);
        report.delete_files_removed = compacted.delete_files + timed("deletes", dropped).await?;

        let rewrite = rewrite_manifests(lake, name, policy, id(), now, dry_run);
        let manifests = timed("manifests", rewrite).await?;
        report.manifests_rewritten = manifests.replaced;
        report.manifests_written = manifests.written;
        let conflict = compacted.conflict.or(manifests.conflict);
        let conflict = conflict.map(|reason| format!("left for the next run: {reason}"));
        report.note = conflict.or(compacted.skipped);

        let expired = timed("expire", expire(lake, name, policy, cursors, now, dry_run)).await?;
        report.snapshots_expired = expired.snapshots;
        report.refs_expired = expired.refs;
        report.files_expired = expired.files;
        report.bytes_expired = expired.bytes;
        report.files_left = expired.left;

        if orphans {
            let removed = remove_orphans(lake, name, policy, (now, id()), dry_run);
            let removed = timed("orphans", removed).await?;
            report.orphans_removed = removed.files;
            report.orphan_bytes = removed.bytes;
            report.files_left += removed.left;
        }
        if !dry_run {
            let (files, bytes) = live(&lake.load(name).await?).await?;
            (report.files_after, report.bytes_after) = (Some(files), Some(bytes));
        }
        Ok(())
    }

    fn observe(&self, name: &TableName, report: &Maintained, done: bool) {
        let result = if done { "done" } else { "failed" };
        metrics::counter!("sluice_maintenance_runs_total", "result" => result).increment(1);
        let table = name.to_string();
        for (counter, count) in [
            ("sluice_maintenance_rewritten_files_total", report.files_rewritten as u64),
            ("sluice_maintenance_rewritten_bytes_total", report.bytes_rewritten),
            ("sluice_maintenance_rewritten_manifests_total", report.manifests_rewritten as u64),
            ("sluice_maintenance_expired_snapshots_total", report.snapshots_expired as u64),
            ("sluice_maintenance_expired_bytes_total", report.bytes_expired),
            ("sluice_maintenance_orphans_total", report.orphans_removed as u64),
            ("sluice_maintenance_orphan_bytes_total", report.orphan_bytes),
        ] {
            metrics::counter!(counter, "table" => table.clone()).increment(count);
        }
        if let (Some(files), Some(bytes)) = (report.files_after, report.bytes_after) {
            metrics::gauge!("sluice_table_files", "table" => table.clone()).set(files as f64);
            metrics::gauge!("sluice_table_bytes", "table" => table.clone()).set(bytes as f64);
            let snapshots = report.snapshots_before.saturating_sub(report.snapshots_expired);
            metrics::gauge!("sluice_table_snapshots", "table" => table).set(snapshots as f64);
        }
    }
}

/// A step, with the time it takes for the metrics.
async fn timed<T>(step: &'static str, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let done = work.await;
    let took = began.elapsed().as_secs_f64();
    metrics::histogram!("sluice_maintenance_step_seconds", "step" => step).record(took);
    done
}

/// The live data files and their bytes.
async fn live(table: &TableSnapshot) -> Result<(usize, u64)> {
    let files = table.files().await?;
    let bytes = files.iter().map(|file| file.parts().0.file_size_in_bytes()).sum();
    Ok((files.len(), bytes))
}
