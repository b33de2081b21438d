//! Configuration: one `sluice.toml`, every key overridable by the environment and by flags.
//!
//! ```text
//! defaults < sluice.toml < SLUICE_… environment < flags      -> Config (plain data) -> settings of the crates
//! ```
//!
//! A key `lake.s3.endpoint` is `SLUICE_LAKE_S3_ENDPOINT` in the environment. An unknown key is an error, so
//! that a typo never becomes a silent default. Secrets come from the environment or from a file that a key
//! names; they cannot be written into `sluice.toml`.

mod environment;
mod file;
mod resolve;

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

pub(crate) use resolve::Overrides;

/// The whole configuration as the user wrote it, defaults filled in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Folder of the embedded lake.
    pub(crate) data: Option<PathBuf>,
    pub(crate) lake: LakeConfig,
    pub(crate) kafka: KafkaConfig,
    pub(crate) ingest: IngestConfig,
    pub(crate) sync: SyncConfig,
    pub(crate) models: ModelsConfig,
    pub(crate) maintain: MaintainConfig,
    pub(crate) query: QueryConfig,
    pub(crate) serve: ServeConfig,
    /// The flags that this was read with, to read it again.
    #[serde(skip)]
    overrides: Overrides,
}

/// `[lake]`: where tables live.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LakeConfig {
    /// `file:///dir` or `s3://bucket/prefix`; `DATA/warehouse` unless given.
    pub(crate) warehouse: Option<String>,
    /// The catalog: a SQLite file (`DATA/catalog.db` unless given), `postgresql://user@host/database`, or the
    /// `https://` address of an Iceberg REST catalog.
    pub(crate) catalog: Option<String>,
    /// The name under which a SQL catalog records tables; `sluice` unless given.
    pub(crate) name: Option<String>,
    /// A file whose first line is the password of the catalog's database.
    pub(crate) catalog_password_file: Option<PathBuf>,
    /// Whether a SQL catalog of the older layout is given the column that tells views from tables.
    pub(crate) catalog_upgrade: bool,
    pub(crate) rest: RestConfig,
    pub(crate) s3: S3Config,
}

/// `[lake.rest]`: how an Iceberg REST catalog is signed in to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RestConfig {
    /// Which of the server's catalogs is meant, as the server names it.
    pub(crate) warehouse: Option<String>,
    /// A file whose first line is a bearer token.
    pub(crate) token_file: Option<PathBuf>,
    /// A file whose first line is `client-id:client-secret`.
    pub(crate) credential_file: Option<PathBuf>,
    /// Where tokens are asked for, if not at the catalog itself.
    pub(crate) oauth2_server_uri: Option<String>,
    /// The scope asked for; `catalog` unless given.
    pub(crate) scope: Option<String>,
    /// Whether the server is asked for keys to the tables' files; when there are none of our own unless given.
    pub(crate) vended_credentials: Option<bool>,
}

/// `[lake.s3]`: how an S3-compatible store is reached.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct S3Config {
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) access_key_id: Option<String>,
    /// A file whose first line is the secret key.
    pub(crate) secret_access_key_file: Option<PathBuf>,
}

/// `[kafka]`: the broker and what is read from it.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct KafkaConfig {
    pub(crate) brokers: Option<String>,
    /// A topics file; the shop's built-in one unless given.
    pub(crate) topics: Option<PathBuf>,
    pub(crate) group: String,
    /// Who this worker is in its group, unlike any other.
    pub(crate) instance_id: Option<String>,
    /// Client options by librdkafka's names, such as `"security.protocol" = "ssl"`.
    pub(crate) options: std::collections::BTreeMap<String, String>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: None,
            topics: None,
            group: "sluice".to_owned(),
            instance_id: None,
            options: Default::default(),
        }
    }
}

/// `[ingest]`: when to commit, how much memory to use.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct IngestConfig {
    #[serde(deserialize_with = "duration")]
    pub(crate) commit_interval: Duration,
    pub(crate) commit_bytes: ByteSize,
    /// Zero for none.
    #[serde(deserialize_with = "duration")]
    pub(crate) target_lag: Duration,
    pub(crate) open_files: usize,
    #[serde(deserialize_with = "duration")]
    pub(crate) discover_every: Duration,
    pub(crate) memory: ByteSize,
    /// Larger messages are dead letters.
    pub(crate) max_message_bytes: ByteSize,
    /// Where `sluice ingest` answers probes and `/metrics`; nowhere unless given.
    pub(crate) http: Option<std::net::SocketAddr>,
    pub(crate) dead_letters: DeadLettersConfig,
    pub(crate) registry: RegistryConfig,
}

/// `[ingest.dead_letters]`: when landing pauses rather than fill the dead letters.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DeadLettersConfig {
    /// The share of a commit's messages that may be bad, 0 to 1.
    pub(crate) max_share: f64,
    /// From how many dead letters of a commit on the share counts.
    pub(crate) min_messages: u64,
    /// Dead letters that may land within a minute; any number unless given.
    pub(crate) max_per_minute: Option<u64>,
    /// How long landing pauses before it tries the same messages again.
    #[serde(deserialize_with = "duration")]
    pub(crate) pause: Duration,
}

impl Default for DeadLettersConfig {
    fn default() -> Self {
        let limit = sluice_ingest::DeadLetterLimit::default();
        Self {
            max_share: limit.share,
            min_messages: limit.messages,
            max_per_minute: limit.per_minute,
            pause: limit.pause,
        }
    }
}

/// `[ingest.registry]`: the schema registry of Avro and Protobuf topics.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RegistryConfig {
    /// Its address, before `/schemas` and `/subjects`.
    pub(crate) url: Option<String>,
    /// The name to sign in with.
    pub(crate) user: Option<String>,
    /// A file whose first line is the password of that name.
    pub(crate) password_file: Option<PathBuf>,
    /// A file whose first line is a bearer token.
    pub(crate) token_file: Option<PathBuf>,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            commit_interval: Duration::from_secs(10),
            commit_bytes: ByteSize::mib(256),
            target_lag: Duration::ZERO,
            open_files: 256,
            discover_every: Duration::from_secs(10),
            memory: ByteSize::gib(1),
            max_message_bytes: ByteSize::mib(16),
            http: None,
            dead_letters: DeadLettersConfig::default(),
            registry: RegistryConfig::default(),
        }
    }
}

/// `[sync]`: reference data.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SyncConfig {
    /// A sync file; `sync.yaml` when it exists unless given.
    pub(crate) file: Option<PathBuf>,
}

/// `[models]`: which project is built, how often `sluice run` builds it.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ModelsConfig {
    /// `shop`, `olist` (both built in) or a folder.
    pub(crate) project: String,
    pub(crate) threads: usize,
    #[serde(deserialize_with = "duration")]
    pub(crate) every: Duration,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self { project: "shop".to_owned(), threads: 2, every: Duration::from_secs(60) }
    }
}

/// `[maintain]`: how often `sluice run` maintains all tables, and what a table's properties do not say otherwise.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MaintainConfig {
    /// How often files are compacted and snapshots expire; never when zero.
    #[serde(deserialize_with = "duration")]
    pub(crate) every: Duration,
    /// How often orphans are removed; never when zero.
    #[serde(deserialize_with = "duration")]
    pub(crate) orphans_every: Duration,
    #[serde(deserialize_with = "duration")]
    pub(crate) max_snapshot_age: Duration,
    pub(crate) max_snapshots: usize,
    #[serde(deserialize_with = "duration")]
    pub(crate) reader_grace: Duration,
    #[serde(deserialize_with = "duration")]
    pub(crate) orphan_age: Duration,
    pub(crate) target_file_bytes: ByteSize,
    pub(crate) max_bytes: ByteSize,
}

impl Default for MaintainConfig {
    fn default() -> Self {
        let policy = sluice_catalog::maintain::Policy::default();
        Self {
            every: Duration::from_secs(10 * 60),
            orphans_every: Duration::from_secs(24 * 60 * 60),
            max_snapshot_age: policy.max_snapshot_age,
            max_snapshots: policy.max_snapshots,
            reader_grace: policy.reader_grace,
            orphan_age: policy.orphan_age,
            target_file_bytes: ByteSize::b(policy.target_file_bytes),
            max_bytes: ByteSize::b(policy.max_bytes),
        }
    }
}

/// `[query]`: what a query may use.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct QueryConfig {
    pub(crate) memory: ByteSize,
    /// Partitions a query runs in; all cores when 0.
    pub(crate) threads: usize,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self { memory: ByteSize::gib(2), threads: 0 }
    }
}

/// `[serve]`: the addresses to listen on.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServeConfig {
    pub(crate) flight: std::net::SocketAddr,
    pub(crate) http: std::net::SocketAddr,
    /// Whether statements of Flight SQL clients may change tables; nobody signs in yet.
    pub(crate) allow_writes: bool,
    /// A file of bearer tokens for `/iceberg`, one a line.
    pub(crate) tokens_file: Option<PathBuf>,
    pub(crate) s3: ReaderConfig,
}

/// `[serve.s3]`: what clients of `/iceberg` are handed to read files with.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ReaderConfig {
    /// The endpoint as clients reach it; `lake.s3.endpoint` unless given.
    pub(crate) endpoint: Option<String>,
    /// The key id that every client is handed; none unless given.
    pub(crate) access_key_id: Option<String>,
    /// A file whose first line is the secret of that key.
    pub(crate) secret_access_key_file: Option<PathBuf>,
}

impl Default for ServeConfig {
    fn default() -> Self {
        let loopback = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            flight: loopback(50051),
            http: loopback(8080),
            allow_writes: false,
            tokens_file: None,
            s3: ReaderConfig::default(),
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|cause| D::Error::custom(format!("`{text}` is not a duration such as 10s or 5m: {cause}")))
}

#[cfg(test)]
mod tests;
