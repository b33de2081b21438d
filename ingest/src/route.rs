//! Rows find their table: types and names choose the route, kinds are parsed, required fields are checked.
//!
//! All of it on columns: rows are gathered per route, parsed column by column, and what does not fit is
//! filtered out by one mask. A row goes to exactly one route, or to the dead letters.

pub(crate) mod choose;
mod create;

use std::collections::BTreeMap;
use std::iter::repeat_n;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
    UInt32Array, new_null_array,
};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{and, concat_batches, filter, is_null, or, take_record_batch};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use sluice_catalog::Alteration;

use self::choose::{Group, Missing};
use crate::decode::{Decoded, fit};
use crate::evolve::Wanted;
use crate::plan::{Plan, RoutePlan, TopicPlan};
use crate::reject::{self, Cause, Reject};
use crate::source::raw::RawBatch;
use crate::topics::{Required, SchemaPolicy};
use crate::unknown::Unknown;
use crate::upsert::{Deletions, with_deleted};

/// A table with fewer rows of a batch than this shares their arrays with others.
const FEW_ROWS: usize = 64;

/// The rows of a raw batch, table by table.
#[derive(Debug, Default)]
pub(crate) struct Routed {
    /// Table number and rows; a table occurs at most once.
    pub(crate) tables: Vec<(usize, RecordBatch)>,
    /// More of it, for tables that have few rows.
    pub(crate) few: Vec<Shared>,
    /// How many rows are dead letters.
    pub(crate) rejected: u64,
    /// The error of one of them.
    pub(crate) sample: Option<String>,
}

/// Few rows each of many tables, in the same arrays: one table's behind another's.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) batch: RecordBatch,
    /// Memory that the arrays take.
    pub(crate) bytes: usize,
    /// The tables in the order of their rows, each with how many it has.
    pub(crate) tables: Vec<(usize, usize)>,
}

impl Routed {
    /// Bytes that all rows keep allocated.
    pub(crate) fn memory(&self) -> usize {
        let own = self.tables.iter().map(|(_, batch)| batch.get_array_memory_size());
        own.chain(self.few.iter().map(|shared| shared.bytes)).sum()
    }

    /// All rows, by table; a table may occur more than once.
    pub(crate) fn batches(&self) -> impl Iterator<Item = (usize, RecordBatch)> {
        let few = self.few.iter().flat_map(|shared| {
            let place = |start: &mut usize, &(table, rows): &(usize, usize)| {
                *start += rows;
                Some((table, shared.batch.slice(*start - rows, rows)))
            };
            shared.tables.iter().scan(0, place)
        });
        self.tables.iter().cloned().chain(few)
    }
}

/// What became of a raw batch.
#[derive(Debug)]
pub(crate) enum Routing {
    /// Every message has its row.
    Done(Routed),
    /// Tables must change first; then the same messages are to be decoded again.
    Grow(Vec<Wanted>),
    /// Tables must be created, or found missing, first; then the same.
    Make(Missing),
}

/// Rows of one route: of the decoded batch, and the messages they came from.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) batch: RecordBatch,
    pub(crate) messages: Vec<u32>,
}

/// Splits decoded batches into rows of tables and dead letters.
pub(crate) fn route(plan: &Plan, raw: &RawBatch, decoded: Vec<Decoded>) -> Result<Routing, ArrowError> {
    let topic = &plan.topics[raw.topic];
    let (mut rejects, mut routed) = (Vec::new(), Routed::default());
    let mut tables: BTreeMap<usize, Vec<RecordBatch>> = BTreeMap::new();
    let (mut wanted, mut missing) = (Vec::new(), Missing::new());
    for piece in decoded {
        rejects.extend(piece.rejects);
        let share = Share { batch: piece.batch, messages: piece.rows };
        for Group { route, mut share, tables: owners } in
            choose::rows(topic, raw, share, &mut rejects, &mut missing)?
        {
            let route = &topic.routes[route];
            let deletions = Deletions::take(route, &mut share)?;
            let refused = &plan.tables[route.table].refused;
            let unknown = Unknown::new(topic, route, &share, refused)?;
            if !unknown.alterations.is_empty() {
                want(&mut wanted, route.table, unknown.alterations);
                continue;
            }
            let landed = land(topic, route, raw, (&share, unknown, deletions), &mut rejects)?;
            // Of tables with a key the order of rows counts: they stay together.
            let few_rows = if route.upsert.is_some() { 0 } else { FEW_ROWS };
            for (table, batch) in split(landed, owners, few_rows, &mut routed)? {
                tables.entry(table).or_default().push(batch);
            }
        }
    }
    if !missing.is_empty() {
        return Ok(Routing::Make(missing));
    }
    if !wanted.is_empty() {
        return Ok(Routing::Grow(wanted));
    }
    for (table, batches) in tables {
        let batch = match batches.as_slice() {
            [only] => only.clone(),
            several => concat_batches(several[0].schema_ref(), several)?,
        };
        routed.tables.push((table, batch));
    }
    if let Some(first) = rejects.first() {
        routed.rejected = rejects.len() as u64;
        routed.sample = Some(format!("{}: {}", first.cause, first.text));
        routed.tables.push((plan.dead_letters, reject::batch(&topic.name, raw, rejects)?));
    }
    Ok(Routing::Done(routed))
}

/// The rows of a group by table. Many rows are copied, so that they can be let go of alone. What tables with fewer
/// than `few_rows` get goes into one batch, because arrays of their own would cost more than the rows.
fn split(
    (batch, good): (RecordBatch, Option<BooleanArray>),
    owners: Vec<(usize, usize)>,
    few_rows: usize,
    routed: &mut Routed,
) -> Result<Vec<(usize, RecordBatch)>, ArrowError> {
    let (mut from, mut start, mut parts) = (0, 0, Vec::new());
    let (mut few, mut few_tables) = (Vec::new(), Vec::new());
    for (table, rows) in owners {
        let count = good.as_ref().map_or(rows, |good| good.slice(from, rows).true_count());
        let rows_of_table = start as u32..(start + count) as u32;
        if count == batch.num_rows() && count > 0 {
            parts.push((table, batch.clone()));
        } else if count >= few_rows && count > 0 {
            parts.push((table, take_record_batch(&batch, &UInt32Array::from_iter_values(rows_of_table))?));
        } else if count > 0 {
            few.extend(rows_of_table);
            few_tables.push((table, count));
        }
        (from, start) = (from + rows, start + count);
    }
    if !few.is_empty() {
        let batch = take_record_batch(&batch, &UInt32Array::from(few))?;
        routed.few.push(Shared { bytes: batch.get_array_memory_size(), batch, tables: few_tables });
    }
    Ok(parts)
}

/// Adds what a table needs, each alteration once.
fn want(wanted: &mut Vec<Wanted>, table: usize, alterations: Vec<Alteration>) {
    match wanted.iter_mut().find(|wanted| wanted.table == table) {
        Some(known) => known.alterations.extend(alterations),
        None => wanted.push(Wanted { table, alterations }),
    }
    for wanted in wanted {
        let all = std::mem::take(&mut wanted.alterations);
        for alteration in all {
            if !wanted.alterations.contains(&alteration) {
                wanted.alterations.push(alteration);
            }
        }
    }
}

/// Parses and checks the rows of a route; those that pass become rows of its table. Also which those are, unless all.
fn land(
    topic: &TopicPlan,
    route: &RoutePlan,
    raw: &RawBatch,
    (share, unknown, deletions): (&Share, Unknown, Option<Deletions<'_>>),
    rejects: &mut Vec<Reject>,
) -> Result<(RecordBatch, Option<BooleanArray>), ArrowError> {
    let mut bad = unknown.faults(route.policy, &share.messages);
    if let Some(deletions) = &deletions {
        bad.retain(|row, _| !deletions.rows.value(*row as usize)); // Of what is deleted only the key matters.
        bad.extend(deletions.faults.iter().cloned());
    }
    let spared = |row: usize, column: &str| deletions.as_ref().is_some_and(|all| all.spares(row, column));
    let types = if topic.by_type { Some(choose::types(topic, raw, share)?) } else { None };
    let mut columns = Vec::with_capacity(route.columns.len() + 4);
    for column in &route.columns {
        let (array, misfits) = match share.batch.column_by_name(&column.name) {
            Some(decoded) => fit::column(decoded, &column.data_type)?,
            None => (new_null_array(&column.data_type, share.messages.len()), Vec::new()),
        };
        // What does not fit may be null here, and is there all the same.
        let given = share.batch.column_by_name(&column.name).unwrap_or(&array);
        if let Some(missing) = missing(&column.required, given, types.as_ref())? {
            for row in missing.values().set_indices().filter(|row| !spared(*row, &column.name)) {
                let message = share.messages[row];
                bad.entry(row as u32)
                    .and_modify(|reject| {
                        if reject.cause == Cause::MissingField {
                            reject.text.push_str(&format!(", `{}`", column.name));
                        }
                    })
                    .or_insert_with(|| {
                        let text = format!("required but missing or null: `{}`", column.name);
                        Reject::new(message, Cause::MissingField, text)
                    });
            }
        }
        columns.push((array, misfits));
    }
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len() + 4);
    for (column, (array, misfits)) in route.columns.iter().zip(columns) {
        for (row, fault) in misfits.into_iter().filter(|(row, _)| !spared(*row as usize, &column.name)) {
            let message = share.messages[row as usize];
            bad.entry(row).or_insert_with(|| {
                Reject::new(message, Cause::WrongType, format!("field `{}`: {fault}", column.name))
            });
        }
        arrays.push(array);
    }
    if route.policy == SchemaPolicy::Keep {
        arrays.push(Arc::new(unknown.rest(share.messages.len())));
    }
    let deleted = deletions.map(|deletions| Arc::new(deletions.rows) as ArrayRef);
    if bad.is_empty() {
        arrays.extend(source_columns(&topic.name, raw, &share.messages));
        return Ok((with_deleted(&route.schema, arrays, deleted)?, None));
    }
    let good: BooleanArray =
        (0..share.messages.len() as u32).map(|row| Some(!bad.contains_key(&row))).collect();
    for array in &mut arrays {
        *array = filter(array, &good)?;
    }
    let messages: Vec<u32> = good.values().set_indices().map(|row| share.messages[row]).collect();
    arrays.extend(source_columns(&topic.name, raw, &messages));
    rejects.extend(bad.into_values());
    let deleted = deleted.map(|deleted| filter(&deleted, &good)).transpose()?;
    Ok((with_deleted(&route.schema, arrays, deleted)?, Some(good)))
}

/// The rows that lack a required field; `None` when all have it.
fn missing(
    required: &Required,
    values: &ArrayRef,
    types: Option<&StringArray>,
) -> Result<Option<BooleanArray>, ArrowError> {
    if values.logical_null_count() == 0 {
        return Ok(None);
    }
    match (required, types) {
        (Required::Never, _) | (Required::For(_), None) => Ok(None),
        (Required::Always, _) => Ok(Some(is_null(values)?)),
        (Required::For(names), Some(types)) => {
            let mut concerned = BooleanArray::from(vec![false; values.len()]);
            for name in names {
                let same = eq(types, &StringArray::new_scalar(name))?;
                let same = match same.nulls() {
                    Some(nulls) => BooleanArray::new(same.values() & nulls.inner(), None),
                    None => same,
                };
                concerned = or(&concerned, &same)?;
            }
            Ok(Some(and(&concerned, &is_null(values)?)?))
        }
    }
}

/// The four columns that tell where the given messages come from.
pub(crate) fn source_columns(topic: &str, raw: &RawBatch, messages: &[u32]) -> [ArrayRef; 4] {
    let rows = messages.len();
    let offsets = messages.iter().map(|message| raw.offset(*message as usize));
    [
        Arc::new(StringArray::from_iter_values(repeat_n(topic, rows))),
        Arc::new(Int32Array::from_value(raw.partition, rows)),
        Arc::new(Int64Array::from_iter_values(offsets)),
        Arc::new(TimestampMicrosecondArray::from_value(raw.ingested_at, rows).with_timezone("UTC")),
    ]
}

#[cfg(test)]
mod tests;
