//! Schemas that are made harmless, and those that cannot be.

use super::*;

fn refused(text: &str) -> String {
    expand(text, &[]).unwrap_err()
}

#[test]
fn names_are_replaced_by_what_they_stand_for() {
    let text = r#"{"type":"record","name":"x.R","fields":[
        {"name":"a","type":{"type":"record","name":"Home","fields":[{"name":"z","type":"int"}]}},
        {"name":"b","type":["null","Home"]},
        {"name":"c","type":"x.Home"},
        {"name":"d","type":"other.Place"},
        {"name":"e","type":{"type":"string","logicalType":"uuid"}},
        {"name":"f","type":{"type":{"type":"int"}}},
        {"name":"g","type":["int"]}]}"#;
    let place =
        r#"{"type":"record","name":"Place","namespace":"other","fields":[{"name":"near","type":"Far"}]}"#;
    let far = r#"{"type":"enum","name":"other.Far","symbols":["N"]}"#;
    let references = [("p".to_owned(), place.to_owned()), ("f".to_owned(), far.to_owned())];
    let made: Value = serde_json::from_str(&expand(text, &references).unwrap()).unwrap();
    let fields = made["fields"].as_array().unwrap();
    assert_eq!(fields[0]["type"]["fields"][0]["name"], "z");
    assert_eq!(fields[1]["type"][1]["fields"][0]["type"], "int");
    assert_eq!(fields[2]["type"]["fields"], fields[0]["type"]["fields"]);
    assert_eq!(fields[3]["type"]["fields"][0]["type"]["symbols"][0], "N");
    assert_eq!((&fields[4]["type"], &fields[5]["type"]), (&json!("string"), &json!("int")));
    assert_eq!(fields[6]["type"], json!(["int", "null"]));
}

#[test]
fn what_no_table_or_decoder_can_hold_is_refused() {
    let record = |kind: &str| {
        format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":"int"}},{{"name":"f","type":{kind}}}]}}"#
        )
    };
    for (kind, fact) in [
        (r#""R""#, "contains itself"),
        (r#"["null","R"]"#, "contains itself"),
        (r#"{"type":"array","items":"R"}"#, "contains itself"),
        (r#"{"type":"array","items":"null"}"#, "no bound"),
        (r#"{"type":"array","items":{"type":"fixed","name":"F","size":0}}"#, "no bound"),
        (r#"{"type":"array","items":{"type":"record","name":"E","fields":[]}}"#, "no bound"),
        (r#""Gone""#, "not defined"),
        (r#"{"type":"enum","name":"E"}"#, "without symbols"),
        (r#"{"type":"fixed","name":"E"}"#, "without a size"),
        (r#"{"type":"fixed","name":"E","size":99999999}"#, "too large"),
        ("[]", "without a type"),
        (r#"["null"]"#, "without a type"),
        (r#"["null","int","string"]"#, "union of several"),
        (r#"["int","string"]"#, "union of several"),
        ("7", "is no type"),
        (r#"{"items":"int"}"#, "without `type`"),
    ] {
        let found = refused(&record(kind));
        assert!(found.contains(fact), "{kind}: {found}");
    }
    assert!(refused("{").contains("not JSON"));
    assert!(refused(r#""int""#).contains("no record"));
    assert!(refused(r#"{"type":"record","name":"R","fields":[]}"#).contains("no bytes"));
    assert!(
        refused(r#"{"type":"record","name":"R","fields":[{"name":"a b","type":"int"}]}"#).contains("no name")
    );
    let deep = |levels: usize| {
        (0..levels).fold("\"int\"".to_owned(), |inner, _| format!(r#"{{"type":"array","items":{inner}}}"#))
    };
    assert!(expand(&record(&deep(20)), &[]).is_ok());
    assert!(refused(&record(&deep(40))).contains("deeper"));
    assert!(refused(&record(&deep(20_000))).contains("not JSON"));
}

#[test]
fn a_schema_that_doubles_at_each_level_is_cut_short() {
    let mut fields =
        r#"{"name":"a","type":{"type":"record","name":"T0","fields":[{"name":"x","type":"int"}]}}"#
            .to_owned();
    for level in 1..25 {
        let below = level - 1;
        fields.push_str(&format!(
            r#",{{"name":"f{level}","type":{{"type":"record","name":"T{level}","fields":[
              {{"name":"l","type":"T{below}"}},{{"name":"r","type":"T{below}"}}]}}}}"#
        ));
    }
    let text = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    assert!(refused(&text).contains("types"));
}
