//! Limits and markers.

use super::Text;
use crate::error::Place;

fn message(sql: &str) -> String {
    match Text::read(sql).and_then(|text| text.parse()) {
        Ok(statement) => format!("ok: {statement}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn question_marks_become_numbered_in_order() {
    let text = Text::read("SELECT '?', \"?\", ? /* ? */ -- ?\n FROM t WHERE a = ? AND b IN (?, ?)").unwrap();
    assert_eq!(text.markers(), 4);
    assert_eq!(
        text.parse().unwrap().to_string(),
        "SELECT '?', \"?\", $1 FROM t WHERE a = $2 AND b IN ($3, $4)"
    );
}

#[test]
fn numbered_markers_stay_as_they_are() {
    let text = Text::read("SELECT $2, ?1").unwrap();
    assert_eq!(text.markers(), 2);
    assert_eq!(text.parse().unwrap().to_string(), "SELECT $2, $1");
}

#[test]
fn markers_that_cannot_be_bound_are_refused_where_they_stand() {
    let mixed = Text::read("SELECT $1,\n  ?").unwrap_err();
    assert_eq!(mixed.location(), Some((2, 3)));
    assert!(mixed.to_string().starts_with("the statement mixes `?` with numbered markers\n"), "{mixed}");
    assert!(message("SELECT $name").starts_with("`$name` is not a parameter marker\n"));
    assert!(message("SELECT $0").starts_with("`$0` is not a parameter marker\n"));
    assert!(message("SELECT $1001").starts_with("parameter 1001 is above the most, 1000"));
}

#[test]
fn one_statement_is_one_statement() {
    assert_eq!(message("SELECT 1;"), "ok: SELECT 1");
    assert_eq!(message("-- nothing\n"), "there is no statement\n  write one, for example SELECT 1");
    assert!(message("SELECT 1; SELECT 2").starts_with("2 statements were sent as one\n"));
}

#[test]
fn a_syntax_error_shows_its_line() {
    let expected = "Expected: ), found: FROM\n  at line 2, column 4\n  |    FROM t\n  |    ^";
    assert_eq!(message("SELECT (a\n   FROM t"), expected);
}

#[test]
fn limits_are_counted_on_tokens() {
    let chain = |n: usize| format!("SELECT 1{}", "+1".repeat(n));
    assert!(Text::read(&chain(1_000)).is_ok());
    assert!(message(&chain(1_001)).starts_with("one expression chains more than 1000 operators\n"));
    let nested = |n: usize| format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n));
    assert!(message(&nested(200)).starts_with("the statement is nested more than 100 levels deep\n"));
    assert!(Text::read(&nested(90)).is_ok());
    let cases = format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(200), " END".repeat(200));
    assert!(message(&cases).starts_with("the statement is nested more than 100 levels deep\n"));
    let unions = format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(1_001));
    assert!(message(&unions).starts_with("one query has more than 1000 joins and set operations\n"));
    let list = format!("SELECT 1 IN (1{})", ",1".repeat(10_001));
    assert!(message(&list).starts_with("one list has more than 10000 items\n"));
    let long = format!("SELECT '{}'", "x".repeat(1 << 20));
    assert!(message(&long).starts_with("the statement has 1048585 bytes; the most is 262144\n"));
}

#[test]
fn separate_expressions_are_counted_separately() {
    let columns: Vec<String> = (0..600).map(|n| format!("a{n} + b{n} AS c{n}")).collect();
    assert!(Text::read(&format!("SELECT {} FROM t WHERE a = 1", columns.join(", "))).is_ok());
}

#[test]
fn a_name_is_found_in_its_text() {
    let text = Text::read("SELECT *\n FROM Bronze.\"Orders\"").unwrap();
    assert_eq!(text.place_of("Orders"), Some(Place { line: 2, column: 14 }));
    assert_eq!(text.place_of("bronze"), Some(Place { line: 2, column: 7 }));
}
