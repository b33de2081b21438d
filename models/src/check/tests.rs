//! Every spelling of a check, and its SQL.

use serde_json::json;

use crate::check::{Severity, parse};

#[test]
fn spellings_mean_the_same() {
    let plain = parse(Some("status"), &json!({"accepted_values": {"values": ["a", "b"]}})).unwrap().unwrap();
    let nested = json!({"accepted_values": {"arguments": {"values": ["a", "b"]}}});
    let named = json!({"name": "mine", "test_name": "accepted_values", "values": ["a", "b"]});
    for other in [nested, named] {
        assert_eq!(parse(Some("status"), &other).unwrap().unwrap(), plain);
    }
    let of_model = parse(None, &json!({"unique": {"column_name": "id"}})).unwrap().unwrap();
    assert_eq!(of_model, parse(Some("id"), &json!("unique")).unwrap().unwrap());
}

#[test]
fn settings_of_a_check_are_read() {
    let check = parse(Some("id"), &json!({"unique": {"config": {"severity": "WARN", "where": "id > 0"}}}))
        .unwrap()
        .unwrap();
    assert_eq!(check.severity, Severity::Warn);
    assert_eq!(
        check.sql("silver.a", None),
        "select count(*) as failures from \
         (select id from (select * from silver.a as unfiltered where id > 0) as checked \
         where id is not null group by id having count(*) > 1) as doubled"
    );
    assert_eq!(parse(Some("id"), &json!({"unique": {"config": {"enabled": false}}})).unwrap(), None);
}

#[test]
fn what_cannot_run_says_why() {
    for test in [
        json!("dbt_utils.equal_rowcount"),
        json!({"accepted_values": {}}),
        json!({"relationships": {"to": "ref('a')"}}),
        json!({"unique": {"config": {"error_if": "> 10"}}}),
        json!({"unique": {"config": {"severity": "loud"}}}),
        json!(3),
    ] {
        assert!(parse(Some("id"), &test).is_err(), "{test}");
    }
    assert!(parse(None, &json!("unique")).is_err());
}

#[test]
fn literals_cannot_leave_their_quotes() {
    let check =
        parse(Some("x"), &json!({"accepted_values": {"values": ["it's", 3, true]}})).unwrap().unwrap();
    assert!(check.sql("t", None).ends_with("where x not in ('it''s', 3, true)"));
}
