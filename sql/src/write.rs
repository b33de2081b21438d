//! Statements that write: each is one commit through `sluice-catalog`, or none.
//!
//! ```text
//! text -> Written -> plan over pinned tables -> stream of batches -> staged files -> commit -> Changed
//!         (parse)    (insert, create, …)                             (rows)           | conflict: again
//!            ^                                                                        |
//!            +------------------------ at most ATTEMPTS_MAX times --------------------+
//! ```
//!
//! Invariants:
//! - A session writes only when it was given [`Writes`]; what a text does is known before anything is run.
//! - Rows go from the plan into files one batch at a time.
//! - A statement that fails leaves no row behind: files without a commit are deleted again.

mod alter;
mod change;
mod create;
mod insert;
mod parse;
mod query;
mod remove;
mod rows;
mod target;

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use futures::stream;
use sluice_catalog::{Commit, CommitOutcome, StagedFiles, TableName, TableSnapshot, WriterSettings};
use uuid::Uuid;

use self::parse::Written;
use crate::error::{Complaint, Error, Result};
use crate::session::Session;
use crate::statement::{Statement, bind};
use crate::text::Text;
use crate::types::parameter_type;

/// How often a change that others made void is computed again.
const ATTEMPTS_MAX: usize = 5;

/// The permission to write, and what writing takes.
#[derive(Clone)]
pub struct Writes {
    /// The time of commits.
    pub now: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    /// Names of commits and files; no id may ever come twice.
    pub id: Arc<dyn Fn() -> Uuid + Send + Sync>,
    /// How data files are cut.
    pub files: WriterSettings,
}

/// A statement of either kind.
#[derive(Clone, Debug)]
pub enum Command {
    /// It reads: [`Session::execute`].
    Read(Statement),
    /// It writes: [`Session::change`].
    Write(Change),
}

/// A statement that writes, planned once to check it; clones share it.
#[derive(Clone, Debug)]
pub struct Change {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    session: Session,
    writes: Writes,
    sql: String,
    written: Written,
    parameters: Vec<DataType>,
    planned: Vec<DataType>,
}

/// What a statement changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The kind of statement, such as `INSERT` or `CREATE TABLE`.
    pub statement: &'static str,
    /// What it changed: a table, a view or a namespace.
    pub subject: String,
    /// Rows that are new.
    pub inserted: u64,
    /// Rows that have new values.
    pub updated: u64,
    /// Rows that are gone.
    pub deleted: u64,
}

/// What the steps of one attempt have in common.
struct Context<'a> {
    session: &'a Session,
    writes: &'a Writes,
    text: &'a Text<'a>,
}

/// One try: done, or made void by another writer.
enum Attempt {
    Done(Changed),
    Lost(String),
}

impl Change {
    /// The change that `sql` asks for; `None` when it only reads.
    pub(crate) async fn prepare(session: Session, writes: Writes, sql: String) -> Result<Option<Self>> {
        let workers = session.engine().workers().clone();
        let inner = workers.run(async move { check(session, writes, sql).await }).await?;
        Ok(inner.map(|inner| Self { inner: Arc::new(inner) }))
    }

    /// The text as given.
    pub fn text(&self) -> &str {
        &self.inner.sql
    }

    /// The types of `$1`, `$2`, … as a client shall bind them.
    pub fn parameters(&self) -> &[DataType] {
        &self.inner.parameters
    }

    /// Runs it where statements run; when the caller goes away before the commit, nothing is changed.
    pub(crate) async fn run(&self, parameters: Vec<ScalarValue>) -> Result<Changed> {
        let values = bind(parameters, &self.inner.planned)?;
        let inner = Arc::clone(&self.inner);
        let workers = self.inner.session.engine().workers().clone();
        workers.run(async move { inner.carry_out(values).await }).await
    }
}

async fn check(session: Session, writes: Writes, sql: String) -> Result<Option<Inner>> {
    let text = Text::read(&sql)?;
    let Some(written) = parse::written(&text)? else { return Ok(None) };
    let markers = text.markers();
    let context = Context { session: &session, writes: &writes, text: &text };
    let planned = match &written {
        Written::Insert(insert) => insert::plan(&context, insert).await?.rows.parameters,
        Written::Change(rows) => change::plan(&context, rows).await?.rows.parameters,
        other if markers > 0 => {
            let message = format!("{} takes no parameters", other.name());
            return Err(Error::Plan(Complaint::new(message).remedy("write the values into the statement")));
        }
        Written::CreateTable(create) => {
            create::check(&context, create).await?;
            Vec::new()
        }
        Written::CreateView(view) => {
            create::plan_view(&context, view).await?;
            Vec::new()
        }
        Written::CreateNamespace { .. } | Written::Drop(_) | Written::Alter(_) => Vec::new(),
    };
    let parameters = planned.iter().map(parameter_type).collect();
    Ok(Some(Inner { session, writes, sql, written, parameters, planned }))
}

impl Inner {
    async fn carry_out(&self, values: Vec<ScalarValue>) -> Result<Changed> {
        let text = Text::read(&self.sql)?;
        let context = Context { session: &self.session, writes: &self.writes, text: &text };
        let mut reason = String::new();
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt(&context, &values).await? {
                Attempt::Done(changed) => return Ok(changed),
                Attempt::Lost(lost) => reason = lost,
            }
        }
        let message = format!(
            "{}: other writers were faster {ATTEMPTS_MAX} times ({reason}); nothing was changed",
            self.written.name()
        );
        Err(Error::Lake(Complaint::new(message).remedy("run it again when fewer others write to the table")))
    }

    async fn attempt(&self, context: &Context<'_>, values: &[ScalarValue]) -> Result<Attempt> {
        match &self.written {
            Written::Insert(insert) => insert::run(context, insert, values).await,
            Written::Change(rows) => change::run(context, rows, values).await,
            Written::Alter(alter) => alter::run(context, alter).await,
            Written::CreateTable(create) => create::table(context, create).await,
            Written::CreateView(view) => create::view(context, view).await,
            Written::CreateNamespace { name, if_not_exists } => {
                create::namespace(context, name, *if_not_exists).await
            }
            Written::Drop(drop) => remove::run(context, drop).await,
        }
    }
}

impl Context<'_> {
    fn lake(&self) -> &sluice_catalog::Lake {
        self.session.engine().lake()
    }

    fn now(&self) -> DateTime<Utc> {
        (self.writes.now)()
    }

    fn id(&self) -> Uuid {
        (self.writes.id)()
    }

    /// Commits; `None` when it landed, else why the base no longer allows it.
    async fn commit(&self, commit: Commit) -> Result<Option<String>> {
        match self.lake().commit(vec![commit], self.now()).await.map_err(rows::unfit)? {
            CommitOutcome::Committed(_) | CommitOutcome::AlreadyCommitted(_) => Ok(None),
            CommitOutcome::Conflicted { reason, .. } => Ok(Some(reason)),
            CommitOutcome::Fenced { table, .. } => {
                let message =
                    format!("the commit to `{table}` was refused by a fence that it did not ask for");
                Err(Error::Internal(Complaint::new(message)))
            }
        }
    }

    /// An append of staged files, as a commit; no rows make no commit.
    async fn append(&self, table: &TableSnapshot, staged: StagedFiles) -> Result<Option<String>> {
        if staged.row_count() == 0 {
            staged.discard(self.lake()).await;
            return Ok(None);
        }
        let mut commit = Commit::new(table.name().clone(), sluice_catalog::Operation::Append, self.id());
        commit.files = Some(staged);
        self.commit(commit).await
    }
}

impl Changed {
    fn nothing(statement: &'static str, subject: impl fmt::Display) -> Self {
        Self { statement, subject: subject.to_string(), inserted: 0, updated: 0, deleted: 0 }
    }

    /// The columns of [`Changed::stream`].
    pub fn schema() -> SchemaRef {
        let text = |name| Field::new(name, DataType::Utf8, true);
        let rows = |name| Field::new(name, DataType::Int64, true);
        let fields =
            vec![text("statement"), text("subject"), rows("inserted"), rows("updated"), rows("deleted")];
        Arc::new(Schema::new(fields))
    }

    /// The answer as a result of one row.
    pub fn stream(&self) -> SendableRecordBatchStream {
        let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
        let rows = |rows: u64| -> ArrayRef {
            Arc::new(Int64Array::from(vec![i64::try_from(rows).unwrap_or(i64::MAX)]))
        };
        let columns = vec![
            text(self.statement),
            text(&self.subject),
            rows(self.inserted),
            rows(self.updated),
            rows(self.deleted),
        ];
        let batch = RecordBatch::try_new(Self::schema(), columns).map_err(Into::into);
        Box::pin(RecordBatchStreamAdapter::new(Self::schema(), stream::iter([batch])))
    }

    /// Rows that were inserted, updated or deleted.
    pub fn rows(&self) -> u64 {
        self.inserted.saturating_add(self.updated).saturating_add(self.deleted)
    }
}

impl fmt::Debug for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writes").field("files", &self.files).finish_non_exhaustive()
    }
}

/// The name under which the catalog knows what a statement names.
fn missing(what: &str, name: &TableName) -> Error {
    let complaint = Complaint::new(format!("there is no {what} `{name}`"));
    Error::NotFound(complaint.remedy("SHOW TABLES lists what there is"))
}
