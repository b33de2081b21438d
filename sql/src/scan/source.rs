//! The file source of a scan: Parquet files, less their deleted rows, with errors that name the file.
//!
//! | the file has | is opened with | then |
//! |---|---|---|
//! | no deletes | the engine's own Parquet opener | |
//! | deleted positions | an access plan that leaves them out | |
//! | deletes by key | the key columns read besides | each batch is probed |
//!
//! A limit counts rows that are left, so only the first kind is told about it; the stream above counts again.

use std::any::Any;
use std::fmt::{self, Formatter};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileOpenFuture, FileOpener, FileScanConfig, FileSource, ParquetSource,
};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::object_store::ObjectStore;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs};
use datafusion::physical_plan::DisplayFormatType;
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::{FutureExt, StreamExt};
use sluice_catalog::{LiveFile, PositionDeletes};

use crate::error::{Complaint, Error};
use crate::scan::bounds::Columns;
use crate::scan::deletes::Reading;
use crate::scan::deletes::keys::KeyDeletes;
use crate::scan::deletes::positions::{PositionCache, access_plan};
use crate::scan::fields::Misfit;
use crate::scan::statistics::with_constants;

/// Parquet files with deletes; clones share what was read.
#[derive(Clone)]
pub(crate) struct LakeSource {
    parquet: ParquetSource,
    keyed: Option<Keyed>,
    applying: Arc<Applying>,
}

/// What opens files with deletes by key, and the keys.
type KeyedOpener = (Arc<dyn FileOpener>, Arc<KeyDeletes>);

/// How files with deletes by key are read: the table's columns, and those of the keys that it has no more.
#[derive(Clone)]
pub(crate) struct Keyed {
    pub(crate) parquet: ParquetSource,
    pub(crate) deletes: Arc<KeyDeletes>,
}

/// What applying deletes takes.
#[derive(Debug)]
pub(crate) struct Applying {
    pub(crate) reading: Reading,
    pub(crate) positions: PositionCache,
    pub(crate) columns: Columns,
    pub(crate) pool: Arc<dyn MemoryPool>,
}

impl LakeSource {
    pub(crate) fn new(parquet: ParquetSource, keyed: Option<Keyed>, applying: Applying) -> Self {
        Self { parquet, keyed, applying: Arc::new(applying) }
    }

    fn with(&self, parquet: &Arc<dyn FileSource>) -> Result<Arc<dyn FileSource>> {
        match parquet.as_any().downcast_ref::<ParquetSource>() {
            Some(parquet) => Ok(Arc::new(Self { parquet: parquet.clone(), ..self.clone() })),
            None => Err(DataFusionError::Internal("a Parquet source became another one".to_owned())),
        }
    }

    /// The opener of files with deletes by key: what is read otherwise, and the keys behind it.
    fn keyed_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Option<KeyedOpener>> {
        let Some(Keyed { parquet, deletes }) = &self.keyed else { return Ok(None) };
        let schema = parquet.table_schema().table_schema();
        let keys = deletes.columns().iter().map(|column| {
            let name = column.field.name();
            let key = Column::new_with_schema(name, schema)?;
            Ok(ProjectionExpr::new(Arc::new(key), format!("\0{name}")))
        });
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let output = self.parquet.projection().into_iter().flat_map(ProjectionExprs::iter).cloned();
        let projection = ProjectionExprs::new(output.chain(keys));
        let parquet = match self.parquet.filter() {
            Some(filter) => parquet.with_predicate(filter),
            None => parquet.clone(),
        };
        let Some(source) = parquet.try_pushdown_projection(&projection)? else { return Ok(None) };
        let source = match config.batch_size {
            Some(rows) => source.with_batch_size(rows),
            None => source,
        };
        Ok(Some((source.create_file_opener(store, config, partition)?, Arc::clone(deletes))))
    }
}

impl FileSource for LakeSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let mut unlimited = config.clone();
        unlimited.limit = None;
        Ok(Arc::new(Opener {
            whole: self.parquet.create_file_opener(Arc::clone(&store), config, partition)?,
            selected: self.parquet.create_file_opener(Arc::clone(&store), &unlimited, partition)?,
            keyed: self.keyed_opener(store, &unlimited, partition)?,
            applying: Arc::clone(&self.applying),
            schema: Arc::clone(self.parquet.table_schema().file_schema()),
        }))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn table_schema(&self) -> &TableSchema {
        self.parquet.table_schema()
    }

    fn with_batch_size(&self, rows: usize) -> Arc<dyn FileSource> {
        let parquet = self.parquet.with_batch_size(rows);
        let keyed = self.keyed.clone().map(|keyed| Keyed {
            parquet: downcast(&keyed.parquet.with_batch_size(rows)).unwrap_or(keyed.parquet),
            ..keyed
        });
        let parquet = downcast(&parquet).unwrap_or_else(|| self.parquet.clone());
        Arc::new(Self { parquet, keyed, applying: Arc::clone(&self.applying) })
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.parquet.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.parquet.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.parquet.metrics()
    }

    fn file_type(&self) -> &str {
        self.parquet.file_type()
    }

    fn fmt_extra(&self, format: DisplayFormatType, f: &mut Formatter) -> fmt::Result {
        self.parquet.fmt_extra(format, f)
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let mut pushed = self.parquet.try_pushdown_filters(filters, config)?;
        pushed.updated_node = pushed.updated_node.map(|parquet| self.with(&parquet)).transpose()?;
        Ok(pushed)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let pushed = self.parquet.try_pushdown_projection(projection)?;
        pushed.map(|parquet| self.with(&parquet)).transpose()
    }
}

fn downcast(source: &Arc<dyn FileSource>) -> Option<ParquetSource> {
    source.as_any().downcast_ref::<ParquetSource>().cloned()
}

struct Opener {
    whole: Arc<dyn FileOpener>,
    selected: Arc<dyn FileOpener>,
    keyed: Option<(Arc<dyn FileOpener>, Arc<KeyDeletes>)>,
    applying: Arc<Applying>,
    /// The table's columns.
    schema: SchemaRef,
}

impl FileOpener for Opener {
    fn open(&self, mut file: PartitionedFile) -> Result<FileOpenFuture> {
        let Some(live) = file.extensions.take().and_then(|known| known.downcast::<LiveFile>().ok()) else {
            return Err(DataFusionError::Internal("a file came without its deletes".to_owned()));
        };
        let path = live.parts().0.file_path().to_owned();
        let constants = self.applying.columns.constants(&live);
        file.statistics = with_constants(file.statistics.take(), constants, &self.schema);
        let opening =
            if live.parts().1.is_empty() { self.whole.open(file)? } else { self.open_deleted(file, live)? };
        Ok(named(path, opening))
    }
}

impl Opener {
    fn open_deleted(&self, mut file: PartitionedFile, live: Arc<LiveFile>) -> Result<FileOpenFuture> {
        let by_key = !live.parts().1.equality.is_empty();
        let (opener, keys) = match (&self.keyed, by_key) {
            (Some((opener, keys)), true) => (Arc::clone(opener), Some(Arc::clone(keys))),
            (None, true) => return Err(DataFusionError::Internal("deletes by key were not planned".into())),
            (_, false) => (Arc::clone(&self.selected), None),
        };
        let applying = Arc::clone(&self.applying);
        let opening = async move {
            file.extensions = applying.rows(&file, &live).await?;
            let batches = opener.open(file)?.await?;
            let Some(keys) = keys else { return Ok(batches) };
            let left = batches.then(move |batch| {
                let (keys, live) = (Arc::clone(&keys), Arc::clone(&live));
                async move { keys.apply(batch?, live.sequence_number, live.parts().1).await }
            });
            Ok(left.boxed())
        };
        Ok(opening.boxed())
    }
}

impl Applying {
    /// The access plan of a file from which positions are deleted.
    async fn rows(
        &self,
        file: &PartitionedFile,
        live: &LiveFile,
    ) -> Result<Option<Arc<dyn Any + Send + Sync>>> {
        let (data, deletes) = live.parts();
        if matches!(deletes.positions, PositionDeletes::None) {
            return Ok(None);
        }
        let deleted =
            self.positions.of(&self.reading, &self.pool, data.file_path(), &deletes.positions).await?;
        let footer = self.reading.files.open(file.object_meta.clone()).footer().await?;
        Ok(Some(Arc::new(access_plan(&footer, &deleted))))
    }
}

/// Says in each error which file it is about; a panic of the decoder is such an error.
fn named(path: String, opening: FileOpenFuture) -> FileOpenFuture {
    let stopped = |path: &str| unreadable(path, "the decoder stopped at it");
    async move {
        let opened = AssertUnwindSafe(opening).catch_unwind().await;
        let batches = opened.unwrap_or_else(|_| Err(stopped(&path)));
        let batches = batches.map_err(|error| with_name(&path, error))?;
        let batches = AssertUnwindSafe(batches).catch_unwind().map(move |batch| match batch {
            Ok(batch) => batch.map_err(|error| with_name(&path, error)),
            Err(_) => Err(stopped(&path)),
        });
        Ok(batches.boxed())
    }
    .boxed()
}

fn with_name(path: &str, error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::ParquetError(cause) => unreadable(path, cause),
        DataFusionError::ArrowError(cause, _) if matches!(*cause, ArrowError::ParquetError(_)) => {
            unreadable(path, cause)
        }
        DataFusionError::External(cause) => match cause.downcast::<Misfit>() {
            Ok(misfit) => {
                let message = format!("the data file {path} cannot be read: {misfit}");
                Error::Unsupported(Complaint::new(message).remedy(misfit.cure())).into()
            }
            Err(other) => DataFusionError::External(other),
        },
        DataFusionError::Context(context, inner) => {
            DataFusionError::Context(context, Box::new(with_name(path, *inner)))
        }
        other => other,
    }
}

fn unreadable(path: &str, cause: impl fmt::Display) -> DataFusionError {
    let message = format!("the data file {path} cannot be read: {cause}");
    let remedy = "restore the file, or roll the table back to a state without it";
    Error::Lake(Complaint::new(message).remedy(remedy)).into()
}
