//! Errors as the protocol has them: `{"error": {"message", "type", "code"}}` with a fitting status.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::WWW_AUTHENTICATE;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use sluice_catalog::{Error, TableName};

/// The result of a handler.
pub(super) type Answer<T> = Result<T, Fault>;

/// An error of the protocol.
#[derive(Debug)]
pub(super) struct Fault {
    status: StatusCode,
    /// The name that clients tell errors of one status apart by.
    kind: &'static str,
    message: String,
}

impl Fault {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequestException", message)
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "NotAuthorizedException", message)
    }

    pub(super) fn unsupported(message: &str) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "UnsupportedOperationException", message)
    }

    pub(super) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "UnprocessableEntityException", message)
    }

    pub(super) fn no_namespace(namespace: &str) -> Self {
        let message = format!("namespace {namespace} does not exist");
        Self::new(StatusCode::NOT_FOUND, "NoSuchNamespaceException", message)
    }

    pub(super) fn no_table(table: &TableName) -> Self {
        let message = format!("table {table} does not exist");
        Self::new(StatusCode::NOT_FOUND, "NoSuchTableException", message)
    }

    pub(super) fn no_view(view: &TableName) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NoSuchViewException", format!("view {view} does not exist"))
    }

    /// No table or view can have this name.
    pub(super) fn nothing(kind: &str, name: &str) -> Self {
        let exception = if kind == "view" { "NoSuchViewException" } else { "NoSuchTableException" };
        Self::new(StatusCode::NOT_FOUND, exception, format!("{kind} {name} does not exist"))
    }

    pub(super) fn exists(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::CONFLICT, "AlreadyExistsException", format!("{what} exists already"))
    }

    pub(super) fn not_empty(namespace: &str) -> Self {
        let message = format!("namespace {namespace} is not empty");
        Self::new(StatusCode::CONFLICT, "NamespaceNotEmptyException", message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "CommitFailedException", message)
    }

    /// Nobody knows whether the commit holds.
    pub(super) fn unknown(error: &Error) -> Self {
        let message = format!("the catalog did not say whether this commit holds: {error}");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "CommitStateUnknownException", message)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match &error {
            Error::NoSuchTable { table } => Self::no_table(table),
            Error::NameTaken { name, .. } => Self::exists(name),
            Error::InvalidName { .. }
            | Error::OutsideWarehouse { .. }
            | Error::Schema { .. }
            | Error::InvalidCommit { .. } => Self::bad_request(message),
            _ => {
                tracing::warn!(%error, "a request to the Iceberg catalog failed");
                match error.is_transient() {
                    true => {
                        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException", message)
                    }
                    false => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message),
                }
            }
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "error": {"message": self.message, "type": self.kind, "code": self.status.as_u16()}
        });
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = axum::http::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// A JSON body; one that cannot be read is an error of the protocol.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection @ JsonRejection::BytesRejection(_)) => {
                Err(Fault { status: rejection.status(), ..Fault::bad_request(rejection.body_text()) })
            }
            Err(rejection) => Err(Fault::bad_request(rejection.body_text())),
        }
    }
}
