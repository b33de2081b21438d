//! The gRPC service: each call is short. Who calls, what is asked, the answer or a status.
//!
//! This implements Flight itself and not the library's `FlightSqlService`: that one fixes GetSchema to
//! UNIMPLEMENTED, which ADBC's `adbc_execute_schema` needs.

use std::future::Future;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{
    DoPutPreparedStatementResult, DoPutUpdateResult, ProstMessageExt, TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use prost::Message;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Code, Request, Response, Status, Streaming};
use uuid::Uuid;

use super::action::{self, Context};
use super::command::{self, Metadata, Read, Write};
use super::fault::{Fault, Result};
use super::handle::{HandleKey, State};
use super::metadata::{self, Constants};
use super::query::{Queries, client_schema};
use super::session::{self, Caller, Sessions};
use super::stream::FlightStream;
use super::{prepared, sqlinfo, status, xdbc};
use crate::settings::ServeSettings;

/// Flight SQL over one engine.
#[derive(Clone)]
pub(crate) struct FlightSql {
    queries: Arc<Queries>,
    sessions: Arc<Sessions>,
    constants: Arc<Constants>,
    key: HandleKey,
}

impl FlightSql {
    /// The service; `key` signs its handles.
    pub(crate) fn new(
        queries: Arc<Queries>,
        key: HandleKey,
        settings: &ServeSettings,
    ) -> crate::Result<Self> {
        let describe = |error: arrow_flight::error::FlightError| crate::Error::Description(error.to_string());
        let sql_info = sqlinfo::data(settings.sql_bytes_max, settings.queries_max, settings.writes.is_none())
            .map_err(describe)?;
        let type_info = xdbc::data().map_err(describe)?;
        let constants = Arc::new(Constants { sql_info, type_info });
        Ok(Self { queries, sessions: Arc::default(), constants, key })
    }

    /// Plans a request for rows: its schema, and the ticket that redeems it.
    async fn describe(&self, caller: &Caller, command: &[u8]) -> Result<(SchemaRef, Bytes)> {
        let state = match command::read(command)? {
            // The same message is the ticket: nothing needs to be remembered.
            Read::Metadata(asked) => {
                let schema = metadata::schema(&asked, &self.constants);
                return Ok((schema, Bytes::copy_from_slice(command)));
            }
            Read::Statement(sql) => State { sql, namespace: caller.namespace.clone(), ..State::default() },
            Read::Prepared(handle) | Read::Ticket(handle) => self.key.open(&handle)?,
        };
        let statement = self.queries.plan(&state.sql, &state.namespace).await?;
        let statement_handle = self.key.seal(&state.as_ticket(fresh_id()));
        let ticket = TicketStatementQuery { statement_handle }.as_any().encode_to_vec();
        Ok((client_schema(&statement), ticket.into()))
    }

    async fn flight_info(&self, request: Request<FlightDescriptor>) -> Result<FlightInfo> {
        let caller = self.sessions.caller(request.metadata());
        let descriptor = request.into_inner();
        let (schema, ticket) = self.describe(&caller, &descriptor.cmd).await?;
        // One endpoint without a location: the client stays on the connection it has.
        let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
        Ok(FlightInfo::new().try_with_schema(&schema)?.with_endpoint(endpoint).with_descriptor(descriptor))
    }

    async fn schema(&self, request: Request<FlightDescriptor>) -> Result<SchemaResult> {
        let caller = self.sessions.caller(request.metadata());
        let (schema, _) = self.describe(&caller, &request.get_ref().cmd).await?;
        Ok(SchemaResult { schema: prepared::schema_message(&schema)? })
    }

    async fn rows(&self, request: Request<Ticket>) -> Result<FlightStream> {
        match command::read(&request.get_ref().ticket)? {
            Read::Ticket(handle) | Read::Prepared(handle) => self.queries.run(&self.key.open(&handle)?).await,
            Read::Metadata(asked) => self.metadata(asked).await,
            Read::Statement(sql) => {
                let namespace = self.sessions.caller(request.metadata()).namespace;
                self.queries.run(&State { sql, namespace, ..State::default() }).await
            }
        }
    }

    async fn metadata(&self, asked: Metadata) -> Result<FlightStream> {
        let batch = metadata::answer(asked, &self.queries, &self.constants).await?;
        Ok(super::stream::of_batch(batch))
    }

    async fn upload(&self, request: Request<Streaming<FlightData>>) -> Result<PutResult> {
        let caller = self.sessions.caller(request.metadata());
        let mut data = request.into_inner();
        let first = data.message().await.map_err(|error| Fault::Malformed(error.message().to_owned()))?;
        let first = first.ok_or_else(|| Fault::Malformed("the upload is empty".to_owned()))?;
        let Some(descriptor) = &first.flight_descriptor else {
            return Err(Fault::Malformed("the upload's first message has no descriptor".to_owned()));
        };
        match command::write(&descriptor.cmd)? {
            Write::Bind(handle) => {
                let data = stream::iter([Ok(first)]).chain(data);
                let handle = prepared::bind(&self.queries, &self.key, &handle, data).await?;
                let result = DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) };
                Ok(PutResult { app_metadata: result.encode_to_vec().into() })
            }
            Write::Update(_) | Write::UpdatePrepared(_) if !self.queries.may_write() => {
                Err(Fault::ReadOnly { what: "an update" })
            }
            Write::Update(sql) => {
                self.update(&State { sql, namespace: caller.namespace, ..State::default() }).await
            }
            Write::UpdatePrepared(handle) => {
                // A client that has bound its row before sends nothing but the command.
                let first = (!first.data_header.is_empty()).then_some(Ok(first));
                let data = stream::iter(first).chain(data);
                self.update(&prepared::update(&self.queries, &self.key, &handle, data).await?).await
            }
            Write::Ingest => Err(Fault::ReadOnly { what: "writing rows into a table" }),
        }
    }

    async fn update(&self, state: &State) -> Result<PutResult> {
        let changed = self.queries.update(state).await?;
        let record_count = i64::try_from(changed.rows()).unwrap_or(i64::MAX);
        Ok(PutResult { app_metadata: DoPutUpdateResult { record_count }.encode_to_vec().into() })
    }

    async fn action(&self, request: Request<Action>) -> Result<Response<ActionStream>> {
        let caller = self.sessions.caller(request.metadata());
        let (queries, sessions, key) = (&*self.queries, &*self.sessions, &self.key);
        let context = Context { queries, sessions, key, caller, fresh: fresh_id() };
        let Action { r#type, body } = request.into_inner();
        let answer = action::run(context, &r#type, &body).await?;
        let results = answer.body.map(|body| Ok(arrow_flight::Result { body }));
        let mut response = Response::new(stream::iter(results).boxed());
        if let Some(id) = answer.new_session {
            insert(response.metadata_mut(), "set-cookie", &session::set_cookie(&id))?;
        }
        Ok(response)
    }

    /// Accepts every credential: no users are configured. The token only names the client's session.
    async fn greet(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<HandshakeStream>> {
        let known = session::bearer(request.metadata()).map(str::to_owned);
        let token = known.unwrap_or_else(|| fresh_id().simple().to_string());
        let greeting = HandshakeResponse { protocol_version: 0, payload: Bytes::from(token.clone()) };
        let mut response = Response::new(stream::iter([Ok(greeting)]).boxed());
        insert(response.metadata_mut(), "authorization", &format!("Bearer {token}"))?;
        Ok(response)
    }
}

type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
type ActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;

#[tonic::async_trait]
impl FlightService for FlightSql {
    type HandshakeStream = HandshakeStream;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = FlightStream;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoActionStream = ActionStream;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;
    type DoExchangeStream = FlightStream;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<HandshakeStream>, Status> {
        observed("Handshake", self.greet(request)).await
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        observed("GetFlightInfo", self.flight_info(request)).await.map(Response::new)
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        observed("GetSchema", self.schema(request)).await.map(Response::new)
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<FlightStream>, Status> {
        observed("DoGet", self.rows(request)).await.map(Response::new)
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        let result = observed("DoPut", self.upload(request)).await?;
        Ok(Response::new(stream::iter([Ok(result)]).boxed()))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<ActionStream>, Status> {
        observed("DoAction", self.action(request)).await
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        Ok(Response::new(stream::iter(action::list()).map(Ok).boxed()))
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        observed("ListFlights", unsupported("ListFlights")).await
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        observed("PollFlightInfo", unsupported("PollFlightInfo")).await
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<FlightStream>, Status> {
        observed("DoExchange", unsupported("DoExchange")).await
    }
}

async fn unsupported<T>(what: &str) -> Result<T> {
    Err(Fault::Unsupported { what: what.to_owned() })
}

/// Counts the call, logs a defect, and turns a fault into a status.
async fn observed<T>(method: &'static str, call: impl Future<Output = Result<T>>) -> Result<T, Status> {
    let outcome = call.await;
    let code = outcome.as_ref().map_or_else(status::code, |_| Code::Ok);
    metrics::counter!("sluice_flight_requests_total", "method" => method, "code" => status::name(code))
        .increment(1);
    outcome.map_err(|fault| {
        match code {
            Code::Internal => tracing::error!(method, error = %fault, "a call failed inside the server"),
            _ => tracing::debug!(method, code = status::name(code), error = %fault, "a call was refused"),
        }
        fault.into()
    })
}

fn insert(headers: &mut MetadataMap, name: &'static str, value: &str) -> Result<()> {
    let value = AsciiMetadataValue::try_from(value)
        .map_err(|_| Fault::Malformed(format!("the value of header `{name}` is not plain text")))?;
    headers.insert(name, value);
    Ok(())
}

/// An id nobody can guess, drawn where calls come in.
#[expect(
    clippy::disallowed_methods,
    reason = "ids of queries and sessions must not be guessable or replayable"
)]
fn fresh_id() -> Uuid {
    Uuid::new_v4()
}
