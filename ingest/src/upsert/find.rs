//! The rows of a table that have one of the keys of a commit.
//!
//! ```text
//! live files -> bounds may hold a key? -> row groups likewise -> key columns -> positions -> less those deleted before
//! ```
//!
//! Only the key columns (and the one that orders events) of the files that remain are read, several files at a time.
//! Bounds are compared column by column: whether any key has a value between them. So keys that rise with time, or a
//! table partitioned or sorted by its key, leave few files; keys at random leave them all.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::cast;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::async_reader::{ParquetObjectReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use sluice_catalog::{Bounds, Error as LakeError, Lake, LiveFile, TableSnapshot};

use super::buffer::Buffer;
use super::keys::{Bytes, field_ids};
use super::positions;
use crate::error::{Error, Result};

/// Files read at the same time.
const FILES_AT_ONCE: usize = 8;

/// The keys of a commit, ready to be looked for.
pub(super) struct Wanted {
    pub(super) buffer: Buffer,
    /// For each key column the values of all keys, sorted.
    values: Vec<Vec<Bytes>>,
}

/// What the table has of the keys.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Rows that go, by file.
    pub(super) positions: Vec<(LiveFile, Vec<u64>)>,
    /// Files of which no row remains.
    pub(super) whole: Vec<LiveFile>,
    /// Keys whose row in the table is later than the commit's event.
    pub(super) outdone: HashSet<Bytes>,
}

/// A row of a file that has a wanted key.
struct Match {
    position: i64,
    key: Bytes,
    /// Whether the row is later than the event.
    later: bool,
}

impl Wanted {
    pub(super) fn new(buffer: Buffer) -> Result<Self, ArrowError> {
        let mut values: Vec<Vec<Bytes>> = vec![Vec::new(); buffer.columns.key_width];
        for batch in &buffer.batches {
            let columns = buffer.columns.of(batch).unwrap_or_default();
            for ((values, column), array) in values.iter_mut().zip(&buffer.columns.columns).zip(&columns) {
                let mut of_batch: Vec<Bytes> =
                    column.bytes(array)?.iter().map(|row| row.as_ref().into()).collect();
                of_batch.sort_unstable();
                of_batch.dedup();
                values.append(&mut of_batch);
            }
        }
        for values in &mut values {
            values.sort_unstable();
            values.dedup();
        }
        Ok(Self { buffer, values })
    }

    /// Whether a file with these bounds, by field id, may have a row of one of the keys.
    pub(super) fn may_be_in(&self, bounds: impl Fn(i32) -> Bounds) -> bool {
        self.buffer.columns.columns.iter().zip(&self.values).all(|(column, values)| {
            let Some(id) = column.field_id else { return true };
            let bounds = bounds(id);
            let bound = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| column.bound(&bytes));
            any_between(values, bound(bounds.lower).as_deref(), bound(bounds.upper).as_deref())
        })
    }
}

/// Whether one of the sorted values is between the bounds, as far as they are known.
fn any_between(values: &[Bytes], lower: Option<&[u8]>, upper: Option<&[u8]>) -> bool {
    let first = lower.map_or(0, |lower| values.partition_point(|value| **value < *lower));
    values.get(first).is_some_and(|value| upper.is_none_or(|upper| **value <= *upper))
}

/// Looks for the rows of all keys in a state of the table.
pub(super) async fn find(lake: &Lake, table: &TableSnapshot, wanted: &Arc<Wanted>) -> Result<Found> {
    let files = table.files().await?.into_iter();
    let files = files.filter(|file| wanted.may_be_in(|id| Bounds::of(file.parts().0, id)));
    let looks = files.map(|file| {
        let (lake, wanted) = (lake.clone(), Arc::clone(wanted));
        async move {
            let look = async move {
                let found = matches(&lake, &file, &wanted).await;
                found.map(|found| (file, found))
            };
            // A task of its own, because decoding takes a core.
            tokio::spawn(look).await.map_err(|_| Error::Broken { part: "the look for the rows of keys" })?
        }
    });
    let matched = futures::stream::iter(looks).buffer_unordered(FILES_AT_ONCE);
    let mut matched: Vec<(LiveFile, Vec<Match>)> = matched.try_collect().await?;
    matched.retain(|(_, found)| !found.is_empty());
    let orders = wanted.buffer.columns.columns.len() > wanted.buffer.columns.key_width;
    let files: Vec<&LiveFile> = matched.iter().map(|(file, _)| file).collect();
    let gone = positions::deleted(lake, table.name(), &files, orders).await?;
    Ok(sort(matched, &gone))
}

/// Which of the matches go, given the positions that are deleted already.
fn sort(mut matched: Vec<(LiveFile, Vec<Match>)>, gone: &HashMap<String, Vec<i64>>) -> Found {
    let mut found = Found::default();
    for (file, matches) in &mut matched {
        if let Some(gone) = gone.get(file.parts().0.file_path()) {
            matches.retain(|it| gone.binary_search(&it.position).is_err());
        }
        found.outdone.extend(matches.iter().filter(|it| it.later).map(|it| it.key.clone()));
    }
    for (file, matches) in matched {
        let goes = matches.iter().filter(|it| !found.outdone.contains(&it.key));
        let positions: Vec<u64> = goes.map(|it| it.position as u64).collect();
        let before = gone.get(file.parts().0.file_path()).map_or(0, Vec::len);
        if positions.is_empty() {
            continue;
        }
        if positions.len() + before == file.parts().0.record_count() as usize {
            found.whole.push(file);
        } else {
            found.positions.push((file, positions));
        }
    }
    found
}

/// The rows of a file that have a wanted key, deleted ones among them.
async fn matches(lake: &Lake, file: &LiveFile, wanted: &Wanted) -> Result<Vec<Match>> {
    let data = file.parts().0;
    let location = data.file_path();
    let builder = open(lake, location, data.file_size_in_bytes()).await?;
    let columns = &wanted.buffer.columns.columns;
    let ids = field_ids(builder.schema());
    let nameless = ids.iter().all(Option::is_none);
    let places: Vec<Option<usize>> = columns
        .iter()
        .map(|column| match (nameless, column.field_id) {
            (false, Some(id)) => ids.iter().position(|known| *known == Some(id)),
            _ => builder.schema().index_of(&column.name).ok(),
        })
        .collect();
    if places[..wanted.buffer.columns.key_width].iter().any(Option::is_none) {
        return Ok(Vec::new()); // Rows from before the column have a key that is null, which no event has.
    }
    let (groups, ranges) = row_groups(&builder, wanted, &places);
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let mut roots: Vec<usize> = places.iter().flatten().copied().collect();
    roots.sort_unstable();
    roots.dedup();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
    let broken = |error| unreadable(location, &error);
    let mut stream = builder.with_projection(mask).with_row_groups(groups).build().map_err(broken)?;
    let mut positions = ranges.into_iter().flatten();
    let mut found = Vec::new();
    while let Some(batch) = stream.try_next().await.map_err(broken)? {
        let arrays = columns.iter().zip(&places).map(|(column, place)| {
            let at = place.and_then(|place| roots.iter().position(|root| *root == place));
            match at {
                Some(at) => cast(batch.column(at), &column.data_type),
                None => Ok(new_null_array(&column.data_type, batch.num_rows())),
            }
        });
        let arrays = arrays.collect::<Result<Vec<_>, _>>().map_err(Error::Columns)?;
        compare(wanted, &batch, &arrays, &mut positions, &mut found).map_err(Error::Columns)?;
    }
    Ok(found)
}

fn compare(
    wanted: &Wanted,
    batch: &RecordBatch,
    arrays: &[ArrayRef],
    positions: &mut impl Iterator<Item = i64>,
    found: &mut Vec<Match>,
) -> Result<(), ArrowError> {
    let keys = wanted.buffer.columns.keys(arrays)?;
    let orders = wanted.buffer.columns.orders(arrays)?;
    for (row, position) in (0..batch.num_rows()).zip(positions) {
        let Some((key, event)) = wanted.buffer.latest.get_key_value(keys.row(row).as_ref()) else { continue };
        let later = match (&orders, &event.rank.order) {
            (Some(orders), Some(order)) => orders.row(row).as_ref() > &**order,
            _ => false,
        };
        found.push(Match { position, key: key.clone(), later });
    }
    Ok(())
}

/// The row groups that may have a wanted key, and the positions of their rows.
fn row_groups(
    builder: &ParquetRecordBatchStreamBuilder<ParquetObjectReader>,
    wanted: &Wanted,
    places: &[Option<usize>],
) -> (Vec<usize>, Vec<std::ops::Range<i64>>) {
    let metadata = builder.metadata().row_groups();
    let mut kept = vec![true; metadata.len()];
    for ((column, values), place) in wanted.buffer.columns.columns.iter().zip(&wanted.values).zip(places) {
        let bounds = place.and_then(|place| {
            let name = builder.schema().field(place).name();
            let statistics =
                StatisticsConverter::try_new(name, builder.schema(), builder.parquet_schema()).ok()?;
            let lower = cast(&statistics.row_group_mins(metadata).ok()?, &column.data_type).ok()?;
            let upper = cast(&statistics.row_group_maxes(metadata).ok()?, &column.data_type).ok()?;
            Some((column.bytes(&lower).ok()?, column.bytes(&upper).ok()?, lower, upper))
        });
        let Some((lower, upper, lowers, uppers)) = bounds else { continue };
        for (group, kept) in kept.iter_mut().enumerate() {
            let (lower, upper) = (lower.row(group), upper.row(group));
            let lower = lowers.is_valid(group).then_some(lower.as_ref());
            let upper = uppers.is_valid(group).then_some(upper.as_ref());
            *kept &= any_between(values, lower, upper);
        }
    }
    let mut start = 0;
    let mut ranges = Vec::with_capacity(metadata.len());
    for group in metadata {
        ranges.push(start..start + group.num_rows());
        start += group.num_rows();
    }
    let groups: Vec<usize> = (0..metadata.len()).filter(|group| kept[*group]).collect();
    let ranges = groups.iter().map(|group| ranges[*group].clone()).collect();
    (groups, ranges)
}

/// A Parquet file of the lake.
pub(super) async fn open(
    lake: &Lake,
    location: &str,
    size: u64,
) -> Result<ParquetRecordBatchStreamBuilder<ParquetObjectReader>> {
    let reader = ParquetObjectReader::new(lake.store(), lake.object_path(location)?).with_file_size(size);
    ParquetRecordBatchStreamBuilder::new(reader).await.map_err(|error| unreadable(location, &error))
}

/// Why a file of the table cannot be read: the store, or the file.
pub(super) fn unreadable(location: &str, error: &ParquetError) -> Error {
    let error = match error {
        ParquetError::External(cause) => LakeError::Store {
            action: "read",
            location: location.to_owned(),
            cause: cause.to_string(),
            remedy: "this is tried again; see whether the store is there and has the file",
            transient: true,
        },
        damaged => LakeError::File {
            subject: location.to_owned(),
            fact: format!("its keys cannot be read: {damaged}"),
            remedy: "restore the file from a backup, or roll the table back to a snapshot before it",
        },
    };
    error.into()
}
