//! Typing of settings.

use serde_json::json;
use sluice_catalog::Transform;

use crate::config::{ModelConfig, Settings, merge};

fn settings(value: serde_json::Value) -> Settings {
    value.as_object().unwrap().clone()
}

#[test]
fn partitions_are_iceberg_transforms() {
    let (config, ignored) = ModelConfig::parse(&settings(json!({
        "partition_by": ["day(at)", "bucket(16, user_id)", "truncate(4, code)", "country"]
    })))
    .unwrap();
    let fields: Vec<_> =
        config.partition_by.iter().map(|field| (field.column.as_str(), field.transform)).collect();
    let expected = [
        ("at", Transform::Day),
        ("user_id", Transform::Bucket(16)),
        ("code", Transform::Truncate(4)),
        ("country", Transform::Identity),
    ];
    assert_eq!(fields, expected);
    assert!(ignored.is_empty());
    // The form of another engine is none of ours.
    let (config, ignored) = ModelConfig::parse(&settings(json!({"partition_by": {"field": "at"}}))).unwrap();
    assert!(config.partition_by.is_empty());
    assert_eq!(ignored, ["partition_by"]);
}

#[test]
fn nearer_settings_win_and_tags_add_up() {
    let mut base = settings(json!({"tags": "a", "schema": "one"}));
    merge(&mut base, &settings(json!({"+tags": ["b"], "+schema": "two", "post-hook": "x"})));
    assert_eq!(base, settings(json!({"tags": ["a", "b"], "schema": "two", "post_hook": "x"})));
}

#[test]
fn values_of_the_wrong_type_are_refused() {
    for value in [json!({"enabled": "perhaps"}), json!({"schema": 3}), json!({"materialized": "stream"})] {
        assert!(ModelConfig::parse(&settings(value.clone())).is_err(), "{value}");
    }
    let (config, _) =
        ModelConfig::parse(&settings(json!({"enabled": "False", "full_refresh": null}))).unwrap();
    assert!(!config.enabled);
    assert_eq!(config.full_refresh, None);
}
