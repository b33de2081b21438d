//! Positions that delete files of the table have deleted before, as compressed bitmaps.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};
use roaring::RoaringTreemap;
use sluice_catalog::{DeleteFile, Error as LakeError, Lake, LiveFile, PositionDeletes, TableName};

use super::find::{damaged, open, unreadable};
use crate::error::{Error, Result};

/// Delete files read at the same time.
const FILES_AT_ONCE: usize = 16;

/// Deleted positions by the path of the data file.
pub(super) type Deleted = HashMap<String, RoaringTreemap>;

/// The deleted positions of these data files. Every delete file is read once, whole: it may name several of them.
/// `exact` asks for all that is deleted: rows that others deleted by value are a mistake then, because whether they are
/// live decides which event is the later one.
pub(super) async fn deleted(
    lake: &Lake,
    table: &TableName,
    files: &[LiveFile],
    exact: bool,
) -> Result<Deleted> {
    let mut deleted = Deleted::new();
    let mut reads: BTreeMap<&str, &DeleteFile> = BTreeMap::new();
    for file in files {
        let (data, deletes) = file.parts();
        if exact && !deletes.equality.is_empty() {
            return Err(refused(table, "deletes by value"));
        }
        match &deletes.positions {
            PositionDeletes::None => continue,
            PositionDeletes::Vector(_) => return Err(refused(table, "deletion vectors")),
            PositionDeletes::Files(files) => {
                deleted.insert(data.file_path().to_owned(), RoaringTreemap::new());
                reads.extend(files.iter().map(|file| (file.data_file.file_path(), &**file)));
            }
        }
    }
    let reads: Vec<_> = reads.into_values().map(|file| read(lake, file)).collect();
    let mut reads = stream::iter(reads).buffer_unordered(FILES_AT_ONCE);
    while let Some(read) = reads.try_next().await? {
        for (path, positions) in read {
            if let Some(known) = deleted.get_mut(&path) {
                *known |= positions;
            }
        }
    }
    Ok(deleted)
}

/// Reads one delete file.
async fn read(lake: &Lake, file: &DeleteFile) -> Result<Deleted> {
    let location = file.data_file.file_path();
    let broken = |error| unreadable(location, &error);
    let builder = open(lake, location, file.data_file.file_size_in_bytes()).await?;
    let mut stream = builder.build().map_err(broken)?;
    let mut deleted = Deleted::new();
    while let Some(batch) = stream.try_next().await.map_err(broken)? {
        add(&mut deleted, &batch).map_err(|fact| damaged(location, &fact))?;
    }
    Ok(deleted)
}

fn add(deleted: &mut Deleted, batch: &RecordBatch) -> std::result::Result<(), String> {
    let column = |name: &str, to: &DataType| {
        let column = batch.column_by_name(name).ok_or_else(|| format!("the column `{name}` is not there"))?;
        let column = cast(column, to).map_err(|error| error.to_string())?;
        if column.null_count() == 0 { Ok(column) } else { Err(format!("`{name}` is null somewhere")) }
    };
    let (paths, positions) = (column("file_path", &DataType::Utf8)?, column("pos", &DataType::Int64)?);
    let (paths, positions) = (paths.as_string::<i32>(), positions.as_primitive::<Int64Type>());
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

fn refused(table: &TableName, what: &str) -> Error {
    let refused = LakeError::File {
        subject: format!("table `{table}`"),
        fact: format!("another engine wrote {what} there, beside which rows cannot be changed by key"),
        remedy: "compact the table with that engine, and let only Sluice change it",
    };
    refused.into()
}
