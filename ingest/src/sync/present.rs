//! What a table has already of the rows that a source gives: read from its files, some columns, some rows at a time.
//!
//! Columns are found by their field id, so renamed ones are found too; what an older file lacks is null. Rows that
//! were deleted by position are passed over. Other kinds of deletes are another engine's: they are refused.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use sluice_catalog::{Deletes, Lake, LiveFile, PositionDeletes, TableSnapshot, field_id};

use super::SyncJob;
use super::content::Rows;
use super::error::{Error, Result};
use crate::data_file::{Columns, Deleted, Parts, Reader, deleted, open, positions};

/// Rows that are compared in memory, at most; each takes some 40 bytes.
pub(super) const COMPARED_MAX: usize = 5_000_000;

/// Rows of a file that are to be deleted, by their position.
pub(super) type Positions = Vec<(LiveFile, Vec<u64>)>;

/// A reader of one state of a table.
pub(super) struct Present<'a> {
    pub(super) lake: &'a Lake,
    pub(super) job: &'a SyncJob,
    pub(super) table: &'a TableSnapshot,
}

impl Present<'_> {
    /// How often each row is there whose cursor is not below `from`: by the fingerprint of the
    /// columns `compared`.
    pub(super) async fn window(
        &self,
        cursor: &str,
        from: Option<i64>,
        compared: &Fields,
    ) -> Result<HashMap<u128, u32>> {
        let names: Vec<_> =
            std::iter::once(cursor).chain(compared.iter().map(|it| it.name().as_str())).collect();
        let mut rows = Rows::new(compared)?;
        let mut found: HashMap<u128, u32> = HashMap::new();
        let (files, deleted) = self.files().await?;
        for file in files {
            let gone = deleted.of(&file);
            let (columns, mut parts) = self.read(&file, &names, from).await?;
            while let Some(part) = parts.next().await? {
                let columns = columns.of(&part.rows)?;
                let cursors = whole_numbers(&columns[0])?;
                let prints = rows.fingerprints(&columns[1..])?;
                for (row, print) in prints.into_iter().enumerate() {
                    let inside = from.is_none_or(|from| cursors.is_valid(row) && cursors.value(row) >= from);
                    if inside && !gone.contains(part.positions[row]) {
                        *found.entry(print).or_default() += 1;
                    }
                }
                self.check(found.len())?;
            }
        }
        Ok(found)
    }

    /// Where rows with these keys are.
    pub(super) async fn positions(&self, key: &Fields, keys: &HashSet<u128>) -> Result<Positions> {
        let names: Vec<_> = key.iter().map(|field| field.name().as_str()).collect();
        let mut rows = Rows::new(key)?;
        let mut found = Vec::new();
        let (files, deleted) = self.files().await?;
        for file in files {
            let gone = deleted.of(&file);
            let (columns, mut parts) = self.read(&file, &names, None).await?;
            let mut positions = Vec::new();
            while let Some(part) = parts.next().await? {
                let prints = rows.fingerprints(&columns.of(&part.rows)?)?;
                let hits = prints.into_iter().zip(part.positions).filter(|(print, _)| keys.contains(print));
                positions.extend(hits.map(|(_, position)| position).filter(|it| !gone.contains(*it)));
            }
            if !positions.is_empty() {
                found.push((file, positions));
            }
        }
        Ok(found)
    }

    /// Refuses more than memory is meant for.
    pub(super) fn check(&self, rows: usize) -> Result<()> {
        if rows <= COMPARED_MAX {
            return Ok(());
        }
        let fact = format!("more than {COMPARED_MAX} rows would have to be compared");
        Err(Error::content(&self.job.name, fact, "make `overlap` shorter, or leave `cursor` out"))
    }

    /// The files of the table, and the rows of them that are deleted.
    async fn files(&self) -> Result<(Vec<LiveFile>, Deleted)> {
        let files = self.table.files().await?;
        let foreign = |deletes: &Deletes| {
            !deletes.equality.is_empty() || matches!(deletes.positions, PositionDeletes::Vector(_))
        };
        if files.iter().any(|file| foreign(file.parts().1)) {
            let fact = "has rows that another engine deleted by key or by vector";
            let remedy = "compact it with `sluice maintain`, then run the sync again";
            return Err(Error::table(&self.job.name, &self.job.table, fact, remedy));
        }
        let deleted = deleted(self.lake, &files).await?;
        for file in &files {
            self.check(usize::try_from(deleted.of(file).len()).unwrap_or(usize::MAX))?;
        }
        Ok((files, deleted))
    }

    /// Some columns of a file, of the row groups whose first column may not be below `from`.
    async fn read(&self, file: &LiveFile, names: &[&str], from: Option<i64>) -> Result<(Columns, Parts)> {
        let (data, schema) = (file.parts().0, self.table.schema());
        let reader = open(self.lake, data.file_path(), data.file_size_in_bytes()).await?;
        let fields = names.iter().map(|name| schema.field_with_name(name));
        let fields: Vec<&Field> = fields.collect::<Result<_, ArrowError>>()?;
        let in_table = fields.iter().map(|it| (it.name().as_str(), field_id(it), it.data_type()));
        let columns = Columns::find(reader.schema(), in_table);
        let largest = columns.places.first().copied().flatten().and_then(|place| largest(&reader, place));
        // Without statistics everything is read.
        let below = |group: usize| match (from, &largest) {
            (Some(from), Some(largest)) => largest.is_valid(group) && largest.value(group) < from,
            _ => false,
        };
        let groups = positions(&reader).into_iter().enumerate();
        let (groups, positions): (Vec<_>, Vec<_>) = groups.filter(|(group, _)| !below(*group)).unzip();
        let mask = columns.mask(reader.parquet_schema());
        let reader = reader.with_projection(mask).with_row_groups(groups);
        Ok((columns, Parts::new(data.file_path(), reader, positions)?))
    }
}

/// The largest value of a column of whole numbers in each row group, as its statistics say.
fn largest(reader: &Reader, place: usize) -> Option<Int64Array> {
    let name = reader.schema().field(place).name();
    let statistics = StatisticsConverter::try_new(name, reader.schema(), reader.parquet_schema()).ok()?;
    whole_numbers(&statistics.row_group_maxes(reader.metadata().row_groups()).ok()?).ok()
}

/// Cursors as whole numbers: microseconds, days, or themselves.
pub(super) fn whole_numbers(column: &ArrayRef) -> Result<Int64Array, ArrowError> {
    let column = match column.data_type() {
        DataType::Date32 => cast(column, &DataType::Int32)?,
        _ => Arc::clone(column),
    };
    Ok(cast(&column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

#[cfg(test)]
mod tests;
