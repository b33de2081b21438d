//! The arithmetic of going on: pure functions over offsets, so that every interleaving can be tried.
//!
//! Of one partition each table knows its own next offset (`None`: it never saw the partition).
//! - Reading starts at the smallest next offset; a table that knows nothing needs everything.
//! - A table takes a row only at or after its own next offset, and commits only the part of a range
//!   that lies there. So each offset reaches each table once, whatever was read twice.
//! - A range ends at the consumer's position, so holes (control records, compaction) lie inside it.
//! - A table that messages name commits only with rows of its own. Where it stands still the dead letters, which
//!   commit with it or after it, say what was decided.

/// Why a table's next offset cannot be where reading goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Kafka dropped messages that the table still waits for.
    Gap {
        /// Which of the given tables.
        table: usize,
        /// Its next offset.
        next: i64,
    },
    /// The table is ahead of the log: the topic was truncated or recreated.
    Ahead {
        /// Which of the given tables.
        table: usize,
        /// Its next offset.
        next: i64,
    },
}

/// Where to start reading a partition that holds `[low, high)`, given its tables' next offsets.
pub(crate) fn start(nexts: &[Option<i64>], low: i64, high: i64) -> Result<i64, Problem> {
    let mut start = None;
    for (table, next) in nexts.iter().enumerate() {
        let from = match *next {
            None => low,
            Some(next) if next < low => return Err(Problem::Gap { table, next }),
            Some(next) if next > high => return Err(Problem::Ahead { table, next }),
            Some(next) => next,
        };
        start = Some(start.map_or(from, |start: i64| start.min(from)));
    }
    Ok(start.unwrap_or(low))
}

/// The part of the range `[start, end)` that a table at `next` still has to commit.
pub(crate) fn carry(next: Option<i64>, start: i64, end: i64) -> Option<(i64, i64)> {
    let from = next.map_or(start, |next| next.max(start));
    (from < end).then_some((from, end))
}

/// The first offset of which a table at `next` takes rows; none means every row.
pub(crate) fn floor(next: Option<i64>, first: i64) -> Option<i64> {
    next.filter(|next| *next > first)
}

/// The next offset by which a table that messages name takes rows: its own, or that of the dead letters.
pub(crate) fn named(own: Option<i64>, letters: Option<i64>) -> Option<i64> {
    own.max(letters)
}

/// What a table that messages name commits with its rows of the range `[start, end)`: all from where it stands.
pub(crate) fn named_carry(own: Option<i64>, start: i64, end: i64) -> Option<(i64, i64)> {
    let from = own.unwrap_or(start);
    (from < end).then_some((from, end))
}

#[cfg(test)]
mod tests;
