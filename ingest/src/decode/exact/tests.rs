//! Exact or refused: every spelling of a number, and what each kind makes of it.

use arrow::array::AsArray;
use arrow::datatypes::{Decimal128Type, TimestampMicrosecondType};

use super::*;
use crate::topics::Kind;

fn one(kind: Kind, text: &str) -> Result<String, String> {
    let texts = StringArray::from(vec![Some(text), None]);
    let (array, misfits) = column(&kind.data_type(), &texts).unwrap();
    assert_eq!(array.len(), 2);
    assert!(array.is_null(1), "null stays null");
    if let Some((row, fault)) = misfits.into_iter().next() {
        assert_eq!(row, 0);
        return Err(fault);
    }
    let shown = arrow::util::display::array_value_to_string(&array, 0).unwrap();
    Ok(shown)
}

#[test]
fn integers_are_whole_and_in_range() {
    for (text, expected) in [
        ("0", "0"),
        ("-0", "0"),
        ("12", "12"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775807", "9223372036854775807"),
        ("1.0", "1"),
        ("1e3", "1000"),
        ("1.5e1", "15"),
        ("120e-1", "12"),
        ("0e-99999999999", "0"),
    ] {
        assert_eq!(one(Kind::Long, text).as_deref(), Ok(expected), "{text}");
    }
    for (text, fault) in [
        ("1.5", "has a fraction"),
        ("1e-1", "has a fraction"),
        ("1e-99999999999", "has a fraction"),
        ("9223372036854775808", "out of range"),
        ("1e19", "out of range"),
        ("1e99999999999", "out of range"),
        ("99999999999999999999999999999999999999999999", "out of range"),
        ("", "is not"),
        ("-", "is not"),
        ("1.", "is not"),
        (".5", "is not"),
        ("1-2", "is not"),
        ("1e", "is not"),
        ("0x10", "is not"),
        ("twelve", "is not"),
        ("true", "is not"),
        (" 1", "is not"),
    ] {
        let found = one(Kind::Long, text).unwrap_err();
        assert!(found.contains(fault), "{text}: {found}");
    }
    assert_eq!(one(Kind::Int, "2147483647").as_deref(), Ok("2147483647"));
    assert!(one(Kind::Int, "2147483648").unwrap_err().contains("32-bit"));
}

#[test]
fn decimals_keep_every_digit() {
    let kind = Kind::Decimal(12, 2);
    for (text, expected) in [
        ("1", "1.00"),
        ("-1.5", "-1.50"),
        ("1.500", "1.50"),
        ("0.01", "0.01"),
        ("1e-2", "0.01"),
        ("9999999999.99", "9999999999.99"),
        ("0.00000000000000000000000000000000000000000000000", "0.00"),
    ] {
        assert_eq!(one(kind.clone(), text).as_deref(), Ok(expected), "{text}");
    }
    for text in ["1.005", "0.001", "1e-3"] {
        assert!(one(kind.clone(), text).unwrap_err().contains("more decimals"), "{text}");
    }
    for text in ["10000000000", "1e10", "1e40", "123456789012345678901234567890123456789012"] {
        assert!(one(kind.clone(), text).unwrap_err().contains("too large"), "{text}");
    }
    let texts = StringArray::from(vec!["99999999999999999999999999999999999999"]);
    let (array, misfits) = column(&Kind::Decimal(38, 0).data_type(), &texts).unwrap();
    assert!(misfits.is_empty());
    assert_eq!(array.as_primitive::<Decimal128Type>().value(0), 10_i128.pow(38) - 1);
}

#[test]
fn doubles_are_finite_and_booleans_are_booleans() {
    assert_eq!(one(Kind::Double, "1.5").as_deref(), Ok("1.5"));
    for text in ["1e999", "-1e999", "NaN", "inf", "Infinity", "x", ""] {
        assert!(one(Kind::Double, text).is_err(), "{text}");
    }
    assert_eq!(one(Kind::Boolean, "true").as_deref(), Ok("true"));
    assert_eq!(one(Kind::Boolean, "false").as_deref(), Ok("false"));
    for text in ["1", "0", "yes", "TRUE", ""] {
        assert!(one(Kind::Boolean, text).is_err(), "{text}");
    }
}

#[test]
fn milliseconds_become_microseconds_within_the_calendar() {
    let texts = StringArray::from(vec!["1700000000123", "-1", "253402300799999"]);
    let (array, misfits) = column(&Kind::TimestampMillis.data_type(), &texts).unwrap();
    assert!(misfits.is_empty());
    let values = array.as_primitive::<TimestampMicrosecondType>().values().to_vec();
    assert_eq!(values, [1_700_000_000_123_000, -1000, 253_402_300_799_999_000]);
    for text in ["253402300800000", "9223372036854775807", "1.5", "2024-01-01T00:00:00Z"] {
        assert!(one(Kind::TimestampMillis, text).is_err(), "{text}");
    }
}

#[test]
fn floats_days_and_times_are_what_they_say_or_nothing() {
    assert_eq!(one(Kind::Float, "0.5").as_deref(), Ok("0.5"));
    for text in ["1e39", "-1e39", "NaN", "inf", "x", ""] {
        assert!(one(Kind::Float, text).is_err(), "{text}");
    }
    for (text, expected) in
        [("2024-02-29", "2024-02-29"), ("0001-01-01", "0001-01-01"), ("9999-12-31", "9999-12-31")]
    {
        assert_eq!(one(Kind::Date, text).as_deref(), Ok(expected), "{text}");
    }
    // The time of day would be cut, and no engine shows the years before 1 and after 9999.
    for text in [
        "2024-02-29T12:00:00Z",
        "2024-02-30",
        "2024-2-9",
        "+10999-12-31",
        "0000-12-31",
        "-0001-01-01",
        "19000",
        "",
    ] {
        assert!(one(Kind::Date, text).is_err(), "{text}");
    }
    for (text, expected) in [
        ("12:34:56", "12:34:56"),
        ("00:00:00", "00:00:00"),
        ("23:59:59.999999", "23:59:59.999999"),
        ("12:34:56.7", "12:34:56.700"),
        ("12:34:56.123456000", "12:34:56.123456"),
    ] {
        assert_eq!(one(Kind::Time, text).as_deref(), Ok(expected), "{text}");
    }
    // A number of microseconds may be longer than a day.
    for text in [
        "12:34:56.1234567",
        "24:00:00",
        "23:59:60",
        "12:34",
        "12:34 PM",
        "12:34:56.",
        "123456789012345",
        "-1",
        "1",
        "",
    ] {
        assert!(one(Kind::Time, text).is_err(), "{text}");
    }
}

#[test]
fn a_fault_shows_the_value_but_not_all_of_it() {
    let fault = one(Kind::Long, &"ü".repeat(1000)).unwrap_err();
    assert!(fault.len() < 200, "{fault}");
}
