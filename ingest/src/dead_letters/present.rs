//! Which places a table holds already.
//!
//! Deleted rows count: who deleted a row does not want it back from the dead letters.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use sluice_catalog::{Lake, TableSnapshot, field_id};

use super::letters::{column, parts};
use crate::error::Result;

const SOURCE: [&str; 3] = ["_src_topic", "_src_partition", "_src_offset"];

/// Offsets by partition, of one topic.
pub(super) type Offsets = BTreeMap<i32, BTreeSet<i64>>;

/// Moves into `found` those of the wanted places of a topic that the table holds. Only files whose range of offsets
/// has one of them are read, and only three columns of them.
pub(super) async fn find(
    lake: &Lake,
    table: &TableSnapshot,
    topic: &str,
    wanted: &Offsets,
    found: &mut Offsets,
) -> Result<()> {
    let schema = table.schema();
    let id = schema.field_with_name("_src_offset").ok().and_then(field_id);
    for file in table.files().await? {
        let bounds = id.and_then(|id| file.long_bounds(id));
        let may_hold = |(low, high): (i64, i64)| {
            low <= high && wanted.values().any(|offsets| offsets.range(low..=high).next().is_some())
        };
        if !bounds.is_none_or(may_hold) {
            continue;
        }
        let mut parts = parts(lake, &file, Some(&SOURCE)).await?;
        while let Some(part) = parts.next().await? {
            let rows = part.rows;
            let topics = column(&rows, SOURCE[0], &DataType::Utf8)?;
            let partitions = column(&rows, SOURCE[1], &DataType::Int32)?;
            let offsets = column(&rows, SOURCE[2], &DataType::Int64)?;
            let (topics, partitions) = (topics.as_string::<i32>(), partitions.as_primitive::<Int32Type>());
            let places = partitions.values().iter().zip(offsets.as_primitive::<Int64Type>().values());
            for (name, (partition, offset)) in topics.iter().zip(places) {
                let is_wanted = wanted.get(partition).is_some_and(|offsets| offsets.contains(offset));
                if is_wanted && name == Some(topic) {
                    found.entry(*partition).or_default().insert(*offset);
                }
            }
        }
    }
    Ok(())
}
