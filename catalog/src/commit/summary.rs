//! The summary of a snapshot: what it added and removed, and the totals after it.
//!
//! Totals are carried on from the parent's. A total that a foreign writer left out stays out: a wrong
//! count is worse than none. When everything was replaced the totals are what was added, whatever the
//! parent said.

use std::collections::{HashMap, HashSet};

use iceberg::spec::{DataContentType, DataFile, Operation, Struct, Summary};

/// Counts of one direction: added, or removed.
#[derive(Default)]
struct Side {
    data_files: u64,
    records: u64,
    bytes: u64,
    position_delete_files: u64,
    position_deletes: u64,
    equality_delete_files: u64,
    equality_deletes: u64,
}

/// Counts of one snapshot.
#[derive(Default)]
pub(super) struct Tally {
    added: Side,
    removed: Side,
    partitions: HashSet<(i32, Struct)>,
}

impl Side {
    fn count(&mut self, file: &DataFile) {
        let (files, rows) = match file.content_type() {
            DataContentType::Data => (&mut self.data_files, &mut self.records),
            DataContentType::PositionDeletes => (&mut self.position_delete_files, &mut self.position_deletes),
            DataContentType::EqualityDeletes => (&mut self.equality_delete_files, &mut self.equality_deletes),
        };
        *files += 1;
        *rows += file.record_count();
        self.bytes += file.file_size_in_bytes();
    }

    fn delete_files(&self) -> u64 {
        self.position_delete_files + self.equality_delete_files
    }
}

impl Tally {
    pub(super) fn add(&mut self, file: &DataFile, spec_id: i32) {
        self.added.count(file);
        self.touch(file, spec_id);
    }

    pub(super) fn remove(&mut self, file: &DataFile, spec_id: i32) {
        self.removed.count(file);
        self.touch(file, spec_id);
    }

    fn touch(&mut self, file: &DataFile, spec_id: i32) {
        self.partitions.insert((spec_id, file.partition().clone()));
    }

    /// Name when added, name when removed, name of the total if there is one, and the two counts.
    fn counts(&self) -> [(&'static str, &'static str, &'static str, u64, u64); 8] {
        let (added, removed) = (&self.added, &self.removed);
        [
            ("added-records", "deleted-records", "total-records", added.records, removed.records),
            (
                "added-data-files",
                "deleted-data-files",
                "total-data-files",
                added.data_files,
                removed.data_files,
            ),
            ("added-files-size", "removed-files-size", "total-files-size", added.bytes, removed.bytes),
            (
                "added-delete-files",
                "removed-delete-files",
                "total-delete-files",
                added.delete_files(),
                removed.delete_files(),
            ),
            (
                "added-position-delete-files",
                "removed-position-delete-files",
                "",
                added.position_delete_files,
                removed.position_delete_files,
            ),
            (
                "added-equality-delete-files",
                "removed-equality-delete-files",
                "",
                added.equality_delete_files,
                removed.equality_delete_files,
            ),
            (
                "added-position-deletes",
                "removed-position-deletes",
                "total-position-deletes",
                added.position_deletes,
                removed.position_deletes,
            ),
            (
                "added-equality-deletes",
                "removed-equality-deletes",
                "total-equality-deletes",
                added.equality_deletes,
                removed.equality_deletes,
            ),
        ]
    }

    /// The summary; `previous` is the parent's, `replaced` says that nothing of the parent stays live.
    pub(super) fn summary(
        &self,
        operation: Operation,
        previous: Option<&Summary>,
        replaced: bool,
        entries: &[(String, String)],
    ) -> Summary {
        let mut properties = HashMap::from([
            ("engine-name".to_owned(), "sluice".to_owned()),
            ("engine-version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("changed-partition-count".to_owned(), self.partitions.len().to_string()),
        ]);
        for (name_added, name_removed, name_total, added, removed) in self.counts() {
            for (name, count) in [(name_added, added), (name_removed, removed)] {
                if count > 0 {
                    properties.insert(name.to_owned(), count.to_string());
                }
            }
            if name_total.is_empty() {
                continue;
            }
            let total = match previous {
                Some(_) if replaced => Some(added),
                None => Some(added),
                Some(previous) => carried(previous, name_total, added, removed),
            };
            if let Some(total) = total {
                properties.insert(name_total.to_owned(), total.to_string());
            }
        }
        properties.extend(entries.iter().cloned());
        Summary { operation, additional_properties: properties }
    }
}

fn carried(previous: &Summary, name: &str, added: u64, removed: u64) -> Option<u64> {
    let before: u64 = previous.additional_properties.get(name)?.parse().ok()?;
    before.checked_add(added)?.checked_sub(removed)
}
