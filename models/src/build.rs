//! Build: runs a plan, as many models at a time as there are threads, each as soon as its inputs are
//! published.
//!
//! One task hands out work and tells the reporter; models run as tasks of their own. A model that is not
//! published makes its descendants skip; the rest goes on. `test` runs the checks alone, on what is
//! published.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use sluice_catalog::WriterSettings;
use sluice_sql::Engine;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::audit::{self, Verdict};
use crate::check::Check;
use crate::compile::Compiler;
use crate::config::Materialized;
use crate::error::{Error, Place, Result};
use crate::graph::Graph;
use crate::materialize::{Run, materialize};
use crate::plan::{Plan, Step};
use crate::project::Project;
use crate::properties::Source;
use crate::render::{Inputs, Templates};
use crate::report::{BuildReport, CheckStatus, Event, ModelResult, Reporter, Status};
use crate::select::Selection;

/// How to build.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// Variables, environment, the run's id and start.
    pub inputs: Inputs,
    /// Which models.
    pub selection: Selection,
    /// Models at a time; at least 1.
    pub threads: usize,
    /// Where compiled SQL is written, as `compiled/<project>/<file>`; nowhere if none.
    pub target_dir: Option<PathBuf>,
    /// How tables are written.
    pub writer: WriterSettings,
}

impl BuildOptions {
    /// All models, four at a time.
    pub fn new(invocation_id: Uuid, now: DateTime<Utc>) -> Self {
        Self {
            inputs: Inputs::new(invocation_id, now),
            selection: Selection::all(),
            threads: 4,
            target_dir: None,
            writer: WriterSettings::default(),
        }
    }
}

/// Builds the selected models of `project` into the engine's lake.
///
/// A model that fails is a result in the report, not an error; what it had published before is unchanged.
///
/// # Errors
/// When the project's text is wrong or the selection names nothing; then nothing was built.
pub async fn build(
    engine: &Engine,
    project: &Project,
    options: &BuildOptions,
    reporter: &dyn Reporter,
) -> Result<BuildReport> {
    drive(engine, project, options, reporter, Work::Build).await
}

/// Runs the checks of the selected models, and without a selection those of all sources, on what is
/// published.
///
/// # Errors
/// As [`build`].
pub async fn test(
    engine: &Engine,
    project: &Project,
    options: &BuildOptions,
    reporter: &dyn Reporter,
) -> Result<BuildReport> {
    drive(engine, project, options, reporter, Work::Test).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Build,
    Test,
}

async fn drive(
    engine: &Engine,
    project: &Project,
    options: &BuildOptions,
    reporter: &dyn Reporter,
    work: Work,
) -> Result<BuildReport> {
    let clock = Instant::now();
    let graph = Arc::new(Graph::new(project, &options.inputs)?);
    let plan = Plan::new(&graph, &options.selection)?;
    for warning in graph.warnings() {
        reporter.event(Event::Warning(warning));
    }
    let (templates, _) = Templates::new(project, &options.inputs);
    let compiler =
        Compiler::new(Arc::new(project.clone()), Arc::clone(&graph), templates, options.target_dir.clone());
    let run = Arc::new(Run {
        engine: engine.clone(),
        compiler,
        invocation_id: options.inputs.invocation_id,
        started_at: options.inputs.started_at,
        clock,
        full_refresh: options.inputs.full_refresh,
        writer: options.writer.clone(),
    });
    let steps = match work {
        Work::Test if options.selection.select.is_empty() => [source_steps(project), plan.steps].concat(),
        _ => plan.steps,
    };
    let mut queue = Queue::new(steps, work);
    let results = queue.run(&run, options.threads.max(1), reporter).await;
    Ok(BuildReport {
        invocation_id: options.inputs.invocation_id,
        results,
        warnings: graph.warnings().to_vec(),
        seconds: clock.elapsed().as_secs_f64(),
    })
}

/// Steps of a run that have not ended, and what became of the others.
struct Queue {
    work: Work,
    /// In plan order: inputs first.
    waiting: Vec<Step>,
    published: BTreeSet<String>,
    unpublished: BTreeSet<String>,
    total: usize,
}

/// What the queue has to offer.
enum Next {
    Run(Step),
    Skip(Step, String),
}

impl Queue {
    fn new(waiting: Vec<Step>, work: Work) -> Self {
        let total = waiting.len();
        Self { work, waiting, published: BTreeSet::new(), unpublished: BTreeSet::new(), total }
    }

    /// The first step that can run, or that never will.
    fn next(&mut self) -> Option<Next> {
        let ends = |step: &Step| step.after.iter().find(|input| self.unpublished.contains(*input)).cloned();
        if self.work == Work::Test {
            return (!self.waiting.is_empty()).then(|| Next::Run(self.waiting.remove(0)));
        }
        if let Some((at, input)) =
            self.waiting.iter().enumerate().find_map(|(at, step)| Some((at, ends(step)?)))
        {
            return Some(Next::Skip(self.waiting.remove(at), input));
        }
        let ready = |step: &Step| step.after.iter().all(|input| self.published.contains(input));
        let at = self.waiting.iter().position(ready)?;
        Some(Next::Run(self.waiting.remove(at)))
    }

    async fn run(&mut self, run: &Arc<Run>, threads: usize, reporter: &dyn Reporter) -> Vec<ModelResult> {
        let total = self.total;
        let mut results: Vec<ModelResult> = Vec::with_capacity(total);
        let mut started = 0;
        let mut running = JoinSet::new();
        let mut steps = HashMap::new();
        loop {
            while running.len() < threads
                && let Some(next) = self.next()
            {
                started += 1;
                match next {
                    Next::Run(step) => {
                        reporter.event(Event::Started { step: &step, position: started, total });
                        let task = running.spawn(one(Arc::clone(run), step.clone(), self.work));
                        steps.insert(task.id(), step);
                    }
                    Next::Skip(step, input) => {
                        let result = skipped(run, &step, &input);
                        self.end(result, reporter, &mut results);
                    }
                }
            }
            let Some(ended) = running.join_next_with_id().await else { return results };
            let result = match ended {
                Ok((_, result)) => result,
                Err(error) => match steps.get(&error.id()) {
                    Some(step) => broken(run, step, &error),
                    None => continue,
                },
            };
            self.end(result, reporter, &mut results);
        }
    }

    fn end(&mut self, result: ModelResult, reporter: &dyn Reporter, results: &mut Vec<ModelResult>) {
        let published = matches!(result.status, Status::Ok | Status::Warn);
        let set = if published { &mut self.published } else { &mut self.unpublished };
        set.insert(result.model.clone());
        reporter.event(Event::Finished { result: &result, position: results.len() + 1, total: self.total });
        results.push(result);
    }
}

/// One model or source, to its result.
async fn one(run: Arc<Run>, step: Step, work: Work) -> ModelResult {
    let clock = Instant::now();
    let graph = run.compiler.graph();
    let ended = match (work, graph.node(&step.model)) {
        (Work::Build, Some(node)) => materialize(&run, node).await,
        (Work::Test, Some(node)) => {
            audit::published(&run, &node.table, &node.checks, &Place::file(&node.file)).await
        }
        (_, None) => {
            match run.compiler.project().sources().find(|source| source_name(source) == step.model) {
                Some(source) => audit::published(&run, &source.table, &source.checks, &source.place).await,
                None => Err(Error::Broken {
                    model: step.model.clone(),
                    reason: "it is not in the graph".to_owned(),
                }),
            }
        }
    };
    let mut result = blank(&run, &step);
    result.seconds = clock.elapsed().as_secs_f64();
    match ended {
        Ok(built) => {
            result.status = match built.verdict {
                Verdict::Publish if built.checks.iter().any(|check| check.status == CheckStatus::Warn) => {
                    Status::Warn
                }
                Verdict::Publish => Status::Ok,
                Verdict::Failed => Status::Fail,
                Verdict::Unknown => Status::Error,
            };
            result.action = built.action;
            result.rows = built.rows;
            result.checks = built.checks;
        }
        Err(error) => {
            let verb = if work == Work::Build { "building" } else { "testing" };
            result.action = format!("{verb} {}", result.kind);
            result.message = Some(error.to_string());
        }
    }
    result
}

/// A result with nothing done yet.
fn blank(run: &Run, step: &Step) -> ModelResult {
    let kind =
        if run.compiler.graph().node(&step.model).is_some() { step.materialized.as_str() } else { SOURCE };
    let family = if kind == SOURCE { SOURCE } else { "model" };
    ModelResult {
        unique_id: format!("{family}.{}.{}", run.compiler.project().name, step.model),
        model: step.model.clone(),
        table: step.table.clone(),
        kind,
        status: Status::Error,
        action: String::new(),
        rows: None,
        seconds: 0.0,
        message: None,
        checks: Vec::new(),
    }
}

fn skipped(run: &Run, step: &Step, input: &str) -> ModelResult {
    let mut result = blank(run, step);
    result.status = Status::Skip;
    result.action = result.kind.to_owned();
    result.message = Some(format!("its input {input} was not published"));
    result
}

fn broken(run: &Run, step: &Step, error: &tokio::task::JoinError) -> ModelResult {
    let mut result = blank(run, step);
    let reason = error.to_string();
    result.action = result.kind.to_owned();
    result.message = Some(Error::Broken { model: step.model.clone(), reason }.to_string());
    result
}

/// What a source is called in a report.
const SOURCE: &str = "source";

fn source_name(source: &Source) -> String {
    source.table.to_string()
}

/// Sources that have checks, as steps of a test run.
fn source_steps(project: &Project) -> Vec<Step> {
    let checked = project.sources().filter(|source| !source.checks.is_empty());
    let step = |source: &Source| Step {
        model: source_name(source),
        file: source.place.file.clone(),
        table: source.table.to_string(),
        materialized: Materialized::Table,
        after: Vec::new(),
        reads: Vec::new(),
        checks: source.checks.iter().map(Check::name).collect(),
    };
    checked.map(step).collect()
}

#[cfg(test)]
mod tests;
