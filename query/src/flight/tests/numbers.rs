//! The table that client tests read, `bronze.numbers`: every value follows from `id`, so that any client can
//! check any row.
//!
//! | column | type | value |
//! |---|---|---|
//! | id | BIGINT | 0, 1, 2, … |
//! | name | VARCHAR | `n` and the id |
//! | amount | DECIMAL(12,2) | id cents |
//! | at | TIMESTAMP, µs, UTC | 2026-01-01T00:00:00Z and id times 1.000001 s |
//! | flag | BOOLEAN | whether the id is even |

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};
use sluice_catalog::{
    Commit, CommitOutcome, Created, Lake, Operation, TableName, TableSpec, TableWriter, WriterSettings,
};
use uuid::Uuid;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// 2026-01-01T00:00:00Z in microseconds.
const FIRST_AT: i64 = 1_767_225_600_000_000;
const BATCH_ROWS: i64 = 65_536;

/// The table's columns.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("amount", DataType::Decimal128(12, 2), true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("flag", DataType::Boolean, true),
    ]))
}

/// Creates the table in `lake` and fills it with `rows` rows.
pub(crate) async fn create(lake: &Lake, rows: i64, token: Uuid, now: DateTime<Utc>) -> Result<(), Failure> {
    let name = TableName::new("bronze", "numbers")?;
    let Created::New(table) = lake.create(&name, TableSpec::new(schema())).await? else {
        return Err("bronze.numbers is there already; choose an empty folder".into());
    };
    let mut writer = TableWriter::new(lake, &table, token, WriterSettings::default())?;
    for start in (0..rows).step_by(BATCH_ROWS as usize) {
        writer.write(batch(start..rows.min(start + BATCH_ROWS))?).await?;
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
        CommitOutcome::Committed(_) => Ok(()),
        other => Err(format!("the table was not filled: {other:?}").into()),
    }
}

fn batch(ids: Range<i64>) -> Result<RecordBatch, Failure> {
    let amounts =
        Decimal128Array::from_iter_values(ids.clone().map(i128::from)).with_precision_and_scale(12, 2)?;
    let times = TimestampMicrosecondArray::from_iter_values(ids.clone().map(|id| FIRST_AT + id * 1_000_001));
    let flags: BooleanArray = ids.clone().map(|id| Some(id % 2 == 0)).collect();
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(Int64Array::from_iter_values(ids.clone())),
            Arc::new(StringArray::from_iter_values(ids.map(|id| format!("n{id}")))),
            Arc::new(amounts),
            Arc::new(times.with_timezone("UTC")),
            Arc::new(flags),
        ],
    )?)
}
