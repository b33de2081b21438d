//! Files that were written and wait for their commit.

use std::sync::Arc;

use iceberg::spec::DataFile;
use uuid::Uuid;

use crate::alter::Redefinition;
use crate::lake::Lake;

/// Files that are complete in the store but belong to no snapshot: commit them or abandon them.
#[derive(Debug)]
#[must_use]
pub struct StagedFiles {
    pub(crate) files: Vec<DataFile>,
    pub(crate) schema_id: i32,
    /// Some files may have been written for an earlier schema of the table, and none for one before this.
    pub(crate) oldest_schema_id: i32,
    pub(crate) spec_id: i32,
    pub(crate) table_uuid: Uuid,
    /// The columns and partitioning that the files bring with them, if not the table's.
    pub(crate) redefinition: Option<Arc<Redefinition>>,
}

impl StagedFiles {
    /// Rows in all files.
    pub fn row_count(&self) -> u64 {
        self.files.iter().map(DataFile::record_count).sum()
    }

    /// Bytes of all files.
    pub fn byte_count(&self) -> u64 {
        self.files.iter().map(DataFile::file_size_in_bytes).sum()
    }

    /// Number of files.
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// The files, for readers that look at them before they are committed.
    pub fn files(&self) -> &[DataFile] {
        &self.files
    }

    /// The partition spec that the files' partition values belong to.
    pub fn spec_id(&self) -> i32 {
        self.spec_id
    }

    /// Deletes the files, which will then never be committed; what cannot be deleted stays as an orphan.
    pub async fn discard(self, lake: &Lake) {
        delete_files(lake, self.files.iter().collect()).await;
    }
}

/// Deletes data files that no snapshot has, as far as the store lets it.
pub(super) async fn delete_files(lake: &Lake, files: Vec<&DataFile>) {
    for file in files {
        if let Err(cause) = lake.inner().file_io.delete(file.file_path()).await {
            tracing::warn!(location = file.file_path(), %cause, "cannot delete a file that no table uses");
        }
    }
}
