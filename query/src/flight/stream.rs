//! Batches to FlightData: encoded on the query threads, handed over one by one, never collected.
//!
//! ```text
//! plan -> batches -> encoder -> channel (4 messages) -> gRPC body -> client
//!         `------ query threads ------'                `- network -'
//! ```
//!
//! - The client drops its call: the body is dropped, the channel closes, the plan is dropped at its next
//!   batch and the task is aborted at its next yield.
//! - The client reads slowly: the channel fills, the plan waits.
//! - The client reads no more: after `idle` the plan is dropped and the stream ends in a status.
//! - The plan fails: the stream ends in a status, never in a short OK.

use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use sluice_sql::SendableRecordBatchStream;
use tokio::sync::mpsc;
use tonic::Status;

use super::fault::{Fault, Result};
use super::running::Slot;
use super::status;
use crate::executor::Executor;

/// What a client receives.
pub(crate) type FlightStream = BoxStream<'static, Result<FlightData, Status>>;

/// Messages of about 2 MiB that wait for the network; enough to keep it busy, few enough to stop soon.
const MESSAGES_AHEAD: usize = 4;

/// Streams a plan's batches under `schema`.
pub(crate) fn of_plan(
    batches: SendableRecordBatchStream,
    schema: SchemaRef,
    slot: Slot,
    idle: Duration,
    executor: &Executor,
) -> FlightStream {
    let (sender, receiver) = mpsc::channel(MESSAGES_AHEAD);
    let messages = encode(batches.map_err(|error| Fault::from(sluice_sql::Error::from(error))), schema);
    let pump = executor.spawn(pump(messages, sender, slot, idle));
    let end = stream::once(async move {
        match pump.await.map_err(Fault::from) {
            Ok(Ok(())) => None,
            Ok(Err(status)) => Some(Err(status)),
            Err(fault) => Some(Err(Status::from(fault))),
        }
    });
    let body = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|message| (Ok(message), receiver))
    });
    body.chain(end.filter_map(|end| async { end })).boxed()
}

/// Streams one batch that is complete in memory.
pub(crate) fn of_batch(batch: RecordBatch) -> FlightStream {
    let schema = batch.schema();
    encode(stream::iter([Ok(batch)]), schema).map_err(|error| status_of(error, "")).boxed()
}

fn encode<S>(
    batches: S,
    schema: SchemaRef,
) -> impl Stream<Item = Result<FlightData, FlightError>> + Send + 'static
where
    S: Stream<Item = Result<RecordBatch>> + Send + 'static,
{
    let batches = batches.map_err(|fault| FlightError::ExternalError(Box::new(fault)));
    FlightDataEncoderBuilder::new().with_schema(schema).build(batches)
}

/// Moves messages from the plan to the channel until one of the ends is reached.
async fn pump<S>(
    messages: S,
    sender: mpsc::Sender<FlightData>,
    slot: Slot,
    idle: Duration,
) -> Result<(), Status>
where
    S: Stream<Item = Result<FlightData, FlightError>> + Send + 'static,
{
    let started = Instant::now();
    let outcome = pump_all(messages, &sender, &slot, idle).await;
    let end = match &outcome {
        Ok(End::Complete) => "ok",
        Ok(End::ClientLeft) => "client_left",
        Err(status) => status::name(status.code()),
    };
    metrics::histogram!("sluice_query_stream_seconds", "end" => end).record(started.elapsed().as_secs_f64());
    outcome.map(|_| ())
}

/// How a stream ended that did not fail.
enum End {
    Complete,
    ClientLeft,
}

async fn pump_all<S>(
    messages: S,
    sender: &mpsc::Sender<FlightData>,
    slot: &Slot,
    idle: Duration,
) -> Result<End, Status>
where
    S: Stream<Item = Result<FlightData, FlightError>> + Send + 'static,
{
    let mut messages = std::pin::pin!(messages);
    loop {
        let next = tokio::select! {
            biased;
            fault = slot.cancelled() => return Err(fault.into()),
            () = sender.closed() => return Ok(End::ClientLeft),
            next = messages.next() => next,
        };
        let message = match next {
            None => return Ok(End::Complete),
            Some(Err(error)) => return Err(status_of(error, "query")),
            Some(Ok(message)) => message,
        };
        metrics::counter!("sluice_flight_sent_bytes_total").increment(message.data_body.len() as u64);
        let sent = tokio::select! {
            biased;
            fault = slot.cancelled() => return Err(fault.into()),
            sent = tokio::time::timeout(idle, sender.send(message)) => sent,
        };
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ok(End::ClientLeft),
            Err(_) => return Err(Fault::Unread { waited: idle }.into()),
        }
    }
}

/// The status of an encoder's error: our own fault if one lies inside.
fn status_of(error: FlightError, what: &str) -> Status {
    match error {
        FlightError::ExternalError(error) => match error.downcast::<Fault>() {
            Ok(fault) => Status::from(*fault),
            Err(error) => Fault::Defect(format!("{what}: {error}")).into(),
        },
        FlightError::Arrow(error) => Fault::Arrow(error).into(),
        other => Fault::Defect(other.to_string()).into(),
    }
}
