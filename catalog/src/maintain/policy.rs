//! What maintenance may do to a table: defaults of the program, overridden by properties of the table.
//!
//! | property | meaning |
//! |---|---|
//! | `history.expire.max-snapshot-age-ms` | snapshots younger than this stay |
//! | `history.expire.min-snapshots-to-keep` | so many of a branch stay, however old |
//! | `history.expire.max-ref-age-ms` | branches and tags older than this go; main never |
//! | `gc.enabled` | `false`: no file of this table is ever deleted |
//! | `sluice.maintain.enabled` | `false`: the table is left alone |
//! | `sluice.maintain.max-snapshots` | more than this of a branch go before their age |
//! | `sluice.maintain.reader-grace-ms` | a snapshot stays so long after another one followed it |
//! | `sluice.maintain.consumer-lag-max-ms` | how far behind an incremental model may be and still hold history |
//! | `sluice.maintain.orphan-age-ms` | files younger than this are never orphans |
//! | `sluice.maintain.target-file-size-bytes` | size of the files that compaction makes |
//! | `sluice.maintain.min-input-files` | fewer small files than this are not worth a rewrite |
//! | `sluice.maintain.max-bytes` | bytes that one run reads |
//! | `sluice.maintain.sort-by` | columns that compaction sorts by, as `a, b desc` |
//!
//! A value that cannot be read is an error: guessing could delete what somebody wanted to keep.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};

/// Files are never taken for orphans before this age, whatever is configured: their commit may be under way.
const ORPHAN_AGE_MIN: Duration = Duration::from_secs(60 * 60);

/// What maintenance may do to a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Whether the table is maintained at all (default yes).
    pub enabled: bool,
    /// Whether files may be deleted (default yes).
    pub delete_files: bool,
    /// Snapshots younger than this stay (default 5 days).
    pub max_snapshot_age: Duration,
    /// So many of each branch stay, however old (default 1).
    pub min_snapshots: usize,
    /// More than this of each branch go before their age (default 500).
    pub max_snapshots: usize,
    /// Branches and tags older than this go (default never).
    pub max_ref_age: Option<Duration>,
    /// A snapshot stays so long after another one followed it: a reader may have begun just before (default 1
    /// hour).
    pub reader_grace: Duration,
    /// How far behind an incremental model may be and still hold the history that it has not read (default 3
    /// days).
    pub consumer_lag_max: Duration,
    /// Files younger than this are never orphans (default 3 days, at least 1 hour).
    pub orphan_age: Duration,
    /// Size of the files that compaction makes (default 256 MiB).
    pub target_file_bytes: u64,
    /// Fewer small files than this are not worth a rewrite (default 5).
    pub min_input_files: usize,
    /// Bytes that one run of compaction reads (default 8 GiB).
    pub max_bytes: u64,
    /// Columns that compaction sorts by, instead of the table's sort order.
    pub sort_by: Option<String>,
}

impl Default for Policy {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Self {
            enabled: true,
            delete_files: true,
            max_snapshot_age: Duration::from_secs(5 * DAY),
            min_snapshots: 1,
            max_snapshots: 500,
            max_ref_age: None,
            reader_grace: Duration::from_secs(60 * 60),
            consumer_lag_max: Duration::from_secs(3 * DAY),
            orphan_age: Duration::from_secs(3 * DAY),
            target_file_bytes: 256 << 20,
            min_input_files: 5,
            max_bytes: 8 << 30,
            sort_by: None,
        }
    }
}

impl Policy {
    /// This policy with what the properties of a table say otherwise.
    ///
    /// # Errors
    /// A property whose value cannot be read, or an orphan age below one hour.
    pub fn with_properties(&self, properties: &HashMap<String, String>) -> Result<Self> {
        let read = Properties(properties);
        let policy = Self {
            enabled: read.or("sluice.maintain.enabled", self.enabled)?,
            delete_files: read.or("gc.enabled", self.delete_files)?,
            max_snapshot_age: read.ms_or("history.expire.max-snapshot-age-ms", self.max_snapshot_age)?,
            min_snapshots: read.or("history.expire.min-snapshots-to-keep", self.min_snapshots)?.max(1),
            max_snapshots: read.or("sluice.maintain.max-snapshots", self.max_snapshots)?.max(1),
            max_ref_age: match read.find::<u64>("history.expire.max-ref-age-ms")? {
                // The largest number is how the specification says never.
                Some(age) if age >= i64::MAX as u64 => None,
                Some(age) => Some(Duration::from_millis(age)),
                None => self.max_ref_age,
            },
            reader_grace: read.ms_or("sluice.maintain.reader-grace-ms", self.reader_grace)?,
            consumer_lag_max: read.ms_or("sluice.maintain.consumer-lag-max-ms", self.consumer_lag_max)?,
            orphan_age: read.ms_or("sluice.maintain.orphan-age-ms", self.orphan_age)?,
            target_file_bytes: read
                .or("sluice.maintain.target-file-size-bytes", self.target_file_bytes)?
                .max(1),
            min_input_files: read.or("sluice.maintain.min-input-files", self.min_input_files)?.max(2),
            max_bytes: read.or("sluice.maintain.max-bytes", self.max_bytes)?,
            sort_by: properties.get("sluice.maintain.sort-by").cloned().or_else(|| self.sort_by.clone()),
        };
        if policy.orphan_age < ORPHAN_AGE_MIN {
            return Err(Error::Setting {
                fact: "the age of orphans is below one hour",
                value: format!("{} ms", policy.orphan_age.as_millis()),
                remedy: "younger files may belong to a commit under way; set sluice.maintain.orphan-age-ms to 3600000 \
                         or more"
                    .to_owned(),
            });
        }
        Ok(policy)
    }

    /// Whether a table may get this property: maintenance can read its value, and a setting of Sluice's exists.
    pub(crate) fn check_property(key: &str, value: &str) -> Result<()> {
        if key.starts_with("sluice.maintain.") && !SETTINGS.contains(&key) {
            return Err(Error::Setting {
                fact: "there is no such setting of maintenance",
                value: key.to_owned(),
                remedy: format!("there are {}", SETTINGS.join(", ")),
            });
        }
        Self::default().with_properties(&HashMap::from([(key.to_owned(), value.to_owned())])).map(drop)
    }
}

/// The settings that only Sluice knows.
const SETTINGS: [&str; 9] = [
    "sluice.maintain.enabled",
    "sluice.maintain.max-snapshots",
    "sluice.maintain.reader-grace-ms",
    "sluice.maintain.consumer-lag-max-ms",
    "sluice.maintain.orphan-age-ms",
    "sluice.maintain.target-file-size-bytes",
    "sluice.maintain.min-input-files",
    "sluice.maintain.max-bytes",
    "sluice.maintain.sort-by",
];

struct Properties<'a>(&'a HashMap<String, String>);

impl Properties<'_> {
    fn find<T: FromStr>(&self, key: &str) -> Result<Option<T>> {
        let Some(text) = self.0.get(key) else { return Ok(None) };
        let value = text.trim().parse().map_err(|_| Error::Setting {
            fact: "a table property that maintenance needs cannot be read",
            value: format!("{key} = {text}"),
            remedy: "correct it; until then the table is not maintained".to_owned(),
        })?;
        Ok(Some(value))
    }

    fn or<T: FromStr>(&self, key: &str, default: T) -> Result<T> {
        Ok(self.find(key)?.unwrap_or(default))
    }

    fn ms_or(&self, key: &str, default: Duration) -> Result<Duration> {
        Ok(self.find::<u64>(key)?.map_or(default, Duration::from_millis))
    }
}
