//! A session: what a client's statements have in common.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use datafusion::scalar::ScalarValue;
use sluice_catalog::{LiveFile, StagedFiles, TableName, TableSnapshot};

use crate::engine::Engine;
use crate::error::Result;
use crate::statement::Statement;
use crate::table::Reading;
use crate::write::{Change, Changed, Command, Writes};

/// Default namespace, and the tables that read something else than the catalog's current state.
///
/// Cheap to clone; a changed clone leaves the original as it was.
#[derive(Clone, Debug)]
pub struct Session {
    engine: Engine,
    namespace: String,
    readings: Arc<BTreeMap<TableName, Reading>>,
    writes: Option<Writes>,
    /// Rows of a batch, if not the engine's default.
    batch_rows: Option<usize>,
}

impl Session {
    pub(crate) fn new(engine: Engine, namespace: String) -> Self {
        Self { engine, namespace, readings: Arc::default(), writes: None, batch_rows: None }
    }

    /// The engine it belongs to.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The namespace of names that have none.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The same session with another default namespace; it need not exist.
    #[must_use]
    pub fn with_namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// The same session, allowed to change tables: see [`Session::command`].
    #[must_use]
    pub fn with_writes(mut self, writes: Writes) -> Self {
        self.writes = Some(writes);
        self
    }

    /// Statements hand out batches of up to so many rows: long ones cost less each, and take more memory.
    #[must_use]
    pub(crate) fn with_batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = Some(rows);
        self
    }

    pub(crate) fn batch_rows(&self) -> Option<usize> {
        self.batch_rows
    }

    /// The table's name reads exactly this state.
    #[must_use]
    pub fn with_pinned(&self, table: TableSnapshot) -> Self {
        self.with_reading(Reading::current(table))
    }

    /// The table's name reads only these files of that state: what was added since a cursor, for example.
    #[must_use]
    pub fn with_files(&self, table: &TableSnapshot, files: Vec<LiveFile>) -> Self {
        self.with_reading(Reading::only(table.clone(), files))
    }

    /// The table's name reads what it would hold once `staged` is committed: the live files of `table` and the
    /// staged ones if they are to be appended, the staged ones alone if they are to replace everything.
    #[must_use]
    pub fn with_staged(&self, table: &TableSnapshot, staged: &StagedFiles, append: bool) -> Self {
        let files = staged.files().iter().map(|file| {
            // Files of the coming commit are newer than every delete.
            LiveFile::new(Arc::new(file.clone()), staged.spec_id(), i64::MAX)
        });
        self.with_reading(match append {
            true => Reading::current_and(table.clone(), files.collect()),
            false => Reading::only(table.clone(), files.collect()),
        })
    }

    fn with_reading(&self, reading: Reading) -> Self {
        let mut readings = BTreeMap::clone(&self.readings);
        readings.insert(reading.table.name().clone(), reading);
        Self { readings: Arc::new(readings), ..self.clone() }
    }

    pub(crate) fn readings(&self) -> &Arc<BTreeMap<TableName, Reading>> {
        &self.readings
    }

    /// Parses and plans one statement, pinning every table it names. `?` marks a parameter, as `$1` does.
    ///
    /// # Errors
    /// When the text is no reading statement, or names what does not exist. See [`crate::Error`].
    pub async fn prepare(&self, sql: &str) -> Result<Statement> {
        Statement::prepare(self.clone(), sql.to_owned()).await
    }

    /// Runs a statement. It works a few batches ahead of the reader; dropping the stream ends it.
    ///
    /// # Errors
    /// When the parameters do not fit. What fails later is an item of the stream: turn it into a
    /// [`crate::Error`] to learn its class.
    pub async fn execute(
        &self,
        statement: &Statement,
        parameters: Vec<ScalarValue>,
    ) -> Result<SendableRecordBatchStream> {
        statement.execute(&self.engine, parameters).await
    }

    /// Prepares and runs a statement without parameters.
    ///
    /// # Errors
    /// As [`Session::prepare`] and [`Session::execute`].
    pub async fn sql(&self, sql: &str) -> Result<SendableRecordBatchStream> {
        let statement = self.prepare(sql).await?;
        self.execute(&statement, Vec::new()).await
    }

    /// Plans one statement of either kind. One that writes is refused, as [`Session::prepare`] does, unless the
    /// session has [`Writes`].
    ///
    /// # Errors
    /// As [`Session::prepare`].
    pub async fn command(&self, sql: &str) -> Result<Command> {
        if let Some(writes) = &self.writes
            && let Some(change) = Change::prepare(self.clone(), writes.clone(), sql.to_owned()).await?
        {
            return Ok(Command::Write(change));
        }
        self.prepare(sql).await.map(Command::Read)
    }

    /// Carries out a change: one commit, or none. It looks at the tables anew, so that a change that is carried
    /// out twice changes twice.
    ///
    /// # Errors
    /// When nothing was changed; [`crate::Error::Lake`] says so if it cannot tell.
    pub async fn change(&self, change: &Change, parameters: Vec<ScalarValue>) -> Result<Changed> {
        change.run(parameters).await
    }
}
