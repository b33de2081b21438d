//! Nested JSON becomes nested columns, through the whole way of a JSON topic.

use arrow::util::display::array_value_to_string;
use proptest::prelude::*;

use super::super::fit;
use super::*;
use crate::topics::Kind;

/// Values as text, misfits as `!`.
fn fitted(texts: &[Option<&str>], kind: &str) -> Vec<String> {
    let target = kind.parse::<Kind>().unwrap().data_type();
    let source: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    let (made, misfits) = fit::column(&source, &target).unwrap();
    assert_eq!((made.data_type(), made.len()), (&target, texts.len()));
    let show = |row: usize| match misfits.iter().any(|(bad, _)| *bad == row as u32) {
        true => "!".to_owned(),
        false if made.is_null(row) => "null".to_owned(),
        false => array_value_to_string(&made, row).unwrap(),
    };
    (0..made.len()).map(show).collect()
}

#[test]
fn lists_objects_and_maps_unfold() {
    let found = fitted(
        &[Some("[1, 2.0,null]"), None, Some("[]"), Some("[1.5]"), Some("{}"), Some("[[1]]"), Some(" [ 7 ] ")],
        "list(long)",
    );
    assert_eq!(found, ["[1, 2, ]", "null", "[]", "!", "!", "!", "[7]"]);
    let found = fitted(
        &[
            Some(r#"{"a":"x\n\"y\"","b":[{"c":1},{"c":2,"d":9}],"z":{}}"#),
            Some(r#"{"a":1,"a":"last"}"#),
            Some(r#"{"b":[{"c":"no"}]}"#),
            Some("[]"),
        ],
        "struct(a: string, b: list(struct(c: int)))",
    );
    assert_eq!(found, ["{a: x\n\"y\", b: [{c: 1}, {c: 2}]}", "{a: last, b: }", "!", "!"]);
    let found = fitted(&[Some(r#"{"k":1,"l":null,"k":3}"#), Some("{}"), Some(r#"{"k":{}}"#)], "map(int)");
    assert_eq!(found, ["{k: 3, l: }", "{}", "!"]);
    let odd = "{\"a]}\\\\\":\"\u{e4}\"}";
    assert_eq!(fitted(&[Some(odd)], "map(string)"), ["{a]}\\: \u{e4}}"]);
}

#[test]
fn what_is_no_json_is_a_misfit_and_never_an_endless_loop() {
    for text in [
        "", "{", "[", "{\"a\"", "{\"a\":", "{\"a\":1", "[1", "[1,", "[1 2]", "{,}", "[,]", "[\"", "[\"\\",
        "]", "[}",
    ] {
        for kind in ["list(long)", "map(long)", "struct(a: long)"] {
            assert_eq!(fitted(&[Some(text)], kind), ["!"], "{text} as {kind}");
        }
    }
}

#[test]
fn a_value_that_unpacks_beyond_reason_is_a_misfit() {
    let fields: Vec<_> = (0..300).map(|number| format!("f{number}: long")).collect();
    let wide = format!("struct({})", fields.join(", "));
    let many = |of: &str| format!("[{}]", vec![of; 20_000].join(","));
    let few = [Some("[{},{}]"), None, Some("[]")];
    for (kind, text) in [
        (format!("list({wide})"), many("{}")),
        (format!("list({wide})"), many("null")),
        (format!("list(list({wide}))"), many("[{}]")),
        (
            format!("map({wide})"),
            format!("{{{}}}", (0..20_000).map(|n| format!("\"{n}\":{{}}")).collect::<Vec<_>>().join(",")),
        ),
    ] {
        let found = fitted(&[few[1], Some(&text), few[1]], &kind);
        // The values themselves would be too long to show.
        assert!(found[0] == "null" && found[1] == "!" && found[2] == "null", "{}", &text[..20]);
    }
    let found = fitted(&few, &format!("list({wide})"));
    assert!(found.iter().all(|value| value != "!"));
    // A long list of plain values is none of these.
    assert!(fitted(&[Some(&many("1"))], "list(long)") != ["!"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn members_and_elements_are_those_of_another_parser(value in json(3)) {
        for text in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
            let members: Option<Vec<(String, serde_json::Value)>> = members(&text).map(|members| members
                .into_iter().map(|(key, value)| (key.into_owned(), serde_json::from_str(value).unwrap())).collect());
            let expected = value.as_object().map(|object| object.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(members, expected);
            let elements: Option<Vec<serde_json::Value>> = elements(&text)
                .map(|elements| elements.into_iter().map(|value| serde_json::from_str(value).unwrap()).collect());
            prop_assert_eq!(elements, value.as_array().cloned());
        }
    }

    #[test]
    fn no_text_crashes_or_stalls(text in r#"[\[\]{}:,"\\ a1\n]{0,30}"#) {
        let _ = (members(&text), elements(&text));
        fitted(&[Some(&text)], "list(struct(a: map(long)))");
    }
}

fn json(depth: u32) -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        ".{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}
