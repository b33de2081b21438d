//! Which delete files apply to which data file.
//!
//! | kind | applies to data files | of sequence number |
//! |---|---|---|
//! | deletion vector | the one it names | not above its own |
//! | position deletes | the one they name, else those of their spec and partition whose path is in bounds | not above its own |
//! | equality deletes of an unpartitioned spec | all | below its own |
//! | other equality deletes | those of their spec and partition | below its own |
//!
//! A deletion vector stands in place of the position deletes of its file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use iceberg::spec::{
    DataContentType, DataFile, DataFileFormat, Datum, PrimitiveLiteral, Struct, TableMetadata,
};

use super::live::{DeleteFile, Deletes, EqualityDeletes, PositionDeletes};
use crate::error::Result;

/// The field id of the column `file_path` in position delete files, fixed by the format.
const FILE_PATH: i32 = 2_147_483_546;

/// A spec and the values of one of its partitions.
type Partition = (i32, Struct);

/// The delete files of a snapshot, ready to be asked.
#[derive(Debug, Default)]
pub(super) struct DeleteIndex {
    vectors: HashMap<String, Arc<DeleteFile>>,
    by_path: HashMap<String, Vec<Arc<DeleteFile>>>,
    by_partition: HashMap<Partition, Vec<Arc<DeleteFile>>>,
    /// By ascending sequence number; `None` is the whole table.
    equality: HashMap<Option<Partition>, Arc<[Arc<DeleteFile>]>>,
}

impl DeleteIndex {
    /// # Errors
    /// When a data file has two deletion vectors: which one holds cannot be told.
    pub(super) fn of(
        metadata: &TableMetadata,
        files: Vec<Arc<DeleteFile>>,
        refused: impl Fn(&str, String) -> crate::error::Error,
    ) -> Result<Self> {
        let mut index = Self::default();
        let mut equality: HashMap<Option<Partition>, Vec<Arc<DeleteFile>>> = HashMap::new();
        for file in files {
            let data = &file.data_file;
            let partition = || (file.partition_spec_id, data.partition().clone());
            if data.content_type() == DataContentType::EqualityDeletes {
                let spec = metadata.partition_spec_by_id(file.partition_spec_id);
                let global = spec.is_none_or(|spec| spec.is_unpartitioned());
                equality.entry((!global).then(partition)).or_default().push(file);
            } else if data.file_format() == DataFileFormat::Puffin {
                match index.vectors.entry(data.referenced_data_file().unwrap_or_default()) {
                    Entry::Vacant(free) => free.insert(file),
                    Entry::Occupied(other) => {
                        let fact = format!("it and another vector both delete from {}", other.key());
                        return Err(refused(data.file_path(), fact));
                    }
                };
            } else if let Some(path) = only_path(data) {
                index.by_path.entry(path).or_default().push(file);
            } else {
                let key = partition();
                index.by_partition.entry(key).or_default().push(file);
            }
        }
        index.equality = equality
            .into_iter()
            .map(|(scope, mut files)| {
                files.sort_by_key(|file| file.sequence_number);
                (scope, files.into())
            })
            .collect();
        Ok(index)
    }

    fn is_empty(&self) -> bool {
        self.vectors.is_empty()
            && self.by_path.is_empty()
            && self.by_partition.is_empty()
            && self.equality.is_empty()
    }

    /// What deletes from a data file.
    pub(super) fn apply(&self, file: &DataFile, spec_id: i32, sequence_number: i64) -> Deletes {
        if self.is_empty() {
            return Deletes::default();
        }
        let partition = (spec_id, file.partition().clone());
        let positions = self.positions(file, &partition, sequence_number);
        let scopes = [self.equality.get(&None), self.equality.get(&Some(partition))];
        let newer = |scope: &Arc<[Arc<DeleteFile>]>| {
            let from = scope.partition_point(|delete| delete.sequence_number <= sequence_number);
            (from < scope.len()).then(|| EqualityDeletes { scope: scope.clone(), from })
        };
        Deletes { positions, equality: scopes.into_iter().flatten().filter_map(newer).collect() }
    }

    fn positions(&self, file: &DataFile, partition: &Partition, sequence_number: i64) -> PositionDeletes {
        let path = file.file_path();
        let newer = |delete: &&Arc<DeleteFile>| delete.sequence_number >= sequence_number;
        if let Some(vector) = self.vectors.get(path).filter(newer) {
            return PositionDeletes::Vector(vector.clone());
        }
        let named = self.by_path.get(path).into_iter().flatten();
        let around = self.by_partition.get(partition).into_iter().flatten();
        let around = around.filter(|delete| may_name(&delete.data_file, path));
        let files: Vec<_> = named.chain(around).filter(newer).cloned().collect();
        if files.is_empty() { PositionDeletes::None } else { PositionDeletes::Files(files) }
    }
}

/// The one data file that a position delete file is about, where it says so.
pub(super) fn only_path(deletes: &DataFile) -> Option<String> {
    let named = deletes.referenced_data_file().filter(|path| !path.is_empty());
    named.or_else(|| {
        let (lower, upper) = path_bounds(deletes);
        // A bound that was cut short differs from its counterpart, which is rounded the other way.
        lower.filter(|lower| Some(*lower) == upper).map(str::to_owned)
    })
}

fn may_name(deletes: &DataFile, path: &str) -> bool {
    let (lower, upper) = path_bounds(deletes);
    lower.is_none_or(|lower| lower <= path) && upper.is_none_or(|upper| path <= upper)
}

fn path_bounds(deletes: &DataFile) -> (Option<&str>, Option<&str>) {
    (text(deletes.lower_bounds().get(&FILE_PATH)), text(deletes.upper_bounds().get(&FILE_PATH)))
}

fn text(bound: Option<&Datum>) -> Option<&str> {
    match bound?.literal() {
        PrimitiveLiteral::String(text) => Some(text.as_str()),
        _ => None,
    }
}
