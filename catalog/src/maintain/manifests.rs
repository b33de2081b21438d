//! Manifests: those that each list a little of every partition become few that list whole partitions.
//!
//! ```text
//! manifest list -> which are worth it -> their entries, by partition -> new manifests -> commit (swaps them)
//! ```
//!
//! A query finds the manifests it must read by the ranges of their partition values. What one commit adds is a
//! run: for any partition, a reader opens about one manifest of each run. A stream that writes into every
//! partition makes each of its runs cover all of them, so runs are merged, and sorted by partition on the way.
//! As with files, a run is merged with runs of about its own size: an entry is rewritten a few times in its life,
//! however often maintenance runs. Entries keep the snapshot and the sequence numbers they came with.
//!
//! Without partitions only the number of manifests matters, and those of about the wanted size are left alone.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{
    FormatVersion, Literal, ManifestEntryRef, ManifestFile, ManifestWriter, ManifestWriterBuilder,
    PartitionSpec, PartitionSpecRef, SchemaRef, Struct,
};
use uuid::Uuid;

use super::policy::Policy;
use crate::commit::{Commit, CommitOutcome, Operation, StagedManifests};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::name::TableName;
use crate::snapshot::TableSnapshot;
use crate::storage::Held;

/// Fewer runs of about one size are not worth a rewrite.
const RUNS_MIN: usize = 8;
/// Manifest bytes that are read into memory for one rewrite; larger runs are left as they are.
const BYTES_MAX: i64 = 16 << 20;
/// Size of the manifests that a rewrite makes, unless the table says so: a reader that needs one partition
/// decodes one of them.
const TARGET_BYTES: i64 = 1 << 20;
const TARGET_KEY: &str = "commit.manifest.target-size-bytes";
/// Manifests read at the same time.
const IN_FLIGHT: usize = 8;

/// What a rewrite of manifests did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestsRewritten {
    /// Manifests that were replaced, and their bytes.
    pub replaced: usize,
    /// See `replaced`.
    pub bytes: u64,
    /// Manifests that list their files now; nothing after a dry run.
    pub written: usize,
    /// Why it was dropped, if it was: the table changed meanwhile.
    pub conflict: Option<String>,
}

/// Rewrites the manifests of a table that are worth it, in one commit named `token`; with `dry_run` nothing is
/// written.
///
/// # Errors
/// When manifests cannot be read or written, or the catalog fails.
pub async fn rewrite_manifests(
    lake: &Lake,
    name: &TableName,
    policy: &Policy,
    token: Uuid,
    now: DateTime<Utc>,
    dry_run: bool,
) -> Result<ManifestsRewritten> {
    let table = lake.load(name).await?;
    let policy = policy.with_properties(table.metadata().properties())?;
    let mut report = ManifestsRewritten::default();
    if !policy.enabled || table.metadata().format_version() != FormatVersion::V2 {
        return Ok(report);
    }
    let chosen = choose(&table).await?;
    report.replaced = chosen.iter().map(|(_, manifests)| manifests.len()).sum();
    report.bytes = chosen.iter().flat_map(|(_, manifests)| manifests).map(length).sum();
    if dry_run || chosen.is_empty() {
        return Ok(report);
    }
    let staged = stage(&table, &chosen, token).await?;
    report.written = staged.written.len();
    let commit = Commit::new(name.clone(), Operation::RewriteManifests(staged), token);
    match lake.commit(vec![commit], now).await? {
        CommitOutcome::Committed(_) | CommitOutcome::AlreadyCommitted(_) => Ok(report),
        CommitOutcome::Conflicted { reason, .. } => {
            Ok(ManifestsRewritten { conflict: Some(reason), ..ManifestsRewritten::default() })
        }
        CommitOutcome::Fenced { topic, .. } => {
            let conflict = Some(format!("it was fenced by topic {topic}"));
            Ok(ManifestsRewritten { conflict, ..ManifestsRewritten::default() })
        }
    }
}

/// The manifests of a table that are worth a rewrite, by partition spec.
pub(super) async fn choose(table: &TableSnapshot) -> Result<Vec<(PartitionSpecRef, Vec<ManifestFile>)>> {
    let listed = table.manifests().await?;
    let specs = table.metadata().partition_specs_iter();
    let picked = specs.map(|spec| (spec.clone(), pick(listed.data(), spec, target(table))));
    Ok(picked.filter(|(_, manifests)| !manifests.is_empty()).collect())
}

/// Writes what the chosen manifests list into new ones, which no snapshot lists yet.
pub(super) async fn stage(
    table: &TableSnapshot,
    chosen: &[(PartitionSpecRef, Vec<ManifestFile>)],
    token: Uuid,
) -> Result<StagedManifests> {
    let held = table.lake().inner().storage.held();
    let mut rewriting = Rewriting { table, held: &held, token, written: Vec::new() };
    for (spec, manifests) in chosen {
        rewriting.rewrite(manifests, spec).await?;
    }
    held.store().await?;
    let replaced = chosen.iter().flat_map(|(_, manifests)| manifests);
    Ok(StagedManifests {
        table_uuid: table.metadata().uuid(),
        replaced: replaced.map(|manifest| manifest.manifest_path.clone()).collect(),
        written: rewriting.written,
    })
}

/// Bytes of a new manifest.
fn target(table: &TableSnapshot) -> i64 {
    let wanted = table.metadata().properties().get(TARGET_KEY).and_then(|bytes| bytes.parse().ok());
    wanted.unwrap_or(TARGET_BYTES).max(1)
}

/// The manifests of a partition spec that are worth a rewrite.
pub(super) fn pick(manifests: &[ManifestFile], spec: &PartitionSpec, target: i64) -> Vec<ManifestFile> {
    let mut runs: BTreeMap<i64, (i64, Vec<&ManifestFile>)> = BTreeMap::new();
    for manifest in manifests {
        let live = manifest.has_added_files() || manifest.has_existing_files();
        let done = spec.is_unpartitioned() && manifest.manifest_length >= target / 2;
        let readable = manifest.key_metadata.is_none();
        if live && !done && readable && manifest.partition_spec_id == spec.spec_id() {
            let (bytes, run) = runs.entry(manifest.added_snapshot_id).or_default();
            *bytes += manifest.manifest_length;
            run.push(manifest);
        }
    }
    let mut runs: Vec<_> = runs.into_values().collect();
    runs.sort_by_key(|(bytes, run)| (*bytes, run.first().map(|manifest| manifest.sequence_number)));
    let alike = alike(&runs);
    runs.into_iter().take(alike).flat_map(|(_, run)| run.into_iter().cloned()).collect()
}

/// How many of the runs, smallest first, are merged: up to the first that is larger than all before it and twice as
/// large as the last of them (sizes of the same content differ by a few bytes), if those are enough; otherwise up to
/// the next such step. None when no step is enough.
fn alike(runs: &[(i64, Vec<&ManifestFile>)]) -> usize {
    let (mut start, mut step, mut all, mut last) = (0, 0, 0, 0);
    for (place, (bytes, _)) in runs.iter().enumerate() {
        if all + bytes > BYTES_MAX {
            return if place - start >= RUNS_MIN { place } else { 0 };
        }
        if place > start && *bytes > step && *bytes >= 2 * last {
            if place - start >= RUNS_MIN {
                return place;
            }
            // Those before are too few for a step of their own, and so small that they can come along.
            (start, step) = (place, 0);
        }
        step += bytes;
        all += bytes;
        last = *bytes;
    }
    if runs.len() - start >= RUNS_MIN { runs.len() } else { 0 }
}

/// The writing of new manifests from the entries of others.
struct Rewriting<'a> {
    table: &'a TableSnapshot,
    held: &'a Held,
    token: Uuid,
    written: Vec<ManifestFile>,
}

impl Rewriting<'_> {
    async fn rewrite(&mut self, manifests: &[ManifestFile], spec: &PartitionSpec) -> Result<()> {
        let (entries, schema) = self.entries(manifests, spec).await?;
        // The largest manifest tells best what an entry takes: in small ones the columns' names weigh more.
        let each = manifests.iter().max_by_key(|manifest| manifest.manifest_length).map_or(1, |largest| {
            let entries = largest.added_files_count.unwrap_or(0) + largest.existing_files_count.unwrap_or(0);
            largest.manifest_length / i64::from(entries.max(1))
        });
        let count = usize::try_from(target(self.table) / each.max(1)).unwrap_or(usize::MAX).max(1);
        let mut rest = entries.as_slice();
        while !rest.is_empty() {
            let (these, others) = rest.split_at(cut(rest, count));
            self.write(these, spec, schema.clone()).await?;
            rest = others;
        }
        Ok(())
    }

    /// The live entries of the manifests, by partition and age, and the columns to write them with.
    async fn entries(
        &self,
        manifests: &[ManifestFile],
        spec: &PartitionSpec,
    ) -> Result<(Vec<ManifestEntryRef>, SchemaRef)> {
        let io = &self.table.lake().inner().file_io;
        let reads: Vec<_> = manifests
            .iter()
            .map(|manifest| async move {
                let read = manifest.load_manifest(io).await;
                read.map_err(|source| self.failed("reading", &manifest.manifest_path, source))
            })
            .collect();
        let mut reads = stream::iter(reads).buffered(IN_FLIGHT);
        let mut schema = self.table.metadata().current_schema().clone();
        let has_sources = spec.partition_type(&schema).is_ok();
        let mut entries = Vec::new();
        while let Some(manifest) = reads.try_next().await? {
            entries.extend(manifest.entries().iter().filter(|entry| entry.is_alive()).cloned());
            if !has_sources {
                // A column of an older partitioning was dropped; the manifest still knows it.
                schema = manifest.metadata().schema().clone();
            }
        }
        entries.sort_by(|one, other| {
            let by_partition = by_values(one.data_file().partition(), other.data_file().partition());
            by_partition.then_with(|| age(one).cmp(&age(other)))
        });
        Ok((entries, schema))
    }

    async fn write(
        &mut self,
        entries: &[ManifestEntryRef],
        spec: &PartitionSpec,
        schema: SchemaRef,
    ) -> Result<()> {
        let place = self.table.metadata().location();
        let location = format!("{place}/metadata/{}-m{}.avro", self.token, self.written.len());
        let output = self.held.io().new_output(&location);
        let output = output.map_err(|source| self.failed("writing", &location, source))?;
        // Which snapshot lists it is known only when it is committed.
        let builder = ManifestWriterBuilder::new(output, None, schema, spec.clone());
        let mut writer = builder.build_v2_data();
        for entry in entries {
            keep(&mut writer, entry).map_err(|source| self.failed("writing", &location, source))?;
        }
        let written = writer.write_manifest_file().await;
        self.written.push(written.map_err(|source| self.failed("writing", &location, source))?);
        Ok(())
    }

    fn failed(&self, action: &str, location: &str, source: iceberg::Error) -> Error {
        let subject = format!("manifests of {}: {action} {location}", self.table.name());
        Error::Iceberg { subject, source: Box::new(source) }
    }
}

/// How many of the entries go into the next manifest: about `count`, and whole partitions where that fits.
fn cut(entries: &[ManifestEntryRef], count: usize) -> usize {
    // A rest that is hardly worth a manifest comes along.
    let most = count.saturating_add(count / 2);
    if entries.len() <= most {
        return entries.len();
    }
    let partition = |at: usize| entries.get(at).map(|entry| entry.data_file().partition());
    let ends = |at: &usize| partition(*at) != partition(at.saturating_sub(1));
    let later = (count..=most).find(ends);
    later.or_else(|| (count - count / 4..count).rev().find(ends)).unwrap_or(count)
}

fn keep(writer: &mut ManifestWriter, entry: &ManifestEntryRef) -> iceberg::Result<()> {
    let (Some(snapshot), Some(sequence)) = (entry.snapshot_id(), entry.sequence_number()) else {
        let text =
            format!("the entry of {} has no snapshot or sequence number", entry.data_file().file_path());
        return Err(iceberg::Error::new(iceberg::ErrorKind::DataInvalid, text));
    };
    writer.add_existing_file(entry.data_file().clone(), snapshot, sequence, entry.file_sequence_number)
}

fn age(entry: &ManifestEntryRef) -> (Option<i64>, &str) {
    (entry.sequence_number(), entry.data_file().file_path())
}

/// The order of two partitions of one spec: field by field, null first.
fn by_values(one: &Struct, other: &Struct) -> Ordering {
    let of_field = |pair: (Option<&Literal>, Option<&Literal>)| match pair {
        (Some(Literal::Primitive(one)), Some(Literal::Primitive(other))) => {
            one.partial_cmp(other).unwrap_or(Ordering::Equal)
        }
        (one, other) => one.is_some().cmp(&other.is_some()),
    };
    one.iter().zip(other.iter()).map(of_field).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn length(manifest: &ManifestFile) -> u64 {
    u64::try_from(manifest.manifest_length).unwrap_or(0)
}
