//! Which columns lose their dictionary, and that nothing else changes.

use std::sync::Arc;

use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

/// `unique` differs in every row, `near` in all but a few, `often` has five thousand values, `few` has three,
/// `same` one, and `name` differs in every row as a text, while `kind` is always the same.
fn rows(count: i64) -> RecordBatch {
    let int = |name: &str, value: &dyn Fn(i64) -> i64| -> (Field, ArrayRef) {
        let values: Vec<i64> = (0..count).map(value).collect();
        (Field::new(name, DataType::Int64, true), Arc::new(Int64Array::from(values)))
    };
    let scattered =
        |value: i64| (value.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64) >> 20).rem_euclid(5000);
    let names: Vec<String> = (0..count).map(|value| format!("name-{value}")).collect();
    let kinds = vec!["kind"; names.len()];
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = [
        int("unique", &|value| value * 7),
        int("near", &|value| value.max(4)),
        int("often", &scattered),
        int("few", &|value| value % 3),
        int("same", &|_| 1_700_000_000_000_000),
        (Field::new("name", DataType::Utf8, true), Arc::new(StringArray::from(names)) as ArrayRef),
        (Field::new("kind", DataType::Utf8, true), Arc::new(StringArray::from(kinds)) as ArrayRef),
    ]
    .into_iter()
    .unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// The columns with a dictionary, after the rows were read back as they were written.
fn with_dictionary(rows: &RecordBatch) -> Vec<String> {
    let properties = fitted(&WriterProperties::default(), rows).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    let bytes = bytes::Bytes::from(writer.into_inner().unwrap());
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().with_batch_size(rows.num_rows());
    let columns = reader.metadata().row_group(0).columns().to_vec();
    assert_eq!(reader.build().unwrap().next().unwrap().unwrap(), *rows);
    let kept = columns.iter().filter(|column| column.dictionary_page_offset().is_some());
    kept.map(|column| column.column_path().string()).collect()
}

#[test]
fn only_columns_of_different_values_and_whole_numbers_that_stay_the_same_have_no_dictionary() {
    assert_eq!(with_dictionary(&rows(20_000)), ["often", "few", "kind"]);
    assert_eq!(with_dictionary(&rows(ROWS_MIN as i64)), ["often", "few", "kind"]);
}

#[test]
fn few_rows_decide_nothing() {
    let all = ["unique", "near", "often", "few", "same", "name", "kind"];
    assert_eq!(with_dictionary(&rows(ROWS_MIN as i64 - 1)), all);
    assert_eq!(with_dictionary(&rows(1)), all);
}

#[test]
fn nulls_are_one_value() {
    let values = Int64Array::from_iter((0..5000).map(|value| (value % 2 == 0).then_some(value)));
    let schema = Schema::new(vec![Field::new("half", DataType::Int64, true)]);
    let rows = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(values)]).unwrap();
    assert_eq!(with_dictionary(&rows), ["half"]);
}
