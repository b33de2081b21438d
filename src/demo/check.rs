//! The proof: every (topic, partition, offset) that the broker acknowledged is in exactly one row.

use std::fmt::Write as _;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use serde::Serialize;
use sluice_catalog::Lake;
use sluice_ingest::dead_letters;
use sluice_sql::Session;

use crate::failure::Failure;

const NAMESPACE: &str = "bronze";

/// Counts over all landed tables.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Check {
    /// Messages that the broker acknowledged.
    pub(super) produced: u64,
    /// Rows in tables.
    pub(super) landed: u64,
    /// Rows in the dead letters.
    pub(super) dead_lettered: u64,
    /// Acknowledged messages that no row holds.
    pub(super) lost: u64,
    /// Rows beyond the first of an offset.
    pub(super) doubled: u64,
}

impl Check {
    /// Nothing lost, nothing doubled.
    pub(super) fn is_exact(&self) -> bool {
        self.lost == 0 && self.doubled == 0
    }
}

/// Counts the rows of every landed table by offset, in one query.
pub(super) async fn run(lake: &Lake, session: &Session, produced: u64) -> Result<Check, Failure> {
    let mut offsets = String::new();
    for table in lake.tables(NAMESPACE).await? {
        let union = if offsets.is_empty() { "" } else { " union all " };
        let dead = table == dead_letters::table();
        write!(
            offsets,
            "{union}select _src_topic t, _src_partition p, _src_offset o, {dead} as dead from {table}"
        )?;
    }
    let sql = format!(
        "select coalesce(sum(n), 0), coalesce(sum(dead), 0), count(*) from (\
           select count(*) as n, sum(case when dead then 1 else 0 end) as dead from ({offsets}) group by t, p, o)"
    );
    let batches: Vec<_> = session.sql(&sql).await?.try_collect().await?;
    let number = |column: usize| {
        let value =
            batches.iter().find(|batch| batch.num_rows() > 0).map(|batch| batch.column(column).clone());
        value.map_or(0, |array| array.as_primitive::<Int64Type>().value(0) as u64)
    };
    let (rows, dead_lettered, distinct) = (number(0), number(1), number(2));
    Ok(Check {
        produced,
        landed: rows - dead_lettered,
        dead_lettered,
        lost: produced.saturating_sub(distinct),
        doubled: rows - distinct,
    })
}
