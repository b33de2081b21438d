//! Maintenance: a table that is written all day stays small, and fast to read.
//!
//! ```text
//! TableSnapshot + Policy -> plan (which small files become large ones)      the engine rewrites them
//!                        -> dangling (delete files that no data file needs)
//!                        -> manifests (many small ones into few, by partition)
//!                        -> expire (old snapshots, then the files that only they led to)
//!                        -> orphans (files that nothing leads to, old enough)
//! ```
//!
//! Invariants:
//! - What a table holds never changes: maintenance makes the same rows cheaper to find.
//! - A file is deleted only when no snapshot, branch, tag or metadata file of the table's log leads to it,
//!   and only after the commit that gave it up is certain. After an unknown outcome nothing is deleted.
//! - A run that breaks off leaves nothing worse than orphans.
//! - There is no clock here: `now` is an argument.

mod consumers;
mod dangling;
mod expire;
mod manifests;
mod orphans;
mod plan;
mod policy;
mod reach;
#[cfg(test)]
mod tests;

pub use consumers::{CURSOR, Cursors};
pub use dangling::drop_dangling_deletes;
pub use expire::{Expired, expire};
pub use manifests::{ManifestsRewritten, rewrite_manifests};
#[cfg(test)]
pub(crate) use orphans::remove;
pub use orphans::{Orphans, remove_orphans};
pub use plan::{Job, jobs};
pub use policy::Policy;
