//! DoAction by name: prepared statements, cancellation, sessions.
//!
//! Flight SQL's own actions wrap their messages in `Any`; Flight's (sessions, CancelFlightInfo) do not.

use std::collections::HashMap;

use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ProstMessageExt,
};
use arrow_flight::{ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo};
use bytes::Bytes;
use prost::Message;
use sluice_sql::CATALOG;
use uuid::Uuid;

use super::command::{self, Read};
use super::fault::{Fault, Result};
use super::handle::HandleKey;
use super::prepared;
use super::query::Queries;
use super::session::{Caller, Sessions, cookie_key};
use super::session_message::{
    CloseResult, CloseStatus, GetResult, OptionValue, SetError, SetErrorKind, SetRequest, SetResult, Value,
};

/// `action_cancel_query_result::CancelResult::Cancelled`, whose module arrow-flight keeps private.
const CANCEL_RESULT_CANCELLED: i32 = 1;

/// The actions and what they are for.
const ACTIONS: [(&str, &str); 7] = [
    (
        "CreatePreparedStatement",
        "Plans a statement and answers a handle, its result schema and its parameters.",
    ),
    ("ClosePreparedStatement", "Ends a prepared statement; handles keep no state here, so this never fails."),
    ("CancelFlightInfo", "Cancels the query of a FlightInfo."),
    ("CancelQuery", "Cancels the query of a FlightInfo; CancelFlightInfo replaces it."),
    ("SetSessionOptions", "Sets `schema` (and accepts `catalog`, of which there is one)."),
    ("GetSessionOptions", "Answers `catalog` and `schema`."),
    ("CloseSession", "Forgets the session's options."),
];

/// What an action is run on.
pub(crate) struct Context<'s> {
    pub(crate) queries: &'s Queries,
    pub(crate) sessions: &'s Sessions,
    pub(crate) key: &'s HandleKey,
    pub(crate) caller: Caller,
    /// Becomes the id of a new session, if this action makes one.
    pub(crate) fresh: Uuid,
}

/// An action's result: one message or none, and the session to tell the client of.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) body: Option<Bytes>,
    pub(crate) new_session: Option<String>,
}

impl Answer {
    fn message(message: &impl Message) -> Self {
        Self { body: Some(message.encode_to_vec().into()), new_session: None }
    }
}

/// The actions, for ListActions.
pub(crate) fn list() -> impl Iterator<Item = ActionType> {
    ACTIONS.into_iter().map(|(name, description)| ActionType {
        r#type: name.to_owned(),
        description: description.to_owned(),
    })
}

/// Runs the action `name`.
pub(crate) async fn run(context: Context<'_>, name: &str, body: &[u8]) -> Result<Answer> {
    match name {
        "CreatePreparedStatement" => {
            let request: ActionCreatePreparedStatementRequest = command::action(body)?;
            refuse_transaction(request.transaction_id.as_ref())?;
            let namespace = context.caller.namespace.clone();
            let created = prepared::create(context.queries, context.key, request.query, namespace).await?;
            Ok(Answer::message(&created.as_any()))
        }
        "ClosePreparedStatement" => {
            command::action::<ActionClosePreparedStatementRequest>(body)?;
            Ok(Answer::default())
        }
        "CancelFlightInfo" => {
            let request: CancelFlightInfoRequest = command::plain(body)?;
            cancel(&context, request.info)?;
            Ok(Answer::message(&CancelFlightInfoResult { status: CancelStatus::Cancelled.into() }))
        }
        "CancelQuery" => {
            let request: ActionCancelQueryRequest = command::action(body)?;
            cancel(&context, Some(command::plain(&request.info)?))?;
            Ok(Answer::message(&ActionCancelQueryResult { result: CANCEL_RESULT_CANCELLED }.as_any()))
        }
        "SetSessionOptions" => set_options(&context, command::plain(body)?).await,
        "GetSessionOptions" => {
            let namespace = match context.caller.namespace.as_str() {
                "" => context.queries.default_namespace(),
                chosen => chosen.to_owned(),
            };
            let options = [("catalog", CATALOG), ("schema", &namespace)];
            let options = options.map(|(name, value)| (name.to_owned(), OptionValue::from(value)));
            Ok(Answer::message(&GetResult { options: options.into() }))
        }
        "CloseSession" => {
            if let Some(key) = &context.caller.key {
                context.sessions.close(key);
            }
            Ok(Answer::message(&CloseResult { status: CloseStatus::Closed.into() }))
        }
        other => Err(Fault::Unsupported { what: format!("the action `{other}`") }),
    }
}

/// There are no transactions, so nobody can hold the id of one.
pub(crate) fn refuse_transaction(id: Option<&Bytes>) -> Result<()> {
    match id {
        Some(id) if !id.is_empty() => Err(Fault::Unsupported { what: "a transaction".to_owned() }),
        _ => Ok(()),
    }
}

fn cancel(context: &Context<'_>, info: Option<FlightInfo>) -> Result<()> {
    let ticket = info.and_then(|info| info.endpoint.into_iter().find_map(|endpoint| endpoint.ticket));
    let ticket =
        ticket.ok_or_else(|| Fault::Malformed("the FlightInfo to cancel has no ticket".to_owned()))?;
    let Read::Ticket(handle) = command::read(&ticket.ticket)? else {
        return Err(Fault::NotRunning);
    };
    let query = context.key.open(&handle)?.query_id().ok_or(Fault::NotRunning)?;
    context.queries.running().cancel(query)
}

async fn set_options(context: &Context<'_>, request: SetRequest) -> Result<Answer> {
    let mut errors = HashMap::new();
    let mut new_session = None;
    for (name, value) in request.options {
        match check_option(context, &name, value.value).await? {
            Ok(Checked::Catalog) => {}
            Ok(Checked::Namespace(namespace)) => keep(context, &namespace, &mut new_session),
            Err(kind) => drop(errors.insert(name, SetError { kind: kind.into() })),
        }
    }
    Ok(Answer { new_session, ..Answer::message(&SetResult { errors }) })
}

/// An option that may be set.
enum Checked {
    /// The one catalog there is: nothing to remember.
    Catalog,
    /// A namespace that exists, or none.
    Namespace(String),
}

async fn check_option(
    context: &Context<'_>,
    name: &str,
    value: Option<Value>,
) -> Result<Result<Checked, SetErrorKind>> {
    let value = match value {
        None => String::new(),
        Some(Value::Text(text)) => text,
        Some(_) => return Ok(Err(SetErrorKind::InvalidValue)),
    };
    let (known, checked) = match name {
        "catalog" => (value.is_empty() || value == CATALOG, Checked::Catalog),
        "schema" => {
            let known = value.is_empty() || context.queries.lake().namespaces().await?.contains(&value);
            (known, Checked::Namespace(value))
        }
        _ => return Ok(Err(SetErrorKind::InvalidName)),
    };
    Ok(if known { Ok(checked) } else { Err(SetErrorKind::InvalidValue) })
}

/// Remembers the namespace under the caller's key, or under a new one that the client will be told.
fn keep(context: &Context<'_>, namespace: &str, new_session: &mut Option<String>) {
    match &context.caller.key {
        Some(key) => context.sessions.set_namespace(key, namespace),
        None => {
            let id = context.fresh.simple().to_string();
            context.sessions.set_namespace(&cookie_key(&id), namespace);
            *new_session = Some(id);
        }
    }
}
