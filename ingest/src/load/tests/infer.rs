//! Types: the narrowest that loses nothing, and text where a number would.

use arrow::array::StringArray;
use arrow::datatypes::DataType;
use proptest::prelude::*;

use crate::load::columns::{Column, cast};
use crate::load::infer::{Guess, fits, type_name};

fn settle(values: &[&str]) -> DataType {
    let mut guess = Guess::new();
    values.iter().for_each(|value| guess.see(value));
    guess.settle()
}

#[test]
fn the_type_of_a_column_is_that_of_all_its_values() {
    let cases: [(&[&str], &str); 52] = [
        (&[], "string"),
        (&["", ""], "string"),
        (&["1", "", "-20"], "long"),
        (&["0", "-7"], "long"),
        (&["9223372036854775807"], "long"),
        (&["9223372036854775808"], "string"),
        (&["007"], "string"),
        (&["1", "2", "03"], "string"),
        (&["01037", "14409"], "string"),
        (&["00"], "string"),
        (&["-0"], "decimal(18,2)"),
        (&["+49"], "string"),
        (&["1,5"], "string"),
        (&["1 000"], "string"),
        (&[" 1"], "string"),
        (&["12a"], "string"),
        (&["0x10"], "string"),
        (&["1e5x"], "string"),
        (&["58.90", "13.29"], "decimal(18,2)"),
        (&["1.5", "20"], "decimal(18,2)"),
        (&["1.500"], "decimal(18,2)"),
        (&["0.5", ".5", "-.25"], "decimal(18,2)"),
        (&["1.2345"], "decimal(18,4)"),
        (&["1.23456"], "double"),
        (&["-23.54562128115268"], "double"),
        (&["198.85000000000002", "1"], "double"),
        (&["123456789012345.5"], "decimal(18,2)"),
        (&["1234567890123456.5"], "decimal(18,2)"),
        (&["12345678901234567.5"], "string"),
        (&["123456789012345.1234"], "double"),
        (&["1234567890123456.1234"], "string"),
        (&["1e5", "2.5E-4"], "double"),
        (&["1e999"], "string"),
        (&["NaN"], "string"),
        (&["1."], "string"),
        (&["-"], "string"),
        (&["true", "FALSE"], "boolean"),
        (&["true", "1"], "string"),
        (&["2018-01-31"], "date"),
        (&["2018-02-30"], "string"),
        (&["2018-01-31 10:00:00", "2018-01-31"], "timestamp"),
        (&["2018-01-31T10:00:00.123456"], "timestamp"),
        (&["2018-01-31 10:00:00.1234567"], "string"),
        (&["2018-01-31T10:00:00Z", "2018-01-31 10:00:00+05:30"], "timestamptz"),
        (&["2018-01-31T10:00:00Z", "2018-01-31T10:00:00"], "string"),
        (&["2018-01-31 25:00:00"], "string"),
        (&["2018-01-31 23:59:60"], "string"),
        (&["2018-01-31  9:00:00"], "string"),
        (&["2018- 1-31"], "string"),
        (&["0000-01-01"], "string"),
        (&["2018-01-31 10:00:00++5:00"], "string"),
        (&["2018-01-31 10:00:00.123+0530"], "timestamptz"),
    ];
    for (values, expected) in cases {
        assert_eq!(type_name(&settle(values)), expected, "{values:?}");
    }
}

#[test]
fn a_value_fits_a_type_that_keeps_all_of_it() {
    let decimal = DataType::Decimal128(18, 2);
    for fitting in ["1", "-1.5", "0.10", "1.500", "1234567890123456.78"] {
        assert!(fits(fitting, &decimal), "{fitting}");
    }
    for misfit in ["1.005", "12345678901234567", "1e2", "abc", "007"] {
        assert!(!fits(misfit, &decimal), "{misfit}");
    }
    assert!(fits("2147483647", &DataType::Int32) && !fits("2147483648", &DataType::Int32));
    assert!(fits("12", &DataType::Float64) && !fits("twelve", &DataType::Float64));
    assert!(!fits("1", &DataType::Binary), "no file can fill it");
}

/// The only row of a column with this type, as text.
fn stored(text: &str, data_type: &DataType) -> String {
    let column = Column::new("c", data_type.clone());
    let values = cast(&StringArray::from(vec![text]), &column);
    let values = values.unwrap_or_else(|error| panic!("{text:?} as {data_type}: {error}"));
    arrow::util::display::array_value_to_string(&values, 0).expect("a plain type")
}

#[test]
fn values_are_stored_as_written() {
    let cases = [
        (".5", "0.50"),
        ("-.25", "-0.25"),
        ("1.500", "1.50"),
        ("1234567890123456.78", "1234567890123456.78"),
        ("2018-01-31", "2018-01-31"),
        ("0001-01-01 00:00:00", "0001-01-01T00:00:00"),
        ("9999-12-31 23:59:59.999999", "9999-12-31T23:59:59.999999"),
        ("2018-01-31T10:00:00+05:30", "2018-01-31T04:30:00Z"),
        ("TRUE", "true"),
    ];
    for (text, expected) in cases {
        assert_eq!(stored(text, &settle(&[text])), expected);
    }
    let midnight = settle(&["2018-01-31", "2018-01-31 10:00:00"]);
    assert_eq!(stored("2018-01-31", &midnight), "2018-01-31T00:00:00");
}

proptest! {
    /// What the second pass relies on: no value can fail to become its column's type.
    #[test]
    fn every_value_fits_and_converts_to_the_inferred_type(
        values in prop::collection::vec(prop_oneof![
            "-?[0-9]{0,20}(\\.[0-9]{0,7})?",
            "-?[0-9]{1,3}(\\.[0-9]{1,3})?([eE][-+]?[0-9]{1,3})?",
            "[0-9]{4}-[01][0-9]-[0-3][0-9]([ T][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,7})?(Z|[+-][0-2][0-9]:?[0-6][0-9])?)?",
            "true|false|TRUE|\\PC{0,6}",
        ], 1..4),
    ) {
        let texts: Vec<&str> = values.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        let data_type = settle(&texts);
        for text in texts {
            prop_assert!(fits(text, &data_type), "{text:?} in {values:?} as {data_type}");
            let kept = stored(text, &data_type);
            if data_type == DataType::Int64 || data_type == DataType::Utf8 {
                prop_assert_eq!(kept, text);
            }
        }
    }
}
