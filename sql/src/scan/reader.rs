//! Parquet files of the lake as the readers get them: footers checked, kept in memory, errors with a name.
//!
//! Flow: end of the file -> footer, walked by `thrift` before the library decodes it -> page index, the same
//! -> the cache that all sessions share. Data and delete files are read the same way.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{CachedParquetMetaData, ParquetFileReaderFactory};
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadataCache};
use datafusion::object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::{AsyncFileReader, MetadataFetch};
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::FOOTER_SIZE;
use datafusion::parquet::file::metadata::{
    FooterTail, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader,
};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::scan::thrift;

/// The bytes read from the end of a file at first: most footers fit.
const FOOTER_HINT_BYTES: u64 = 128 << 10;

/// The largest footer, and the largest page index, that is read.
const FOOTER_BYTES_MAX: u64 = 64 << 20;

/// Opens files of one store.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    store: Arc<dyn ObjectStore>,
    footers: Arc<dyn FileMetadataCache>,
}

impl Files {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, footers: Arc<dyn FileMetadataCache>) -> Self {
        Self { store, footers }
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    pub(crate) fn open(&self, file: ObjectMeta) -> Reader {
        Reader { files: self.clone(), file, scanned: Count::new() }
    }
}

impl ParquetFileReaderFactory for Files {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        _hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let scanned = MetricBuilder::new(metrics).counter("bytes_scanned", partition);
        Ok(Box::new(Reader { scanned, ..self.open(file.object_meta) }))
    }
}

/// One open file.
#[derive(Debug)]
pub(crate) struct Reader {
    files: Files,
    file: ObjectMeta,
    scanned: Count,
}

impl Reader {
    /// The footer, from memory if it was read before.
    ///
    /// # Errors
    /// When the file cannot be read or its footer is damaged; the message names the file.
    pub(crate) async fn footer(&self) -> ParquetResult<Arc<ParquetMetaData>> {
        let path = &self.file.location;
        if let Some(entry) = self.files.footers.get(path).filter(|entry| entry.is_valid_for(&self.file))
            && let Some(known) = entry.file_metadata.as_any().downcast_ref::<CachedParquetMetaData>()
        {
            return Ok(Arc::clone(known.parquet_metadata()));
        }
        let footer = Arc::new(self.read_footer().await?);
        let entry = Arc::new(CachedParquetMetaData::new(Arc::clone(&footer)));
        self.files.footers.put(path, CachedFileMetadataEntry::new(self.file.clone(), entry));
        Ok(footer)
    }

    async fn read_footer(&self) -> ParquetResult<ParquetMetaData> {
        let size = self.file.size;
        if size < FOOTER_SIZE as u64 {
            return Err(self.damaged("it is too short for a footer"));
        }
        let mut tail = self.bytes(size.saturating_sub(FOOTER_HINT_BYTES)..size).await?;
        let end = tail.len().saturating_sub(FOOTER_SIZE);
        let ending = tail.get(end..).and_then(|bytes| bytes.first_chunk());
        let ending = ending.ok_or_else(|| self.damaged("it is shorter than its manifest says"))?;
        let ending = FooterTail::try_from(*ending);
        let ending = ending.map_err(|error| self.damaged(error))?;
        if ending.is_encrypted_footer() {
            return Err(self.damaged("it is encrypted"));
        }
        let bytes = ending.metadata_length() as u64;
        if bytes > FOOTER_BYTES_MAX.min(size - FOOTER_SIZE as u64) {
            return Err(self.damaged(format!("its footer claims {bytes} bytes")));
        }
        if bytes as usize > end {
            tail = self.bytes(size - FOOTER_SIZE as u64 - bytes..size - FOOTER_SIZE as u64).await?;
        } else {
            tail = tail.slice(end - bytes as usize..end);
        }
        thrift::check_footer(&tail).map_err(|fault| self.damaged(fault))?;
        let footer = self.decoded(|| ParquetMetaDataReader::decode_metadata(&tail))?;
        let sane = footer.row_groups().iter().all(|group| group.num_rows() >= 0);
        if !sane {
            return Err(self.damaged("a row group has a negative number of rows"));
        }
        self.with_page_index(footer).await
    }

    async fn with_page_index(&self, footer: ParquetMetaData) -> ParquetResult<ParquetMetaData> {
        let parts = || {
            let columns = footer.row_groups().iter().flat_map(|group| group.columns());
            columns.flat_map(|column| {
                let part = |offset: Option<i64>, length: Option<i32>| {
                    let (offset, length) = (u64::try_from(offset?).ok()?, u64::try_from(length?).ok()?);
                    (length > 0).then(|| offset..offset.saturating_add(length))
                };
                [
                    part(column.column_index_offset(), column.column_index_length()),
                    part(column.offset_index_offset(), column.offset_index_length()),
                ]
            })
        };
        let start = parts().flatten().map(|part| part.start).min();
        let end = parts().flatten().map(|part| part.end).max();
        let (Some(start), Some(end)) = (start, end) else { return Ok(footer) };
        if end > self.file.size || end - start > FOOTER_BYTES_MAX {
            return Err(self.damaged("its page index lies outside the file or is too large"));
        }
        let index = self.bytes(start..end).await?;
        for part in parts().flatten() {
            let bytes = index.get((part.start - start) as usize..(part.end - start) as usize);
            let bytes = bytes.ok_or_else(|| self.damaged("it is shorter than its manifest says"))?;
            thrift::check(bytes).map_err(|fault| self.damaged(format!("in its page index, {fault}")))?;
        }
        let mut reader = ParquetMetaDataReader::new_with_metadata(footer)
            .with_page_index_policy(PageIndexPolicy::Optional);
        let loading =
            AssertUnwindSafe(reader.load_page_index(Fetched { start, bytes: index })).catch_unwind();
        match loading.await {
            Ok(loaded) => loaded.map_err(|error| self.damaged(error))?,
            Err(_) => return Err(self.damaged("its page index cannot be decoded")),
        }
        reader.finish().map_err(|error| self.damaged(error))
    }

    /// The library asserts some of what it takes for granted; a damaged file must not end the query so.
    fn decoded<T>(&self, decode: impl FnOnce() -> ParquetResult<T>) -> ParquetResult<T> {
        match catch_unwind(AssertUnwindSafe(decode)) {
            Ok(decoded) => decoded.map_err(|error| self.damaged(error)),
            Err(_) => Err(self.damaged("its footer cannot be decoded")),
        }
    }

    async fn bytes(&self, range: Range<u64>) -> ParquetResult<Bytes> {
        let wanted = range.end.saturating_sub(range.start);
        if range.end > self.file.size {
            return Err(self.damaged("it points beyond its end"));
        }
        let bytes = self.files.store.get_range(&self.file.location, range).await;
        let bytes = bytes.map_err(|error| ParquetError::External(Box::new(error)))?;
        if bytes.len() as u64 != wanted {
            return Err(self.damaged("it is shorter than its manifest says"));
        }
        Ok(bytes)
    }

    fn damaged(&self, fact: impl std::fmt::Display) -> ParquetError {
        ParquetError::General(format!("file {} is damaged: {fact}", self.file.location))
    }
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.scanned.add(range.end.saturating_sub(range.start) as usize);
        self.bytes(range).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move {
            if ranges.iter().any(|range| range.end > self.file.size || range.start > range.end) {
                return Err(self.damaged("it points beyond its end"));
            }
            let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
            self.scanned.add(bytes as usize);
            let read = self.files.store.get_ranges(&self.file.location, &ranges).await;
            read.map_err(|error| ParquetError::External(Box::new(error)))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        self.footer().boxed()
    }
}

/// A stretch of the file that was already read.
struct Fetched {
    start: u64,
    bytes: Bytes,
}

impl MetadataFetch for Fetched {
    fn fetch(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let within = range.start.checked_sub(self.start).zip(range.end.checked_sub(self.start));
        let found = within
            .map(|(start, end)| start as usize..end as usize)
            .filter(|part| part.start <= part.end && part.end <= self.bytes.len())
            .map(|part| self.bytes.slice(part))
            .ok_or_else(|| ParquetError::EOF("the page index is not where it should be".to_owned()));
        std::future::ready(found).boxed()
    }
}
