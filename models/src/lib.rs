//! TABLES -> TABLES: SQL model projects, as an analytics engineer knows them from dbt.
//!
//! ```text
//! folder --project--> Project --graph--> Graph --select--> Plan --build--> BuildReport
//!                     properties         render            compile, materialize, check
//!                     config
//! ```
//!
//! Nouns: a *model* is one SQL file with one SELECT; a *source* is a table that something else fills; a
//! *relation* is what a model or source is called in SQL; a *check* is a test of a model's rows (dbt: data
//! test).
//!
//! Invariants:
//! - Everything before `build` is pure: no lake, no clock, no environment variable that was not passed in.
//! - A table or incremental model is staged, checked, then committed: rows that fail a check are never
//!   published.
//! - Results stream from the engine into the table writer; no result is ever collected.
//! - A model only ever replaces a table that a model built; landed tables cannot be overwritten.

mod audit;
mod build;
mod check;
mod compile;
mod config;
mod embedded;
mod error;
mod functions;
mod graph;
mod increment;
mod materialize;
mod order;
mod plan;
mod project;
mod properties;
mod relation;
mod render;
mod report;
mod select;
mod stage;
mod target;
#[cfg(test)]
mod testing;

pub use build::{BuildOptions, build, test};
pub use check::{Check, CheckKind, Severity};
pub use config::{Materialized, ModelConfig};
pub use error::{Error, Place, Problem, Result};
pub use graph::{Graph, Node};
pub use plan::{Plan, Step, plan};
pub use project::Project;
pub use properties::{ColumnDoc, Source};
pub use render::{Inputs, allowed_environment};
pub use report::{BuildReport, CheckResult, CheckStatus, Event, ModelResult, Reporter, Silent, Status};
pub use select::Selection;
