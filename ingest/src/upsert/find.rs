//! The rows of a table that have one of the keys of a commit.
//!
//! ```text
//! live files -> bounds may hold a key? -> row groups likewise -> key columns -> live rows -> those that go
//!                        '-> their delete files -> positions that are gone already ----^
//! ```
//!
//! Only the key columns (and the one that orders events) of the files that remain are read, several files at a time,
//! a row group of each. So keys that rise with time, or a table partitioned or sorted by its key, leave few files; keys
//! at random leave them all.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::cast;
use arrow::error::ArrowError;
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::{ParquetObjectReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use roaring::RoaringTreemap;
use sluice_catalog::{Bounds, Error as LakeError, Lake, LiveFile, TableSnapshot};

use super::groups::row_groups;
use super::keys::{Bytes, field_ids};
use super::positions::{self, Deleted};
use super::wanted::Wanted;
use crate::error::{Error, Result};

/// Files read at the same time.
const FILES_AT_ONCE: usize = 8;

/// What the table has of the keys.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files of which some rows go.
    pub(super) targets: Vec<Target>,
    /// Files of which no row remains.
    pub(super) whole: Vec<LiveFile>,
    /// Keys whose row in the table is later than the commit's event.
    pub(super) outdone: HashSet<Bytes>,
}

/// A file of which some rows go.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) file: LiveFile,
    /// Their positions, and those of rows that went before.
    pub(super) positions: RoaringTreemap,
}

/// What one file has of the keys.
#[derive(Debug, Default)]
struct Look {
    positions: RoaringTreemap,
    outdone: Vec<Bytes>,
}

/// Looks for the rows of all keys in a state of the table.
pub(super) async fn find(lake: &Lake, table: &TableSnapshot, wanted: &Arc<Wanted>) -> Result<Found> {
    let mut files = table.files().await?;
    files.retain(|file| wanted.may_be_in(|id| Bounds::of(file.parts().0, id)));
    let by_order = wanted.buffer.columns.columns.len() > wanted.buffer.columns.key_width;
    let gone = Arc::new(positions::deleted(lake, table.name(), &files, by_order).await?);
    let looks = files.into_iter().map(|file| {
        let (lake, wanted, gone) = (lake.clone(), Arc::clone(wanted), Arc::clone(&gone));
        async move {
            let look = async move {
                let look = look(&lake, &file, &wanted, &gone).await?;
                Ok::<_, Error>((file, look))
            };
            // A task of its own, because decoding takes a core.
            tokio::spawn(look).await.map_err(|_| Error::Broken { part: "the look for the rows of keys" })?
        }
    });
    let looks: Vec<_> = looks.collect();
    let mut looks = futures::stream::iter(looks).buffer_unordered(FILES_AT_ONCE);
    let mut found = Found::default();
    while let Some((file, look)) = looks.try_next().await? {
        found.outdone.extend(look.outdone);
        if look.positions.is_empty() {
            continue;
        }
        let before = gone.get(file.parts().0.file_path());
        let positions = before.map_or(look.positions.clone(), |before| before | &look.positions);
        match positions.len() == file.parts().0.record_count() {
            true => found.whole.push(file),
            false => found.targets.push(Target { file, positions }),
        }
    }
    Ok(found)
}

/// The live rows of a file that have a wanted key.
async fn look(lake: &Lake, file: &LiveFile, wanted: &Wanted, gone: &Deleted) -> Result<Look> {
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
        return Ok(Look::default()); // Rows from before the column have a key that is null, which no event has.
    }
    let (groups, ranges) = row_groups(&builder, wanted, &places);
    if groups.is_empty() {
        return Ok(Look::default());
    }
    let mut roots: Vec<usize> = places.iter().flatten().copied().collect();
    roots.sort_unstable();
    roots.dedup();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
    let broken = |error| unreadable(location, &error);
    let mut stream = builder.with_projection(mask).with_row_groups(groups).build().map_err(broken)?;
    let mut positions = ranges.into_iter().flatten();
    let gone = gone.get(location);
    let mut look = Look::default();
    while let Some(batch) = stream.try_next().await.map_err(broken)? {
        let arrays = columns.iter().zip(&places).map(|(column, place)| {
            let at = place.and_then(|place| roots.iter().position(|root| *root == place));
            match at {
                Some(at) => cast(batch.column(at), &column.data_type),
                None => Ok(new_null_array(&column.data_type, batch.num_rows())),
            }
        });
        let arrays = arrays.collect::<Result<Vec<_>, _>>().map_err(Error::Columns)?;
        let live = positions.by_ref().take(batch.num_rows());
        let live = live.map(|position| (position, gone.is_some_and(|gone| gone.contains(position))));
        compare(wanted, &arrays, live, &mut look).map_err(Error::Columns)?;
    }
    Ok(look)
}

/// Adds the rows with a wanted key, given for each row its position and whether it is gone.
fn compare(
    wanted: &Wanted,
    arrays: &[ArrayRef],
    rows: impl Iterator<Item = (u64, bool)>,
    look: &mut Look,
) -> Result<(), ArrowError> {
    let keys = wanted.buffer.columns.keys(arrays)?;
    let orders = wanted.buffer.columns.orders(arrays)?;
    for (row, (position, gone)) in rows.enumerate() {
        let Some((key, latest)) = wanted.buffer.latest.get_key_value(keys.row(row).data()) else { continue };
        if gone {
            continue;
        }
        let later = match (&orders, latest.order()) {
            (Some(orders), Some(order)) => orders.row(row).data() > order,
            _ => false,
        };
        match later {
            true => look.outdone.push(key.clone()),
            false => drop(look.positions.insert(position)),
        }
    }
    Ok(())
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
    let ParquetError::External(cause) = error else { return damaged(location, &error.to_string()) };
    let error = LakeError::Store {
        action: "read",
        location: location.to_owned(),
        cause: cause.to_string(),
        remedy: "this is tried again; see whether the store is there and has the file",
        transient: true,
    };
    error.into()
}

/// A file that is not what it should be.
pub(super) fn damaged(location: &str, fact: &str) -> Error {
    let error = LakeError::File {
        subject: location.to_owned(),
        fact: format!("its keys or positions cannot be read: {fact}"),
        remedy: "restore the file from a backup, or roll the table back to a snapshot before it",
    };
    error.into()
}
