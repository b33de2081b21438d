//! A table at one moment: pinned, immutable, cheap to clone.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use iceberg::spec::{DataFile, Snapshot, TableMetadata};

use crate::alter::Redefinition;
use crate::error::Result;
use crate::files;
use crate::lake::Lake;
use crate::name::TableName;
use crate::offsets::SourceOffsets;
use crate::schema;
use crate::spec::TableSpec;

/// The state of a table that a reader or a writer works with; later commits do not change it.
#[derive(Clone, Debug)]
pub struct TableSnapshot {
    inner: Arc<Pinned>,
}

#[derive(Debug)]
struct Pinned {
    name: TableName,
    metadata: Arc<TableMetadata>,
    metadata_location: String,
    schema: SchemaRef,
    lake: Lake,
    redefinition: Option<Arc<Redefinition>>,
}

/// A live data file of a snapshot.
#[derive(Clone, Debug)]
pub struct LiveFile {
    /// Path, size, rows, partition values and column bounds.
    pub data_file: DataFile,
    /// The spec its partition values belong to.
    pub partition_spec_id: i32,
    /// The sequence number that deletes compare with.
    pub sequence_number: i64,
}

/// One entry of a table's history.
#[derive(Clone, Debug)]
pub struct SnapshotInfo {
    /// Snapshot id.
    pub id: i64,
    /// The snapshot it follows.
    pub parent: Option<i64>,
    /// When it was committed (UTC).
    pub committed_at: DateTime<Utc>,
    /// `append`, `overwrite`, `replace` or `delete`.
    pub operation: String,
    /// The summary as written.
    pub summary: HashMap<String, String>,
}

impl TableSnapshot {
    /// Pins `metadata`, which was read from (or written to) `metadata_location`.
    pub(crate) fn new(
        name: TableName,
        metadata: Arc<TableMetadata>,
        metadata_location: String,
        lake: Lake,
    ) -> Self {
        let schema = schema::to_arrow(metadata.current_schema());
        let redefinition = None;
        Self { inner: Arc::new(Pinned { name, metadata, metadata_location, schema, lake, redefinition }) }
    }

    /// The table with the columns and partitioning of `spec` instead of its own; nothing is written yet.
    ///
    /// Files written for it bring them along: an [`crate::Operation::Overwrite`] with such files changes rows,
    /// columns and partitioning at once. It is refused as a conflict when the table's own changed meanwhile. The
    /// properties of `spec` are left to the commit.
    ///
    /// # Errors
    /// When the columns make no Iceberg table, or the partitioning does not fit them.
    pub fn redefined(&self, spec: &TableSpec) -> Result<Self> {
        let redefinition = Arc::new(Redefinition::new(self, spec)?);
        let metadata = Arc::new(redefinition.metadata.clone());
        let schema = schema::to_arrow(metadata.current_schema());
        let (name, lake) = (self.name().clone(), self.lake().clone());
        let metadata_location = self.metadata_location().to_owned();
        let redefinition = Some(redefinition);
        Ok(Self { inner: Arc::new(Pinned { name, metadata, metadata_location, schema, lake, redefinition }) })
    }

    /// What [`TableSnapshot::redefined`] changed.
    pub(crate) fn redefinition(&self) -> Option<Arc<Redefinition>> {
        self.inner.redefinition.clone()
    }

    /// The lake it was read from.
    pub(crate) fn lake(&self) -> &Lake {
        &self.inner.lake
    }

    /// The table's name.
    pub fn name(&self) -> &TableName {
        &self.inner.name
    }

    /// The Iceberg metadata of this state.
    pub fn metadata(&self) -> &TableMetadata {
        &self.inner.metadata
    }

    /// Where that metadata lies; a different location is a different state.
    pub fn metadata_location(&self) -> &str {
        &self.inner.metadata_location
    }

    /// The columns as Arrow types (`Utf8`, `Timestamp(Microsecond, Some("UTC"))`, no views), each with its
    /// field id in the metadata key `PARQUET:field_id`.
    pub fn schema(&self) -> SchemaRef {
        self.inner.schema.clone()
    }

    /// The current snapshot; `None` for a table without data.
    pub fn snapshot_id(&self) -> Option<i64> {
        self.metadata().current_snapshot_id()
    }

    /// Rows as the snapshot's summary counts them; `None` when a foreign writer left the total out or
    /// row-level deletes make it inexact.
    pub fn row_count(&self) -> Option<u64> {
        let Some(snapshot) = self.metadata().current_snapshot() else { return Some(0) };
        let total = |key: &str| {
            snapshot.summary().additional_properties.get(key).and_then(|text| text.parse::<u64>().ok())
        };
        match total("total-delete-files") {
            None | Some(0) => total("total-records"),
            Some(_) => None,
        }
    }

    /// Where a topic stands in this table; `None` when it never wrote here.
    ///
    /// # Errors
    /// When the table's progress is not readable.
    pub fn offsets(&self, topic: &str) -> Result<Option<SourceOffsets>> {
        SourceOffsets::find(self.metadata().properties(), self.name(), topic)
    }

    /// The snapshots from the newest to the oldest that is kept.
    pub fn history(&self) -> Vec<SnapshotInfo> {
        self.ancestors().map(info).collect()
    }

    /// The current snapshot and those it follows, as far as they are kept.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = &Snapshot> {
        let metadata = self.metadata();
        let parent = move |snapshot: &&Snapshot| {
            snapshot.parent_snapshot_id().and_then(|id| metadata.snapshot_by_id(id)).map(Arc::as_ref)
        };
        // A chain that runs in a circle can only be damage; it ends after every snapshot was seen once.
        std::iter::successors(metadata.current_snapshot().map(Arc::as_ref), parent)
            .take(metadata.snapshots().len())
    }

    /// All live data files; refused when the snapshot has delete files, which this version cannot apply.
    ///
    /// # Errors
    /// [`crate::Error::File`] naming the file when the snapshot holds anything that is not a plain Parquet
    /// data file inside the warehouse, and whatever keeps a manifest from being read.
    pub async fn files(&self) -> Result<Vec<LiveFile>> {
        files::live(self).await
    }

    /// The data files added by the snapshots after `since` (exclusive) up to this one; `None` when `since`
    /// is not an ancestor, or when something other than an append lies between: read everything then.
    ///
    /// # Errors
    /// As [`TableSnapshot::files`].
    pub async fn files_added_since(&self, since: i64) -> Result<Option<Vec<LiveFile>>> {
        files::added_since(self, since).await
    }
}

fn info(snapshot: &Snapshot) -> SnapshotInfo {
    let summary = snapshot.summary();
    SnapshotInfo {
        id: snapshot.snapshot_id(),
        parent: snapshot.parent_snapshot_id(),
        committed_at: DateTime::from_timestamp_millis(snapshot.timestamp_ms()).unwrap_or_default(),
        operation: summary.operation.as_str().to_owned(),
        summary: summary.additional_properties.clone(),
    }
}
