//! The rows of a table that have one of the keys of a commit.
//!
//! ```text
//! live files -> bounds may hold a key? -> row groups likewise -> key columns -> live rows -> those that go
//!                        '-> their delete files -> positions that are gone already ----^
//! ```
//!
//! Only the key columns (and the one that orders events) of the files that remain are read, several files at a
//! time, a row group of each. So keys that rise with time, or a table partitioned or sorted by its key, leave few
//! files; keys at random leave them all.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;
use futures::{StreamExt, TryStreamExt};
use roaring::RoaringTreemap;
use sluice_catalog::{Bounds, Error as LakeError, Lake, LiveFile, PositionDeletes, TableName, TableSnapshot};

use super::groups::row_groups;
use super::keys::Bytes;
use super::wanted::Wanted;
use crate::data_file::{Columns, Deleted, Parts, deleted, open};
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
    understood(table.name(), &files, by_order)?;
    let gone = Arc::new(deleted(lake, &files).await?);
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
        let positions = gone.of(&file) | &look.positions;
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
    let reader = open(lake, location, data.file_size_in_bytes()).await?;
    let keys = &wanted.buffer.columns;
    let in_table = keys.columns.iter().map(|it| (it.name.as_str(), it.field_id, &it.data_type));
    let columns = Columns::find(reader.schema(), in_table);
    if columns.places[..keys.key_width].iter().any(Option::is_none) {
        return Ok(Look::default()); // Rows from before the column have a key that is null, which no event has.
    }
    let (groups, positions) = row_groups(&reader, wanted, &columns.places);
    if groups.is_empty() {
        return Ok(Look::default());
    }
    let mask = columns.mask(reader.parquet_schema());
    let mut parts = Parts::new(location, reader.with_projection(mask).with_row_groups(groups), positions)?;
    let gone = gone.of(file);
    let mut look = Look::default();
    while let Some(part) = parts.next().await? {
        let arrays = columns.of(&part.rows).map_err(Error::Columns)?;
        let rows = part.positions.into_iter().map(|position| (position, gone.contains(position)));
        compare(wanted, &arrays, rows, &mut look).map_err(Error::Columns)?;
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

/// Refuses files of which not all that is deleted is known. `exact` asks for all: rows that others deleted by value
/// are a mistake then, because whether they are live decides which event is the later one.
fn understood(table: &TableName, files: &[LiveFile], exact: bool) -> Result<()> {
    for deletes in files.iter().map(|file| file.parts().1) {
        if exact && !deletes.equality.is_empty() {
            return Err(refused(table, "deletes by value"));
        }
        if let PositionDeletes::Vector(_) = deletes.positions {
            return Err(refused(table, "deletion vectors"));
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
