//! The keys of a commit, and which files may have one of them.
//!
//! Bounds are compared column by column: whether any key has a value between them. The values of many keys are summed
//! up in ranges, cut where the gaps are widest: that takes little memory, and keys that rise with time are still told
//! apart from a few old ones.

use std::cmp::Reverse;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;
use arrow::row::Rows;
use sluice_catalog::Bounds;

use super::buffer::Buffer;
use super::keys::{Bytes, KeyColumn};

/// Ranges that the values of one column are summed up in.
const RANGES_MAX: usize = 4096;

/// The keys of a commit, ready to be looked for.
pub(super) struct Wanted {
    pub(super) buffer: Buffer,
    /// For each key column where the values of all keys lie.
    pub(super) values: Vec<Ranges>,
}

/// Where values lie: ranges with both ends, which rise and do not overlap.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(Bytes, Bytes)>);

impl Wanted {
    pub(super) fn new(buffer: Buffer) -> Result<Self, ArrowError> {
        let mut arrays: Vec<Vec<ArrayRef>> = vec![Vec::new(); buffer.columns.key_width];
        for batch in &buffer.batches {
            for (arrays, array) in arrays.iter_mut().zip(buffer.columns.of(batch).unwrap_or_default()) {
                arrays.push(array);
            }
        }
        let columns = buffer.columns.columns.iter().zip(&arrays);
        let values = columns.map(|(column, arrays)| Ranges::of(column, arrays, RANGES_MAX));
        let values = values.collect::<Result<_, _>>()?;
        Ok(Self { buffer, values })
    }

    /// Whether a file with these bounds, by field id, may have a row of one of the keys.
    pub(super) fn may_be_in(&self, bounds: impl Fn(i32) -> Bounds) -> bool {
        self.buffer.columns.columns.iter().zip(&self.values).all(|(column, values)| {
            let Some(id) = column.field_id else { return true };
            let bounds = bounds(id);
            let bound = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| column.bound(&bytes));
            values.any_between(bound(bounds.lower).as_deref(), bound(bounds.upper).as_deref())
        })
    }
}

impl Ranges {
    /// Those of the values of a column, `most` (at least one) at most.
    fn of(column: &KeyColumn, arrays: &[ArrayRef], most: usize) -> Result<Self, ArrowError> {
        let rows: Vec<Rows> = arrays.iter().map(|array| column.bytes(array)).collect::<Result<_, _>>()?;
        let mut values: Vec<&[u8]> = rows.iter().flatten().map(|row| row.data()).collect();
        values.sort_unstable();
        values.dedup();
        let (Some(first), Some(last)) = (values.first(), values.last()) else { return Ok(Self::default()) };
        let shared = first.iter().zip(*last).take_while(|(one, other)| one == other).count();
        let gap = |at: &usize| head(&values[*at][shared..]) - head(&values[*at - 1][shared..]);
        let mut cuts: Vec<usize> = (1..values.len()).collect();
        if cuts.len() >= most {
            cuts.select_nth_unstable_by_key(most - 1, |at| Reverse(gap(at)));
            cuts.truncate(most - 1);
            cuts.sort_unstable();
        }
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain([values.len()]);
        let range = |(start, end): (usize, usize)| (values[start].into(), values[end - 1].into());
        Ok(Self(starts.zip(ends).map(range).collect()))
    }

    /// Whether a value may be between the bounds, as far as they are known.
    pub(super) fn any_between(&self, lower: Option<&[u8]>, upper: Option<&[u8]>) -> bool {
        let first = lower.map_or(0, |lower| self.0.partition_point(|(_, last)| **last < *lower));
        self.0.get(first).is_some_and(|(first, _)| upper.is_none_or(|upper| **first <= *upper))
    }
}

/// The first bytes as a number, to tell how far apart two values are.
fn head(bytes: &[u8]) -> u128 {
    let mut head = [0; 16];
    let length = bytes.len().min(head.len());
    head[..length].copy_from_slice(&bytes[..length]);
    u128::from_be_bytes(head)
}

#[cfg(test)]
mod tests;
