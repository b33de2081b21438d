//! Protobuf `Any` to what is asked: the one place that knows which messages may come where.

use arrow_flight::sql::{
    Any, Command, CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTables, CommandGetXdbcTypeInfo,
};
use bytes::Bytes;
use prost::Message;

use super::fault::{Fault, Result};

/// A question about the server or the lake; the same message is descriptor and ticket.
#[derive(Clone, Debug)]
pub(crate) enum Metadata {
    /// The catalogs.
    Catalogs,
    /// Schemas by pattern.
    Schemas(CommandGetDbSchemas),
    /// Tables by pattern, with their columns if asked.
    Tables(CommandGetTables),
    /// The kinds of tables.
    TableTypes,
    /// What the server can do.
    SqlInfo(CommandGetSqlInfo),
    /// The SQL types.
    TypeInfo(CommandGetXdbcTypeInfo),
    /// Primary keys: Iceberg tables have none that are enforced.
    PrimaryKeys,
    /// Foreign keys, seen from either side or both.
    ForeignKeys,
}

/// A request for rows: of GetFlightInfo, GetSchema and DoGet.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    /// SQL text.
    Statement(String),
    /// A prepared statement's handle.
    Prepared(Bytes),
    /// A ticket that this server gave.
    Ticket(Bytes),
    /// A question about the server or the lake.
    Metadata(Metadata),
}

/// A request that carries rows: of DoPut.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    /// Parameters for this handle.
    Bind(Bytes),
    /// SQL that changes data.
    Update(String),
    /// A prepared statement that changes data, and maybe its parameters.
    UpdatePrepared(Bytes),
    /// Rows for a table.
    Ingest,
}

/// Decodes a descriptor's command or a ticket.
pub(crate) fn read(message: &[u8]) -> Result<Read> {
    Ok(match decode(message)? {
        Command::CommandStatementQuery(command) => Read::Statement(command.query),
        Command::CommandPreparedStatementQuery(command) => Read::Prepared(command.prepared_statement_handle),
        Command::TicketStatementQuery(ticket) => Read::Ticket(ticket.statement_handle),
        Command::CommandGetCatalogs(_) => Read::Metadata(Metadata::Catalogs),
        Command::CommandGetDbSchemas(command) => Read::Metadata(Metadata::Schemas(command)),
        Command::CommandGetTables(command) => Read::Metadata(Metadata::Tables(command)),
        Command::CommandGetTableTypes(_) => Read::Metadata(Metadata::TableTypes),
        Command::CommandGetSqlInfo(command) => Read::Metadata(Metadata::SqlInfo(command)),
        Command::CommandGetXdbcTypeInfo(command) => Read::Metadata(Metadata::TypeInfo(command)),
        Command::CommandGetPrimaryKeys(_) => Read::Metadata(Metadata::PrimaryKeys),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => Read::Metadata(Metadata::ForeignKeys),
        Command::CommandStatementUpdate(_) | Command::CommandPreparedStatementUpdate(_) => {
            return Err(Fault::Unsupported { what: "an update that is no upload".to_owned() });
        }
        other => return Err(Fault::Unsupported { what: short_name(other.type_url()) }),
    })
}

/// Decodes the command of an upload.
pub(crate) fn write(message: &[u8]) -> Result<Write> {
    Ok(match decode(message)? {
        Command::CommandPreparedStatementQuery(command) => Write::Bind(command.prepared_statement_handle),
        Command::CommandStatementUpdate(command) => {
            super::action::refuse_transaction(command.transaction_id.as_ref())?;
            Write::Update(command.query)
        }
        Command::CommandPreparedStatementUpdate(command) => {
            Write::UpdatePrepared(command.prepared_statement_handle)
        }
        Command::CommandStatementIngest(_) => Write::Ingest,
        other => return Err(Fault::Unsupported { what: short_name(other.type_url()) }),
    })
}

/// Decodes the body of an action of Flight SQL.
pub(crate) fn action<M: arrow_flight::sql::ProstMessageExt>(body: &[u8]) -> Result<M> {
    let any = Any::decode(body).map_err(|error| not_protobuf(&error))?;
    match any.unpack() {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(Fault::Malformed(format!(
            "the action's body is `{}`, expected `{}`",
            short_name(&any.type_url),
            short_name(M::type_url())
        ))),
        Err(error) => Err(Fault::Malformed(error.to_string())),
    }
}

/// Decodes a message that travels without `Any`.
pub(crate) fn plain<M: Message + Default>(body: &[u8]) -> Result<M> {
    M::decode(body).map_err(|error| not_protobuf(&error))
}

fn decode(message: &[u8]) -> Result<Command> {
    let any = Any::decode(message).map_err(|error| not_protobuf(&error))?;
    Command::try_from(any).map_err(|error| Fault::Malformed(error.to_string()))
}

fn not_protobuf(error: &prost::DecodeError) -> Fault {
    Fault::Malformed(format!(
        "the command is not a Flight SQL message: {error}\n  is this a Flight SQL client?"
    ))
}

fn short_name(type_url: &str) -> String {
    type_url.rsplit(['/', '.']).next().unwrap_or(type_url).to_owned()
}
