//! Record batches become Parquet files that no snapshot knows yet.
//!
//! ```text
//! RecordBatch -> columns fitted -> split by partition -> encoder of an open file -> upload
//!                (columns)         (partition)           (file; on blocking threads)
//!                                                         closed: metrics -> DataFile -> StagedFiles
//! ```
//!
//! Invariants:
//! - Each open file encodes one batch at a time and holds at most one more: a caller that writes faster than
//!   files are encoded and uploaded waits in [`TableWriter::write`].
//! - Memory is bounded: row groups are cut early when the open files together hold too much.
//! - Files get names of their own and are never overwritten; a file is complete in the store before it is staged.

mod columns;
mod deletes;
mod dictionary;
mod encoder;
mod file;
mod meter;
mod metrics;
mod partition;
mod row_group;
mod staged;
mod upload;
mod wishes;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use iceberg::spec::{DataFile, Struct};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tokio::task::JoinSet;
use uuid::Uuid;

use self::columns::Columns;
pub use self::deletes::{DeleteWriter, StagedDeletes};
use self::file::{OpenFile, Target, blocking};
use self::meter::Meter;
pub(crate) use self::partition::Partitioner;
pub use self::staged::StagedFiles;
use self::staged::delete_files;
use crate::alter::Redefinition;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::snapshot::TableSnapshot;

/// Rows handed to an encoder at once: long enough to be efficient, short enough to cut files near their target.
const ROWS_AT_ONCE: usize = 1 << 16;
/// Largest row group: large enough to compress well, small enough that one file feeds several cores.
const ROW_GROUP_ROWS: usize = 1 << 18;
const ROW_GROUP_BYTES: usize = 32 << 20;
/// Full files that may still be uploading while the next ones are written.
const CLOSING_MAX: usize = 4;

/// How files are cut and encoded.
#[derive(Clone, Debug)]
pub struct WriterSettings {
    /// A file is closed when its encoded size reaches this; unless given, what the table's property
    /// `write.target-file-size-bytes` says, else 128 MiB.
    pub target_file_bytes: Option<usize>,
    /// Partitions written at the same time; beyond it the least recently used file is closed.
    pub open_files_max: usize,
    /// zstd level; unless given, what the table's property `write.parquet.compression-level` says, else 1.
    pub zstd_level: Option<i32>,
    /// Bytes that open files may hold together before the largest row group is cut (default 256 MiB).
    pub buffered_bytes_max: usize,
    /// Threads that encode the columns of one file (default 1: several files at once use the cores as well).
    pub threads: usize,
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self {
            target_file_bytes: None,
            open_files_max: 64,
            zstd_level: None,
            buffered_bytes_max: 256 << 20,
            threads: 1,
        }
    }
}

/// Writes batches of one table, splitting by partition and rolling by size.
///
/// Batches must have the table's columns by name (extra columns are an error, missing optional ones
/// become null). Files are named `<location>/data/[partition/]<token>-<n>.parquet` and never overwritten:
/// a token serves one writer of a table.
///
/// A writer that is dropped aborts its open uploads; files it had closed stay in the store as orphans. One
/// whose `write` failed, or was cancelled half-way, takes no more batches and cannot be finished.
#[derive(Debug)]
pub struct TableWriter {
    lake: Lake,
    redefinition: Option<Arc<Redefinition>>,
    settings: WriterSettings,
    /// Encoded bytes at which a file is closed.
    file_bytes: usize,
    split: Arc<Split>,
    target: Arc<Target>,
    /// The schema of the first file.
    oldest_schema: i32,
    open: HashMap<Struct, OpenFile>,
    closing: JoinSet<Result<(usize, DataFile)>>,
    closed: Vec<(usize, DataFile)>,
    meter: Arc<Meter>,
    /// Number of the next file, and of the next use of any file.
    next_file: usize,
    next_use: u64,
    /// A write is under way or broke off: some file may lack rows.
    broken: bool,
}

/// How batches of one table are fitted and split.
#[derive(Debug)]
struct Split {
    columns: Columns,
    partitioner: Option<Partitioner>,
}

impl TableWriter {
    /// A writer for the schema and partitioning of `table`.
    pub fn new(lake: &Lake, table: &TableSnapshot, token: Uuid, settings: WriterSettings) -> Result<Self> {
        let (split, target) = parts(lake, table, token, &settings)?;
        Ok(Self {
            lake: lake.clone(),
            redefinition: table.redefinition(),
            file_bytes: settings.target_file_bytes.unwrap_or_else(|| wishes::file_bytes(table)),
            settings,
            split,
            oldest_schema: target.schema.schema_id(),
            target,
            open: HashMap::new(),
            closing: JoinSet::new(),
            closed: Vec::new(),
            meter: Arc::default(),
            next_file: 0,
            next_use: 0,
            broken: false,
        })
    }

    /// Encodes a batch; returns when it is in a file's buffer (CPU work runs off the async threads).
    pub async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.begin()?;
        for start in (0..batch.num_rows()).step_by(ROWS_AT_ONCE) {
            let slice = batch.slice(start, ROWS_AT_ONCE.min(batch.num_rows() - start));
            for (partition, rows) in Self::split(self.split.clone(), slice).await? {
                self.append(partition, rows).await?;
            }
        }
        self.broken = false;
        Ok(())
    }

    /// Goes on with the columns that the table has by now. Files written so far are closed as they are; a commit
    /// takes them as long as the table's columns hold their values. `false` when the partitioning is another one:
    /// then nothing was done, and another writer is needed.
    pub async fn follow(&mut self, table: &TableSnapshot) -> Result<bool> {
        if table.metadata().current_schema_id() == self.target.schema.schema_id() {
            return Ok(true);
        }
        if table.metadata().default_partition_spec_id() != self.target.spec_id {
            return Ok(false);
        }
        self.begin()?;
        for (_, file) in self.open.drain() {
            self.closing.spawn(file.close());
        }
        (self.split, self.target) = parts(&self.lake, table, self.target.token, &self.settings)?;
        self.broken = false;
        Ok(true)
    }

    /// Completes all open files, and goes on with new ones when there are more rows: for who has too many files open.
    pub async fn rest(&mut self) -> Result<()> {
        self.begin()?;
        self.close_all().await?;
        self.broken = false;
        Ok(())
    }

    /// From now on at most so many partitions are written at the same time, and no fewer than one.
    pub fn limit_open_files(&mut self, open_files_max: usize) {
        self.settings.open_files_max = open_files_max;
    }

    /// Files that take rows now; those that are being closed are not among them.
    pub fn open_files(&self) -> usize {
        self.open.len()
    }

    /// Bytes held in memory by open files, for the caller's budget.
    pub fn buffered_bytes(&self) -> usize {
        self.meter.buffered()
    }

    /// Bytes encoded so far, in open and closed files.
    pub fn written_bytes(&self) -> u64 {
        self.meter.written()
    }

    /// Closes all files and waits until the store has acknowledged each.
    pub async fn finish(mut self) -> Result<StagedFiles> {
        let closed = match self.begin() {
            Ok(()) => self.close_all().await,
            Err(error) => Err(error),
        };
        if let Err(error) = closed {
            self.abort().await;
            return Err(error);
        }
        let mut closed = std::mem::take(&mut self.closed);
        closed.sort_unstable_by_key(|(number, _)| *number);

        Ok(StagedFiles {
            files: closed.into_iter().map(|(_, file)| file).collect(),
            schema_id: self.target.schema.schema_id(),
            oldest_schema_id: self.oldest_schema,
            spec_id: self.target.spec_id,
            table_uuid: self.target.table_uuid,
            redefinition: self.redefinition,
        })
    }

    /// Gives up: unfinished uploads are aborted, finished files deleted.
    pub async fn abort(mut self) {
        for (_, file) in self.open.drain() {
            file.abort().await;
        }
        while let Some(closed) = self.closing.join_next().await {
            self.closed.extend(closed.ok().and_then(Result::ok));
        }
        delete_files(&self.lake, self.closed.iter().map(|(_, file)| file).collect()).await;
    }

    /// Marks the writer as broken until the caller has done its whole step.
    fn begin(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(Error::InvalidCommit {
                subject: self.target.location.clone(),
                fact: "a write failed or was cancelled before, so its files lack rows".to_owned(),
            });
        }
        Ok(())
    }

    /// The rows of each partition, with the table's columns.
    async fn split(split: Arc<Split>, batch: RecordBatch) -> Result<Vec<(Struct, RecordBatch)>> {
        if split.partitioner.is_none() && split.columns.fit_as_they_are(&batch) {
            return Ok(vec![(Struct::empty(), split.columns.fit(&batch)?)]);
        }
        blocking(move || {
            let batch = split.columns.fit(&batch)?;
            match &split.partitioner {
                None => Ok(vec![(Struct::empty(), batch)]),
                Some(partitioner) => partitioner.split(&batch),
            }
        })
        .await
    }

    async fn append(&mut self, partition: Struct, rows: RecordBatch) -> Result<()> {
        if let Some(file) = self.open.get_mut(&partition) {
            file.idle().await?;
            if file.encoded_bytes() >= self.file_bytes {
                self.close(&partition).await?;
            }
        }
        if !self.open.contains_key(&partition) {
            self.open_file(&partition).await?;
        }
        self.next_use += 1;
        if let Some(file) = self.open.get_mut(&partition) {
            file.encode(rows, self.next_use).await?;
        }
        if self.meter.buffered() > self.settings.buffered_bytes_max {
            let largest = self.open.values_mut().max_by_key(|file| file.buffered_bytes());
            if let Some(file) = largest {
                file.cut().await?;
            }
        }
        Ok(())
    }

    async fn open_file(&mut self, partition: &Struct) -> Result<()> {
        while self.open.len() >= self.settings.open_files_max.max(1) {
            let oldest = self.open.iter().min_by_key(|(_, file)| file.last_use());
            let Some(oldest) = oldest.map(|(partition, _)| partition.clone()) else { break };
            self.close(&oldest).await?;
        }
        let folder = match &self.split.partitioner {
            Some(partitioner) => partitioner.folder(partition),
            None => String::new(),
        };
        let location =
            format!("{}/{folder}{}-{}.parquet", self.target.location, self.target.token, self.next_file);
        let path = self.lake.object_path(&location)?;
        let file = OpenFile::new(
            self.target.clone(),
            self.meter.clone(),
            self.next_file,
            partition.clone(),
            location,
            path,
        );
        self.next_file += 1;
        self.open.insert(partition.clone(), file);
        Ok(())
    }

    /// Lets a file finish in the background, waiting while too many do.
    async fn close(&mut self, partition: &Struct) -> Result<()> {
        let Some(file) = self.open.remove(partition) else { return Ok(()) };
        while self.closing.len() >= CLOSING_MAX {
            self.join_closing().await?;
        }
        self.closing.spawn(file.close());
        Ok(())
    }

    async fn close_all(&mut self) -> Result<()> {
        for (_, file) in self.open.drain() {
            self.closing.spawn(file.close());
        }
        while !self.closing.is_empty() {
            self.join_closing().await?;
        }
        Ok(())
    }

    async fn join_closing(&mut self) -> Result<()> {
        match self.closing.join_next().await {
            Some(Ok(closed)) => self.closed.push(closed?),
            Some(Err(cause)) => return Err(file::broke_off(&cause)),
            None => {}
        }
        Ok(())
    }
}

/// What the columns and the partitioning of a table decide about its files.
fn parts(
    lake: &Lake,
    table: &TableSnapshot,
    token: Uuid,
    settings: &WriterSettings,
) -> Result<(Arc<Split>, Arc<Target>)> {
    let metadata = table.metadata();
    let spec = metadata.default_partition_spec();
    let partitioner = if spec.is_unpartitioned() {
        None
    } else {
        Some(Partitioner::new(table.name(), metadata.current_schema(), spec)?)
    };
    let columns = Columns::new(table.name().clone(), table.schema());
    let target = Target {
        store: lake.store(),
        table_uuid: metadata.uuid(),
        location: format!("{}/data", metadata.location()),
        token,
        arrow_schema: table.schema(),
        schema: metadata.current_schema().clone(),
        spec_id: spec.spec_id(),
        properties: properties(settings.zstd_level.unwrap_or_else(|| wishes::zstd_level(table)))?,
        threads: settings.threads,
    };
    Ok((Arc::new(Split { columns, partitioner }), Arc::new(target)))
}

/// How Parquet is written. Statistics may be cut at 64 bytes: what is cut stays a valid bound.
fn properties(zstd_level: i32) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(zstd_level).map_err(|_| Error::Setting {
        fact: "not a zstd level",
        value: zstd_level.to_string(),
        remedy: "use 1 (fast) to 22 (small)".to_owned(),
    })?;
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .build())
}

#[cfg(test)]
mod tests;
