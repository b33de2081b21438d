//! Rows find their table: event types choose the route, kinds are parsed, required fields are checked.
//!
//! All of it on columns: rows are gathered per route, parsed column by column, and what does not fit is
//! filtered out by one mask. A row goes to exactly one route, or to the dead letters.

use std::collections::BTreeMap;
use std::iter::repeat_n;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
    UInt32Array, new_null_array,
};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{and, concat_batches, filter, is_null, or, take_record_batch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use sluice_catalog::Alteration;

use crate::decode::{Decoded, fit};
use crate::evolve::Wanted;
use crate::plan::{EVENT_TYPE, Plan, RoutePlan, TopicPlan};
use crate::reject::{self, Cause, Reject};
use crate::source::raw::RawBatch;
use crate::topics::{Required, SchemaPolicy};
use crate::unknown::Unknown;
use crate::upsert::{Deletions, with_deleted};

/// The rows of a raw batch, table by table.
#[derive(Debug, Default)]
pub(crate) struct Routed {
    /// Table number and rows; a table occurs at most once.
    pub(crate) tables: Vec<(usize, RecordBatch)>,
    /// How many rows are dead letters.
    pub(crate) rejected: u64,
    /// The error of one of them.
    pub(crate) sample: Option<String>,
}

/// What became of a raw batch.
#[derive(Debug)]
pub(crate) enum Routing {
    /// Every message has its row.
    Done(Routed),
    /// Tables must change first; then the same messages are to be decoded again.
    Grow(Vec<Wanted>),
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
    let mut rejects = Vec::new();
    let mut tables: BTreeMap<usize, Vec<RecordBatch>> = BTreeMap::new();
    let mut wanted: Vec<Wanted> = Vec::new();
    for piece in decoded {
        rejects.extend(piece.rejects);
        let shares = share(topic, piece.batch, piece.rows, &mut rejects)?;
        for (route, share) in topic.routes.iter().zip(shares) {
            let Some(mut share) = share else { continue };
            let deletions = Deletions::take(route, &mut share)?;
            let refused = &plan.tables[route.table].refused;
            let unknown = Unknown::new(topic, route, &share, refused)?;
            if !unknown.alterations.is_empty() {
                want(&mut wanted, route.table, unknown.alterations);
                continue;
            }
            let batch = land(topic, route, raw, (&share, unknown, deletions), &mut rejects)?;
            if batch.num_rows() > 0 {
                tables.entry(route.table).or_default().push(batch);
            }
        }
    }
    if !wanted.is_empty() {
        return Ok(Routing::Grow(wanted));
    }
    let mut routed = Routed::default();
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

/// Gives every row to the route of its event type.
fn share(
    topic: &TopicPlan,
    batch: RecordBatch,
    messages: Vec<u32>,
    rejects: &mut Vec<Reject>,
) -> Result<Vec<Option<Share>>, ArrowError> {
    let takes_all = matches!(topic.routes.as_slice(), [only] if only.event_types.is_empty());
    if takes_all || !topic.by_type {
        return Ok(vec![Some(Share { batch, messages })]);
    }
    let types = event_types(&batch)?;
    let rest = topic.routes.iter().position(|route| route.event_types.is_empty());
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); topic.routes.len()];
    for (row, event_type) in types.iter().enumerate() {
        let named = event_type.and_then(|name| {
            topic.routes.iter().position(|route| route.event_types.iter().any(|known| known == name))
        });
        match (named.or(rest), event_type) {
            (Some(route), _) => rows[route].push(row as u32),
            (None, Some(name)) => rejects.push(Reject::new(
                messages[row],
                Cause::UnknownEventType,
                format!("no route of `{}` takes the event type `{name}`", topic.name),
            )),
            (None, None) => rejects.push(Reject::new(
                messages[row],
                Cause::MissingField,
                "the field `event_type`, which chooses the table, is missing or null",
            )),
        }
    }
    let shares = rows.into_iter().map(|rows| {
        if rows.is_empty() {
            return Ok(None);
        }
        if rows.len() == batch.num_rows() {
            return Ok(Some(Share { batch: batch.clone(), messages: messages.clone() }));
        }
        let messages = rows.iter().map(|row| messages[*row as usize]).collect();
        Ok(Some(Share { batch: take_record_batch(&batch, &UInt32Array::from(rows))?, messages }))
    });
    shares.collect()
}

/// The event type of each row; null where the field is missing or of another kind.
fn event_types(batch: &RecordBatch) -> Result<StringArray, ArrowError> {
    let Some(column) = batch.column_by_name(EVENT_TYPE) else {
        return Ok(StringArray::new_null(batch.num_rows()));
    };
    let (texts, _) = fit::column(column, &DataType::Utf8)?;
    Ok(texts.as_string().clone())
}

/// Parses and checks the rows of a route; those that pass become rows of its table.
fn land(
    topic: &TopicPlan,
    route: &RoutePlan,
    raw: &RawBatch,
    (share, unknown, deletions): (&Share, Unknown, Option<Deletions<'_>>),
    rejects: &mut Vec<Reject>,
) -> Result<RecordBatch, ArrowError> {
    let mut bad = unknown.faults(route.policy, &share.messages);
    if let Some(deletions) = &deletions {
        bad.retain(|row, _| !deletions.rows.value(*row as usize)); // Of what is deleted only the key matters.
        bad.extend(deletions.faults.iter().cloned());
    }
    let spared = |row: usize, column: &str| deletions.as_ref().is_some_and(|all| all.spares(row, column));
    let types = if topic.by_type { Some(event_types(&share.batch)?) } else { None };
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
        return with_deleted(&route.schema, arrays, deleted);
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
    with_deleted(&route.schema, arrays, deleted)
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
