//! TABLES: data files, commits and snapshots of Iceberg tables on any object store.
//!
//! ```text
//! RecordBatch -> TableWriter -> StagedFiles -> Commit -> CommitOutcome -> TableSnapshot
//!                (write)                       (commit)                    (snapshot)
//! ```
//! - The table is the only truth: progress (`offsets`) is written in the same metadata change as the data.
//! - A commit is staged on the very state it was checked against; a state nobody looked at is never built upon.
//! - An expected outcome (lost race, already committed, fenced) is a value. No Kafka, SQL or server is known here.

mod alter;
mod catalogs;
mod changes;
mod commit;
mod create;
mod error;
mod files;
#[cfg(test)]
mod fixture;
mod lake;
pub mod maintain;
mod manifest;
mod metadata;
mod name;
mod names;
mod offsets;
mod refs;
mod schema;
mod settings;
#[cfg(test)]
mod simulation;
mod snapshot;
mod spec;
mod state;
mod storage;
mod store;
#[cfg(test)]
mod testing;
mod turns;
mod view;
mod warehouse;
mod write;

pub use alter::{Alteration, Position};
pub use catalogs::{NamespaceDropped, Renamed};
pub use changes::{ChangeOutcome, Requested, TableChange, TableRequest, ViewChange, ViewRequest, ViewState};
pub use commit::{
    Commit, CommitOutcome, FileTest, Operation, Partitions, Rewrite, RowChanges, Scope, StagedManifests,
};
pub use error::{Error, Result};
pub use files::{Bounds, DeleteFile, Deletes, EqualityDeletes, LiveFile, Manifests, PositionDeletes};
pub use lake::{Created, Lake};
pub use name::TableName;
pub use offsets::{Anchor, OffsetRange, SourceId, SourceOffsets, SourceRanges};
pub use refs::RefChange;
pub use settings::{CatalogSettings, LakeSettings, PostgresSettings, RestSettings, S3Settings, Secret};
pub use snapshot::{SnapshotInfo, TableSnapshot, field_id};
pub use spec::{MODEL_PROPERTY, PartitionBy, SortBy, TableSpec, Transform};
pub use view::View;
pub use write::{DeleteWriter, StagedDeletes, StagedFiles, TableWriter, WriterSettings};
