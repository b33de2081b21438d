//! Positions of deleted rows become Parquet files that no snapshot knows yet.
//!
//! ```text
//! data file, row numbers -> sorted by path and position -> one file per partition -> StagedDeletes
//! ```
//!
//! A delete file covers the data files of one partition, or one data file when the table's property
//! `write.delete.granularity` is `file` or the caller asks for it. One that covers a single data file says
//! which, so readers open it for that file only and it goes when the data file goes.
//!
//! Positions are held in memory until the end (8 bytes each): deletes by position are for few rows of large
//! files. Where many rows go, replacing the file is cheaper for every reader.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, stream};
use iceberg::metadata_columns::{delete_file_path_field, delete_file_pos_field};
use iceberg::spec::{DataFile, Schema};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use uuid::Uuid;

use super::delete_files;
use super::file::{OpenFile, Target};
use super::meter::Meter;
use super::metrics::Content;
use crate::error::{Error, Result};
use crate::files::LiveFile;
use crate::lake::Lake;
use crate::schema;
use crate::snapshot::TableSnapshot;

/// Table property: `partition` (the default) or `file`.
const GRANULARITY: &str = "write.delete.granularity";
/// Positions encoded at once.
const ROWS_AT_ONCE: usize = 1 << 16;
/// Files written at the same time.
const FILES_AT_ONCE: usize = 8;

/// Collects positions of deleted rows and writes them as delete files.
///
/// Files are named `<location>/data/<token>-deletes-<n>.parquet` and never overwritten: a token serves one
/// delete writer of a table. A writer that is dropped leaves nothing in the store but what
/// [`DeleteWriter::finish`] had begun.
#[derive(Debug)]
pub struct DeleteWriter {
    lake: Lake,
    table: TableSnapshot,
    token: Uuid,
    /// Positions by data file path.
    positions: BTreeMap<String, (LiveFile, Vec<i64>)>,
    /// Whether each data file gets a delete file of its own.
    by_file: bool,
}

/// Delete files that are complete in the store but belong to no snapshot: commit them or abandon them.
#[derive(Clone, Debug)]
#[must_use]
pub struct StagedDeletes {
    /// With the partition spec of each.
    files: Vec<(i32, DataFile)>,
    /// The data files that have rows deleted.
    targets: Vec<LiveFile>,
    pub(crate) table_uuid: Uuid,
}

impl DeleteWriter {
    /// A writer of deletes for live files of `table`.
    pub fn new(lake: &Lake, table: &TableSnapshot, token: Uuid) -> Self {
        let granularity = table.metadata().properties().get(GRANULARITY);
        let by_file = granularity.is_some_and(|value| value == "file");
        Self { lake: lake.clone(), table: table.clone(), token, positions: BTreeMap::new(), by_file }
    }

    /// Gives each data file a delete file of its own, whatever the table's property says: what such a file deletes
    /// can be added to later, by a file that takes its place.
    pub fn by_file(self) -> Self {
        Self { by_file: true, ..self }
    }

    /// Deletes rows of a data file: `positions` count from 0, in any order; saying one twice is harmless.
    ///
    /// # Errors
    /// When a position is not in the file, or the file is not a data file.
    pub fn delete(&mut self, file: &LiveFile, positions: impl IntoIterator<Item = u64>) -> Result<()> {
        let path = file.parts().0.file_path();
        let rows = file.parts().0.record_count();
        let wrong = |fact: String| Error::InvalidCommit { subject: path.to_owned(), fact };
        if file.parts().0.content_type() != iceberg::spec::DataContentType::Data {
            return Err(wrong("it is a delete file and has no rows to delete".to_owned()));
        }
        let mut given = Vec::new();
        for position in positions {
            match i64::try_from(position).ok().filter(|_| position < rows) {
                Some(position) => given.push(position),
                None => return Err(wrong(format!("it has {rows} rows, so none at position {position}"))),
            }
        }
        if !given.is_empty() {
            let (_, known) =
                self.positions.entry(path.to_owned()).or_insert_with(|| (file.clone(), Vec::new()));
            known.append(&mut given);
        }
        Ok(())
    }

    /// Bytes of the positions held in memory, for the caller's budget.
    pub fn buffered_bytes(&self) -> usize {
        self.positions.values().map(|(_, positions)| positions.capacity() * size_of::<i64>()).sum()
    }

    /// Writes the delete files and waits until the store has acknowledged each. When it fails, the files
    /// written so far are deleted again.
    pub async fn finish(self) -> Result<StagedDeletes> {
        let mut groups: Vec<Vec<(LiveFile, Vec<i64>)>> = Vec::new();
        let mut group_of = std::collections::HashMap::new();
        for (file, mut positions) in self.positions.into_values() {
            positions.sort_unstable();
            positions.dedup();
            let key = (file.partition_spec_id, file.parts().0.partition().clone());
            let next = groups.len();
            let index = if self.by_file { next } else { *group_of.entry(key).or_insert(next) };
            match groups.get_mut(index) {
                Some(group) => group.push((file, positions)),
                None => groups.push(vec![(file, positions)]),
            }
        }
        let (lake, table, token) = (&self.lake, &self.table, self.token);
        let writes =
            groups.iter().enumerate().map(|(number, group)| write(lake, table, token, number, group));
        let writes: Vec<_> = writes.collect();
        let written: Vec<_> = stream::iter(writes).buffered(FILES_AT_ONCE).collect().await;
        let table_uuid = self.table.metadata().uuid();
        let mut staged = StagedDeletes { files: Vec::new(), targets: Vec::new(), table_uuid };
        let mut failed = None;
        for result in written {
            match result {
                Ok(file) => staged.files.push(file),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            staged.discard(&self.lake).await;
            return Err(error);
        }
        staged.targets = groups.into_iter().flatten().map(|(file, _)| file).collect();
        Ok(staged)
    }
}

/// Writes the deletes of one partition; `group` is sorted by path, each with its sorted positions.
async fn write(
    lake: &Lake,
    table: &TableSnapshot,
    token: Uuid,
    number: usize,
    group: &[(LiveFile, Vec<i64>)],
) -> Result<(i32, DataFile)> {
    let Some((first, _)) = group.first() else {
        return Err(Error::InvalidCommit {
            subject: table.name().to_string(),
            fact: "a delete file would delete nothing".to_owned(),
        });
    };
    let spec_id = first.partition_spec_id;
    let target = Arc::new(target(lake, table, token, spec_id)?);
    let location = format!("{}/{token}-deletes-{number}.parquet", target.location);
    let path = lake.object_path(&location)?;
    let only = (group.len() == 1).then(|| first.parts().0.file_path().to_owned());
    let partition = first.parts().0.partition().clone();
    let file = OpenFile::new(target.clone(), Arc::<Meter>::default(), number, partition, location, path);
    let mut file = file.holding(Content::PositionDeletes(only));
    for (data, positions) in group {
        for positions in positions.chunks(ROWS_AT_ONCE) {
            let paths = StringArray::from_iter_values(std::iter::repeat_n(
                data.parts().0.file_path(),
                positions.len(),
            ));
            let columns: Vec<ArrayRef> =
                vec![Arc::new(paths), Arc::new(Int64Array::from(positions.to_vec()))];
            let rows = RecordBatch::try_new(target.arrow_schema.clone(), columns);
            let rows = rows.map_err(|cause| unwritable(table, cause.to_string()))?;
            if let Err(error) = file.encode(rows, 0).await {
                file.abort().await;
                return Err(error);
            }
        }
    }
    let (_, file) = file.close().await?;
    Ok((spec_id, file))
}

/// The columns, folder and encoding of delete files. Paths are kept whole in the statistics: cut ones would
/// not tell one data file from its neighbours.
fn target(lake: &Lake, table: &TableSnapshot, token: Uuid, spec_id: i32) -> Result<Target> {
    let columns = [delete_file_path_field().clone(), delete_file_pos_field().clone()];
    let schema = Schema::builder().with_fields(columns).build();
    let schema = schema.map_err(|cause| unwritable(table, cause.to_string()))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_truncate_length(None)
        .build();
    Ok(Target {
        store: lake.store(),
        table_uuid: table.metadata().uuid(),
        location: format!("{}/data", table.metadata().location()),
        token,
        arrow_schema: schema::to_arrow(&schema),
        schema: Arc::new(schema),
        spec_id,
        properties,
        threads: 1,
    })
}

fn unwritable(table: &TableSnapshot, cause: String) -> Error {
    Error::File {
        subject: format!("deletes of table {}", table.name()),
        fact: format!("they cannot be written: {cause}"),
        remedy: "report this with the table's name",
    }
}

impl StagedDeletes {
    /// Files that another engine is said to have written.
    #[cfg(test)]
    pub(crate) fn of(files: Vec<(i32, DataFile)>, table_uuid: Uuid) -> Self {
        Self { files, targets: Vec::new(), table_uuid }
    }

    /// The delete files, each with the partition spec that its partition values belong to.
    pub fn files(&self) -> &[(i32, DataFile)] {
        &self.files
    }

    /// The data files that have rows deleted.
    pub fn targets(&self) -> &[LiveFile] {
        &self.targets
    }

    /// Rows that are deleted.
    pub fn row_count(&self) -> u64 {
        self.files.iter().map(|(_, file)| file.record_count()).sum()
    }

    /// Number of delete files.
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// Deletes the files, which will then never be committed; what cannot be deleted stays as an orphan.
    pub async fn discard(self, lake: &Lake) {
        delete_files(lake, self.files.iter().map(|(_, file)| file).collect()).await;
    }
}

#[cfg(test)]
mod tests;
