//! From configuration and flags to the settings that the crates take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sluice_catalog::maintain::Policy;
use sluice_catalog::{CatalogSettings, LakeSettings, PostgresSettings, RestSettings, S3Settings, Secret};
use sluice_ingest::KafkaSettings;
use sluice_ingest::registry::{Credential, RegistrySettings};
use sluice_ingest::sync::Syncs;
use sluice_ingest::topics::Topics;
use sluice_query::{IcebergSettings, ReaderKeys};
use toml::Table;

use super::{Config, environment, file};
use crate::failure::Failure;

/// The folder of the embedded lake unless told otherwise.
const DEFAULT_DATA: &str = "./sluice-data";
/// The sync file that is looked for in the working folder.
const SYNC_FILE: &str = "sync.yaml";

/// The flags that every command has; each wins over the environment and the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) config: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) warehouse: Option<String>,
    pub(crate) brokers: Option<String>,
}

/// What a command says when no broker was named.
pub(crate) struct KafkaNeeded;

impl Config {
    /// Reads the file, the process's environment and the flags.
    pub(crate) fn load(overrides: &Overrides) -> Result<Self, Failure> {
        Self::from_parts(file::read(overrides.config.as_deref())?, std::env::vars(), overrides)
    }

    /// The configuration as the file says now.
    pub(crate) fn reloaded(&self) -> Result<Self, Failure> {
        Self::load(&self.overrides)
    }

    /// The same from given parts.
    pub(super) fn from_parts(
        mut table: Table,
        variables: impl Iterator<Item = (String, String)>,
        overrides: &Overrides,
    ) -> Result<Self, Failure> {
        environment::apply(&mut table, variables)?;
        let mut config = Self::deserialize(table)
            .map_err(|cause| Failure::usage(format!("configuration: {}", cause.message())))?;
        if overrides.data.is_some() {
            config.data.clone_from(&overrides.data);
        }
        if overrides.warehouse.is_some() {
            config.lake.warehouse.clone_from(&overrides.warehouse);
        }
        if overrides.brokers.is_some() {
            config.kafka.brokers.clone_from(&overrides.brokers);
        }
        config.overrides.clone_from(overrides);
        Ok(config)
    }

    /// The folder of the embedded lake.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_DATA))
    }

    /// Where the lake is and how to get there; S3 keys fall back to the usual `AWS_…` variables.
    pub(crate) fn lake_settings(&self) -> Result<LakeSettings, Failure> {
        let dir = std::path::absolute(self.data_dir())?;
        let mut settings = LakeSettings::local(&dir);
        if let Some(catalog) = &self.lake.catalog {
            settings.catalog = self.catalog_settings(catalog)?;
        }
        if let Some(name) = &self.lake.name {
            settings.name.clone_from(name);
        }
        settings.upgrade_catalog = self.lake.catalog_upgrade;
        if let Some(warehouse) = &self.lake.warehouse {
            settings.warehouse = warehouse_url(warehouse)?;
        }
        settings.s3 = self.s3_settings()?;
        Ok(settings)
    }

    /// What `lake.catalog` names. The addresses that PyIceberg takes are taken, too: a driver behind a `+` is
    /// left out, and `sqlite:///` comes before a path.
    fn catalog_settings(&self, catalog: &str) -> Result<CatalogSettings, Failure> {
        let Some((scheme, rest)) = catalog.split_once("://") else {
            return Ok(CatalogSettings::Sqlite { path: std::path::absolute(catalog)? });
        };
        match scheme.split('+').next().unwrap_or_default() {
            "sqlite" => {
                // Three slashes lead to a path from here, four to one from the root.
                let path = rest.strip_prefix('/').unwrap_or(rest);
                Ok(CatalogSettings::Sqlite { path: std::path::absolute(path)? })
            }
            "postgres" | "postgresql" => {
                let secret = self.lake.catalog_password_file.as_deref();
                let secret =
                    secret.map(|path| read_secret("lake.catalog_password_file", path)).transpose()?;
                Ok(CatalogSettings::Postgres(PostgresSettings {
                    url: format!("postgresql://{rest}"),
                    password: secret.map(Secret::new),
                }))
            }
            "http" | "https" => self.rest_settings(catalog),
            _ => Err(Failure::usage("lake.catalog is of an unknown kind").hint(
                "give the path of a SQLite file, postgresql://user@host/database, or https://host/iceberg",
            )),
        }
    }

    /// The schema registry, if one is configured; its secrets come from files that keys name, else from
    /// `SLUICE_REGISTRY_PASSWORD` and `SLUICE_REGISTRY_TOKEN`.
    pub(crate) fn registry_settings(&self) -> Result<Option<RegistrySettings>, Failure> {
        let registry = &self.ingest.registry;
        let Some(url) = registry.url.clone() else { return Ok(None) };
        let password =
            secret("ingest.registry.password_file", &registry.password_file, "SLUICE_REGISTRY_PASSWORD")?;
        let token = secret("ingest.registry.token_file", &registry.token_file, "SLUICE_REGISTRY_TOKEN")?;
        let credential = match (&registry.user, password, token) {
            (None, None, None) => Credential::None,
            (Some(user), Some(password), None) => {
                Credential::Basic { user: user.clone(), password: Secret::new(password) }
            }
            (None, None, Some(token)) => Credential::Bearer(Secret::new(token)),
            _ => {
                return Err(Failure::usage(
                    "the credential of the schema registry is incomplete, or there are two",
                )
                .hint("set ingest.registry.user with a password, or a token, or none of them"));
            }
        };
        Ok(Some(RegistrySettings { url, credential }))
    }

    /// Secrets come from files that keys name, else from `SLUICE_REST_TOKEN` and `SLUICE_REST_CREDENTIAL`.
    fn rest_settings(&self, uri: &str) -> Result<CatalogSettings, Failure> {
        let rest = &self.lake.rest;
        let token = secret("lake.rest.token_file", &rest.token_file, "SLUICE_REST_TOKEN")?;
        let credential =
            secret("lake.rest.credential_file", &rest.credential_file, "SLUICE_REST_CREDENTIAL")?;
        Ok(CatalogSettings::Rest(RestSettings {
            uri: uri.to_owned(),
            warehouse: rest.warehouse.clone(),
            token: token.map(Secret::new),
            credential: credential.map(Secret::new),
            oauth2_server_uri: rest.oauth2_server_uri.clone(),
            scope: rest.scope.clone(),
            vended_credentials: rest.vended_credentials,
        }))
    }

    fn s3_settings(&self) -> Result<S3Settings, Failure> {
        let s3 = &self.lake.s3;
        let secret = match &s3.secret_access_key_file {
            Some(path) => Some(read_secret("lake.s3.secret_access_key_file", path)?),
            None => std::env::var("AWS_SECRET_ACCESS_KEY").ok(),
        };
        let or_env = |value: &Option<String>, name: &str| value.clone().or_else(|| std::env::var(name).ok());
        Ok(S3Settings {
            endpoint: or_env(&s3.endpoint, "AWS_ENDPOINT_URL_S3")
                .or_else(|| std::env::var("AWS_ENDPOINT_URL").ok()),
            region: or_env(&s3.region, "AWS_REGION"),
            access_key_id: or_env(&s3.access_key_id, "AWS_ACCESS_KEY_ID"),
            secret_access_key: secret.map(Secret::new),
        })
    }

    /// Who may use the Iceberg catalog of the HTTP server; tokens also come from `SLUICE_TOKENS`, one a line.
    pub(crate) fn iceberg_settings(&self) -> Result<IcebergSettings, Failure> {
        let key = "serve.tokens_file";
        let text = match &self.serve.tokens_file {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|cause| {
                Failure::usage(format!("cannot read the tokens file `{}`: {cause}", path.display()))
                    .hint(format!("{key} must name a readable file with one token a line"))
            })?),
            None => std::env::var("SLUICE_TOKENS").ok(),
        };
        let lines = text.as_deref().unwrap_or_default().lines().map(str::trim);
        let tokens: Vec<_> = lines.filter(|line| !line.is_empty()).map(Secret::new).collect();
        if text.is_some() && tokens.is_empty() {
            return Err(Failure::usage("no token is in what should hold the tokens").hint(format!(
                "put one token a line into the file that {key} names, or leave the key and SLUICE_TOKENS out"
            )));
        }
        let s3 = &self.serve.s3;
        let reader_keys = match (&s3.access_key_id, &s3.secret_access_key_file) {
            (Some(id), Some(path)) => Some(ReaderKeys {
                access_key_id: id.clone(),
                secret_access_key: Secret::new(read_secret("serve.s3.secret_access_key_file", path)?),
            }),
            (None, None) => None,
            _ => {
                return Err(Failure::usage("the keys for clients are incomplete").hint(
                    "set both serve.s3.access_key_id and serve.s3.secret_access_key_file, or neither",
                ));
            }
        };
        Ok(IcebergSettings { tokens, s3_endpoint: s3.endpoint.clone(), reader_keys })
    }

    /// How the broker is reached.
    pub(crate) fn kafka_settings(&self) -> Result<KafkaSettings, KafkaNeeded> {
        let brokers = self.kafka.brokers.clone().ok_or(KafkaNeeded)?;
        Ok(KafkaSettings {
            brokers,
            options: self.kafka.options.clone().into_iter().collect::<BTreeMap<_, _>>(),
        })
    }

    /// What maintenance may do to tables whose properties say nothing else.
    pub(crate) fn policy(&self) -> Policy {
        let maintain = &self.maintain;
        Policy {
            max_snapshot_age: maintain.max_snapshot_age,
            max_snapshots: maintain.max_snapshots,
            reader_grace: maintain.reader_grace,
            orphan_age: maintain.orphan_age,
            target_file_bytes: maintain.target_file_bytes.as_u64(),
            max_bytes: maintain.max_bytes.as_u64(),
            ..Policy::default()
        }
    }

    /// The topics file, one of the built-in ones by its name, or the shop's.
    pub(crate) fn topics(&self) -> Result<Topics, Failure> {
        let Some(path) = &self.kafka.topics else {
            return Ok(Topics::shop());
        };
        if let Some(topics) = path.to_str().and_then(Topics::named) {
            return Ok(topics);
        }
        let text = std::fs::read_to_string(path).map_err(|cause| {
            Failure::usage(format!("cannot read the topics file `{}`: {cause}", path.display()))
                .hint("name an existing file, or one of the built-in ones: shop, olist")
        })?;
        Topics::parse(&text).map_err(|cause| Failure::usage(format!("{}: {cause}", path.display())))
    }
}

impl Config {
    /// The sync file; `None` when none is named and none lies in the working folder.
    pub(crate) fn syncs(&self) -> Result<Option<Syncs>, Failure> {
        let path = match &self.sync.file {
            Some(path) => path.as_path(),
            None if Path::new(SYNC_FILE).is_file() => Path::new(SYNC_FILE),
            None => return Ok(None),
        };
        let text = std::fs::read_to_string(path).map_err(|cause| {
            Failure::usage(format!("cannot read the sync file `{}`: {cause}", path.display()))
                .hint("name an existing file with sync.file, or put a sync.yaml into the working folder")
        })?;
        let syncs = Syncs::parse(&text);
        syncs.map(Some).map_err(|cause| Failure::usage(format!("{}: {cause}", path.display())))
    }
}

impl From<KafkaNeeded> for Failure {
    fn from(_: KafkaNeeded) -> Self {
        Self::usage("no Kafka broker is configured")
            .hint("give --brokers HOST:PORT, set SLUICE_KAFKA_BROKERS or kafka.brokers in sluice.toml; `sluice demo` needs none")
    }
}

/// A URL as it is; a path as `file://` URL.
fn warehouse_url(warehouse: &str) -> Result<String, Failure> {
    if warehouse.contains("://") {
        return Ok(warehouse.to_owned());
    }
    Ok(format!("file://{}", std::path::absolute(warehouse)?.display()))
}

/// The secret in the file that a key names, else in a variable.
fn secret(key: &str, file: &Option<PathBuf>, variable: &str) -> Result<Option<String>, Failure> {
    match file {
        Some(path) => read_secret(key, path).map(Some),
        None => Ok(std::env::var(variable).ok()),
    }
}

fn read_secret(key: &str, path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).map_err(|cause| {
        Failure::usage(format!("cannot read the secret file `{}`: {cause}", path.display()))
            .hint(format!("{key} must name a readable file whose first line is the secret"))
    })?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
