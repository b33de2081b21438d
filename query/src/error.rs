//! What can keep the servers from starting or running: fact, subject, remedy.
//!
//! What a client did wrong is not here; it is answered to the client (`flight::fault`).

use std::io;
use std::net::SocketAddr;

/// The result of a server operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The servers could not be started or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program listens there.
    #[error(
        "{server} cannot listen on {address}: the address is in use\n  \
         stop the program that uses it, or choose another address with --{flag} or {variable}"
    )]
    AddressInUse {
        /// `Flight SQL` or `HTTP`.
        server: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// The flag that changes it.
        flag: &'static str,
        /// The environment variable that changes it.
        variable: &'static str,
    },
    /// The system refuses the address for another reason: a privileged port, an address of another machine.
    #[error(
        "{server} cannot listen on {address}: {source}\n  choose another address with --{flag} or {variable}"
    )]
    Listen {
        /// `Flight SQL` or `HTTP`.
        server: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// The flag that changes it.
        flag: &'static str,
        /// The environment variable that changes it.
        variable: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The threads that execute queries could not be started.
    #[error(
        "the threads for queries cannot be started: {0}\n  lower the number of threads or raise the process limit"
    )]
    Threads(io::Error),
    /// Another part of the process installed a recorder of metrics first.
    #[error("metrics cannot be recorded: {0}\n  a process has one recorder; let this crate install it")]
    Metrics(String),
    /// The description of this server that clients ask for could not be built.
    #[error("the Flight SQL description of this server cannot be built: {0}")]
    Description(String),
    /// A server stopped by itself.
    #[error("the {server} server stopped: {source}")]
    Stopped {
        /// `Flight SQL` or `HTTP`.
        server: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
