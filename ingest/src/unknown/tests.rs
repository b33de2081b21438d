//! What is unknown of a message, however deep it is.

use super::*;
use crate::topics::Kind;

fn fields(text: &str) -> Fields {
    match format!("struct({text})").parse::<Kind>().unwrap().data_type() {
        DataType::Struct(fields) => fields,
        other => panic!("{other}"),
    }
}

#[test]
fn the_unknown_part_of_a_json_value() {
    let known = fields(
        "a: long, s: struct(x: long, t: struct(y: long)), l: list(struct(x: long)), m: map(struct(x: long))",
    );
    let part = |text: &str| part_of(text, &DataType::Struct(known.clone()));
    for (text, expected) in [
        (r#"{"a":1}"#, None),
        (r#"{"a":{"b":1}}"#, None),
        (r#"{"b":null}"#, None),
        (r#"{"b":[1]}"#, Some(r#"{"b":[1]}"#)),
        (r#"{"s":{"x":1,"t":{"y":1,"z":2}}}"#, Some(r#"{"s":{"t":{"z":2}}}"#)),
        (r#"{"l":[{"x":1},{"z":2}]}"#, Some(r#"{"l":[null,{"z":2}]}"#)),
        (r#"{"m":{"k":{"x":1},"o":{"z":2}}}"#, Some(r#"{"m":{"o":{"z":2}}}"#)),
        (r#"{"s":1,"l":{},"m":[]}"#, None),
        ("no json", None),
    ] {
        assert_eq!(part(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn a_text_without_values_holds_nothing() {
    for text in ["null", "{}", "[]", r#"{"a":null}"#, r#"{"a":{"b":null},"c":[null,{}]}"#] {
        assert!(is_empty(text), "{text}");
    }
    for text in ["0", "\"\"", "false", r#"{"a":{"b":0}}"#] {
        assert!(!is_empty(text), "{text}");
    }
}
