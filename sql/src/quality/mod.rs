//! QUALITY: what is in a table, and how two tables differ.
//!
//! ```text
//! Subject (a pinned table and its session) -> one aggregate over all columns  -> Profile    -> text, JSON, page
//!                                          -> counts by value or bin, a column
//! two Subjects -> schemas, counts, and for each column one statistic          -> Comparison -> text, JSON, page
//! ```
//!
//! Everything is streamed aggregates. Exact: rows, nulls, least and greatest values, means, duplicates, both
//! statistics of a comparison. Approximate: different values (HyperLogLog, about 2 %) and quantiles (t-digest).

mod compare;
mod page;
mod profile;
mod statistics;
mod subject;
mod volume;

#[cfg(test)]
mod tests;

pub use compare::{Comparison, Difference, Shift, Verdict, compare};
pub use page::{comparison_page, profile_page};
pub use profile::{Bar, ColumnProfile, Profile, profile};
pub use subject::Subject;
pub use volume::{Freshness, Volume};
