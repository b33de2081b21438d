//! What the properties of a table say about its files, by the names that Iceberg gives them.
//!
//! | property | default |
//! |---|---|
//! | `write.target-file-size-bytes` | 128 MiB |
//! | `write.parquet.compression-level` | 1, of zstd's 1 to 22 |
//!
//! A value that cannot be used is told and ignored: it must not keep rows from landing.

use std::str::FromStr;

use crate::snapshot::TableSnapshot;

/// Encoded bytes at which a file is closed.
pub(super) fn file_bytes(table: &TableSnapshot) -> usize {
    number(table, "write.target-file-size-bytes", |bytes| *bytes > 0).unwrap_or(128 << 20)
}

/// The zstd level of data files.
pub(super) fn zstd_level(table: &TableSnapshot) -> i32 {
    number(table, "write.parquet.compression-level", |level| (1..=22).contains(level)).unwrap_or(1)
}

fn number<T: FromStr>(table: &TableSnapshot, key: &str, usable: impl Fn(&T) -> bool) -> Option<T> {
    let text = table.metadata().properties().get(key)?;
    let number = text.parse().ok().filter(usable);
    if number.is_none() {
        tracing::warn!(table = %table.name(), key, value = text, "this property of a table is no fitting number and is ignored");
    }
    number
}
