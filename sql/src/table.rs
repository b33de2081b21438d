//! A pinned table as the query engine sees it: a schema, and scans of the files that matter.
//!
//! Flow of a scan: manifests -> pruned by the list (`scan::manifests`) -> live files -> pruned by what the
//! manifests say (`scan::prune`) -> cut to the limit -> statistics for the optimizer (`scan::statistics`) ->
//! split over the cores (`scan::groups`) -> Parquet, columns found by field id (`scan::fields`), less the
//! deleted rows (`scan::source`, `scan::deletes`).
//!
//! Invariant: filters are only used to leave out what cannot match; the engine filters again above the scan.

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session as Planning, TableProvider};
use datafusion::common::DFSchema;
use datafusion::config::TableParquetOptions;
use datafusion::datasource::TableType;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::metrics::MetricBuilder;
use roaring::RoaringTreemap;
use sluice_catalog::{FileTest, LiveFile, Manifests, TableSnapshot};
use tokio::sync::OnceCell;

use crate::engine::Engine;
use crate::error::Error;
use crate::scan::deletes::Reading as DeleteReading;
use crate::scan::deletes::keys::KeyDeletes;
use crate::scan::fields::FieldIds;
use crate::scan::reader::Files;
use crate::scan::source::{Applying, Keyed, LakeSource};
use crate::scan::{bounds, groups, keyed, manifests, prune, statistics, whole};
use crate::types::view_schema;

/// A state of a table, and which of its files are read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// The state; it gives name, schema and partitioning.
    pub(crate) table: TableSnapshot,
    /// Whether its live files are read.
    live: bool,
    /// Files that are read besides, or instead.
    more: Arc<[LiveFile]>,
}

impl Reading {
    /// The live files of the state.
    pub(crate) fn current(table: TableSnapshot) -> Self {
        Self { table, live: true, more: Arc::default() }
    }

    /// The live files and `more`.
    pub(crate) fn current_and(table: TableSnapshot, more: Vec<LiveFile>) -> Self {
        Self { table, live: true, more: more.into() }
    }

    /// Nothing but `files`.
    pub(crate) fn only(table: TableSnapshot, files: Vec<LiveFile>) -> Self {
        Self { table, live: false, more: files.into() }
    }
}

/// One table of one statement.
#[derive(Debug)]
pub(crate) struct LakeTable {
    engine: Engine,
    reading: Reading,
    schema: SchemaRef,
    /// The manifests of the state, listed at the first scan; a statement may scan a table several times.
    manifests: OnceCell<Manifests>,
}

impl LakeTable {
    pub(crate) fn new(engine: Engine, reading: Reading) -> Self {
        let schema = view_schema(&reading.table.schema());
        Self { engine, reading, schema, manifests: OnceCell::new() }
    }

    /// The files of the scan, but for those of which the manifest list says that they cannot matter; and how
    /// many those are.
    async fn files(
        &self,
        predicate: Option<&Arc<dyn PhysicalExpr>>,
        columns: &bounds::Columns,
    ) -> crate::error::Result<(Vec<LiveFile>, usize)> {
        let (mut files, mut skipped) = (Vec::new(), 0);
        if self.reading.live {
            let listed = || async { self.reading.table.manifests().await };
            let manifests = self.manifests.get_or_try_init(listed).await?;
            let kept = manifests::keep(manifests.data(), predicate, columns, &self.schema);
            files = manifests.files(|at| kept.get(at).is_none_or(|kept| *kept)).await?;
            let count = |manifest: &iceberg::spec::ManifestFile| {
                let files =
                    manifest.added_files_count.unwrap_or(0) + manifest.existing_files_count.unwrap_or(0);
                files as usize
            };
            skipped =
                manifests.data().iter().zip(&kept).filter(|(_, kept)| !**kept).map(|(m, _)| count(m)).sum();
        }
        files.extend(self.reading.more.iter().cloned());
        Ok((files, skipped))
    }

    fn predicate(&self, planning: &dyn Planning, filters: &[Expr]) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(None) };
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        planning.create_physical_expr(filter, &schema).map(Some)
    }

    /// The source of the scan: its filter, its deletes, and the number of files that were left out.
    fn source(
        &self,
        planning: &dyn Planning,
        predicate: Option<Arc<dyn PhysicalExpr>>,
        kept: &[&LiveFile],
        scanned: Scanned,
    ) -> Result<LakeSource> {
        let mut options = TableParquetOptions {
            global: planning.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        options.global.pruning &= scanned.prune_row_groups;
        options.global.enable_page_index &= scanned.prune_row_groups;
        let runtime = planning.runtime_env();
        let store = runtime.object_store(self.engine.store_url())?;
        let files = Files::new(store, runtime.cache_manager.get_file_metadata_cache());
        let parquet = |schema: &SchemaRef| {
            ParquetSource::new(Arc::clone(schema))
                .with_table_parquet_options(options.clone())
                .with_parquet_file_reader_factory(Arc::new(files.clone()))
        };
        let source = match predicate {
            Some(predicate) => parquet(&self.schema).with_predicate(predicate),
            None => parquet(&self.schema),
        };
        let metrics = datafusion::datasource::physical_plan::FileSource::metrics(&source);
        MetricBuilder::new(metrics).global_counter("files_skipped_by_manifest").add(scanned.skipped);
        let reading = DeleteReading { lake: self.engine.lake().clone(), files: files.clone() };
        let pool = Arc::clone(&runtime.memory_pool);
        let keyed = keyed::columns(&self.reading.table, &self.schema, kept)?.map(
            |keyed::Read { schema, columns }| {
                let deletes = KeyDeletes::of(kept, columns, reading.clone(), Arc::clone(&pool));
                Keyed { parquet: parquet(&schema), deletes: Arc::new(deletes) }
            },
        );
        let positions = self.engine.positions().clone();
        let columns = bounds::Columns::of(&self.reading.table, &self.schema);
        Ok(LakeSource::new(source, keyed, Applying { reading, positions, columns, pool }))
    }
}

/// Scans of a change, which must know its rows again.
impl LakeTable {
    /// The live files that may hold a row which `filters` keep, and the filters as one condition.
    pub(crate) async fn matching(
        &self,
        planning: &dyn Planning,
        filters: &[Expr],
    ) -> Result<(Vec<LiveFile>, Option<Arc<dyn PhysicalExpr>>)> {
        let predicate = self.predicate(planning, filters)?;
        let columns = bounds::Columns::of(&self.reading.table, &self.schema);
        let (all, _) = self.files(predicate.as_ref(), &columns).await?;
        let kept = match &predicate {
            Some(predicate) => {
                prune::keep(&all, predicate, &columns, &self.schema).into_iter().cloned().collect()
            }
            None => all,
        };
        Ok((kept, predicate))
    }

    /// Parts files that may hold a row which `filters` keep: first those of which they keep all rows for certain and
    /// none is deleted, then the others.
    pub(crate) fn part_whole(
        &self,
        planning: &dyn Planning,
        filters: &[Expr],
        files: Vec<LiveFile>,
    ) -> Result<(Vec<LiveFile>, Vec<LiveFile>)> {
        let undeleted = |file: &LiveFile| file.parts().1.is_empty();
        if filters.is_empty() {
            return Ok(files.into_iter().partition(undeleted));
        }
        let Some(opposite) = whole::opposite(filters) else { return Ok((Vec::new(), files)) };
        let Some(opposite) = self.predicate(planning, &[opposite])? else { return Ok((Vec::new(), files)) };
        let columns = bounds::Columns::of(&self.reading.table, &self.schema);
        let others = prune::keep(&files, &opposite, &columns, &self.schema);
        let others: HashSet<String> =
            others.into_iter().map(|file| file.parts().0.file_path().to_owned()).collect();
        let is_whole = |file: &LiveFile| undeleted(file) && !others.contains(file.parts().0.file_path());
        Ok(files.into_iter().partition(is_whole))
    }

    /// Each of `files` in a partition of its own, none of its rows left out but the deleted ones.
    pub(crate) fn whole_files(
        &self,
        planning: &dyn Planning,
        projection: &[usize],
        files: &[&LiveFile],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let locate = |file: &LiveFile| self.engine.lake().object_path(file.parts().0.file_path());
        let parts =
            groups::files(files, None, locate).map_err(|error| DataFusionError::from(Error::from(error)))?;
        let parts = parts.into_iter().map(|file| FileGroup::new(vec![file])).collect();
        let source = self.source(planning, None, files, Scanned { skipped: 0, prune_row_groups: false })?;
        let scan = FileScanConfigBuilder::new(self.engine.store_url().clone(), Arc::new(source))
            .with_file_groups(parts)
            .with_projection_indices(Some(projection.to_vec()))?
            .with_expr_adapter(Some(Arc::new(FieldIds::of(&self.reading.table))))
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }

    /// The positions that are deleted from a file.
    pub(crate) async fn deleted(&self, planning: &dyn Planning, file: &LiveFile) -> Result<RoaringTreemap> {
        let runtime = planning.runtime_env();
        let store = runtime.object_store(self.engine.store_url())?;
        let files = Files::new(store, runtime.cache_manager.get_file_metadata_cache());
        let reading = DeleteReading { lake: self.engine.lake().clone(), files };
        let (data, deletes) = file.parts();
        let positions = self.engine.positions();
        positions.of(&reading, &runtime.memory_pool, data.file_path(), &deletes.positions).await
    }

    /// Whether a data file that others added may hold a row which meets `predicate`.
    pub(crate) fn may_match(&self, predicate: Arc<dyn PhysicalExpr>) -> Arc<FileTest> {
        let (table, schema) = (self.reading.table.clone(), Arc::clone(&self.schema));
        Arc::new(move |file, spec| {
            let columns = bounds::Columns::of(&table, &schema);
            let file = [LiveFile::new(Arc::new(file.clone()), spec, i64::MAX)];
            !prune::keep(&file, &predicate, &columns, &schema).is_empty()
        })
    }
}

/// What a scan found out from the manifests.
struct Scanned {
    /// Files that are not read.
    skipped: usize,
    /// Whether readers may leave out row groups by their statistics.
    prune_row_groups: bool,
}

#[async_trait]
impl TableProvider for LakeTable {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        planning: &dyn Planning,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let predicate = self.predicate(planning, filters)?;
        let columns = bounds::Columns::of(&self.reading.table, &self.schema);
        let (all, skipped) = self.files(predicate.as_ref(), &columns).await?;
        let mut kept: Vec<&LiveFile> = match &predicate {
            Some(predicate) => prune::keep(&all, predicate, &columns, &self.schema),
            None => all.iter().collect(),
        };
        let skipped = skipped + all.len() - kept.len();
        // A limit is only passed when no filter is left to be applied above.
        if let (Some(limit), None) = (limit, &predicate) {
            cut_to_limit(&mut kept, limit);
        }
        if kept.is_empty() {
            let schema = match projection {
                Some(indices) => Arc::new(self.schema.project(indices)?),
                None => Arc::clone(&self.schema),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let wanted = statistics::wanted(projection, predicate.as_ref(), &self.schema);
        let (of_files, of_table) = statistics::of(&kept, &columns, &wanted, &self.schema);
        let locate = |file: &LiveFile| self.engine.lake().object_path(file.parts().0.file_path());
        let files = groups::files(&kept, of_files, locate)
            .map_err(|error| DataFusionError::from(Error::from(error)))?;
        let options = planning.config_options();
        let groups = groups::split(
            files,
            options.execution.target_partitions,
            options.optimizer.repartition_file_min_size,
        );
        // The readers prune row groups by statistics that leave NaN out, which the engine takes for the
        // largest number: where there may be NaN they must not.
        let prune_row_groups = !columns.may_hold_nan(&kept, &wanted);
        let source = self.source(planning, predicate, &kept, Scanned { skipped, prune_row_groups })?;
        let scan = FileScanConfigBuilder::new(self.engine.store_url().clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(of_table)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(FieldIds::of(&self.reading.table))))
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

/// Keeps as many files as hold `limit` rows.
fn cut_to_limit(files: &mut Vec<&LiveFile>, limit: usize) {
    let mut rows = 0_u64;
    let enough = files.iter().position(|file| {
        let (data, deletes) = file.parts();
        // How many rows a file has left is only known when it is read.
        rows = rows.saturating_add(if deletes.is_empty() { data.record_count() } else { 0 });
        rows >= limit as u64
    });
    if let Some(last) = enough {
        files.truncate(last + 1);
    }
}
