//! Which names are taken and which are not.

use super::TableName;
use crate::error::Error;

#[test]
fn a_name_is_two_parts() {
    let name: TableName = "bronze.user_events-2".parse().unwrap();
    assert_eq!((name.namespace(), name.name()), ("bronze", "user_events-2"));
    assert_eq!(name.to_string(), "bronze.user_events-2");
}

#[test]
fn a_namespace_may_have_levels() {
    let name: TableName = "shop.eu.orders".parse().unwrap();
    assert_eq!((name.namespace(), name.name()), ("shop.eu", "orders"));
}

#[test]
fn what_could_leave_the_folder_or_the_identifier_is_refused() {
    let long = format!("bronze.{}", "x".repeat(201));
    let refused = [
        "orders",
        "",
        ".",
        "bronze.",
        ".orders",
        "a..c",
        "bronze.a/b",
        "...",
        "bronze.a b",
        "b.a'--",
        "b.é\u{0}",
    ];
    for text in refused.into_iter().chain([long.as_str()]) {
        let error = text.parse::<TableName>().unwrap_err();
        assert!(matches!(&error, Error::InvalidName { name } if name.contains(text)), "{text}: {error}");
    }
}
