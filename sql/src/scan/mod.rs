//! From live files to what Parquet readers are told: which, how split, what is known, which columns, which rows are
//! gone.

pub(crate) mod bounds;
mod defaults;
pub(crate) mod deletes;
pub(crate) mod fields;
mod fit;
pub(crate) mod groups;
pub(crate) mod keyed;
pub(crate) mod manifests;
mod mapped;
pub(crate) mod prune;
pub(crate) mod reader;
pub(crate) mod rows;
pub(crate) mod source;
pub(crate) mod statistics;
mod thrift;
pub(crate) mod whole;

#[cfg(test)]
mod tests;
