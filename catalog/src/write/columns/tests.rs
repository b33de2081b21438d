//! What fits, and how what does not is named.

use arrow::array::{
    AsArray, Float64Array, Int32Array, Int64Array, StringArray, StringViewArray, TimestampNanosecondArray,
    UInt64Array,
};
use arrow::datatypes::{Int64Type, Schema, TimeUnit, TimestampMicrosecondType};

use super::*;

fn columns() -> Columns {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("at", utc, true),
    ]);
    Columns::new(TableName::new("bronze", "orders").unwrap(), Arc::new(schema))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn refusal(columns_given: Vec<(&str, ArrayRef)>) -> String {
    columns().fit(&batch(columns_given)).unwrap_err().to_string()
}

#[test]
fn columns_are_matched_by_name_cast_and_filled_with_null() {
    let fitted = columns()
        .fit(&batch(vec![
            ("name", Arc::new(StringViewArray::from(vec![Some("a"), None]))),
            ("id", Arc::new(Int32Array::from(vec![1, 2]))),
        ]))
        .unwrap();
    assert_eq!(fitted.schema(), columns().schema);
    assert_eq!(fitted.column(0).as_primitive::<Int64Type>().values(), &[1, 2]);
    assert_eq!(fitted.column(1).as_string::<i32>().value(0), "a");
    assert_eq!(fitted.column(2).null_count(), 2);
}

#[test]
fn finer_timestamps_are_cut_to_microseconds() {
    let at = TimestampNanosecondArray::from(vec![1_700_000_000_123_456_789]);
    let fitted = columns()
        .fit(&batch(vec![("id", Arc::new(Int64Array::from(vec![1]))), ("at", Arc::new(at))]))
        .unwrap();
    let micros = fitted.column(2).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(micros.value(0), 1_700_000_000_123_456);
}

#[test]
fn a_batch_with_the_right_types_is_not_copied() {
    let id: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let given = batch(vec![("name", text), ("id", id.clone())]);
    assert!(!columns().fit_as_they_are(&given));
    let fitted = columns().fit(&given).unwrap();
    assert!(Arc::ptr_eq(fitted.column(0), &id));
}

#[test]
fn misfits_name_column_and_table() {
    let id = || ("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef);
    let cases = [
        (
            refusal(vec![("name", Arc::new(StringArray::from(vec!["a"])))]),
            "column id of table bronze.orders: it is required and the batch has no such column",
        ),
        (
            refusal(vec![("id", Arc::new(Int64Array::from(vec![Some(1), None])))]),
            "column id of table bronze.orders: it is required and 1 of 2 rows are null",
        ),
        (
            refusal(vec![id(), ("extra", Arc::new(Int64Array::from(vec![1])))]),
            "column extra of table bronze.orders: the batch has it, the table has not",
        ),
        (
            refusal(vec![id(), ("name", Arc::new(Int64Array::from(vec![1])))]),
            "column name of table bronze.orders: the table has Utf8, the batch has Int64",
        ),
        (
            refusal(vec![("id", Arc::new(Float64Array::from(vec![1.5])))]),
            "column id of table bronze.orders: the table has Int64, the batch has Float64",
        ),
        (
            refusal(vec![("id", Arc::new(UInt64Array::from(vec![u64::MAX])))]),
            "column id of table bronze.orders: a value of type UInt64 does not fit Int64",
        ),
    ];
    for (message, expected) in cases {
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn a_column_given_twice_is_refused() {
    let id: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let schema =
        Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("id", DataType::Int64, false)]);
    let given = RecordBatch::try_new(Arc::new(schema), vec![id.clone(), id]).unwrap();
    let message = columns().fit(&given).unwrap_err().to_string();
    assert!(message.contains("column id") && message.contains("twice"), "{message}");
}
