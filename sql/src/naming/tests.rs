//! Names and times, taken apart.

use super::*;

#[test]
fn names_are_taken_apart() {
    let asked = |name: &str| Asked::parse("ns", name).map(|asked| (asked.metadata, asked.version));
    assert_eq!(asked("t"), Some((None, String::new())));
    assert_eq!(asked("t$files"), Some((Some(Kind::Files), String::new())));
    assert_eq!(asked("t$snapshot_17"), Some((None, "snapshot_17".into())));
    assert_eq!(asked("t$files$ref_a$b"), Some((Some(Kind::Files), "ref_a$b".into())));
    assert_eq!(asked("t$"), None);
    assert_eq!(asked("a b"), None);
}

#[test]
fn times_are_utc_unless_they_say() {
    let at = |text: &str| time(text).map(|time| time.timestamp());
    assert_eq!(at("1970-01-02"), Some(86_400));
    assert_eq!(at("1970-01-01 00:01"), Some(60));
    assert_eq!(at("1970-01-01 00:00:05.5"), Some(5));
    assert_eq!(at("1970-01-01T01:00:00+01:00"), Some(0));
    assert_eq!(at("1970-01-01 01:00:00+01:00"), Some(0));
    assert_eq!(at("yesterday"), None);
}
