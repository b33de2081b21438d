//! What a table must become for the fields of a message.

use super::*;
use crate::topics::Kind;
use arrow::datatypes::Field;

fn fields(text: &str) -> Fields {
    match format!("struct({text})").parse::<Kind>().unwrap().data_type() {
        DataType::Struct(fields) => fields,
        other => panic!("{other}"),
    }
}

/// `+path` for a new column, `>path` for a wider one.
fn wanted(known: &str, given: &str) -> Vec<String> {
    let found = alterations(&fields(known), &fields(given), &[]);
    let show = |alteration: &Alteration| match alteration {
        Alteration::AddColumn { column, .. } => format!("+{}", column.join(".")),
        Alteration::WidenColumn { column, .. } => format!(">{}", column.join(".")),
        other => panic!("{other:?}"),
    };
    found.iter().map(show).collect()
}

#[test]
fn new_fields_and_wider_types_at_any_depth() {
    for (known, given, expected) in [
        ("a: int", "a: int", vec![]),
        ("a: int", "a: long, b: string", vec![">a", "+b"]),
        ("a: long", "a: int", vec![]),
        ("a: float, d: decimal(5,2)", "a: double, d: decimal(9,2)", vec![">a", ">d"]),
        ("d: decimal(5,2)", "d: decimal(9,3)", vec![]),
        ("a: long", "a: string", vec![]),
        ("s: struct(x: int)", "s: struct(x: long, y: struct(z: int))", vec![">s.x", "+s.y"]),
        ("l: list(struct(x: int))", "l: list(struct(x: long, y: int))", vec![">l.element.x", "+l.element.y"]),
        ("m: map(int)", "m: map(long)", vec![">m.value"]),
        ("l: list(int)", "l: list(long)", vec![">l.element"]),
        ("a: int, b: int", "b: int", vec![]),
        ("a: int", "A: int", vec![]),
        ("s: struct(a: int)", "s: string", vec![]),
    ] {
        assert_eq!(wanted(known, given), expected, "{known} <- {given}");
    }
}

#[test]
fn what_can_be_no_column_is_not_wanted() {
    let odd = |name: &str, data_type: DataType| {
        let field = Arc::new(arrow::datatypes::Field::new(name, data_type, true));
        alterations(&fields("a: int"), &Fields::from(vec![field]), &[])
    };
    assert!(odd("b", DataType::Interval(arrow::datatypes::IntervalUnit::DayTime)).is_empty());
    assert!(odd("", DataType::Utf8).is_empty());
    assert!(odd(&"n".repeat(NAME_MAX + 1), DataType::Utf8).is_empty());
    assert!(odd("_src_offset", DataType::Int64).is_empty());
    assert_eq!(odd("b", DataType::Utf8).len(), 1);
    let many: Vec<_> = (0..COLUMNS_MAX + 50).map(|n| format!("c{n}: int")).collect();
    assert_eq!(wanted("a: int", &many.join(", ")).len(), COLUMNS_MAX - 1);
    let new = alterations(&fields("a: int"), &fields("b: int, c: int"), &[]);
    let rest = alterations(&fields("a: int"), &fields("b: int, c: int"), &new[..1]);
    assert_eq!(rest, new[1..], "what was refused is not asked for again");
}

#[test]
fn types_of_messages_land_as_types_of_tables() {
    let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    for (given, expected) in [
        (DataType::UInt64, DataType::Int64),
        (DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), DataType::Utf8),
        (DataType::Timestamp(TimeUnit::Millisecond, Some("+00:00".into())), micros(Some("UTC"))),
        (DataType::Timestamp(TimeUnit::Nanosecond, None), micros(None)),
        (DataType::Time32(TimeUnit::Millisecond), DataType::Time64(TimeUnit::Microsecond)),
    ] {
        assert_eq!(landing(&given), Some(expected), "{given}");
    }
    assert_eq!(landing(&DataType::Struct(Fields::empty())), None);
}

#[test]
fn what_no_table_would_take_is_not_asked_for() {
    let plain = |name: &str| Field::new(name, DataType::Int32, true);
    let asked = |fields: Vec<Field>| alterations(&Fields::empty(), &fields.into(), &[]).len();
    assert_eq!(
        asked(vec![plain("a"), plain("A"), plain(""), plain(" "), plain(&"x".repeat(300)), plain("_src_x")]),
        1
    );
    let of = |inner: Vec<Field>| Field::new("s", DataType::Struct(inner.into()), true);
    assert_eq!(asked(vec![of(vec![plain("x"), plain("y")])]), 1);
    assert_eq!(asked(vec![of(vec![plain("x"), plain("X")])]), 0);
    assert_eq!(asked(vec![of(vec![plain("")])]), 0);
    assert_eq!(asked((0..5000).map(|number| plain(&format!("c{number}"))).collect()), COLUMNS_MAX);
}
