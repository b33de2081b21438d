//! Properties of a table against the defaults of the program.

use std::collections::HashMap;

use super::*;

fn with(properties: &[(&str, &str)]) -> crate::error::Result<Policy> {
    let properties: HashMap<_, _> =
        properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Policy::default().with_properties(&properties)
}

#[test]
fn properties_win_over_defaults() {
    let policy = with(&[
        ("history.expire.max-snapshot-age-ms", "60000"),
        ("history.expire.min-snapshots-to-keep", "7"),
        ("history.expire.max-ref-age-ms", "1000"),
        ("gc.enabled", "false"),
        ("sluice.maintain.orphan-age-ms", "7200000"),
        ("sluice.maintain.sort-by", "id desc"),
    ])
    .unwrap();
    assert_eq!(policy.max_snapshot_age, Duration::from_secs(60));
    assert_eq!(policy.min_snapshots, 7);
    assert_eq!(policy.max_ref_age, Some(Duration::from_secs(1)));
    assert!(!policy.delete_files);
    assert_eq!(policy.orphan_age, Duration::from_secs(7_200));
    assert_eq!(policy.sort_by.as_deref(), Some("id desc"));
    assert_eq!(with(&[]).unwrap(), Policy::default());
}

#[test]
fn what_cannot_be_read_is_no_default() {
    for key in ["history.expire.max-snapshot-age-ms", "gc.enabled", "sluice.maintain.max-snapshots"] {
        let error = with(&[(key, "5 days")]).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("5 days"), "{error}");
    }
}

#[test]
fn orphans_are_never_younger_than_an_hour() {
    assert!(with(&[("sluice.maintain.orphan-age-ms", "3600000")]).is_ok());
    assert!(with(&[("sluice.maintain.orphan-age-ms", "3599999")]).is_err());
}
