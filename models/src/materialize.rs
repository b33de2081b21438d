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
//! Nothing is visible before the commit: a failed check or query deletes the staged files and leaves what
//! was there. A lost race is run again once, on the new state. Two builds of one incremental model at a
//! time are told apart by a counter that every commit must continue ([`BUILDS`]), with the same fence that
//! ingest uses for offsets.

use std::collections::BTreeMap;
use std::time::Instant;

use arrow::datatypes::{Field, Schema, SchemaRef};
use chrono::{DateTime, TimeDelta, Utc};
use sluice_catalog::{
    Commit, CommitOutcome, Created, OffsetRange, Operation, SourceId, SourceRanges, StagedFiles, TableName,
    TableSnapshot, TableSpec, View, WriterSettings,
};
use sluice_sql::{Engine, Session, Statement};
use uuid::Uuid;

use crate::audit::{Verdict, audit};
use crate::compile::{Compiled, Compiler};
use crate::config::Materialized;
use crate::error::{Error, Place, Problem, Result};
use crate::graph::Node;
use crate::increment::{Increment, increment};
use crate::report::CheckResult;
use crate::stage::{self, stage};

/// The table property that names the model which owns a table: `<project>.<model>`.
pub(crate) const OWNER: &str = "sluice.model";

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

/// The table to write to, and how to take back that it was made.
struct Target {
    table: TableSnapshot,
    created: bool,
    replaced_view: Option<View>,
}

impl Run {
    /// The time of the run's start plus what has passed: the commit's time, without asking the clock.
    fn now(&self) -> DateTime<Utc> {
        self.started_at + TimeDelta::from_std(self.clock.elapsed()).unwrap_or_default()
    }

    fn session(&self) -> Session {
        self.engine.session()
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
    let relation = format!("({}\n)", compiled.sql);
    let (verdict, checks) = audit(run, &run.session(), node, &relation).await?;
    if verdict != Verdict::Publish {
        return Ok(Attempt::Done(Built {
            action: "not published: view".to_owned(),
            rows: None,
            verdict,
            checks,
        }));
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
    let existing = lake.find(&node.table).await?;
    if let Some(table) = &existing {
        owned(node, table)?;
    }
    let refresh = node.config.full_refresh.unwrap_or(run.full_refresh);
    let append = node.config.materialized == Materialized::Incremental && existing.is_some() && !refresh;
    let compiled = run.compiler.compile(node, append)?;
    let last = existing.as_ref().filter(|_| append);
    let increment = increment(run, node, last).await?;
    if let Increment::Nothing = increment {
        let built = Built {
            action: "nothing new for incremental".to_owned(),
            rows: Some(0),
            verdict: Verdict::Publish,
            checks: Vec::new(),
        };
        return Ok(Attempt::Done(built));
    }
    let statement = prepare(increment.session().unwrap_or(&run.session()), &compiled).await?;
    let target = target(run, node, existing, statement.schema(), append, refresh).await?;
    let tried = write(run, node, &target, &compiled, &statement, append, increment.properties(), token).await;
    let published = matches!(&tried, Ok(Attempt::Done(built)) if built.verdict == Verdict::Publish);
    if !published {
        target.take_back(run).await?;
    }
    tried
}

/// Stages, checks and commits.
#[expect(clippy::too_many_arguments, reason = "the parts of one model's build meet only here")]
async fn write(
    run: &Run,
    node: &Node,
    target: &Target,
    compiled: &Compiled,
    statement: &Statement,
    append: bool,
    properties: BTreeMap<String, String>,
    token: Uuid,
) -> Result<Attempt> {
    let lake = run.engine.lake();
    let stream =
        run.session().execute(statement, Vec::new()).await.map_err(|error| compiled.problem(&error))?;
    let staged = stage(lake, &target.table, stream, token, run.writer.clone()).await;
    let staged = staged.map_err(|failed| unstaged(node, compiled, failed))?;
    let rows = staged.row_count();
    let operation = if append {
        Operation::Append
    } else {
        Operation::Overwrite { read_snapshot: target.table.snapshot_id() }
    };
    let session = run.session().with_staged(&target.table, &staged, operation);
    let audited = audit(run, &session, node, &crate::relation::sql_name(&node.table)).await;
    let (verdict, checks) = match audited {
        Ok((Verdict::Publish, checks)) => (Verdict::Publish, checks),
        Ok((verdict, checks)) => {
            staged.discard(lake).await;
            let action = format!("not published: {}", node.config.materialized.as_str());
            return Ok(Attempt::Done(Built { action, rows: None, verdict, checks }));
        }
        Err(error) => {
            staged.discard(lake).await;
            return Err(error);
        }
    };
    match commit(run, node, target, staged, operation, properties, token).await? {
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
    node: &Node,
    target: &Target,
    staged: StagedFiles,
    operation: Operation,
    properties: BTreeMap<String, String>,
    token: Uuid,
) -> Result<CommitOutcome> {
    let append = matches!(operation, Operation::Append);
    // An append of nothing makes no snapshot; an overwrite with nothing empties the table.
    let files = (staged.row_count() > 0 || !append).then_some(staged);
    let builds = target.table.offsets(BUILDS)?.and_then(|offsets| offsets.next.get(&0).copied()).unwrap_or(0);
    let range = OffsetRange { start: builds, end: builds + 1, anchor: None };
    let source = SourceId { cluster: "sluice".to_owned(), topic: BUILDS.to_owned() };
    let commit = Commit {
        table: node.table.clone(),
        operation,
        files,
        offsets: vec![SourceRanges { source, ranges: BTreeMap::from([(0, range)]) }],
        properties,
        token,
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
        stage::Failed::Cast(error) => problem(
            node,
            format!("a result does not fit into {}: {error}", node.table),
            "cast the column in the model",
        ),
        stage::Failed::Catalog(error) => error.into(),
    }
}

/// A model may replace only what a model built.
fn owned(node: &Node, table: &TableSnapshot) -> Result<()> {
    if table.metadata().properties().contains_key(OWNER) {
        return Ok(());
    }
    let fact = format!("table {} exists and was not built by a model; it is left alone", node.table);
    Err(problem(node, fact, "give the model another schema or alias, or drop the table yourself"))
}

/// The existing table if its columns fit, else a new one.
async fn target(
    run: &Run,
    node: &Node,
    existing: Option<TableSnapshot>,
    schema: SchemaRef,
    append: bool,
    refresh: bool,
) -> Result<Target> {
    let lake = run.engine.lake();
    let spec = spec(run, node, &schema);
    let wanted = spec.stored_schema()?;
    if let Some(table) = existing {
        let Some(difference) = difference(&table.schema(), &wanted) else {
            return Ok(Target { table, created: false, replaced_view: None });
        };
        if append || !refresh {
            let fact = format!("the model's columns are not those of {}: {difference}", node.table);
            return Err(problem(node, fact, "build it once with --full-refresh, which replaces the table"));
        }
        lake.drop_table(&node.table).await?;
    }
    let replaced_view = lake.find_view(&node.table).await?;
    if replaced_view.is_some() {
        lake.drop_view(&node.table).await?;
    }
    match lake.create(&node.table, spec).await? {
        Created::New(table) => Ok(Target { table, created: true, replaced_view }),
        Created::Existed(table) => Ok(Target { table, created: false, replaced_view }),
    }
}

/// All columns optional: a later append may bring nulls where the first build had none.
fn spec(run: &Run, node: &Node, schema: &SchemaRef) -> TableSpec {
    let described = |field: &Field| {
        let doc = node.columns.iter().find(|column| &column.name == field.name());
        let doc = doc.map(|column| column.description.clone()).filter(|text| !text.is_empty());
        let field = Field::new(field.name(), field.data_type().clone(), true);
        match doc {
            Some(doc) => field.with_metadata([("doc".to_owned(), doc)].into()),
            None => field,
        }
    };
    let fields: Vec<Field> = schema.fields().iter().map(|field| described(field)).collect();
    let mut spec = TableSpec::new(Schema::new(fields).into());
    spec.partition_by.clone_from(&node.config.partition_by);
    let owner = format!("{}.{}", run.compiler.project().name, node.name);
    spec.properties.insert(OWNER.to_owned(), owner);
    if !node.description.is_empty() {
        spec.properties.insert("comment".to_owned(), node.description.clone());
    }
    spec
}

/// How two lists of columns differ, in words; their order and their descriptions do not matter.
fn difference(have: &Schema, want: &Schema) -> Option<String> {
    let name = |field: &Field| format!("`{}` {}", field.name(), field.data_type());
    let mut differences = Vec::new();
    for field in want.fields() {
        match have.field_with_name(field.name()) {
            Err(_) => differences.push(format!("{} is new", name(field))),
            Ok(old) if !old.data_type().equals_datatype(field.data_type()) => {
                differences.push(format!("{} was {}", name(field), old.data_type()));
            }
            Ok(_) => {}
        }
    }
    let gone = have.fields().iter().filter(|field| want.field_with_name(field.name()).is_err());
    differences.extend(gone.map(|field| format!("{} is gone", name(field))));
    (!differences.is_empty()).then(|| differences.join(", "))
}

impl Target {
    /// Undoes what preparing the table changed: an empty new table goes, a replaced view comes back.
    async fn take_back(self, run: &Run) -> Result<()> {
        if !self.created {
            return Ok(());
        }
        let lake = run.engine.lake();
        let name: TableName = self.table.name().clone();
        // Another build may have written to it meanwhile; then it is no longer ours to remove.
        let untouched = lake.find(&name).await?.is_some_and(|now| now.snapshot_id().is_none());
        if untouched {
            lake.drop_table(&name).await?;
            if let Some(view) = self.replaced_view {
                lake.put_view(view, run.now()).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
