//! Manifests and manifest lists of one attempt: read from the base, written under names of their own.
//!
//! Names are never reused, not even by a second attempt of the same commit: each attempt has its own id,
//! so deleting what one attempt wrote can never touch what another one landed.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, Manifest, ManifestContentType, ManifestEntry, ManifestFile, ManifestListWriter, ManifestWriter,
    ManifestWriterBuilder, PartitionSpec, SchemaRef, Snapshot, SnapshotRef, TableMetadata,
    UNASSIGNED_SEQUENCE_NUMBER,
};
use uuid::Uuid;

use super::operation::StagedManifests;
use super::removal::Removal;
use super::stage::Staging;
use super::summary::Tally;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::manifest;
use crate::name::TableName;

/// Manifests read at the same time.
const READ_AHEAD: usize = 8;

/// What one attempt reads and writes for the snapshot it makes.
pub(super) struct Manifests<'a> {
    pub(super) lake: &'a Lake,
    /// Where the attempt writes; its files are stored together at the end.
    pub(super) io: &'a FileIO,
    pub(super) table: &'a TableName,
    pub(super) base: &'a TableMetadata,
    /// The snapshot that the new one follows.
    pub(super) parent: Option<&'a SnapshotRef>,
    pub(super) snapshot_id: i64,
    pub(super) attempt: Uuid,
    pub(super) next: usize,
}

impl Manifests<'_> {
    /// The snapshot that the new one follows.
    pub(super) fn parent(&self) -> Option<&SnapshotRef> {
        self.parent
    }

    /// The manifests of the parent that hold a live file; those that only tell of deletions are left behind.
    pub(super) async fn live(&self) -> Result<Vec<ManifestFile>> {
        let Some(snapshot) = self.parent else { return Ok(Vec::new()) };
        let mut all = self.of(snapshot).await?;
        all.retain(|manifest| manifest.has_added_files() || manifest.has_existing_files());
        Ok(all)
    }

    /// The manifests of a snapshot.
    pub(super) async fn of(&self, snapshot: &Snapshot) -> Result<Vec<ManifestFile>> {
        let list = self.lake.manifest_list(snapshot, self.base.format_version()).await?;
        Ok(list.to_vec())
    }

    async fn read_one(&self, manifest: &ManifestFile) -> Result<Manifest> {
        let read = manifest::read(self.io, manifest).await;
        read.map_err(|source| self.failed("reading manifest", &manifest.manifest_path, source))
    }

    /// The manifests themselves, in order; entries know the snapshot and sequence number they came with.
    pub(super) async fn read(&self, manifests: &[ManifestFile]) -> Result<Vec<Manifest>> {
        let read = |manifest| self.read_one(manifest);
        let reads: Vec<_> = manifests.iter().map(read).collect();
        stream::iter(reads).buffered(READ_AHEAD).try_collect().await
    }

    /// A manifest of new files. They inherit this snapshot's id, and its sequence number unless they carry
    /// rows that are as old as `sequence_number`.
    pub(super) async fn added<'f>(
        &mut self,
        content: ManifestContentType,
        (schema, spec): (SchemaRef, PartitionSpec),
        files: impl Iterator<Item = &'f DataFile>,
        sequence_number: Option<i64>,
        tally: &mut Tally,
    ) -> Result<ManifestFile> {
        let spec_id = spec.spec_id();
        let sequence_number = sequence_number.unwrap_or(UNASSIGNED_SEQUENCE_NUMBER);
        let mut writer = self.writer(content, schema, spec)?;
        for file in files {
            tally.add(file, spec_id);
            let added = writer.add_file(file.clone(), sequence_number);
            added.map_err(|source| self.failed("adding file", file.file_path(), source))?;
        }
        self.write(writer).await
    }

    /// The manifests after `removal`: those that hold nothing of it as they are, the others again with the
    /// removed files marked as deleted by this snapshot. The paths that were found are added to `found`.
    pub(super) async fn without(
        &mut self,
        manifests: Vec<ManifestFile>,
        removal: &Removal<'_>,
        found: &mut HashSet<String>,
        tally: &mut Tally,
    ) -> Result<Vec<ManifestFile>> {
        let mut kept = Vec::with_capacity(manifests.len());
        let mut suspects = Vec::new();
        for manifest in manifests {
            if removal.may_hold(&manifest) { suspects.push(manifest) } else { kept.push(manifest) }
        }
        for some in suspects.chunks(READ_AHEAD) {
            for (manifest, read) in some.iter().zip(self.read(some).await?) {
                let goes =
                    |entry: &ManifestEntry| removal.takes(entry.data_file(), manifest.partition_spec_id);
                match read.entries().iter().any(|entry| entry.is_alive() && goes(entry)) {
                    true => kept.push(self.rewritten(manifest, read, removal, found, tally).await?),
                    false => kept.push(manifest.clone()),
                }
            }
        }
        Ok(kept)
    }

    async fn rewritten(
        &mut self,
        manifest: &ManifestFile,
        read: Manifest,
        removal: &Removal<'_>,
        found: &mut HashSet<String>,
        tally: &mut Tally,
    ) -> Result<ManifestFile> {
        let (entries, metadata) = read.into_parts();
        let schema = metadata.schema().clone();
        let mut writer = self.writer(manifest.content, schema, metadata.partition_spec().clone())?;
        for entry in entries.iter().filter(|entry| entry.is_alive()) {
            let file = entry.data_file();
            if !removal.takes(file, manifest.partition_spec_id) {
                self.keep(&mut writer, manifest, entry)?;
                continue;
            }
            tally.remove(file, manifest.partition_spec_id);
            if removal.names(file) {
                found.insert(file.file_path().to_owned());
            }
            let sequence_number = entry.sequence_number();
            let sequence_number =
                sequence_number.ok_or_else(|| self.unnumbered(&manifest.manifest_path, file.file_path()))?;
            let deleted = writer.add_delete_file(file.clone(), sequence_number, entry.file_sequence_number);
            deleted.map_err(|source| self.failed("removing file", file.file_path(), source))?;
        }
        self.write(writer).await
    }

    /// Keeps a file with the snapshot and sequence numbers it came with.
    fn keep(
        &self,
        writer: &mut ManifestWriter,
        manifest: &ManifestFile,
        entry: &ManifestEntry,
    ) -> Result<()> {
        let file = entry.data_file();
        let (Some(snapshot), Some(sequence)) = (entry.snapshot_id(), entry.sequence_number()) else {
            return Err(self.unnumbered(&manifest.manifest_path, file.file_path()));
        };
        let kept = writer.add_existing_file(file.clone(), snapshot, sequence, entry.file_sequence_number);
        kept.map_err(|source| self.failed("keeping file", file.file_path(), source))
    }

    /// One manifest with the live files of several of the same partition spec; the files keep the snapshot
    /// and sequence numbers they came with.
    pub(super) async fn merged(
        &mut self,
        manifests: &[ManifestFile],
        spec: PartitionSpec,
    ) -> Result<ManifestFile> {
        let schema = self.base.current_schema().clone();
        let mut writer = self.writer(ManifestContentType::Data, schema, spec)?;
        for (manifest, read) in manifests.iter().zip(self.read(manifests).await?) {
            for entry in read.entries().iter().filter(|entry| entry.is_alive()) {
                self.keep(&mut writer, manifest, entry)?;
            }
        }
        self.write(writer).await
    }

    /// The manifests with some listed by others; the reason when one of those is not there any more. A manifest
    /// that is still listed still lists what is live, because removing a file replaces its manifest.
    pub(super) fn exchanged(
        &self,
        mut manifests: Vec<ManifestFile>,
        staged: &StagedManifests,
    ) -> Staging<Vec<ManifestFile>> {
        let replaced: HashSet<&str> = staged.replaced.iter().map(String::as_str).collect();
        let before = manifests.len();
        manifests.retain(|manifest| !replaced.contains(manifest.manifest_path.as_str()));
        if before - manifests.len() != replaced.len() {
            return Err("files were removed from a manifest that is to be replaced".to_owned());
        }
        let by_this = |manifest: &ManifestFile| ManifestFile {
            added_snapshot_id: self.snapshot_id,
            ..manifest.clone()
        };
        Ok(staged.written.iter().map(by_this).chain(manifests).collect())
    }

    /// Writes the manifest list; its location and its entries.
    pub(super) async fn list(&self, mut manifests: Vec<ManifestFile>) -> Result<(String, Vec<ManifestFile>)> {
        let (id, attempt, sequence_number) =
            (self.snapshot_id, self.attempt, self.base.next_sequence_number());
        for manifest in manifests.iter_mut().filter(|manifest| manifest.added_snapshot_id == id) {
            for number in [&mut manifest.sequence_number, &mut manifest.min_sequence_number] {
                if *number == UNASSIGNED_SEQUENCE_NUMBER {
                    *number = sequence_number;
                }
            }
        }
        let location = self.location(&format!("snap-{id}-{attempt}.avro"));
        let write = async {
            let writer = self.io.new_output(&location)?.writer().await?;
            let parent = self.parent.map(|parent| parent.snapshot_id());
            let mut list = ManifestListWriter::v2(writer, id, parent, sequence_number);
            list.add_manifests(manifests.iter().cloned())?;
            list.close().await
        };
        write.await.map_err(|source| self.failed("writing manifest list", &location, source))?;
        Ok((location, manifests))
    }

    fn writer(
        &mut self,
        content: ManifestContentType,
        schema: SchemaRef,
        spec: PartitionSpec,
    ) -> Result<ManifestWriter> {
        let location = self.location(&format!("{}-m{}.avro", self.attempt, self.next));
        self.next += 1;
        let output = self.io.new_output(&location);
        let output = output.map_err(|source| self.failed("writing manifest", &location, source))?;
        let builder = ManifestWriterBuilder::new(output, Some(self.snapshot_id), schema, spec);
        Ok(match content {
            ManifestContentType::Data => builder.build_v2_data(),
            ManifestContentType::Deletes => builder.build_v2_deletes(),
        })
    }

    async fn write(&self, writer: ManifestWriter) -> Result<ManifestFile> {
        let written = writer.write_manifest_file().await;
        written.map_err(|source| self.failed("writing manifest", self.base.location(), source))
    }

    fn location(&self, name: &str) -> String {
        format!("{}/metadata/{name}", self.base.location())
    }

    fn failed(&self, action: &str, location: &str, source: iceberg::Error) -> Error {
        Error::Iceberg {
            subject: format!("commit to {}: {action} {location}", self.table),
            source: Box::new(source),
        }
    }

    fn unnumbered(&self, manifest: &str, file: &str) -> Error {
        Error::File {
            subject: manifest.to_owned(),
            fact: format!("the entry of {file} has no snapshot id or no sequence number"),
            remedy: "the manifest is damaged; restore the table to an earlier snapshot",
        }
    }
}

/// The schema and spec a manifest of the default spec is written with.
pub(super) fn default_spec(base: &TableMetadata) -> PartitionSpec {
    Arc::unwrap_or_clone(base.default_partition_spec().clone())
}
