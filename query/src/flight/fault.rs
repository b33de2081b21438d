//! Why a call was not answered: fact, subject, remedy, for the person at the client.

use std::time::Duration;

use arrow::error::ArrowError;

/// The result of a call.
pub(crate) type Result<T, E = Fault> = std::result::Result<T, E>;

/// One call's refusal or failure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The SQL layer refused or failed.
    #[error(transparent)]
    Sql(#[from] sluice_sql::Error),
    /// The catalog or the store failed.
    #[error(transparent)]
    Lake(#[from] sluice_catalog::Error),
    /// The message is not what the protocol says.
    #[error("{0}")]
    Malformed(String),
    /// The SQL text is longer than allowed.
    #[error(
        "the statement has {bytes} bytes; this server takes {max}\n  load the values into a table and join it"
    )]
    SqlTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The parameters do not fit the statement.
    #[error("{0}")]
    Parameters(String),
    /// A handle or ticket this process did not sign.
    #[error(
        "the statement handle is not known here\n  prepare the statement again: the server was restarted, or the handle is another server's"
    )]
    UnknownHandle,
    /// A query to be cancelled that does not run.
    #[error("the query to cancel does not run: it has ended, or was not started")]
    NotRunning,
    /// Something that would change data or the lake's structure.
    #[error(
        "{what} is not possible here: this server reads only\n  set serve.allow_writes, or write with `sluice sql`"
    )]
    ReadOnly {
        /// What was asked for.
        what: &'static str,
    },
    /// A part of the protocol this server does not have.
    #[error("{what} is not supported by this server")]
    Unsupported {
        /// What was asked for.
        what: String,
    },
    /// Too many queries stream already.
    #[error(
        "{max} queries run already and none ended within {} s\n  try again, close results that are no longer read, \
         or raise the limit of the server", waited.as_secs()
    )]
    Busy {
        /// The limit.
        max: usize,
        /// How long this one waited.
        waited: Duration,
    },
    /// Somebody cancelled the query.
    #[error("the query was cancelled")]
    Cancelled,
    /// The client left its stream unread.
    #[error("the result was not read for {} s, so the query was stopped\n  run it again and read to the end", waited.as_secs())]
    Unread {
        /// How long the server waited.
        waited: Duration,
    },
    /// The server is being stopped.
    #[error("the server is stopping\n  connect again and repeat the query")]
    Stopping,
    /// Encoding or decoding of Arrow data failed in the server.
    #[error("arrow data could not be encoded: {0}")]
    Arrow(#[from] ArrowError),
    /// A defect: a task of this server ended without a result.
    #[error("the server failed inside ({0})\n  this is a defect: please report it with the statement")]
    Defect(String),
}

impl From<tokio::task::JoinError> for Fault {
    fn from(error: tokio::task::JoinError) -> Self {
        match error.is_cancelled() {
            true => Self::Stopping,
            false => Self::Defect(error.to_string()),
        }
    }
}
