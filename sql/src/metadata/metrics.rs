//! What the manifests know of each column, under its name and in its type: `readable_metrics`.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, StructArray, new_null_array};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::error::Result;
use datafusion::scalar::ScalarValue;
use iceberg::spec::{DataFile, Datum};
use sluice_catalog::{TableSnapshot, field_id};

use super::states::batch;
use crate::scan::bounds::scalar;

/// A struct with a field for each column that has values itself; what is inside a struct is named behind a dot.
pub(super) fn readable(table: &TableSnapshot, files: &[&DataFile]) -> Result<ArrayRef> {
    let mut columns = Vec::new();
    collect(table.schema().fields(), "", &mut columns);
    let mut fields: Vec<Field> = Vec::with_capacity(columns.len());
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for (name, id, data_type) in columns {
        let count = |of: fn(&DataFile) -> &HashMap<i32, u64>| -> ArrayRef {
            let counts = files.iter().map(|file| of(file).get(&id).map(|count| *count as i64));
            Arc::new(counts.collect::<Int64Array>())
        };
        let metrics = batch(vec![
            ("column_size", count(DataFile::column_sizes)),
            ("value_count", count(DataFile::value_counts)),
            ("null_value_count", count(DataFile::null_value_counts)),
            ("nan_value_count", count(DataFile::nan_value_counts)),
            ("lower_bound", bounds(files, id, &data_type, DataFile::lower_bounds)?),
            ("upper_bound", bounds(files, id, &data_type, DataFile::upper_bounds)?),
        ])?;
        let metrics: ArrayRef = Arc::new(StructArray::from(metrics));
        fields.push(Field::new(name, metrics.data_type().clone(), true));
        arrays.push(metrics);
    }
    let fields = Fields::from(fields);
    Ok(Arc::new(StructArray::try_new_with_length(fields, arrays, None, files.len())?))
}

/// The columns that have values themselves: name, field id, type.
fn collect(fields: &Fields, parent: &str, columns: &mut Vec<(String, i32, DataType)>) {
    for field in fields {
        let name =
            if parent.is_empty() { field.name().clone() } else { format!("{parent}.{}", field.name()) };
        let id = field_id(field);
        match (field.data_type(), id) {
            (DataType::Struct(inner), _) => collect(inner, &name, columns),
            (nested, _) if nested.is_nested() => {}
            (data_type, Some(id)) => columns.push((name, id, data_type.clone())),
            (_, None) => {}
        }
    }
}

fn bounds(
    files: &[&DataFile],
    id: i32,
    data_type: &DataType,
    of: fn(&DataFile) -> &HashMap<i32, Datum>,
) -> Result<ArrayRef> {
    let none = ScalarValue::try_new_null(data_type)?;
    let known = |file: &&DataFile| {
        let bound = of(file).get(&id)?;
        scalar(bound.literal(), Some(bound.data_type()), data_type)
    };
    let values: Vec<Option<ScalarValue>> = files.iter().map(known).collect();
    if values.iter().all(Option::is_none) {
        return Ok(new_null_array(data_type, files.len()));
    }
    ScalarValue::iter_to_array(values.into_iter().map(|value| value.unwrap_or_else(|| none.clone())))
}
