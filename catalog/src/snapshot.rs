//! A table at one moment: pinned, immutable, cheap to clone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};
use chrono::{DateTime, Utc};
use iceberg::spec::{Snapshot, SnapshotReference, TableMetadata};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

use crate::alter::Redefinition;
use crate::commit::TOKEN;
use crate::error::{Error, Result};
use crate::files::{self, LiveFile, Manifests};
use crate::lake::Lake;
use crate::name::TableName;
use crate::offsets::SourceOffsets;
use crate::refs;
use crate::schema;
use crate::spec::TableSpec;

/// The state of a table that a reader or a writer works with; later commits do not change it.
#[derive(Clone, Debug)]
pub struct TableSnapshot {
    inner: Arc<Pinned>,
}

#[derive(Clone, Debug)]
struct Pinned {
    name: TableName,
    metadata: Arc<TableMetadata>,
    metadata_location: String,
    /// The snapshot that is read; the current one unless an older one was asked for.
    snapshot_id: Option<i64>,
    schema: SchemaRef,
    lake: Lake,
    redefinition: Option<Arc<Redefinition>>,
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

impl SnapshotInfo {
    /// The token of the commit that made it; `None` when Sluice did not.
    pub fn token(&self) -> Option<&str> {
        self.summary.get(TOKEN).map(String::as_str)
    }
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
        let (snapshot_id, redefinition) = (metadata.current_snapshot_id(), None);
        let pinned = Pinned { name, metadata, metadata_location, snapshot_id, schema, lake, redefinition };
        Self { inner: Arc::new(pinned) }
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
        let redefinition = Some(redefinition);
        Ok(Self { inner: Arc::new(Pinned { metadata, schema, redefinition, ..Pinned::clone(&self.inner) }) })
    }

    /// What [`TableSnapshot::redefined`] changed.
    pub(crate) fn redefinition(&self) -> Option<Arc<Redefinition>> {
        self.inner.redefinition.clone()
    }

    /// The table at another of its snapshots, with the columns that it had then.
    ///
    /// # Errors
    /// When the table does not keep the snapshot, or not the schema it was written under.
    pub fn at_snapshot(&self, id: i64) -> Result<Self> {
        let metadata = &self.inner.metadata;
        let Some(snapshot) = metadata.snapshot_by_id(id) else {
            return Err(self.no_version(format!("it has no snapshot {id}")));
        };
        let schema = match snapshot.schema_id() {
            None => metadata.current_schema(),
            Some(schema) => metadata.schema_by_id(schema).ok_or_else(|| {
                self.no_version(format!("snapshot {id} needs schema {schema}, which is gone"))
            })?,
        };
        Ok(self.reading(Some(id), schema::to_arrow(schema)))
    }

    /// The table at the head of a branch, with its current columns, or at a tag, with the columns it had then.
    ///
    /// # Errors
    /// When there is no such branch or tag.
    pub fn at_ref(&self, name: &str) -> Result<Self> {
        match self.refs()?.get(name) {
            Some(reference) if reference.is_branch() => {
                let schema = schema::to_arrow(self.metadata().current_schema());
                Ok(self.reading(Some(reference.snapshot_id), schema))
            }
            Some(reference) => self.at_snapshot(reference.snapshot_id),
            None => Err(self.no_version(format!("it has no branch or tag `{name}`"))),
        }
    }

    /// The branches and tags, `main` among them once the table has data.
    ///
    /// # Errors
    /// When the metadata cannot be written out, which is the library's only way to tell them all.
    pub fn refs(&self) -> Result<BTreeMap<String, SnapshotReference>> {
        refs::all(self.metadata())
    }

    /// The table as it was at a time: at the last snapshot of its log that is not younger.
    ///
    /// # Errors
    /// When the log does not reach back so far.
    pub fn at_time(&self, time: DateTime<Utc>) -> Result<Self> {
        let millis = time.timestamp_millis();
        let log = self.metadata().history();
        match log.iter().rev().find(|entry| entry.timestamp_ms() <= millis) {
            Some(entry) => self.at_snapshot(entry.snapshot_id),
            None => Err(self.no_version(format!("it has no snapshot from {time} or before"))),
        }
    }

    fn reading(&self, snapshot_id: Option<i64>, schema: SchemaRef) -> Self {
        Self { inner: Arc::new(Pinned { snapshot_id, schema, ..Pinned::clone(&self.inner) }) }
    }

    fn no_version(&self, fact: String) -> Error {
        Error::File {
            subject: format!("table `{}`", self.name()),
            fact,
            remedy: "its snapshots, branches and tags are the rows of its tables $snapshots and $refs",
        }
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

    /// Whether the state that lies there is this one or one that it came from, as far as its log goes back.
    pub(crate) fn has_been_at(&self, location: &str) -> bool {
        let log = self.metadata().metadata_log();
        self.metadata_location() == location || log.iter().any(|entry| entry.metadata_file == location)
    }

    /// The columns as Arrow types (`Utf8`, `Timestamp(Microsecond, Some("UTC"))`, no views), each with its
    /// field id in the metadata key `PARQUET:field_id`.
    pub fn schema(&self) -> SchemaRef {
        self.inner.schema.clone()
    }

    /// Every schema that the table keeps, by id, as Arrow types.
    pub fn schemas(&self) -> Vec<(i32, SchemaRef)> {
        self.metadata().schemas_iter().map(|kept| (kept.schema_id(), schema::to_arrow(kept))).collect()
    }

    /// The snapshot that is read; `None` for a table without data.
    pub fn snapshot_id(&self) -> Option<i64> {
        self.inner.snapshot_id
    }

    pub(crate) fn snapshot(&self) -> Option<&Snapshot> {
        let id = self.inner.snapshot_id?;
        self.metadata().snapshot_by_id(id).map(Arc::as_ref)
    }

    /// Rows as the snapshot's summary counts them; `None` when a foreign writer left the total out or
    /// row-level deletes make it inexact.
    pub fn row_count(&self) -> Option<u64> {
        let Some(snapshot) = self.snapshot() else { return Some(0) };
        let total = |key: &str| {
            snapshot.summary().additional_properties.get(key).and_then(|text| text.parse::<u64>().ok())
        };
        match total("total-delete-files") {
            None | Some(0) => total("total-records"),
            Some(_) => None,
        }
    }

    /// Where a topic stands in this table; `None` when it never wrote here. When another engine took snapshots
    /// back, this is where their rows are to be read again.
    ///
    /// # Errors
    /// When the table's progress is not readable, or nothing is left that tells it after such a move.
    pub fn offsets(&self, topic: &str) -> Result<Option<SourceOffsets>> {
        SourceOffsets::find(self.metadata(), self.name(), topic)
    }

    /// The snapshots from the newest to the oldest that is kept.
    pub fn history(&self) -> Vec<SnapshotInfo> {
        self.ancestors().map(info).collect()
    }

    /// The snapshot that is read and those it follows, as far as they are kept.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = &Snapshot> {
        let metadata = self.metadata();
        let parent = move |snapshot: &&Snapshot| {
            snapshot.parent_snapshot_id().and_then(|id| metadata.snapshot_by_id(id)).map(Arc::as_ref)
        };
        // A chain that runs in a circle can only be damage; it ends after every snapshot was seen once.
        std::iter::successors(self.snapshot(), parent).take(metadata.snapshots().len())
    }

    /// All live data files, each with everything that deletes from it.
    ///
    /// # Errors
    /// [`crate::Error::File`] naming the file when the snapshot holds anything that is not understood: files
    /// that are not Parquet, encrypted, or outside the warehouse; and whatever keeps a manifest from being
    /// read.
    pub async fn files(&self) -> Result<Vec<LiveFile>> {
        self.manifests().await?.files(|_| true).await
    }

    /// The manifests, for readers that know which of them cannot matter.
    ///
    /// # Errors
    /// When the manifest list cannot be read.
    pub async fn manifests(&self) -> Result<Manifests> {
        files::manifests(self).await
    }

    /// The data files added by the snapshots after `since` (exclusive) up to this one; `None` when `since`
    /// is not an ancestor, or when anything but appends and rewrites lies between: read everything then.
    ///
    /// # Errors
    /// As [`TableSnapshot::files`].
    pub async fn files_added_since(&self, since: i64) -> Result<Option<Vec<LiveFile>>> {
        files::added_since(self, since).await
    }
}

/// The id by which a table knows a column, whatever its name: as [`TableSnapshot::schema`] and Parquet readers give
/// it. `None` when the column has none.
pub fn field_id(field: &Field) -> Option<i32> {
    field.metadata().get(PARQUET_FIELD_ID_META_KEY)?.parse().ok()
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
