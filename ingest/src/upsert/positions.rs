//! Positions that delete files of the table have deleted before.

use std::collections::{BTreeMap, HashMap};

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use futures::TryStreamExt;
use sluice_catalog::{DeleteFile, Error as LakeError, Lake, LiveFile, PositionDeletes, TableName};

use super::find::{open, unreadable};
use crate::error::{Error, Result};

/// The deleted positions of these data files by their paths, sorted. `exact` asks for all that is deleted: rows that
/// others deleted by value are a mistake then, because whether they are live decides which event is the later one.
pub(super) async fn deleted(
    lake: &Lake,
    table: &TableName,
    files: &[&LiveFile],
    exact: bool,
) -> Result<HashMap<String, Vec<i64>>> {
    let mut gone: HashMap<String, Vec<i64>> = HashMap::new();
    let mut reads: BTreeMap<String, DeleteFile> = BTreeMap::new();
    for file in files {
        let (data, deletes) = file.parts();
        if exact && !deletes.equality.is_empty() {
            return Err(refused(table, "deletes by value"));
        }
        match &deletes.positions {
            PositionDeletes::None => continue,
            PositionDeletes::Vector(_) => return Err(refused(table, "deletion vectors")),
            PositionDeletes::Files(delete_files) => {
                gone.entry(data.file_path().to_owned()).or_default();
                for file in delete_files {
                    reads
                        .entry(file.data_file.file_path().to_owned())
                        .or_insert_with(|| DeleteFile::clone(file));
                }
            }
        }
    }
    for (location, file) in reads {
        read(lake, &location, file.data_file.file_size_in_bytes(), &mut gone).await?;
    }
    for positions in gone.values_mut() {
        positions.sort_unstable();
        positions.dedup();
    }
    Ok(gone)
}

/// Reads one delete file; only positions of the data files that are in `gone` already are kept.
async fn read(lake: &Lake, location: &str, size: u64, gone: &mut HashMap<String, Vec<i64>>) -> Result<()> {
    let broken = |error| unreadable(location, &error);
    let mut stream = open(lake, location, size).await?.build().map_err(broken)?;
    while let Some(batch) = stream.try_next().await.map_err(broken)? {
        let column = |name: &str, to: &DataType| {
            let schema = batch.schema();
            let at = schema.index_of(name).map_err(Error::Columns)?;
            cast(batch.column(at), to).map_err(Error::Columns)
        };
        let (paths, positions) = (column("file_path", &DataType::Utf8)?, column("pos", &DataType::Int64)?);
        let (paths, positions) = (paths.as_string::<i32>(), positions.as_primitive::<Int64Type>());
        let mut row = 0;
        while row < batch.num_rows() {
            // Files are sorted by path: one question for each run.
            let path = paths.value(row);
            let end = (row..batch.num_rows()).find(|at| paths.value(*at) != path).unwrap_or(batch.num_rows());
            if let Some(known) = gone.get_mut(path) {
                known.extend_from_slice(&positions.values()[row..end]);
            }
            row = end;
        }
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
