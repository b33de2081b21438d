//! Which live files a commit removes, and where they are in the manifests.
//!
//! A manifest that holds none of them is carried on as it is. One that holds some is written again with its
//! own schema and spec. Which manifests can hold a file is told by partition spec and sequence numbers, so
//! a commit that replaces recent files does not read the manifests of the table's past.

use std::collections::{HashMap, HashSet};

use iceberg::spec::{DataContentType, DataFile, ManifestContentType, ManifestFile, Struct};

use crate::files::LiveFile;

/// The files that go.
#[derive(Debug)]
pub(super) enum Removal<'a> {
    /// None.
    Nothing,
    /// All.
    Everything,
    /// All of some partitions of one spec, and these of older specs.
    Partitions { spec_id: i32, values: HashSet<Struct>, older: HashSet<String> },
    /// These, and the position deletes that name nothing else.
    Files(HashMap<&'a str, &'a LiveFile>),
}

impl<'a> Removal<'a> {
    pub(super) fn files(files: &'a [LiveFile]) -> Self {
        if files.is_empty() {
            return Self::Nothing;
        }
        Self::Files(files.iter().map(|file| (file.parts().0.file_path(), file)).collect())
    }

    /// Whether a manifest can hold a file that goes.
    pub(super) fn may_hold(&self, manifest: &ManifestFile) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Partitions { spec_id, older, .. } => {
                manifest.partition_spec_id == *spec_id || !older.is_empty()
            }
            Self::Files(files) => files.values().any(|file| {
                if manifest.partition_spec_id != file.partition_spec_id {
                    return false;
                }
                let newest_at_least = file.sequence_number <= manifest.sequence_number;
                let within = newest_at_least && file.sequence_number >= manifest.min_sequence_number;
                match (manifest.content, file.parts().0.content_type()) {
                    (ManifestContentType::Data, DataContentType::Data) => within,
                    // Position deletes reach files that are as old as they are, or older.
                    (ManifestContentType::Deletes, DataContentType::Data) => newest_at_least,
                    (ManifestContentType::Deletes, _) => within,
                    (ManifestContentType::Data, _) => false,
                }
            }),
        }
    }

    /// Whether a live file goes.
    pub(super) fn takes(&self, file: &DataFile, spec_id: i32) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Partitions { spec_id: wanted, values, older } => match spec_id == *wanted {
                true => values.contains(file.partition()),
                false => older.contains(file.file_path()),
            },
            Self::Files(files) => files.contains_key(file.file_path()) || self.is_left_without_file(file),
        }
    }

    /// Whether the caller named the file; the others go because of a rule.
    pub(super) fn names(&self, file: &DataFile) -> bool {
        matches!(self, Self::Files(files) if files.contains_key(file.file_path()))
    }

    /// A position delete whose only data file goes.
    fn is_left_without_file(&self, file: &DataFile) -> bool {
        let Self::Files(files) = self else { return false };
        let named = (file.content_type() == DataContentType::PositionDeletes).then(|| only_target(file));
        named.flatten().is_some_and(|path| files.contains_key(path.as_str()))
    }

    /// A named file that is not among those found.
    pub(super) fn missing(&self, found: &HashSet<String>) -> Option<&str> {
        let Self::Files(files) = self else { return None };
        files.keys().copied().filter(|path| !found.contains(*path)).min()
    }
}

/// The one data file that a position delete file names, if it says so.
pub(super) fn only_target(deletes: &DataFile) -> Option<String> {
    if let Some(path) = deletes.referenced_data_file() {
        return Some(path);
    }
    let (lower, upper) = path_bounds(deletes)?;
    (lower == upper).then_some(lower)
}

/// The least and the greatest path that a position delete file names, as far as its bounds say.
pub(super) fn path_bounds(deletes: &DataFile) -> Option<(String, String)> {
    use iceberg::metadata_columns::RESERVED_FIELD_ID_DELETE_FILE_PATH as PATH;
    use iceberg::spec::PrimitiveLiteral;
    let bound = |bounds: &HashMap<i32, iceberg::spec::Datum>| match bounds.get(&PATH)?.literal() {
        PrimitiveLiteral::String(path) => Some(path.clone()),
        _ => None,
    };
    Some((bound(deletes.lower_bounds())?, bound(deletes.upper_bounds())?))
}
