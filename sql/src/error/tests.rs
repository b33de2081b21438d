//! Classes, places, suggestions.

use std::sync::Arc;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use super::{Complaint, Error, Place, nearest, quoted};

#[test]
fn the_root_decides_the_class() {
    let shared = DataFusionError::Shared(Arc::new(DataFusionError::Execution("too long".into())));
    assert!(matches!(Error::from(shared), Error::Execution(c) if c.message().contains("too long")));
    let context = DataFusionError::ResourcesExhausted("no room".into()).context("while sorting");
    assert!(matches!(Error::from(context), Error::ResourcesExhausted(c) if c.message() == "no room"));
    let division = DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None);
    assert!(matches!(Error::from(division), Error::Execution(c) if c.message() == "division by zero"));
}

#[test]
fn own_errors_survive_the_way_through_the_library() {
    let own = Error::NotFound(Complaint::new("there is no table `a.b`"));
    let through = DataFusionError::from(own).context("outer");
    assert!(matches!(Error::from(through), Error::NotFound(c) if c.message() == "there is no table `a.b`"));
    let own = DataFusionError::from(Error::Lake(Complaint::new("the store is away")));
    let shared = DataFusionError::Shared(Arc::new(own));
    assert!(matches!(Error::from(shared), Error::Lake(c) if c.message() == "the store is away"));
}

#[test]
fn a_long_line_is_shown_around_its_place() {
    let sql = format!("{}here", " ".repeat(500));
    let at = Some(Place { line: 1, column: 501 });
    let shown = Complaint::new("wrong").at(at).with_text(&sql).to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[1], "  at line 1, column 501");
    let caret = lines[3].find('^').unwrap();
    assert!(lines[2][caret..].starts_with("here"), "{shown}");
}

#[test]
fn a_place_beyond_the_text_shows_no_line() {
    let complaint = Complaint::new("wrong").at(Some(Place { line: 9, column: 9 })).with_text("SELECT");
    assert_eq!(complaint.to_string(), "wrong\n  at line 9, column 9");
}

#[test]
fn near_names_are_suggested_and_far_ones_not() {
    let names = ["orders", "order_items", "payments"];
    assert_eq!(nearest("oders", names.into_iter()), Some("orders"));
    assert_eq!(nearest("ORDER_ITEM", names.into_iter()), Some("order_items"));
    assert_eq!(nearest("customers", names.into_iter()), None);
    assert_eq!(quoted("orders"), "orders");
    assert_eq!(quoted("customerNumber"), "\"customerNumber\"");
}
