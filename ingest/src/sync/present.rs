//! What a table has already of the rows that a source gives: read from its files, some columns, row group by row group.
//!
//! Columns are found by their field id, so renamed ones are found too; what an older file lacks is null. Rows that were
//! deleted by position are passed over. Other kinds of deletes are another engine's: they are refused.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use arrow::error::ArrowError;
use futures::TryStreamExt;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{ParquetObjectReader, ParquetRecordBatchStreamBuilder};
use parquet::arrow::{PARQUET_FIELD_ID_META_KEY, ProjectionMask};
use sluice_catalog::{Lake, LiveFile, PositionDeletes, TableSnapshot};

use super::SyncJob;
use super::content::Rows;
use super::error::{Error, Result};

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

/// Some rows of a file.
struct Part {
    /// Position of the first one.
    first: u64,
    columns: Vec<ArrayRef>,
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
        for file in self.table.files().await? {
            let gone = self.gone(&file).await?;
            let mut groups = Groups::open(self, &file, &names).await?;
            groups.skip_below(cursor, from);
            while let Some(part) = groups.next().await? {
                let cursors = whole_numbers(&part.columns[0])?;
                let prints = rows.fingerprints(&part.columns[1..])?;
                for (row, print) in prints.into_iter().enumerate() {
                    let inside = from.is_none_or(|from| cursors.is_valid(row) && cursors.value(row) >= from);
                    if inside && !gone.contains(&(part.first + row as u64)) {
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
        for file in self.table.files().await? {
            let gone = self.gone(&file).await?;
            let mut groups = Groups::open(self, &file, &names).await?;
            let mut positions = Vec::new();
            while let Some(part) = groups.next().await? {
                let prints = rows.fingerprints(&part.columns)?;
                let hits = prints.into_iter().zip(part.first..).filter(|(print, _)| keys.contains(print));
                positions
                    .extend(hits.map(|(_, position)| position).filter(|position| !gone.contains(position)));
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

    /// The positions that are deleted in a file.
    async fn gone(&self, file: &LiveFile) -> Result<HashSet<u64>> {
        let (data, deletes) = file.parts();
        let files = match &deletes.positions {
            PositionDeletes::None if deletes.equality.is_empty() => return Ok(HashSet::new()),
            PositionDeletes::Files(files) if deletes.equality.is_empty() => files,
            _ => {
                let fact = "has rows that another engine deleted by key or by vector";
                let remedy = "compact it with `sluice maintain`, then run the sync again";
                return Err(Error::table(&self.job.name, &self.job.table, fact, remedy));
            }
        };
        let mut gone = HashSet::new();
        for delete in files {
            let path = self.lake.object_path(delete.data_file.file_path())?;
            let reader = ParquetObjectReader::new(self.lake.store(), path);
            let stream = ParquetRecordBatchStreamBuilder::new(reader).await.and_then(|it| it.build());
            let mut stream = stream.map_err(ArrowError::from)?;
            while let Some(batch) = stream.try_next().await.map_err(ArrowError::from)? {
                let (paths, at) = (column(&batch, "file_path")?, column(&batch, "pos")?);
                let (paths, at) = (cast(paths, &DataType::Utf8)?, whole_numbers(at)?);
                for (path, position) in paths.as_string::<i32>().iter().zip(at.iter()) {
                    if path == Some(data.file_path()) {
                        gone.extend(position.and_then(|position| u64::try_from(position).ok()));
                    }
                }
            }
            self.check(gone.len())?;
        }
        Ok(gone)
    }
}

/// The row groups of a file, some columns each.
struct Groups {
    reader: ParquetObjectReader,
    metadata: ArrowReaderMetadata,
    /// The wanted columns: place in the file, if it is there, and type.
    wanted: Vec<(Option<usize>, DataType)>,
    /// Row groups to be read, the next one last, with the position of their first row.
    open: Vec<(usize, u64)>,
    /// Of the row group under way.
    parts: std::collections::VecDeque<Part>,
}

impl Groups {
    async fn open(present: &Present<'_>, file: &LiveFile, names: &[&str]) -> Result<Self> {
        let path = present.lake.object_path(file.parts().0.file_path())?;
        let mut reader = ParquetObjectReader::new(present.lake.store(), path);
        let metadata = ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new()).await;
        let metadata = metadata.map_err(ArrowError::from)?;
        let schema = present.table.schema();
        let in_file = |field: &Field| {
            let wanted = field.metadata().get(PARQUET_FIELD_ID_META_KEY);
            let mut fields = metadata.schema().fields().iter();
            fields.position(|it| wanted.is_some() && it.metadata().get(PARQUET_FIELD_ID_META_KEY) == wanted)
        };
        let wanted = names.iter().map(|name| {
            let field = schema.field_with_name(name)?;
            Ok((in_file(field), field.data_type().clone()))
        });
        let wanted = wanted.collect::<Result<Vec<_>, ArrowError>>()?;
        let mut first = 0;
        let mut open = Vec::new();
        for (group, details) in metadata.metadata().row_groups().iter().enumerate() {
            open.push((group, first));
            first += u64::try_from(details.num_rows()).unwrap_or_default();
        }
        open.reverse();
        Ok(Self { reader, metadata, wanted, open, parts: Default::default() })
    }

    /// Leaves out row groups whose statistics say that no cursor, the first wanted column, reaches `from`.
    fn skip_below(&mut self, cursor: &str, from: Option<i64>) {
        let (Some(from), Some((Some(_), _))) = (from, self.wanted.first()) else { return };
        let groups = self.metadata.metadata().row_groups();
        let largest =
            StatisticsConverter::try_new(cursor, self.metadata.schema(), self.metadata.parquet_schema())
                .and_then(|it| it.row_group_maxes(groups));
        // Without statistics everything is read.
        let Some(largest) = largest.ok().and_then(|it| whole_numbers(&it).ok()) else { return };
        self.open.retain(|(group, _)| largest.is_null(*group) || largest.value(*group) >= from);
    }

    async fn next(&mut self) -> Result<Option<Part>> {
        while self.parts.is_empty() {
            let Some((group, first)) = self.open.pop() else { return Ok(None) };
            self.read(group, first).await.map_err(ArrowError::from)?;
        }
        Ok(self.parts.pop_front())
    }

    async fn read(&mut self, group: usize, mut first: u64) -> parquet::errors::Result<()> {
        let mut places: Vec<usize> = self.wanted.iter().filter_map(|(place, _)| *place).collect();
        places.sort_unstable();
        places.dedup();
        let builder =
            ParquetRecordBatchStreamBuilder::new_with_metadata(self.reader.clone(), self.metadata.clone());
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), places.iter().copied());
        let mut stream = builder.with_projection(mask).with_row_groups(vec![group]).build()?;
        while let Some(batch) = stream.try_next().await? {
            let columns = self.wanted.iter().map(|(place, data_type)| {
                let place = place.and_then(|place| places.binary_search(&place).ok());
                match place.map(|place| batch.column(place)) {
                    None => Ok(new_null_array(data_type, batch.num_rows())),
                    Some(column) if column.data_type().equals_datatype(data_type) => Ok(Arc::clone(column)),
                    Some(column) => cast(column, data_type),
                }
            });
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let rows = batch.num_rows();
            self.parts.push_back(Part { first, columns });
            first += rows as u64;
        }
        Ok(())
    }
}

fn column<'a>(batch: &'a arrow::record_batch::RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    let missing = || ArrowError::SchemaError(format!("a delete file has no column {name}"));
    batch.column_by_name(name).ok_or_else(missing)
}

/// Cursors as whole numbers: microseconds, days, or themselves.
pub(super) fn whole_numbers(column: &ArrayRef) -> Result<Int64Array, ArrowError> {
    let column = match column.data_type() {
        DataType::Date32 => cast(column, &DataType::Int32)?,
        _ => Arc::clone(column),
    };
    Ok(cast(&column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}
