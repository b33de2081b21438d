//! Audit: runs the checks of a model and says whether it may be published.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::StreamExt;
use sluice_catalog::TableName;
use sluice_sql::Session;

use crate::check::{Check, CheckKind, Severity};
use crate::compile::Compiler;
use crate::error::{Place, Problem, Result};
use crate::graph::Node;
use crate::materialize::{Built, Run};
use crate::relation::sql_name;
use crate::report::{CheckResult, CheckStatus};

/// What the checks mean for the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No check stands against it.
    Publish,
    /// A check with severity `error` failed.
    Failed,
    /// A check could not be run: nobody knows whether the rows are good.
    Unknown,
}

/// Runs a model's checks on `relation`, a name or a query in brackets, as `session` sees it.
pub(crate) async fn audit(
    run: &Run,
    session: &Session,
    node: &Node,
    relation: &str,
) -> Result<(Verdict, Vec<CheckResult>)> {
    let results = checks(&run.compiler, session, &node.checks, relation, &Place::file(&node.file)).await?;
    Ok((verdict(&results), results))
}

/// Runs checks on a table or view as it is published.
pub(crate) async fn published(run: &Run, table: &TableName, list: &[Check], place: &Place) -> Result<Built> {
    let lake = run.engine.lake();
    if lake.find(table).await?.is_none() && lake.find_view(table).await?.is_none() {
        let fact = format!("{table} does not exist, so there is nothing to test");
        return Err(Problem::new(place.clone(), fact, "build or load it first").into());
    }
    let relation = sql_name(table);
    let checks = checks(&run.compiler, &run.engine.session(), list, &relation, place).await?;
    Ok(Built { action: "tested".to_owned(), rows: None, verdict: verdict(&checks), checks })
}

/// Runs checks one after the other; each is one aggregate query.
pub(crate) async fn checks(
    compiler: &Compiler,
    session: &Session,
    checks: &[Check],
    relation: &str,
    place: &Place,
) -> Result<Vec<CheckResult>> {
    let mut results = Vec::with_capacity(checks.len());
    for check in checks {
        let other = match &check.kind {
            CheckKind::Relationships { to, .. } => Some(compiler.relation(to, place)?),
            _ => None,
        };
        let sql = check.sql(relation, other.as_deref());
        results.push(result(check, count(session, &sql).await, &sql));
    }
    Ok(results)
}

pub(crate) fn verdict(results: &[CheckResult]) -> Verdict {
    let has = |status| results.iter().any(|result| result.status == status);
    if has(CheckStatus::Error) {
        Verdict::Unknown
    } else if has(CheckStatus::Fail) {
        Verdict::Failed
    } else {
        Verdict::Publish
    }
}

fn result(check: &Check, counted: sluice_sql::Result<u64>, sql: &str) -> CheckResult {
    let (status, failures, message) = match (counted, check.severity) {
        (Ok(0), _) => (CheckStatus::Pass, 0, None),
        (Ok(failures), Severity::Warn) => (CheckStatus::Warn, failures, None),
        (Ok(failures), Severity::Error) => (CheckStatus::Fail, failures, None),
        (Err(error), _) => {
            let message = format!("{}\n  the check is: {sql}", error.message());
            (CheckStatus::Error, 0, Some(message))
        }
    };
    CheckResult { name: check.name(), status, severity: check.severity, failures, message }
}

/// The number that a check's query returns.
async fn count(session: &Session, sql: &str) -> sluice_sql::Result<u64> {
    let mut stream = session.sql(sql).await?;
    let mut total = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        let counts = batch.column(0).as_primitive_opt::<Int64Type>();
        total += counts.into_iter().flat_map(|column| column.iter().flatten()).sum::<i64>();
    }
    Ok(u64::try_from(total).unwrap_or_default())
}
