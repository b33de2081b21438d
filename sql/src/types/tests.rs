//! Plain types, in schemas and batches alike.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, LargeStringArray, RecordBatch, StringArray, StringViewArray,
    StructArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, TimeUnit};

use super::{FIELD_ID, parameter_type, plain_batch, plain_schema, plain_type};

#[test]
fn every_text_is_utf8_and_every_utc_is_spelt_alike() {
    for text in [DataType::Utf8View, DataType::LargeUtf8, DataType::Utf8] {
        assert_eq!(plain_type(&text), DataType::Utf8);
        let keyed = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(text));
        assert_eq!(plain_type(&keyed), DataType::Utf8);
    }
    let offset = DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into()));
    assert_eq!(plain_type(&offset), DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())));
    let elsewhere = DataType::Timestamp(TimeUnit::Second, Some("+02:00".into()));
    assert_eq!(plain_type(&elsewhere), elsewhere);
}

#[test]
fn nested_types_are_plain_inside() {
    let inner = Field::new("name", DataType::Utf8View, true);
    let list =
        DataType::LargeList(Arc::new(Field::new("item", DataType::Struct(Fields::from(vec![inner])), true)));
    let plain = Field::new("name", DataType::Utf8, true);
    let expected =
        DataType::List(Arc::new(Field::new("item", DataType::Struct(Fields::from(vec![plain])), true)));
    assert_eq!(plain_type(&list), expected);
}

#[test]
fn parameters_are_bound_in_milliseconds() {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    assert_eq!(parameter_type(&micros), DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())));
    assert_eq!(parameter_type(&DataType::Null), DataType::Utf8);
}

#[test]
fn a_batch_follows_the_schema_made_for_it() {
    let keyed: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
    let inner: ArrayRef = Arc::new(StringViewArray::from(vec!["x", "y", "z"]));
    let id = [(FIELD_ID.to_owned(), "7".to_owned()), ("doc".to_owned(), "kept".to_owned())];
    let columns: Vec<(Field, ArrayRef)> = vec![
        (Field::new("keyed", keyed.data_type().clone(), true), Arc::new(keyed)),
        (
            Field::new("large", DataType::LargeUtf8, false).with_metadata(id.into()),
            Arc::new(LargeStringArray::from(vec!["1", "2", "3"])),
        ),
        (
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), true),
            Arc::new(TimestampMicrosecondArray::from(vec![0, 1, 2]).with_timezone("+00:00")),
        ),
        (
            Field::new(
                "s",
                DataType::Struct(Fields::from(vec![Field::new("v", DataType::Utf8View, true)])),
                true,
            ),
            Arc::new(StructArray::from(vec![(Arc::new(Field::new("v", DataType::Utf8View, true)), inner)])),
        ),
    ];
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();

    let schema = plain_schema(batch.schema_ref());
    let plain = plain_batch(&batch, &schema).unwrap();

    assert_eq!(plain.schema(), schema);
    assert_eq!(plain.column(0).as_string::<i32>(), &StringArray::from(vec![Some("a"), None, Some("a")]));
    assert_eq!(plain.column(3).as_struct().column(0).as_string::<i32>().value(2), "z");
    let metadata = schema.field(1).metadata();
    assert_eq!(metadata.get("doc").map(String::as_str), Some("kept"));
    assert!(!metadata.contains_key(FIELD_ID));
}
