//! Materialize: one model becomes a view or a table.
//!
//! ```text
//! compile -> prepare -> create the table if new -> stage -> check the staged rows -> commit
//! ```
//!
//! | kind | commit | refused when |
//! |---|---|---|
//! | view | `put_view` after its query passed the checks | |
//! | table | overwrite of the snapshot it was planned on | someone else wrote in between |
//! | incremental | append | another build of the model landed in between |
//!
//! Nothing is visible before the commit: a failed check or query deletes the staged files and leaves what was
//! there. A lost race is run again once, on the new state. Two builds of one incremental model at a time are
//! told apart by a counter that every commit must continue ([`BUILDS`]), with the same fence that ingest uses
//! for offsets.

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_catalog::{
    Commit, CommitOutcome, MODEL_PROPERTY, OffsetRange, Operation, SourceId, SourceRanges, StagedFiles,
    TableSnapshot, View, WriterSettings,
};
use sluice_sql::{Engine, Session, Statement};
use uuid::Uuid;

use crate::audit::{Verdict, audit};
use crate::compile::{Compiled, Compiler};
use crate::config::Materialized;
use crate::error::{Error, Place, Problem, Result};
use crate::graph::Node;
use crate::increment::{Increment, increment};
use crate::relation::sql_name;
use crate::report::CheckResult;
use crate::stage::{self, stage};
use crate::target::{Target, difference, spec};

/// The pseudo source whose "offset" counts the builds of a table.
const BUILDS: &str = "sluice.build";

/// What all models of a run share.
pub(crate) struct Run {
    pub(crate) engine: Engine,
    pub(crate) compiler: Compiler,
    pub(crate) invocation_id: Uuid,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) clock: Instant,
    pub(crate) full_refresh: bool,
    pub(crate) writer: WriterSettings,
}

/// A model that came to an end.
pub(crate) struct Built {
    pub(crate) action: String,
    pub(crate) rows: Option<u64>,
    pub(crate) verdict: Verdict,
    pub(crate) checks: Vec<CheckResult>,
}

/// One try: an end, or a race lost to another writer.
enum Attempt {
    Done(Built),
    Lost(String),
}

/// The parts of one table's build.
#[derive(Clone, Copy)]
struct Job<'a> {
    node: &'a Node,
    target: &'a Target,
    compiled: &'a Compiled,
    statement: &'a Statement,
    append: bool,
    token: Uuid,
}

impl Run {
    /// The time of the run's start plus what has passed: the commit's time, without asking the clock.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.started_at + TimeDelta::from_std(self.clock.elapsed()).unwrap_or_default()
    }

    fn session(&self) -> Session {
        self.engine.session()
    }
}

impl Built {
    /// The input of an incremental model has not changed.
    fn nothing_new() -> Self {
        let action = "nothing new for incremental".to_owned();
        Self { action, rows: Some(0), verdict: Verdict::Publish, checks: Vec::new() }
    }

    /// The checks stand against it.
    fn refused(node: &Node, verdict: Verdict, checks: Vec<CheckResult>) -> Self {
        let action = format!("not published: {}", node.config.materialized.as_str());
        Self { action, rows: None, verdict, checks }
    }
}

/// Builds one model; a lost race is tried once more.
pub(crate) async fn materialize(run: &Run, node: &Node) -> Result<Built> {
    inputs_exist(run, node).await?;
    let mut reason = String::new();
    for attempt in 0..2 {
        // The token follows from run and model, so that a run can be replayed.
        let token = Uuid::new_v5(&run.invocation_id, format!("{}/{attempt}", node.name).as_bytes());
        let tried = match node.config.materialized {
            Materialized::View | Materialized::Ephemeral => view(run, node).await?,
            Materialized::Table | Materialized::Incremental => table(run, node, token).await?,
        };
        match tried {
            Attempt::Done(built) => return Ok(built),
            Attempt::Lost(lost) => reason = lost,
        }
    }
    let fact = format!("{}: another writer was faster twice ({reason})", node.table);
    Err(problem(node, fact, "let one build at a time write this table, then build again"))
}

fn problem(node: &Node, fact: impl Into<String>, remedy: impl Into<String>) -> Error {
    Problem::new(Place::file(&node.file), fact, remedy).into()
}

async fn inputs_exist(run: &Run, node: &Node) -> Result<()> {
    let lake = run.engine.lake();
    for need in run.compiler.needs(node) {
        if lake.find(&need.table).await?.is_none() && lake.find_view(&need.table).await?.is_none() {
            let fact = format!("{} does not exist as {}", need.what, need.table);
            return Err(problem(node, fact, need.remedy));
        }
    }
    Ok(())
}

async fn view(run: &Run, node: &Node) -> Result<Attempt> {
    let lake = run.engine.lake();
    let compiled = run.compiler.compile(node, false)?;
    let statement = prepare(&run.session(), &compiled).await?;
    let (verdict, checks) = audit(run, &run.session(), node, &compiled.relation()).await?;
    if verdict != Verdict::Publish {
        return Ok(Attempt::Done(Built::refused(node, verdict, checks)));
    }
    if let Some(table) = lake.find(&node.table).await? {
        owned(node, &table)?;
        lake.drop_table(&node.table).await?;
    }
    let view = View { name: node.table.clone(), sql: compiled.sql, schema: statement.schema() };
    lake.put_view(view, run.now()).await?;
    Ok(Attempt::Done(Built { action: "created view".to_owned(), rows: None, verdict, checks }))
}

async fn table(run: &Run, node: &Node, token: Uuid) -> Result<Attempt> {
    let lake = run.engine.lake();
    let mut existing = lake.find(&node.table).await?;
    if let Some(table) = &existing {
        owned(node, table)?;
    }
    let refresh = node.config.full_refresh.unwrap_or(run.full_refresh);
    let append = node.config.materialized == Materialized::Incremental && existing.is_some() && !refresh;
    let compiled = run.compiler.compile(node, append)?;
    let increment = increment(run, node, existing.as_ref().filter(|_| append)).await?;
    if let Increment::Nothing = increment {
        return Ok(Attempt::Done(Built::nothing_new()));
    }
    let session = increment.session().cloned().unwrap_or_else(|| run.session());
    let mut properties = increment.properties();
    let statement = prepare(&session, &compiled).await?;
    let spec = spec(run, node, &statement.schema());
    let changed = existing.as_ref().map(|table| difference(table, &spec)).transpose()?.flatten();
    if let Some(difference) = changed {
        if !refresh {
            let fact = format!("the model's columns are not those of {}: {difference}", node.table);
            return Err(problem(node, fact, "build it once with --full-refresh, which replaces the table"));
        }
        // The new columns are committed with the new rows; until then readers have the old ones.
        existing = existing.map(|table| table.redefined(&spec)).transpose()?;
        properties.extend(spec.properties.clone());
    }
    let target = Target::prepare(run, node, existing, spec).await?;
    let job = Job { node, target: &target, compiled: &compiled, statement: &statement, append, token };
    let tried = write(run, job, properties).await;
    let published = matches!(&tried, Ok(Attempt::Done(built)) if built.verdict == Verdict::Publish);
    if !published {
        target.take_back(run).await?;
    }
    tried
}

/// Stages, checks and commits.
async fn write(run: &Run, job: Job<'_>, properties: BTreeMap<String, String>) -> Result<Attempt> {
    let Job { node, target, compiled, statement, append, token } = job;
    let lake = run.engine.lake();
    let stream = run.session().execute(statement, Vec::new()).await;
    let stream = stream.map_err(|error| compiled.problem(&error))?;
    let staged = stage(lake, &target.table, stream, token, run.writer.clone()).await;
    let staged = staged.map_err(|failed| unstaged(node, compiled, failed))?;
    let rows = staged.row_count();
    let operation = if append {
        Operation::Append
    } else {
        Operation::Overwrite { read_snapshot: target.table.snapshot_id() }
    };
    let session = run.session().with_staged(&target.table, &staged, append);
    let (verdict, checks) = match audit(run, &session, node, &sql_name(&node.table)).await {
        Ok((Verdict::Publish, checks)) => (Verdict::Publish, checks),
        Ok((verdict, checks)) => {
            staged.discard(lake).await;
            return Ok(Attempt::Done(Built::refused(node, verdict, checks)));
        }
        Err(error) => {
            staged.discard(lake).await;
            return Err(error);
        }
    };
    match commit(run, job, staged, operation, properties).await? {
        CommitOutcome::Committed(_) | CommitOutcome::AlreadyCommitted(_) => {
            let action = action(node, append, target.created);
            Ok(Attempt::Done(Built { action, rows: Some(rows), verdict, checks }))
        }
        CommitOutcome::Conflicted { reason, .. } => Ok(Attempt::Lost(reason)),
        CommitOutcome::Fenced { start, next, .. } => {
            Ok(Attempt::Lost(format!("this was to be build {start}, the table is at {next}")))
        }
    }
}

async fn commit(
    run: &Run,
    job: Job<'_>,
    staged: StagedFiles,
    operation: Operation,
    properties: BTreeMap<String, String>,
) -> Result<CommitOutcome> {
    // An append of nothing makes no snapshot; an overwrite with nothing empties the table.
    let files = (staged.row_count() > 0 || !job.append).then_some(staged);
    let builds = job.target.table.offsets(BUILDS)?.and_then(|offsets| offsets.next.get(&0).copied());
    let builds = builds.unwrap_or(0);
    let range = OffsetRange { start: builds, end: builds + 1, anchor: None };
    let source = SourceId { cluster: "sluice".to_owned(), topic: BUILDS.to_owned() };
    let commit = Commit {
        table: job.node.table.clone(),
        operation,
        files,
        offsets: vec![SourceRanges { source, ranges: BTreeMap::from([(0, range)]) }],
        properties,
        token: job.token,
    };
    Ok(run.engine.lake().commit(vec![commit], run.now()).await?)
}

fn action(node: &Node, append: bool, created: bool) -> String {
    let kind = node.config.materialized.as_str();
    match (append, created) {
        (true, _) => format!("appended to {kind}"),
        (false, true) => format!("created {kind}"),
        (false, false) => format!("replaced {kind}"),
    }
}

async fn prepare(session: &Session, compiled: &Compiled) -> Result<Statement> {
    Ok(session.prepare(&compiled.sql).await.map_err(|error| compiled.problem(&error))?)
}

fn unstaged(node: &Node, compiled: &Compiled, failed: stage::Failed) -> Error {
    match failed {
        stage::Failed::Query(error) => compiled.problem(&error).into(),
        stage::Failed::Cast(error) => {
            let fact = format!("a result does not fit into {}: {error}", node.table);
            problem(node, fact, "cast the column in the model")
        }
        stage::Failed::Catalog(error) => error.into(),
    }
}

/// A model may replace only what a model built.
fn owned(node: &Node, table: &TableSnapshot) -> Result<()> {
    if table.metadata().properties().contains_key(MODEL_PROPERTY) {
        return Ok(());
    }
    let fact = format!("table {} exists and was not built by a model; it is left alone", node.table);
    Err(problem(node, fact, "give the model another schema or alias, or drop the table yourself"))
}

#[cfg(test)]
mod tests;
