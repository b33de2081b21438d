//! The table that is measured: events like the shop's, the same bytes in every run.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};
use sluice_catalog::{
    Commit, CommitOutcome, Created, Lake, Operation, TableName, TableSnapshot, TableSpec, TableWriter,
    WriterSettings,
};
use uuid::Uuid;

use crate::ingest::Failure;

const BATCH: usize = 65_536;
const TYPES: [&str; 6] = ["view", "addtocart", "transaction", "search", "filter", "review"];
/// 2026-01-01T00:00:00Z.
const START_MICROS: i64 = 1_767_225_600_000_000;

/// Writes and commits `bronze.events`.
pub(super) async fn write(lake: &Lake, rows: usize) -> Result<TableSnapshot, Failure> {
    create(lake).await?;
    let now = DateTime::from_timestamp_micros(START_MICROS).unwrap_or_default();
    append(lake, 0..rows, Uuid::from_u128(u128::try_from(rows)?), now).await
}

/// Creates `bronze.events`.
pub(crate) async fn create(lake: &Lake) -> Result<TableName, Failure> {
    let name = TableName::new("bronze", "events")?;
    let (Created::New(_) | Created::Existed(_)) = lake.create(&name, TableSpec::new(schema())).await?;
    Ok(name)
}

/// Appends these rows to `bronze.events` in one commit.
pub(crate) async fn append(
    lake: &Lake,
    rows: Range<usize>,
    token: Uuid,
    now: DateTime<Utc>,
) -> Result<TableSnapshot, Failure> {
    let name = TableName::new("bronze", "events")?;
    let (table, schema) = (lake.load(&name).await?, schema());
    let mut writer = TableWriter::new(lake, &table, token, WriterSettings::default())?;
    for first in rows.clone().step_by(BATCH) {
        writer.write(batch(&schema, first..rows.end.min(first + BATCH))?).await?;
    }
    let commit = Commit {
        table: name,
        operation: Operation::Append,
        files: Some(writer.finish().await?),
        offsets: Vec::new(),
        properties: Default::default(),
        token,
    };
    match lake.commit(vec![commit], now).await? {
        CommitOutcome::Committed(mut tables) => {
            tables.pop().ok_or_else(|| "the commit named no table".into())
        }
        other => Err(format!("the table was not committed: {other:?}").into()),
    }
}

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("event_id", DataType::Utf8),
        field("event_type", DataType::Utf8),
        field("user_id", DataType::Int64),
        field("item_id", DataType::Int64),
        field("quantity", DataType::Int32),
        field("price", DataType::Float64),
        field("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
    ]))
}

fn batch(schema: &SchemaRef, rows: Range<usize>) -> Result<RecordBatch, Failure> {
    let each = || rows.clone().map(|row| mixed(row as u64));
    let below = |mixed: u64, limit: u64| (mixed % limit) as i64;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(each().map(|n| format!("{n:016x}")))),
        Arc::new(StringArray::from_iter_values(each().map(|n| TYPES[(n >> 8) as usize % TYPES.len()]))),
        Arc::new(Int64Array::from_iter_values(each().map(|n| below(n >> 16, 100_000)))),
        Arc::new(Int64Array::from_iter_values(each().map(|n| below(n >> 24, 20_000)))),
        Arc::new(Int32Array::from_iter_values(each().map(|n| (n >> 40) as i32 & 7))),
        Arc::new(Float64Array::from_iter(
            each().map(|n| (n % 6 == 2).then_some(below(n >> 12, 50_000) as f64 / 100.0)),
        )),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(
                rows.clone().map(|row| START_MICROS + row as i64 * 1_000),
            )
            .with_timezone("UTC"),
        ),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// A number that looks random but belongs to its row (the finaliser of splitmix64).
fn mixed(row: u64) -> u64 {
    let mut n = row.wrapping_add(0x9e37_79b9_7f4a_7c15);
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
