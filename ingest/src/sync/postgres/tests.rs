//! What PostgreSQL's bytes become, and which types are refused.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Date32Type, Decimal128Type, Int32Type, Int64Type, Schema, TimestampMicrosecondType};

use super::copy::Rows;
use super::numeric::decimal;
use super::types::{Column, Described, Take, mapped};
use crate::topics::Kind;

fn numeric(words: &[i32]) -> Vec<u8> {
    words.iter().flat_map(|word| (*word as u16).to_be_bytes()).collect()
}

#[test]
fn numerics_are_exact_or_refused() {
    // 12345.678 = [1, 2345, 6780] * 10000^(1, 0, -1)
    let value = numeric(&[3, 1, 0, 3, 1, 2345, 6780]);
    assert_eq!(decimal(&value, 10, 3), Ok(12_345_678));
    assert_eq!(decimal(&value, 12, 5), Ok(1_234_567_800));
    assert!(decimal(&value, 10, 2).unwrap_err().contains("more digits"), "a digit would be lost");
    assert!(decimal(&value, 7, 3).unwrap_err().contains("more digits"), "it is too large");
    assert_eq!(decimal(&numeric(&[1, -1, 0x4000, 2, 500]), 5, 2), Ok(-5), "-0.05");
    assert_eq!(decimal(&numeric(&[1, -2, 0, 6, 100]), 8, 6), Ok(1), "0.000001");
    assert_eq!(decimal(&numeric(&[0, 0, 0, 0]), 3, 1), Ok(0));
    assert_eq!(decimal(&numeric(&[1, 5, 0, 0, 1]), 38, 10), Ok(10_i128.pow(30)));
    assert!(decimal(&numeric(&[0, 0, 0xc000, 0]), 3, 1).unwrap_err().contains("NaN"));
    assert!(decimal(&numeric(&[2, 0, 0, 0, 1]), 3, 1).unwrap_err().contains("cut short"));
    assert!(decimal(&numeric(&[1, 100, 0, 0, 1]), 38, 0).is_err());
}

#[test]
fn each_type_has_its_place_or_a_refusal_by_name() {
    let take = |base: &str, modifier: i32| mapped(&Described::of("c", base, modifier, "b"), None);
    assert_eq!(take("numeric", (12 << 16 | 2) + 4).unwrap().take, Take::Numeric(12, 2));
    assert_eq!(take("_int4", -1).unwrap().take, Take::List(Box::new(Take::Int4)));
    assert_eq!(take("jsonb", -1).unwrap().selected(), "CAST(\"c\" AS text)");
    assert_eq!(take("_uuid", -1).unwrap().selected(), "CAST(\"c\" AS text[])");
    assert_eq!(take("int8", -1).unwrap().selected(), "\"c\"");
    let enumeration = mapped(&Described::of("a\"b", "mood", -1, "e"), None).unwrap();
    assert_eq!(
        (enumeration.take.clone(), enumeration.selected()),
        (Take::Text, "CAST(\"a\"\"b\" AS text)".to_owned())
    );
    for (base, modifier) in
        [("numeric", -1), ("numeric", (50 << 16 | 2) + 4), ("point", -1), ("int4range", -1)]
    {
        assert!(take(base, modifier).unwrap_err().contains("`c`"), "{base}");
    }
    let declared = |base: &str, kind: Kind| mapped(&Described::of("c", base, -1, "b"), Some(&kind));
    assert_eq!(declared("numeric", Kind::Decimal(20, 4)).unwrap().take, Take::Numeric(20, 4));
    assert_eq!(declared("point", Kind::String).unwrap().selected(), "CAST(\"c\" AS text)");
    assert!(declared("int4", Kind::Date).unwrap_err().contains("`c`"));
}

fn columns() -> Vec<Column> {
    let column = |name: &str, base: &str| {
        let modifier = if base == "numeric" { (6 << 16 | 2) + 4 } else { -1 };
        mapped(&Described::of(name, base, modifier, "b"), None).unwrap()
    };
    vec![
        column("id", "int8"),
        column("name", "text"),
        column("price", "numeric"),
        column("day", "date"),
        column("at", "timestamptz"),
        column("tags", "_int4"),
    ]
}

fn field(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as i32).to_be_bytes(), bytes].concat()
}

/// Two rows, the second one null but for its id.
fn copied() -> Vec<u8> {
    let null = (-1_i32).to_be_bytes();
    let ints = |numbers: &[i32]| numbers.iter().flat_map(|it| it.to_be_bytes()).collect::<Vec<_>>();
    let array = [ints(&[1, 1, 23, 3, 1]), field(&ints(&[7])), null.to_vec(), field(&ints(&[9]))].concat();
    let mut bytes = [b"PGCOPY\n\xff\r\n\0".as_slice(), &[0; 8]].concat();
    bytes.extend(
        [
            6_i16.to_be_bytes().to_vec(),
            field(&1_i64.to_be_bytes()),
            field("Käse".as_bytes()),
            field(&numeric(&[2, 0, 0, 2, 12, 5000])),
            field(&0_i32.to_be_bytes()),
            field(&1_i64.to_be_bytes()),
            field(&array),
            6_i16.to_be_bytes().to_vec(),
            field(&2_i64.to_be_bytes()),
            null.repeat(5),
            (-1_i16).to_be_bytes().to_vec(),
        ]
        .concat(),
    );
    bytes
}

#[test]
fn rows_are_the_same_wherever_the_bytes_are_cut() {
    let bytes = copied();
    let schema = Arc::new(Schema::new(columns().iter().map(Column::field).collect::<Vec<_>>()));
    for cut in 0..=bytes.len() {
        let mut rows = Rows::new(columns());
        rows.add(&bytes[..cut]).unwrap();
        rows.add(&bytes[cut..]).unwrap();
        let batch = rows.batch(&schema).unwrap();
        assert_eq!(batch.num_rows(), 2, "cut at {cut}");
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), &[1, 2]);
        assert_eq!(batch.column(1).as_string::<i32>().value(0), "Käse");
        assert_eq!(batch.column(2).as_primitive::<Decimal128Type>().value(0), 1250);
        assert_eq!(batch.column(3).as_primitive::<Date32Type>().value(0), 10_957);
        let at = batch.column(4).as_primitive::<TimestampMicrosecondType>();
        assert_eq!(at.value(0), 946_684_800_000_001);
        let tags = batch.column(5).as_list::<i32>().value(0);
        assert_eq!(tags.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(7), None, Some(9)]);
        assert!((1..6).all(|column| batch.column(column).is_null(1)));
    }
}

#[test]
fn what_no_column_holds_is_refused_with_its_column() {
    let one = |base: &str, value: &[u8]| {
        let mut rows = Rows::new(vec![mapped(&Described::of("c", base, -1, "b"), None).unwrap()]);
        let header = [b"PGCOPY\n\xff\r\n\0".as_slice(), &[0; 8]].concat();
        rows.add(&[header, 1_i16.to_be_bytes().to_vec(), field(value)].concat())
    };
    assert_eq!(one("date", &0_i32.to_be_bytes()), Ok(()));
    for (base, value) in [
        ("date", i32::MAX.to_be_bytes().to_vec()),
        ("timestamp", i64::MAX.to_be_bytes().to_vec()),
        ("timestamptz", i64::MIN.to_be_bytes().to_vec()),
        ("time", 86_400_000_000_i64.to_be_bytes().to_vec()),
        ("int4", vec![1, 2]),
        ("text", vec![0xff]),
        ("_int4", [2, 0, 23, 1, 1, 1, 1].map(i32::to_be_bytes).concat()),
    ] {
        assert!(one(base, &value).unwrap_err().contains("`c`"), "{base}");
    }
    assert!(Rows::new(columns()).add(&[b'x'; 40]).is_err(), "no header");
}
