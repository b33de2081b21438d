//! The row groups of a file that may have a wanted key, by their statistics.

use std::ops::Range;

use arrow::array::Array;
use arrow::compute::cast;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;

use super::wanted::Wanted;
use crate::data_file::{Reader, positions};

/// Their numbers, and the positions of their rows. `places` says where the file has the columns.
pub(super) fn row_groups(
    reader: &Reader,
    wanted: &Wanted,
    places: &[Option<usize>],
) -> (Vec<usize>, Vec<Range<u64>>) {
    let metadata = reader.metadata().row_groups();
    let mut kept = vec![true; metadata.len()];
    for ((column, values), place) in wanted.buffer.columns.columns.iter().zip(&wanted.values).zip(places) {
        let bounds = place.and_then(|place| {
            let name = reader.schema().field(place).name();
            let statistics =
                StatisticsConverter::try_new(name, reader.schema(), reader.parquet_schema()).ok()?;
            let lower = cast(&statistics.row_group_mins(metadata).ok()?, &column.data_type).ok()?;
            let upper = cast(&statistics.row_group_maxes(metadata).ok()?, &column.data_type).ok()?;
            Some((column.bytes(&lower).ok()?, column.bytes(&upper).ok()?, lower, upper))
        });
        let Some((lower, upper, lowers, uppers)) = bounds else { continue };
        for (group, kept) in kept.iter_mut().enumerate() {
            let (lower, upper) = (lower.row(group), upper.row(group));
            let lower = lowers.is_valid(group).then_some(lower.data());
            let upper = uppers.is_valid(group).then_some(upper.data());
            *kept &= values.any_between(lower, upper);
        }
    }
    positions(reader).into_iter().enumerate().filter(|(group, _)| kept[*group]).unzip()
}

#[cfg(test)]
mod tests;
