//! Prepared statements: create, bind one row of parameters, close.
//!
//! ```text
//! create: SQL -> plan -> handle{SQL}            + result schema + parameter schema
//! bind:   handle{SQL} + row -> cast -> handle{SQL, row}    the client goes on with the new handle
//! close:  nothing to do: no state was kept
//! ```
//!
//! Clients bind by the declared types as far as they can (JDBC), or send what their language has (ADBC:
//! 64-bit integers, microseconds, untyped nulls). Each value is cast to the declared type, and a value
//! that the cast would change is refused instead of being rounded in silence.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::ActionCreatePreparedStatementResult;
use arrow_flight::{FlightData, IpcMessage, SchemaAsIpc};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use sluice_sql::{Command, ScalarValue};
use tonic::Status;

use super::fault::{Fault, Result};
use super::handle::{HandleKey, State};
use super::query::{Queries, client_schema, parameters};
use super::types;

/// Largest encoded row of parameters: it travels in the handle, with every call.
const PARAMETER_BYTES_MAX: usize = 1 << 20;

/// Plans `sql` and describes it; nothing is kept.
pub(crate) async fn create(
    queries: &Queries,
    key: &HandleKey,
    sql: String,
    namespace: String,
) -> Result<ActionCreatePreparedStatementResult> {
    let command = queries.plan(&sql, &namespace).await?;
    // A client takes a statement without columns for an update.
    let columns = match &command {
        Command::Read(_) => client_schema(&command),
        Command::Write(_) => Arc::new(Schema::empty()),
    };
    let state = State { sql, namespace, ..State::default() };
    Ok(ActionCreatePreparedStatementResult {
        prepared_statement_handle: key.seal(&state),
        dataset_schema: schema_message(&columns)?,
        parameter_schema: schema_message(&parameter_schema(parameters(&command)))?,
    })
}

/// Binds the row that `data` carries to a prepared statement; the answer is the handle that holds it.
pub(crate) async fn bind<S>(queries: &Queries, key: &HandleKey, handle: &[u8], data: S) -> Result<Bytes>
where
    S: Stream<Item = Result<FlightData, Status>> + Send + 'static,
{
    let state = key.open(handle)?;
    let command = queries.plan(&state.sql, &state.namespace).await?;
    let row = receive(data).await?.ok_or_else(|| wrong_rows(0))?;
    let row = cast_row(&row, parameters(&command))?;
    Ok(key.seal(&State { parameters: encode(&row)?, ..state }))
}

/// The state of an update: what its handle says, with the row that came along, if one did.
pub(crate) async fn update<S>(queries: &Queries, key: &HandleKey, handle: &[u8], data: S) -> Result<State>
where
    S: Stream<Item = Result<FlightData, Status>> + Send + 'static,
{
    let state = key.open(handle)?;
    let Some(row) = receive(data).await? else { return Ok(state) };
    let command = queries.plan(&state.sql, &state.namespace).await?;
    let row = cast_row(&row, parameters(&command))?;
    Ok(State { parameters: encode(&row)?, ..state })
}

/// The values bound in `state`, in the order of the statement's markers.
pub(crate) fn values(state: &State, declared: &[DataType]) -> Result<Vec<ScalarValue>> {
    let expected = declared.len();
    if state.parameters.is_empty() {
        return match expected {
            0 => Ok(Vec::new()),
            expected => Err(Fault::Parameters(format!(
                "the statement has {expected} parameters and none is bound\n  bind one row of values before executing it"
            ))),
        };
    }
    let mut reader = StreamReader::try_new(state.parameters.as_ref(), None)?;
    let row = reader.next().ok_or(Fault::UnknownHandle)??;
    let values = row.columns().iter().map(|column| ScalarValue::try_from_array(column, 0));
    let values = values.collect::<Result<Vec<_>, _>>().map_err(sluice_sql::Error::from)?;
    // The table may have changed since the row was bound.
    match values.len() == expected {
        true => Ok(values),
        false => Err(wrong_count(expected, values.len())),
    }
}

/// One nullable field per marker: clients refuse to bind null to a field that is not nullable.
fn parameter_schema(declared: &[DataType]) -> SchemaRef {
    let fields = declared.iter().enumerate();
    let fields = fields.map(|(at, data_type)| Field::new(format!("${}", at + 1), data_type.clone(), true));
    types::describe_result(&Schema::new(fields.collect::<Vec<_>>()))
}

/// The schema as clients expect it inside messages.
pub(crate) fn schema_message(schema: &Schema) -> Result<Bytes> {
    let IpcMessage(bytes) = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into()?;
    Ok(bytes)
}

/// Reads the upload: one row, or none.
async fn receive<S>(data: S) -> Result<Option<RecordBatch>>
where
    S: Stream<Item = Result<FlightData, Status>> + Send + 'static,
{
    let mut batches = FlightRecordBatchStream::new_from_flight_data(data.map_err(FlightError::from));
    let (mut row, mut rows) = (None, 0);
    while let Some(batch) = batches.next().await {
        let batch =
            batch.map_err(|error| Fault::Malformed(format!("the parameters cannot be read: {error}")))?;
        rows += batch.num_rows();
        if batch.num_rows() > 0 {
            row = Some(batch);
        }
    }
    match rows {
        0 | 1 => Ok(row),
        rows => Err(wrong_rows(rows)),
    }
}

fn wrong_rows(rows: usize) -> Fault {
    Fault::Parameters(format!(
        "{rows} rows of parameters were bound; a query takes exactly one\n  execute it once per row"
    ))
}

fn cast_row(row: &RecordBatch, declared: &[DataType]) -> Result<RecordBatch> {
    if row.num_columns() != declared.len() {
        return Err(wrong_count(declared.len(), row.num_columns()));
    }
    let columns = row.columns().iter().zip(declared).enumerate();
    let columns = columns.map(|(at, (column, declared))| cast_value(column, declared, at + 1));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let fields = columns.iter().enumerate();
    let fields =
        fields.map(|(at, column)| Field::new(format!("${}", at + 1), column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    // Without columns the number of rows must be said.
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

/// Casts one value to the declared type; `number` counts the markers from 1.
fn cast_value(value: &ArrayRef, declared: &DataType, number: usize) -> Result<ArrayRef> {
    let target = match (declared, value.data_type()) {
        // Declared in milliseconds for JDBC, which writes nothing else; finer units are kept.
        (DataType::Timestamp(_, zone), DataType::Timestamp(unit, _)) => {
            DataType::Timestamp(*unit, zone.clone())
        }
        (DataType::Timestamp(_, zone), _) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        (declared, _) => declared.clone(),
    };
    let refused = |reason: &str| {
        let (name, sent) = (types::sql_name(declared), types::sql_name(value.data_type()));
        Fault::Parameters(format!("parameter {number} must be {name}, and the {sent} sent for it {reason}"))
    };
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let cast =
        cast_with_options(value, &target, &strict).map_err(|error| refused(&format!("is not: {error}")))?;
    if may_lose(value.data_type(), &target) {
        let back =
            cast_with_options(&cast, value.data_type(), &strict).map_err(|_| refused("does not fit"))?;
        let same: BooleanArray = not_distinct(value, &back)?;
        if same.true_count() != value.len() {
            return Err(refused("would be rounded"));
        }
    }
    Ok(cast)
}

/// Casts that drop digits or the time of day instead of failing. A float has no exact decimal anyway:
/// rounding it to the declared scale is what was meant.
fn may_lose(from: &DataType, to: &DataType) -> bool {
    let decimal = |of: &DataType| matches!(of, DataType::Decimal128(..) | DataType::Decimal256(..));
    (from.is_floating() && to.is_integer())
        || (decimal(from) && (to.is_integer() || decimal(to)))
        || (matches!(from, DataType::Timestamp(..)) && matches!(to, DataType::Date32))
}

fn encode(row: &RecordBatch) -> Result<Bytes> {
    let mut writer = StreamWriter::try_new(Vec::new(), &row.schema())?;
    writer.write(row)?;
    let bytes = writer.into_inner()?;
    match bytes.len() <= PARAMETER_BYTES_MAX {
        true => Ok(bytes.into()),
        false => Err(Fault::Parameters(format!(
            "the parameters have {} bytes; this server takes {PARAMETER_BYTES_MAX}\n  load the values into a table and join it",
            bytes.len()
        ))),
    }
}

fn wrong_count(expected: usize, sent: usize) -> Fault {
    Fault::Parameters(format!("the statement has {expected} parameters, and {sent} values were bound"))
}
