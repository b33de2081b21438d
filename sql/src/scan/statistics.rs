//! What the optimizer may know: rows, bounds and nulls, of each file and of all together.
//!
//! `count(*)`, `min` and `max` are answered from exact statistics without reading a file, so exact is said
//! only of what is certain. A file whose column is known to hold one value is read without that column.

use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::scalar::ScalarValue;
use sluice_catalog::LiveFile;

use crate::scan::bounds::Columns;

/// Beyond so many entries files get no statistics of their own: each takes some 200 bytes.
const ENTRIES_MAX: usize = 500_000;

/// The columns whose statistics can matter: those that are read or filtered by.
pub(crate) fn wanted(
    projection: Option<&Vec<usize>>,
    predicate: Option<&Arc<dyn PhysicalExpr>>,
    schema: &Schema,
) -> Vec<bool> {
    let mut wanted = vec![projection.is_none(); schema.fields().len()];
    let filtered = predicate.map(collect_columns).unwrap_or_default();
    let indices =
        projection.into_iter().flatten().copied().chain(filtered.iter().map(|column| column.index()));
    for index in indices {
        if let Some(column) = wanted.get_mut(index) {
            *column = true;
        }
    }
    wanted
}

/// Statistics of each file (none when there are too many) and of all files.
pub(crate) fn of(
    files: &[&LiveFile],
    columns: &Columns,
    wanted: &[bool],
    schema: &Schema,
) -> (Option<Vec<Arc<Statistics>>>, Statistics) {
    let each = files.len().saturating_mul(wanted.len()) <= ENTRIES_MAX;
    let mut of_files = Vec::new();
    let mut all = Statistics::new_unknown(schema);
    all.num_rows = Precision::Exact(0);
    all.total_byte_size = Precision::Inexact(0);
    let mut folded: Vec<Option<ColumnStatistics>> = vec![None; wanted.len()];
    for file in files {
        let one = of_file(file, columns, wanted);
        all.num_rows = all.num_rows.add(&one.num_rows);
        all.total_byte_size = all.total_byte_size.add(&one.total_byte_size);
        for (whole, part) in folded.iter_mut().zip(&one.column_statistics) {
            *whole = Some(match whole.take() {
                Some(whole) => fold(whole, part, &one.num_rows),
                None => part.clone(),
            });
        }
        if each {
            of_files.push(Arc::new(one));
        }
    }
    all.column_statistics =
        folded.into_iter().map(|column| column.unwrap_or_else(ColumnStatistics::new_unknown)).collect();
    if files.iter().any(|file| !file.parts().1.is_empty()) {
        all = all.to_inexact();
    }
    (each.then_some(of_files), all)
}

fn of_file(file: &LiveFile, columns: &Columns, wanted: &[bool]) -> Statistics {
    let column_statistics = wanted
        .iter()
        .enumerate()
        .map(
            |(index, wanted)| {
                if *wanted { of_column(file, columns, index) } else { ColumnStatistics::new_unknown() }
            },
        )
        .collect();
    let known = Statistics {
        num_rows: exactly(file.parts().0.record_count()),
        // The size on disk; in memory it is more.
        total_byte_size: exactly(file.parts().0.file_size_in_bytes()).to_inexact(),
        column_statistics,
    };
    // Of rows that may be gone nothing is certain but the limits.
    if file.parts().1.is_empty() { known } else { known.to_inexact() }
}

fn of_column(file: &LiveFile, columns: &Columns, index: usize) -> ColumnStatistics {
    let bounds = columns.bounds(file, index);
    let side = |value: Option<ScalarValue>| match value {
        Some(value) if bounds.exact => Precision::Exact(value),
        Some(value) => Precision::Inexact(value),
        None => Precision::Absent,
    };
    let mut known = ColumnStatistics::new_unknown();
    known.null_count = columns.nulls(file, index).map_or(Precision::Absent, exactly);
    known.min_value = side(bounds.lower.clone());
    known.max_value = side(bounds.upper.clone());
    known
}

/// What is known of a file, if `constants` are the columns that have one value in all its rows: they are read as that
/// value, whether the file has them or not.
pub(crate) fn with_constants(
    known: Option<Arc<Statistics>>,
    constants: Vec<(usize, ScalarValue)>,
    schema: &Schema,
) -> Option<Arc<Statistics>> {
    if constants.is_empty() {
        return known;
    }
    let mut all = known.map_or_else(|| Statistics::new_unknown(schema), Arc::unwrap_or_clone);
    for (index, value) in constants {
        if let Some(column) = all.column_statistics.get_mut(index) {
            column.null_count = Precision::Exact(0);
            column.min_value = Precision::Exact(value.clone());
            column.max_value = Precision::Exact(value);
        }
    }
    Some(Arc::new(all))
}

/// Two files' knowledge of a column. A file with nothing but nulls takes no part in the bounds.
fn fold(whole: ColumnStatistics, part: &ColumnStatistics, rows: &Precision<usize>) -> ColumnStatistics {
    let only_nulls = |column: &ColumnStatistics| {
        column.null_count == *rows
            && column.min_value == Precision::Absent
            && column.max_value == Precision::Absent
    };
    let null_count = whole.null_count.add(&part.null_count);
    if only_nulls(part) && rows.is_exact() == Some(true) {
        return ColumnStatistics { null_count, ..whole };
    }
    ColumnStatistics {
        null_count,
        min_value: whole.min_value.min(&part.min_value),
        max_value: whole.max_value.max(&part.max_value),
        ..whole
    }
}

fn exactly(count: u64) -> Precision<usize> {
    usize::try_from(count).map_or(Precision::Absent, Precision::Exact)
}
