//! SQL to plan to stream: what a statement, a prepared statement and a ticket have in common.
//!
//! Planning reads the catalog but runs nothing: GetFlightInfo and prepare stop here. Only DoGet executes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, SchemaRef};
use sluice_catalog::Lake;
use sluice_sql::{
    Change, Changed, Command, Engine, ScalarValue, SendableRecordBatchStream, Session, Statement, Writes,
};

use super::fault::{Fault, Result};
use super::handle::State;
use super::prepared;
use super::running::Running;
use super::stream::{self, FlightStream};
use super::types;
use crate::executor::Executor;
use crate::settings::ServeSettings;

/// Plans and runs queries within the server's limits.
#[derive(Debug)]
pub(crate) struct Queries {
    engine: Engine,
    executor: Executor,
    running: Arc<Running>,
    writes: Option<Writes>,
    sql_bytes_max: usize,
    stream_idle_max: Duration,
}

impl Queries {
    /// Queries of `engine` on the threads of `executor`.
    pub(crate) fn new(
        engine: Engine,
        executor: Executor,
        running: Arc<Running>,
        settings: &ServeSettings,
    ) -> Self {
        Self {
            engine,
            executor,
            running,
            writes: settings.writes.clone(),
            sql_bytes_max: settings.sql_bytes_max,
            stream_idle_max: settings.stream_idle_max,
        }
    }

    /// The lake that is queried.
    pub(crate) fn lake(&self) -> &Lake {
        self.engine.lake()
    }

    /// The register of running queries.
    pub(crate) fn running(&self) -> &Arc<Running> {
        &self.running
    }

    /// Plans `sql` on the query threads; a client that leaves meanwhile stops it.
    pub(crate) async fn plan(&self, sql: &str, namespace: &str) -> Result<Command> {
        if sql.len() > self.sql_bytes_max {
            return Err(Fault::SqlTooLong { bytes: sql.len(), max: self.sql_bytes_max });
        }
        let session = self.session(namespace);
        let sql = sql.to_owned();
        let started = Instant::now();
        let planned = self.executor.spawn(async move { session.command(&sql).await }).await??;
        metrics::histogram!("sluice_query_plan_seconds").record(started.elapsed().as_secs_f64());
        Ok(planned)
    }

    /// Plans and executes what a handle or ticket says.
    pub(crate) async fn run(&self, state: &State) -> Result<FlightStream> {
        let slot = self.running.enter(state.query_id()).await?;
        let started = async {
            let command = self.plan(&state.sql, &state.namespace).await?;
            let values = prepared::values(state, parameters(&command))?;
            let schema = client_schema(&command);
            let batches = match command {
                Command::Read(statement) => self.execute(state.namespace.clone(), statement, values).await?,
                Command::Write(change) => self.carry_out(change, values).await?.stream(),
            };
            Ok::<_, Fault>((schema, batches))
        };
        let (schema, batches) = tokio::select! {
            fault = slot.cancelled() => return Err(fault),
            started = started => started?,
        };
        Ok(stream::of_plan(batches, schema, slot, self.stream_idle_max, &self.executor))
    }

    async fn execute(
        &self,
        namespace: String,
        statement: Statement,
        parameters: Vec<ScalarValue>,
    ) -> Result<SendableRecordBatchStream> {
        let session = self.session(&namespace);
        Ok(self.executor.spawn(async move { session.execute(&statement, parameters).await }).await??)
    }

    /// Carries out the change that a handle says, which must be one.
    pub(crate) async fn update(&self, state: &State) -> Result<Changed> {
        let slot = self.running.enter(state.query_id()).await?;
        let changed = async {
            match self.plan(&state.sql, &state.namespace).await? {
                Command::Write(change) => {
                    let values = prepared::values(state, change.parameters())?;
                    self.carry_out(change, values).await
                }
                Command::Read(_) => Err(Fault::Malformed(
                    "the statement reads, and was sent as an update\n  send it as a query".to_owned(),
                )),
            }
        };
        tokio::select! {
            fault = slot.cancelled() => Err(fault),
            changed = changed => changed,
        }
    }

    async fn carry_out(&self, change: Change, values: Vec<ScalarValue>) -> Result<Changed> {
        let session = self.engine.session();
        Ok(self.executor.spawn(async move { session.change(&change, values).await }).await??)
    }

    /// Whether clients may change tables.
    pub(crate) fn may_write(&self) -> bool {
        self.writes.is_some()
    }

    /// The namespace of names that have none, for a client that chose none.
    pub(crate) fn default_namespace(&self) -> String {
        self.engine.session().namespace().to_owned()
    }

    fn session(&self, namespace: &str) -> Session {
        let session = match &self.writes {
            Some(writes) => self.engine.session().with_writes(writes.clone()),
            None => self.engine.session(),
        };
        match namespace {
            "" => session,
            namespace => session.with_namespace(namespace),
        }
    }
}

/// The schema of a statement's result as clients see it, wherever they see it.
pub(crate) fn client_schema(command: &Command) -> SchemaRef {
    match command {
        Command::Read(statement) => types::describe_result(&statement.schema()),
        Command::Write(_) => types::describe_result(&Changed::schema()),
    }
}

/// The types of a statement's parameters.
pub(crate) fn parameters(command: &Command) -> &[DataType] {
    match command {
        Command::Read(statement) => statement.parameters(),
        Command::Write(change) => change.parameters(),
    }
}
