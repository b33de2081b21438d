//! From live files to what Parquet readers are told: which, how split, what is known, which columns.

pub(crate) mod bounds;
pub(crate) mod fields;
pub(crate) mod groups;
pub(crate) mod prune;
pub(crate) mod statistics;

#[cfg(test)]
mod tests;
