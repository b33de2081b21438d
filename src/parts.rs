//! The parts that commands are made of: the lake, the engine, the model project.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use sluice_catalog::{Lake, WriterSettings};
use sluice_models::Project;
use sluice_sql::{Engine, EngineSettings, Writes};

use crate::config::Config;
use crate::edge;
use crate::failure::Failure;

/// Opens the configured lake; the folder of an embedded one is created.
pub(crate) async fn lake(config: &Config) -> Result<Lake, Failure> {
    Ok(Lake::open(config.lake_settings()?).await?)
}

/// An engine over the configured lake.
pub(crate) async fn engine(config: &Config) -> Result<Engine, Failure> {
    engine_over(lake(config).await?, config)
}

/// An engine over an open lake.
pub(crate) fn engine_over(lake: Lake, config: &Config) -> Result<Engine, Failure> {
    let memory_bytes = config.query.memory.as_u64() as usize;
    let mut settings = EngineSettings { memory_bytes, ..EngineSettings::default() };
    if config.query.threads > 0 {
        settings.target_partitions = config.query.threads;
    }
    Ok(Engine::new(lake, settings)?)
}

/// The permission to change tables through SQL.
pub(crate) fn writes() -> Writes {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let files = WriterSettings { threads, ..WriterSettings::default() };
    Writes { now: Arc::new(edge::now), id: Arc::new(edge::new_id), files }
}

/// `shop` and `olist` are built in; anything else is a folder with a `dbt_project.yml`.
pub(crate) fn project(name: &str) -> Result<Project, Failure> {
    match name {
        "shop" => Ok(Project::shop()?),
        "olist" => Ok(Project::olist()?),
        folder if Path::new(folder).is_dir() => Ok(Project::load(Path::new(folder))?),
        other => Err(Failure::usage(format!("there is no model project `{other}`"))
            .hint("name a folder with a dbt_project.yml, or one of the built-in projects: shop, olist")),
    }
}
