//! Manifests that cannot list a file the filter keeps are not read.
//!
//! The manifest list holds, for each manifest, the smallest and largest value of every partition field. The
//! filter is evaluated on what they say about the fields' source columns.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Column;
use datafusion::common::pruning::PruningStatistics;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicate;
use datafusion::scalar::ScalarValue;
use iceberg::spec::{Datum, FieldSummary, ManifestFile, PrimitiveType, Transform, Type};

use crate::scan::bounds::{Columns, scalar, time_span};

/// Which manifests may list a file with a row for which `predicate` is true.
pub(crate) fn keep(
    manifests: &[ManifestFile],
    predicate: Option<&Arc<dyn PhysicalExpr>>,
    columns: &Columns,
    schema: &SchemaRef,
) -> Vec<bool> {
    let Some(predicate) = predicate else { return vec![true; manifests.len()] };
    let known = Known { manifests, columns, schema };
    let kept = PruningPredicate::try_new(Arc::clone(predicate), Arc::clone(schema))
        .and_then(|pruning| pruning.prune(&known));
    kept.unwrap_or_else(|error| {
        tracing::debug!(%error, %predicate, "a filter cannot be evaluated on partitions; all are read");
        vec![true; manifests.len()]
    })
}

struct Known<'a> {
    manifests: &'a [ManifestFile],
    columns: &'a Columns,
    schema: &'a SchemaRef,
}

impl Known<'_> {
    fn side(&self, column: &Column, upper: bool) -> Option<ArrayRef> {
        let (index, field) = self.schema.column_with_name(&column.name)?;
        let none = ScalarValue::try_new_null(field.data_type()).ok()?;
        let values = self.manifests.iter().map(|manifest| self.bound(manifest, index, upper));
        let values: Vec<Option<ScalarValue>> = values.collect();
        if values.iter().all(Option::is_none) {
            return None;
        }
        ScalarValue::iter_to_array(values.into_iter().map(|value| value.unwrap_or_else(|| none.clone()))).ok()
    }

    /// The smallest or largest value of a column in all files of a manifest.
    fn bound(&self, manifest: &ManifestFile, index: usize, upper: bool) -> Option<ScalarValue> {
        let (id, data_type) = self.columns.column(index)?;
        if data_type.is_floating() {
            // NaN is the largest value to the engine, and in no bound.
            return None;
        }
        let spec = self.columns.spec(manifest.partition_spec_id)?;
        let summaries = manifest.partitions.as_ref()?;
        if summaries.len() != spec.fields().len() {
            return None;
        }
        spec.fields().iter().zip(summaries).find_map(|(field, summary)| {
            if field.source_id != id {
                return None;
            }
            bound_of(field.transform, summary, data_type, upper)
        })
    }
}

fn bound_of(
    transform: Transform,
    summary: &FieldSummary,
    data_type: &datafusion::arrow::datatypes::DataType,
    upper: bool,
) -> Option<ScalarValue> {
    let bytes = if upper { &summary.upper_bound } else { &summary.lower_bound };
    let bytes = bytes.as_ref()?.as_slice();
    if transform != Transform::Identity {
        // Years, months, days and hours are whole numbers of 32 bits.
        let value = Datum::try_from_bytes(bytes, PrimitiveType::Int).ok()?;
        let span = time_span(transform, value.literal(), data_type)?;
        return if upper { span.upper } else { span.lower };
    }
    let written = written_type(bytes.len(), data_type)?;
    let value = Datum::try_from_bytes(bytes, written).ok()?;
    scalar(value.literal(), Some(value.data_type()), data_type)
}

/// The Iceberg type of a value that is now read as `data_type`: an `int` may have been widened since.
fn written_type(bytes: usize, data_type: &datafusion::arrow::datatypes::DataType) -> Option<PrimitiveType> {
    use datafusion::arrow::datatypes::DataType;
    let now = iceberg::arrow::arrow_type_to_type(data_type).ok();
    match (data_type, bytes, now) {
        (DataType::Int64, 4, _) => Some(PrimitiveType::Int),
        (DataType::Utf8 | DataType::Utf8View, ..) => Some(PrimitiveType::String),
        (_, _, Some(Type::Primitive(primitive))) => Some(primitive),
        _ => None,
    }
}

impl PruningStatistics for Known<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.side(column, false)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.side(column, true)
    }

    fn num_containers(&self) -> usize {
        self.manifests.len()
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
