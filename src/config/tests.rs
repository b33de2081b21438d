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
            "ingest.target_lag" | "ingest.discover_every" => "5s",
            "ingest.dead_letters.max_share" => "0.5",
            "ingest.dead_letters.min_messages" | "ingest.dead_letters.max_per_minute" => "3",
            "ingest.dead_letters.pause" => "5s",
            "ingest.max_message_bytes" => "64MiB",
            "ingest.commit_interval" | "models.every" | "maintain.every" | "maintain.orphans_every" => "5s",
            "maintain.max_snapshot_age" | "maintain.reader_grace" | "maintain.orphan_age" => "5h",
            "ingest.commit_bytes" | "ingest.memory" | "query.memory" => "64MiB",
            "maintain.target_file_bytes" | "maintain.max_bytes" => "64MiB",
            "ingest.open_files" | "models.threads" | "query.threads" | "maintain.max_snapshots" => "3",
            "lake.catalog_upgrade" | "lake.rest.vended_credentials" | "serve.allow_writes" => "true",
            "serve.flight" | "serve.http" | "ingest.http" => "127.0.0.1:1",
            _ => "x",
        };
        let variable = super::environment::variable_of(key);
        load("", &[(&variable, value)], &Overrides::default())
            .unwrap_or_else(|error| panic!("{key}: {error}"));
    }
}

#[test]
fn a_catalog_is_a_file_or_a_database_as_other_programs_name_it() {
    use sluice_catalog::CatalogSettings;

    let settings = |catalog: &str| {
        let variables = [("SLUICE_LAKE_CATALOG", catalog), ("SLUICE_LAKE_NAME", "prod")];
        load("", &variables, &Overrides::default()).unwrap().lake_settings().map_err(|f| f.to_string())
    };
    let path = |catalog: &str| match settings(catalog).unwrap().catalog {
        CatalogSettings::Sqlite { path } => path,
        other => panic!("{other:?}"),
    };
    assert_eq!(path("/data/c.db"), std::path::Path::new("/data/c.db"));
    assert_eq!(path("sqlite:////data/c.db"), std::path::Path::new("/data/c.db"));
    let postgres = settings("postgresql+psycopg2://u@127.0.0.1/lake").unwrap();
    assert_eq!(postgres.name, "prod");
    let CatalogSettings::Postgres(postgres) = postgres.catalog else { panic!("{postgres:?}") };
    assert_eq!(postgres.url, "postgresql://u@127.0.0.1/lake");
    assert!(settings("mysql://u:hush-hush@h/d").is_err_and(|error| !error.contains("hush-hush")));
}

#[test]
fn a_password_in_the_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sluice.toml");
    std::fs::write(&path, "[lake]\ncatalog = 'postgresql://u:hush-hush@h/d'\n").unwrap();
    let error = super::file::read(Some(&path)).unwrap_err().to_string();
    assert!(error.contains("lake.catalog_password_file") && !error.contains("hush-hush"), "{error}");
}
