//! Files that cannot hold a row the filter keeps are not read.
//!
//! The filter is evaluated on bounds and null counts from the manifests, before any file is opened. Hidden
//! partitions need nothing of their own: a partition's files have narrow bounds on its source column.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Column;
use datafusion::common::pruning::PruningStatistics;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicate;
use datafusion::scalar::ScalarValue;
use sluice_catalog::LiveFile;

use crate::scan::bounds::{Bounds, Columns};

/// The files that may hold a row for which `predicate` is true.
///
/// When the predicate says nothing about bounds, or cannot be evaluated on them, that is every file.
pub(crate) fn keep<'a>(
    files: &'a [LiveFile],
    predicate: &Arc<dyn PhysicalExpr>,
    columns: &Columns,
    schema: &SchemaRef,
) -> Vec<&'a LiveFile> {
    let known = Known { files, columns, schema };
    let kept = PruningPredicate::try_new(Arc::clone(predicate), Arc::clone(schema))
        .and_then(|pruning| pruning.prune(&known));
    match kept {
        Ok(kept) => files.iter().zip(kept).filter(|(_, keep)| *keep).map(|(file, _)| file).collect(),
        Err(error) => {
            tracing::debug!(%error, %predicate, "a filter cannot be evaluated on bounds; all files are read");
            files.iter().collect()
        }
    }
}

/// What the manifests know, column by column, one entry for each file.
struct Known<'a> {
    files: &'a [LiveFile],
    columns: &'a Columns,
    schema: &'a SchemaRef,
}

impl Known<'_> {
    fn side(&self, column: &Column, side: impl Fn(Bounds) -> Option<ScalarValue>) -> Option<ArrayRef> {
        let (index, field) = self.schema.column_with_name(&column.name)?;
        let none = ScalarValue::try_new_null(field.data_type()).ok()?;
        let values: Vec<Option<ScalarValue>> =
            self.files.iter().map(|file| side(self.columns.bounds(file, index))).collect();
        if values.iter().all(Option::is_none) {
            return None;
        }
        ScalarValue::iter_to_array(values.into_iter().map(|value| value.unwrap_or_else(|| none.clone()))).ok()
    }
}

impl PruningStatistics for Known<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.side(column, |bounds| bounds.lower)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.side(column, |bounds| bounds.upper)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let (index, _) = self.schema.column_with_name(&column.name)?;
        let counts: UInt64Array = self.files.iter().map(|file| self.columns.nulls(file, index)).collect();
        Some(Arc::new(counts))
    }

    fn row_counts(&self, _: &Column) -> Option<ArrayRef> {
        let counts: UInt64Array = self.files.iter().map(|file| Some(file.parts().0.record_count())).collect();
        Some(Arc::new(counts))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
