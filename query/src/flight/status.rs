//! Every fault to its gRPC status: one match per kind of error, without a catch-all, so that a new kind
//! of error does not compile until somebody has decided what clients see.
//!
//! INTERNAL means a defect of this server, never a user's mistake.

use sluice_catalog::Error as LakeError;
use sluice_sql::Error as SqlError;
use tonic::{Code, Status};

use super::fault::Fault;

/// Longest message in a status. It travels in a header, percent-encoded, and Java's gRPC refuses
/// headers above 8 KiB: a longer message would reach nobody.
const MESSAGE_BYTES_MAX: usize = 2000;

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        Self::new(code(&fault), cut(fault.to_string()))
    }
}

/// What kind of outcome `fault` is to a client.
pub(crate) fn code(fault: &Fault) -> Code {
    match fault {
        Fault::Sql(error) => sql_code(error),
        Fault::Lake(error) => lake_code(error),
        Fault::Malformed(_) | Fault::SqlTooLong { .. } | Fault::Parameters(_) => Code::InvalidArgument,
        Fault::UnknownHandle | Fault::NotRunning => Code::NotFound,
        Fault::ReadOnly { .. } | Fault::Unsupported { .. } => Code::Unimplemented,
        Fault::Busy { .. } => Code::ResourceExhausted,
        Fault::Cancelled => Code::Cancelled,
        Fault::Unread { .. } => Code::DeadlineExceeded,
        Fault::Stopping => Code::Unavailable,
        Fault::Arrow(_) | Fault::Defect(_) => Code::Internal,
    }
}

fn sql_code(error: &SqlError) -> Code {
    match error {
        SqlError::Syntax(_) | SqlError::Plan(_) | SqlError::Execution(_) => Code::InvalidArgument,
        SqlError::NotFound(_) => Code::NotFound,
        SqlError::Unsupported(_) => Code::Unimplemented,
        SqlError::ResourcesExhausted(_) => Code::ResourceExhausted,
        SqlError::Cancelled => Code::Cancelled,
        SqlError::Lake(_) => Code::Unavailable,
        SqlError::Internal(_) => Code::Internal,
    }
}

/// The catalog's errors are open to new kinds; what counts is whether trying again may help.
fn lake_code(error: &LakeError) -> Code {
    match error {
        LakeError::InvalidName { .. } => Code::InvalidArgument,
        LakeError::NoSuchTable { .. } => Code::NotFound,
        error if error.is_transient() => Code::Unavailable,
        _ => Code::FailedPrecondition,
    }
}

/// Cuts an overlong message at a character's end.
fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

/// The code's name in metrics.
pub(crate) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}
