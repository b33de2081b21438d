//! A live data file together with what deletes rows of it.
//!
//! The two come apart only through [`LiveFile::parts`]: a reader that has not learned to delete takes
//! [`LiveFile::whole`] and is refused where rows are deleted. It never returns rows that are gone.

use std::sync::Arc;

use iceberg::spec::{DataFile, Datum, PrimitiveLiteral};

use super::deletes::only_path;
use crate::error::{Error, Result};

/// A data file of a snapshot; clones are cheap.
#[derive(Clone, Debug)]
pub struct LiveFile {
    data_file: Arc<DataFile>,
    /// The spec its partition values belong to.
    pub partition_spec_id: i32,
    /// The data sequence number: equality deletes with a higher one apply, position deletes with the same too.
    pub sequence_number: i64,
    deletes: Deletes,
}

/// A file that deletes rows of data files: positions, keys or a deletion vector.
#[derive(Clone, Debug)]
pub struct DeleteFile {
    /// Path, size, rows, bounds; `equality_ids` of an equality delete, place of a deletion vector.
    pub data_file: Arc<DataFile>,
    /// The spec its partition values belong to.
    pub partition_spec_id: i32,
    /// The data sequence number.
    pub sequence_number: i64,
}

/// Everything that deletes rows of one data file.
#[derive(Clone, Debug, Default)]
pub struct Deletes {
    /// What deletes by position.
    pub positions: PositionDeletes,
    /// What deletes by key: one for each scope (the whole table, the file's partition) that has any.
    pub equality: Vec<EqualityDeletes>,
}

/// What deletes rows of one data file by their position in it.
#[derive(Clone, Debug, Default)]
pub enum PositionDeletes {
    /// Nothing.
    #[default]
    None,
    /// Parquet files of `file_path` and `pos`, which may name other files too.
    Files(Vec<Arc<DeleteFile>>),
    /// A deletion vector, which stands in place of all position delete files.
    Vector(Arc<DeleteFile>),
}

/// The equality deletes of one scope, of which a data file meets the newer part.
#[derive(Clone, Debug)]
pub struct EqualityDeletes {
    /// All of the scope by ascending sequence number, shared by the data files of the scope.
    pub scope: Arc<[Arc<DeleteFile>]>,
    /// Those from here on apply to the data file: their sequence numbers are higher than its own.
    pub from: usize,
}

impl LiveFile {
    /// A file that nothing deletes from, such as one that was just written.
    pub fn new(data_file: Arc<DataFile>, partition_spec_id: i32, sequence_number: i64) -> Self {
        Self::with_deletes(data_file, partition_spec_id, sequence_number, Deletes::default())
    }

    /// A file and what deletes from it.
    pub fn with_deletes(
        data_file: Arc<DataFile>,
        partition_spec_id: i32,
        sequence_number: i64,
        deletes: Deletes,
    ) -> Self {
        Self { data_file, partition_spec_id, sequence_number, deletes }
    }

    /// What the manifest says of the file (path, size, rows, partition values, bounds: deleted rows
    /// included), and the deletes that a reader of its rows must apply.
    pub fn parts(&self) -> (&DataFile, &Deletes) {
        (&self.data_file, &self.deletes)
    }

    /// Between which values the manifest says that a column of whole numbers lies, deleted rows included; `None` when
    /// it does not say.
    pub fn long_bounds(&self, field_id: i32) -> Option<(i64, i64)> {
        let long = |bound: Option<&Datum>| match bound?.literal() {
            PrimitiveLiteral::Long(value) => Some(*value),
            PrimitiveLiteral::Int(value) => Some(i64::from(*value)),
            _ => None,
        };
        let (lower, upper) = (self.data_file.lower_bounds(), self.data_file.upper_bounds());
        Some((long(lower.get(&field_id))?, long(upper.get(&field_id))?))
    }

    /// The file, when all of its rows are live.
    ///
    /// # Errors
    /// [`Error::File`] when rows of it are deleted, which this caller cannot apply.
    pub fn whole(&self) -> Result<&DataFile> {
        if self.deletes.is_empty() {
            return Ok(&self.data_file);
        }
        Err(Error::File {
            subject: self.data_file.file_path().to_owned(),
            fact: "rows of it are deleted by other files, which are not applied here".to_owned(),
            remedy: "read the table with SQL, or compact it first",
        })
    }
}

impl DeleteFile {
    /// The one data file that positions are deleted of; `None` when there may be several.
    pub fn only_target(&self) -> Option<String> {
        only_path(&self.data_file)
    }
}

impl Deletes {
    /// Whether nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.equality.is_empty() && matches!(self.positions, PositionDeletes::None)
    }
}

impl EqualityDeletes {
    /// The delete files that apply.
    pub fn applicable(&self) -> &[Arc<DeleteFile>] {
        self.scope.get(self.from..).unwrap_or_default()
    }
}
