//! Which value of which type fits which column, exactly.

use arrow::array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
    Int32Array, ListBuilder, StringArray, StringBuilder, Time64MicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{Field, Int32Type};
use proptest::prelude::*;

use super::*;
use crate::topics::Kind;

fn kind(text: &str) -> DataType {
    text.parse::<Kind>().unwrap().data_type()
}

/// The values as text, misfits as `!`.
fn fitted(source: impl Array + 'static, target: &str) -> Vec<String> {
    let source: ArrayRef = Arc::new(source);
    let (made, misfits) = column(&source, &kind(target)).unwrap();
    assert_eq!(made.data_type(), &kind(target));
    assert_eq!(made.len(), source.len());
    let show = |row: usize| match misfits.iter().any(|(bad, _)| *bad == row as u32) {
        true => "!".to_owned(),
        false if made.is_null(row) => "null".to_owned(),
        false => array_value_to_string(&made, row).unwrap(),
    };
    (0..made.len()).map(show).collect()
}

#[test]
fn numbers_keep_their_very_value() {
    let longs = || Int64Array::from(vec![Some(1), Some(1 << 40), None, Some((1 << 53) + 1)]);
    assert_eq!(fitted(longs(), "int"), ["1", "!", "null", "!"]);
    assert_eq!(fitted(longs(), "double"), ["1.0", "1099511627776.0", "null", "!"]);
    assert_eq!(fitted(longs(), "decimal(12,2)"), ["1.00", "!", "null", "!"]);
    assert_eq!(fitted(longs(), "string"), ["1", "1099511627776", "null", "9007199254740993"]);
    assert_eq!(fitted(UInt64Array::from(vec![1, u64::MAX]), "long"), ["1", "!"]);
    assert_eq!(fitted(Float64Array::from(vec![1.0, 1.5, f64::NAN, 1e300]), "long"), ["1", "!", "!", "!"]);
    assert_eq!(fitted(Float64Array::from(vec![1.5, 1.005]), "decimal(12,2)"), ["1.50", "!"]);
    assert_eq!(fitted(Float64Array::from(vec![1.5, 0.1]), "float"), ["1.5", "!"]);
    assert_eq!(fitted(Float32Array::from(vec![1.5]), "double"), ["1.5"]);
    assert_eq!(fitted(BooleanArray::from(vec![true]), "string"), ["true"]);
    assert_eq!(fitted(BooleanArray::from(vec![true]), "long"), ["!"]);
}

#[test]
fn times_keep_their_moment() {
    let longs = Int64Array::from(vec![0, 1_700_000_000_001, i64::MAX]);
    assert_eq!(fitted(longs, "timestamp_ms"), ["1970-01-01T00:00:00Z", "2023-11-14T22:13:20.001Z", "!"]);
    let millis = || TimestampMillisecondArray::from(vec![1, i64::MAX]);
    assert_eq!(fitted(millis().with_timezone("+00:00"), "timestamp_ms"), ["1970-01-01T00:00:00.001Z", "!"]);
    assert_eq!(fitted(millis(), "timestamp_ms"), ["!", "!"], "no zone is not UTC");
    let nanos = TimestampNanosecondArray::from(vec![1_999]).with_timezone("UTC");
    assert_eq!(fitted(nanos, "timestamp_ms"), ["1970-01-01T00:00:00.000001Z"]);
    assert_eq!(fitted(Date32Array::from(vec![1]), "date"), ["1970-01-02"]);
    assert_eq!(
        fitted(StringArray::from(vec!["2024-02-29", "2023-02-29", "x"]), "date"),
        ["2024-02-29", "!", "!"]
    );
}

#[test]
fn text_and_bytes() {
    let words = DictionaryArray::<Int32Type>::from_iter([Some("a"), None]);
    assert_eq!(fitted(words, "string"), ["a", "null"]);
    assert_eq!(fitted(StringArray::from(vec![Some("7"), Some("x"), None]), "long"), ["7", "!", "null"]);
    assert_eq!(fitted(BinaryArray::from(vec![&b"a"[..]]), "binary"), ["61"]);
    assert_eq!(fitted(BinaryArray::from(vec![&b"a"[..]]), "string"), ["!"]);
    assert_eq!(fitted(arrow::array::NullArray::new(2), "list(long)"), ["null", "null"]);
}

#[test]
fn nested_values_fit_by_name_and_a_misfit_inside_is_the_rows() {
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("1"), Some("2")]);
    tags.append_null();
    tags.append_value([Some("3"), Some("x")]);
    tags.append_value([None::<&str>]);
    let tags = tags.finish();
    assert_eq!(fitted(tags.clone(), "list(int)"), ["[1, 2]", "null", "!", "[]"]);
    assert_eq!(fitted(tags.slice(2, 2), "list(int)"), ["!", "[]"]);
    assert_eq!(fitted(tags.clone(), "string"), ["!", "null", "!", "!"]);
    assert_eq!(fitted(tags, "map(string)"), ["!", "null", "!", "!"]);
    let fields = Fields::from(vec![
        Field::new("b", DataType::Utf8, true),
        Field::new("a", DataType::Int64, true),
        Field::new("extra", DataType::Int64, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["1", "no", "no"])),
        Arc::new(Int64Array::from(vec![1, 2, 3])),
        Arc::new(Int64Array::from(vec![1, 2, 3])),
    ];
    let source = StructArray::new(fields, columns, Some(vec![true, true, false].into()));
    let found = fitted(source, "struct(a: int, b: int, c: list(string))");
    assert_eq!(found, ["{a: 1, b: 1, c: }", "!", "null"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_fits_is_the_value_itself(values in prop::collection::vec(any::<Option<i64>>(), 1..30)) {
        let source: ArrayRef = Arc::new(Int64Array::from(values.clone()));
        for target in ["int", "double", "decimal(20,1)", "string"] {
            let (made, misfits) = column(&source, &kind(target)).unwrap();
            for (row, value) in values.iter().enumerate() {
                let Some(value) = value else { prop_assert!(made.is_null(row)); continue };
                if misfits.iter().any(|(bad, _)| *bad == row as u32) { continue }
                let shown = array_value_to_string(&made, row).unwrap();
                let same = if target == "double" { shown.parse::<f64>().unwrap() as i128 == i128::from(*value) }
                    else { shown.trim_end_matches(".0") == value.to_string() };
                prop_assert!(same, "{} {}", target, shown);
            }
        }
    }
}

#[test]
fn a_null_list_hides_what_is_inside() {
    let inner: ArrayRef = Arc::new(StringArray::from(vec!["x", "1"]));
    let offsets = OffsetBuffer::new(vec![0, 1, 2].into());
    let element = Arc::new(Field::new("element", DataType::Utf8, true));
    let source = ListArray::new(element, offsets, inner, Some(vec![false, true].into()));
    assert_eq!(fitted(source, "list(int)"), ["null", "[1]"]);
    assert_eq!(fitted(Int32Array::from(vec![1]), "list(int)"), ["!"]);
}

/// One such value would make the whole table unreadable for engines that check it, or another value in the file.
#[test]
fn values_beyond_their_own_type_do_not_fit() {
    let decimals = |values: Vec<i128>| Decimal128Array::from(values).with_precision_and_scale(9, 2).unwrap();
    assert_eq!(
        fitted(decimals(vec![999_999_999, 1_000_000_000, i128::MIN]), "decimal(9,2)"),
        ["9999999.99", "!", "!"]
    );
    let times =
        TimestampMicrosecondArray::from(vec![0, i64::MAX, -62_135_596_800_000_001]).with_timezone("UTC");
    assert_eq!(fitted(times, "timestamp_ms"), ["1970-01-01T00:00:00Z", "!", "!"]);
    let days = Date32Array::from(vec![0, 2_932_896, 2_932_897, -719_162, -719_163, i32::MIN]);
    assert_eq!(fitted(days, "date"), ["1970-01-01", "9999-12-31", "!", "0001-01-01", "!", "!"]);
    let times = Time64MicrosecondArray::from(vec![0, 86_399_999_999, 86_400_000_000, -1]);
    assert_eq!(fitted(times, "time"), ["00:00:00", "23:59:59.999999", "!", "!"]);
    let inner: ArrayRef = Arc::new(Time64MicrosecondArray::from(vec![0, -1]));
    let DataType::Struct(fields) = kind("struct(t: time)") else { panic!("a struct") };
    let inside = StructArray::new(fields, vec![inner], None);
    assert_eq!(fitted(inside.clone(), "struct(t: time)")[1], "!");
    let DataType::List(element) = kind("list(struct(t: time))") else { panic!("a list") };
    let list = ListArray::new(element, OffsetBuffer::from_lengths([1, 1]), Arc::new(inside), None);
    assert_eq!(fitted(list, "list(struct(t: time))")[1], "!");
}
