//! Which type follows from which values.

use super::*;
use crate::topics::Kind;

fn inferred(objects: &[&str]) -> String {
    let fields = fields(objects.iter().copied());
    let shown = fields.iter().map(|field| format!("{}: {}", field.name(), kind(field.data_type())));
    shown.collect::<Vec<_>>().join(", ")
}

/// A type as a topics file writes it.
fn kind(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| format!("{}: {}", field.name(), kind(field.data_type())));
            format!("struct({})", fields.collect::<Vec<_>>().join(", "))
        }
        DataType::List(element) => format!("list({})", kind(element.data_type())),
        DataType::Utf8 => Kind::String.to_string(),
        DataType::Float64 => Kind::Double.to_string(),
        DataType::Boolean => Kind::Boolean.to_string(),
        other => panic!("{other} is never inferred"),
    }
}

#[test]
fn the_kind_of_value_is_the_type() {
    for (objects, expected) in [
        (vec![r#"{"a":1}"#], "a: double"),
        (vec![r#"{"a":1.5e3}"#], "a: double"),
        (vec![r#"{"a":"1"}"#], "a: string"),
        (vec![r#"{"a":true}"#], "a: boolean"),
        (vec![r#"{"a":[1,2]}"#], "a: list(double)"),
        (vec![r#"{"b":{"y":1,"x":"s"},"a":1}"#], "a: double, b: struct(x: string, y: double)"),
        (vec![r#"{"a":null}"#, r#"{"a":"s"}"#], "a: string"),
        (vec![r#"{"a":1}"#, r#"{"a":"s"}"#], "a: double"),
        (vec![r#"{"a":"s"}"#, r#"{"a":1}"#], "a: string"),
        (vec![r#"{"a":{"x":1}}"#, r#"{"a":{"y":true}}"#], "a: struct(x: double, y: boolean)"),
        (vec![r#"{"a":[{"x":1},{"y":[null,"s"]}]}"#], "a: list(struct(x: double, y: list(string)))"),
        (vec![r#"{"a":null,"b":[],"c":{},"d":[[]],"e":{"f":null}}"#], ""),
        (vec![], ""),
    ] {
        assert_eq!(inferred(&objects), expected, "{objects:?}");
    }
}

#[test]
fn what_is_too_deep_is_not_followed() {
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    assert_eq!(inferred(&[&format!("{{\"a\":{deep},\"b\":1}}")]), "b: double");
}
