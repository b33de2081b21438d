//! The engine: threads, one memory budget, one spill folder, one footer cache for all sessions over one lake.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::execution::SessionState;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionConfig;
use sluice_catalog::Lake;

use crate::error::Result;
use crate::scan::deletes::positions::PositionCache;
use crate::session::Session;
use crate::workers::Workers;
use crate::{functions, rules};

/// The one catalog that statements see: `sluice.NAMESPACE.TABLE`.
pub const CATALOG: &str = "sluice";

/// The size of the largest consumers that an out-of-memory message names.
const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);

/// How much of the machine queries may use.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Parallel parts of one query; the number of cores unless told otherwise.
    pub target_partitions: usize,
    /// Memory for sorts, joins and aggregates of all queries together, in bytes (default 1 GiB). Beyond it
    /// they spill to disk where they can, and fail with `ResourcesExhausted` where they cannot.
    pub memory_bytes: usize,
    /// Where to spill; the system's temporary folder unless told otherwise.
    pub spill_dir: Option<PathBuf>,
    /// The most bytes of spill files (default 20 GiB).
    pub spill_bytes_max: u64,
    /// Memory for the footers of Parquet files, in bytes (default 64 MiB).
    pub footer_cache_bytes: usize,
    /// The namespace of names that have none (default `bronze`).
    pub namespace: String,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            target_partitions: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            memory_bytes: 1 << 30,
            spill_dir: None,
            spill_bytes_max: 20 << 30,
            footer_cache_bytes: 64 << 20,
            namespace: "bronze".to_owned(),
        }
    }
}

/// Queries over one lake; clones share everything.
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    lake: Lake,
    namespace: String,
    store_url: ObjectStoreUrl,
    state: SessionState,
    workers: Workers,
    positions: PositionCache,
}

impl Engine {
    /// An engine over `lake`, with threads of its own; reads nothing yet.
    ///
    /// # Errors
    /// When the spill folder cannot be used or the threads cannot be started.
    pub fn new(lake: Lake, settings: EngineSettings) -> Result<Self> {
        let store_url = ObjectStoreUrl::parse(lake.store_url())?;
        let mut disk = DiskManagerBuilder::default().with_max_temp_directory_size(settings.spill_bytes_max);
        if let Some(dir) = &settings.spill_dir {
            disk.set_mode(DiskManagerMode::Directories(vec![dir.clone()]));
        }
        let pool = TrackConsumersPool::new(FairSpillPool::new(settings.memory_bytes), CONSUMERS_NAMED);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_disk_manager_builder(disk)
            .with_metadata_cache_limit(settings.footer_cache_bytes)
            .build_arc()?;
        runtime.register_object_store(store_url.as_ref(), lake.store());
        let mut state = SessionStateBuilder::new_with_default_features()
            .with_config(config(&settings))
            .with_optimizer_rules(rules::optimizer())
            .with_runtime_env(runtime)
            .build();
        functions::register(&mut state)?;
        let workers = Workers::start(settings.target_partitions)?;
        let inner = Inner {
            lake,
            namespace: settings.namespace,
            store_url,
            state,
            workers,
            positions: PositionCache::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The lake that is read.
    pub fn lake(&self) -> &Lake {
        &self.inner.lake
    }

    /// A session with the engine's defaults; cheap.
    pub fn session(&self) -> Session {
        Session::new(self.clone(), self.inner.namespace.clone())
    }

    pub(crate) fn store_url(&self) -> &ObjectStoreUrl {
        &self.inner.store_url
    }

    /// The state that every statement starts from: functions, rules, settings, no tables.
    pub(crate) fn state(&self) -> &SessionState {
        &self.inner.state
    }

    /// The positions of deleted rows that were read.
    pub(crate) fn positions(&self) -> &PositionCache {
        &self.inner.positions
    }

    pub(crate) fn workers(&self) -> &Workers {
        &self.inner.workers
    }
}

fn config(settings: &EngineSettings) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, &settings.namespace)
        .with_information_schema(true)
        .with_target_partitions(settings.target_partitions.max(1));
    let options = config.options_mut();
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some("UTC".to_owned());
    config
}
