//! Report: what became of every model and check, for people (`Display`) and programs (`Serialize`).

use std::fmt;

use serde::Serialize;

use crate::check::Severity;
use crate::plan::Step;

/// How a model ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Built (or, in a test run, checked) and good.
    Ok,
    /// Built and published, but a check with severity `warn` failed.
    Warn,
    /// Not built; what was published before is unchanged.
    Error,
    /// Built but not published, because a check failed.
    Fail,
    /// Not tried, because an input was not published.
    Skip,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// Nothing violates it.
    Pass,
    /// Violated, with severity `warn`.
    Warn,
    /// Violated, with severity `error`.
    Fail,
    /// It could not be run.
    Error,
}

/// One check of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// `unique(event_id)`.
    pub name: String,
    /// How it ended.
    pub status: CheckStatus,
    /// What a failure means.
    pub severity: Severity,
    /// What the check counts; 0 when it passed or could not be run.
    pub failures: u64,
    /// Why it could not be run, or what to look at.
    pub message: Option<String>,
}

/// One model of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelResult {
    /// `model.<project>.<name>`, or `source.<project>.<source>.<table>`.
    pub unique_id: String,
    /// The model's name.
    pub model: String,
    /// `silver.orders`.
    pub table: String,
    /// `view`, `table`, `incremental`; `source` in a test run.
    pub kind: &'static str,
    /// How it ended.
    pub status: Status,
    /// What happened: `created table`, `appended to incremental`, `tested`.
    pub action: String,
    /// Rows written by this run; none for views and for what was not published.
    pub rows: Option<u64>,
    /// Wall-clock seconds from the start of its work to its end.
    pub seconds: f64,
    /// The error, or why it was skipped.
    pub message: Option<String>,
    /// Its checks, in the order of the project.
    pub checks: Vec<CheckResult>,
}

/// All results of a run.
#[derive(Clone, Debug, Serialize)]
pub struct BuildReport {
    /// The run.
    pub invocation_id: uuid::Uuid,
    /// In the order in which the models ended.
    pub results: Vec<ModelResult>,
    /// What was tolerated in the project.
    pub warnings: Vec<String>,
    /// Wall-clock seconds of the run.
    pub seconds: f64,
}

/// What a run tells while it goes on.
#[derive(Debug)]
pub enum Event<'a> {
    /// Something in the project was tolerated.
    Warning(&'a str),
    /// Work on a model begins.
    Started {
        /// The model.
        step: &'a Step,
        /// Its position, from 1.
        position: usize,
        /// Models of the run.
        total: usize,
    },
    /// A model ended.
    Finished {
        /// Its result; prints as `OK created table silver.orders [1,204 rows in 0.84s]`.
        result: &'a ModelResult,
        /// How many have ended, with this one.
        position: usize,
        /// Models of the run.
        total: usize,
    },
}

/// Hears what a run tells, in order, from one task.
pub trait Reporter: Send + Sync {
    /// Called at each event; must return soon, the run waits.
    fn event(&self, event: Event<'_>);
}

/// Hears and does nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _event: Event<'_>) {}
}

impl<F: Fn(Event<'_>) + Send + Sync> Reporter for F {
    fn event(&self, event: Event<'_>) {
        self(event);
    }
}

impl BuildReport {
    /// How many models ended with `status`.
    pub fn count(&self, status: Status) -> usize {
        self.results.iter().filter(|result| result.status == status).count()
    }

    /// Whether every model was built, or merely warned about.
    pub fn succeeded(&self) -> bool {
        self.results.iter().all(|result| matches!(result.status, Status::Ok | Status::Warn))
    }

    /// The result of one model.
    pub fn result(&self, model: &str) -> Option<&ModelResult> {
        self.results.iter().find(|result| result.model == model)
    }
}

impl fmt::Display for BuildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Done in {:.2}s. PASS={} WARN={} ERROR={} SKIP={} TOTAL={}",
            self.seconds,
            self.count(Status::Ok),
            self.count(Status::Warn),
            self.count(Status::Error) + self.count(Status::Fail),
            self.count(Status::Skip),
            self.results.len(),
        )
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Warning(text) => write!(f, "warning: {text}"),
            Self::Started { step, position, total } => {
                write!(f, "{position} of {total} START {}", step.table)
            }
            Self::Finished { result, position, total } => write!(f, "{position} of {total} {result}"),
        }
    }
}

impl fmt::Display for ModelResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.status {
            Status::Ok => "OK",
            Status::Warn => "WARN",
            Status::Error => "ERROR",
            Status::Fail => "FAIL",
            Status::Skip => "SKIP",
        };
        write!(f, "{word} {} {}", self.action, self.table)?;
        match self.rows {
            Some(rows) => write!(f, " [{} rows in {:.2}s]", grouped(rows), self.seconds)?,
            None if self.status == Status::Skip => {}
            None => write!(f, " [{:.2}s]", self.seconds)?,
        }
        for check in self.checks.iter().filter(|check| check.status != CheckStatus::Pass) {
            write!(f, "\n    {check}")?;
        }
        if let Some(message) = &self.message {
            write!(f, "\n    {}", message.replace('\n', "\n    "))?;
        }
        Ok(())
    }
}

impl fmt::Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.status {
            CheckStatus::Pass => "PASS",
            CheckStatus::Warn => "WARN",
            CheckStatus::Fail => "FAIL",
            CheckStatus::Error => "ERROR",
        };
        write!(f, "{word} {}", self.name)?;
        if self.failures > 0 {
            write!(
                f,
                ": {} {}",
                grouped(self.failures),
                if self.failures == 1 { "failure" } else { "failures" }
            )?;
        }
        match &self.message {
            Some(message) => write!(f, "\n      {}", message.replace('\n', "\n      ")),
            None => Ok(()),
        }
    }
}

/// `1204` as `1,204`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
