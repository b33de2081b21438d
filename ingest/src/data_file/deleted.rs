//! Positions that delete files of a table have deleted, as compressed bitmaps.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};
use roaring::RoaringTreemap;
use sluice_catalog::{DeleteFile, Lake, LiveFile, PositionDeletes, Result};

use super::{damaged, open, unreadable};

/// Delete files read at the same time.
const FILES_AT_ONCE: usize = 16;

/// Deleted positions by the path of the data file.
type Positions = HashMap<String, RoaringTreemap>;

/// The deleted positions of some data files.
#[derive(Debug, Default)]
pub(crate) struct Deleted {
    files: Positions,
    none: RoaringTreemap,
}

impl Deleted {
    /// Those of one of them.
    pub(crate) fn of(&self, file: &LiveFile) -> &RoaringTreemap {
        self.files.get(file.parts().0.file_path()).unwrap_or(&self.none)
    }
}

/// What is deleted by position of these data files. Every delete file is read once, whole: it may name several of
/// them. Rows that are deleted by value are the caller's to refuse, if it has to know all that is deleted.
///
/// # Errors
/// For deletion vectors, which other engines write; and when a delete file cannot be read.
pub(crate) async fn deleted(lake: &Lake, files: &[LiveFile]) -> Result<Deleted> {
    let mut deleted = Deleted::default();
    let mut reads: BTreeMap<&str, &DeleteFile> = BTreeMap::new();
    for file in files {
        let (data, deletes) = file.parts();
        match &deletes.positions {
            PositionDeletes::None => {}
            PositionDeletes::Vector(_) => {
                file.whole()?;
            }
            PositionDeletes::Files(files) => {
                deleted.files.insert(data.file_path().to_owned(), RoaringTreemap::new());
                reads.extend(files.iter().map(|file| (file.data_file.file_path(), &**file)));
            }
        }
    }
    let reads: Vec<_> = reads.into_values().map(|file| read(lake, file)).collect();
    let mut reads = stream::iter(reads).buffer_unordered(FILES_AT_ONCE);
    while let Some(read) = reads.try_next().await? {
        for (path, positions) in read {
            if let Some(known) = deleted.files.get_mut(&path) {
                *known |= positions;
            }
        }
    }
    Ok(deleted)
}

/// Reads one delete file.
async fn read(lake: &Lake, file: &DeleteFile) -> Result<Positions> {
    let location = file.data_file.file_path();
    let broken = |error| unreadable(location, &error);
    let reader = open(lake, location, file.data_file.file_size_in_bytes()).await?;
    let mut stream = reader.build().map_err(broken)?;
    let mut deleted = Positions::new();
    while let Some(batch) = stream.try_next().await.map_err(broken)? {
        add(&mut deleted, &batch).map_err(|fact| damaged(location, &fact))?;
    }
    Ok(deleted)
}

/// Adds what a part of a delete file says, or tells what is wrong with it.
pub(super) fn add(deleted: &mut Positions, batch: &RecordBatch) -> Result<(), String> {
    let column = |name: &str, to: &DataType| {
        let column = batch.column_by_name(name).ok_or_else(|| format!("the column `{name}` is not there"))?;
        let column = cast(column, to).map_err(|error| error.to_string())?;
        if column.null_count() == 0 { Ok(column) } else { Err(format!("`{name}` is null somewhere")) }
    };
    let (paths, positions) = (column("file_path", &DataType::Utf8)?, column("pos", &DataType::Int64)?);
    let (paths, positions) = (paths.as_string::<i32>(), positions.as_primitive::<Int64Type>());
    if positions.values().iter().any(|position| *position < 0) {
        return Err("`pos` is below zero somewhere".to_owned());
    }
    let mut start = 0;
    while start < batch.num_rows() {
        // Files are sorted by path: one question for each run.
        let path = paths.value(start);
        let end = (start..batch.num_rows()).find(|at| paths.value(*at) != path).unwrap_or(batch.num_rows());
        let run = positions.values()[start..end].iter().map(|position| position.cast_unsigned());
        match deleted.get_mut(path) {
            Some(known) => known.extend(run),
            None => drop(deleted.insert(path.to_owned(), run.collect())),
        }
        start = end;
    }
    Ok(())
}
