//! The layers of configuration, one over the other.

use super::{Config, Overrides};

fn load(toml: &str, variables: &[(&str, &str)], overrides: &Overrides) -> Result<Config, String> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::from_parts(toml::from_str(toml).unwrap(), variables, overrides).map_err(|f| f.to_string())
}

#[test]
fn flags_win_over_environment_over_file() {
    let file = "[kafka]\nbrokers = 'file:1'\ngroup = 'from-file'";
    let variables = [("SLUICE_KAFKA_BROKERS", "env:1"), ("SLUICE_LAKE_S3_ENDPOINT", "http://127.0.0.1:9000")];
    let flags = Overrides { brokers: Some("flag:1".to_owned()), ..Overrides::default() };

    let config = load(file, &variables, &flags).unwrap();
    assert_eq!(config.kafka.brokers.as_deref(), Some("flag:1"));
    assert_eq!(config.kafka.group, "from-file");
    assert_eq!(config.lake.s3.endpoint.as_deref(), Some("http://127.0.0.1:9000"));

    let config = load(file, &variables, &Overrides::default()).unwrap();
    assert_eq!(config.kafka.brokers.as_deref(), Some("env:1"));
}

#[test]
fn unknown_variables_are_refused_with_a_suggestion() {
    let error = load("", &[("SLUICE_KAFKA_BROKER", "x")], &Overrides::default()).unwrap_err();
    assert!(error.contains("SLUICE_KAFKA_BROKER") && error.contains("kafka.brokers"), "{error}");
}

#[test]
fn a_duration_that_is_none_is_explained() {
    let error = load("[ingest]\ncommit_interval = 'soon'", &[], &Overrides::default()).unwrap_err();
    assert!(error.contains("`soon` is not a duration"), "{error}");
}

#[test]
fn every_documented_key_is_a_field() {
    for key in super::file::KEYS {
        let value = match *key {
            "ingest.commit_interval" | "models.every" => "5s",
            "ingest.commit_bytes" | "ingest.memory" | "query.memory" => "64MiB",
            "models.threads" | "query.threads" => "3",
            "serve.flight" | "serve.http" => "127.0.0.1:1",
            _ => "x",
        };
        let variable = super::environment::variable_of(key);
        load("", &[(&variable, value)], &Overrides::default())
            .unwrap_or_else(|error| panic!("{key}: {error}"));
    }
}
