//! Topics and tables that come into the plan while a session runs.
//!
//! ```text
//! route: a name that no table has yet -> Plans::make -> the lake's table, new or old -> new plan
//!   ^------------------------------ the same messages again ----------------------------'
//! discovery: names of topics          -> Plans::admit -> new plan, new subscription
//! ```
//!
//! | the name | its messages |
//! |---|---|
//! | is new, and the template has room | land in a table that is created for them |
//! | is a table of the lake with the template's columns | land there |
//! | is a table with other columns, a view, the dead letters, or the table of another route | are dead letters |
//! | is new, and the template has as many tables as it may | are dead letters |
//!
//! The tables that count against the limit are those of the lake whose names the template can have made, without
//! those of other routes. Two workers
//! that create tables at the same moment may exceed it by what they create together.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use sluice_catalog::{Error as LakeError, Lake, TableName, TableSnapshot};

use super::choose::Missing;
use crate::error::{Error, Result};
use crate::evolve::Plans;
use crate::pipeline::tables;
use crate::plan::{Made, Plan, TablePlan, TemplatePlan};

/// Tables that are created at the same time.
const AT_ONCE: usize = 8;

/// The answer to one name; the table's state where there is one.
type Answer = ((usize, usize, TableName), Made, Option<TableSnapshot>);

impl Plans {
    /// Takes up the names that templates of a topic lack. Blocks, so never to be called by an asynchronous task.
    pub(crate) fn make(&self, seen: &Arc<Plan>, topic: usize, missing: Missing) -> Result<()> {
        self.replace(seen, |plan| {
            let mut made = Vec::new();
            for (key, answer, snapshot) in self.runtime.block_on(look_up(&self.lake, plan, topic, missing))? {
                if let Some(snapshot) = snapshot {
                    self.meet(snapshot);
                }
                made.push((key, answer));
            }
            Ok(Some(plan.made(made)))
        })?;
        Ok(())
    }

    /// Takes up the topics that match a pattern and are new; whether there were any.
    pub(crate) fn admit(&self, names: &[String]) -> Result<bool> {
        loop {
            let plan = self.current();
            if plan.with_topics(names)?.is_none() {
                return Ok(false);
            }
            if self.replace(&plan, |plan| plan.with_topics(names))? {
                return Ok(true);
            }
        }
    }
}

async fn look_up(lake: &Lake, plan: &Plan, topic: usize, missing: Missing) -> Result<Vec<Answer>> {
    let (mut answers, mut wanted) = (Vec::new(), Vec::new());
    let mut full = BTreeSet::new();
    let mut held: Vec<Option<BTreeSet<TableName>>> = vec![None; plan.topics[topic].templates.len()];
    for (number, name) in missing {
        let template = &plan.topics[topic].templates[number];
        let key = (topic, number, name.clone());
        if let Some(table) = plan.tables.iter().find(|table| table.name == name) {
            answers.push((key, known(template, table), None));
            continue;
        }
        let held = match &mut held[number] {
            Some(held) => held,
            held => held.insert(of_template(lake, plan, template).await?),
        };
        if held.contains(&name) || held.len() < template.tables_max {
            held.insert(name.clone());
            wanted.push((key, template.table(name)));
        } else if full.insert(number) {
            answers.push((key, Made::Full(Arc::new(held.clone())), None));
        }
    }
    let opened = stream::iter(wanted).map(|(key, table)| async move { open(lake, key, table).await });
    answers.extend(opened.buffered(AT_ONCE).try_collect::<Vec<_>>().await?);
    Ok(answers)
}

/// A table that is in the plan already.
fn known(template: &TemplatePlan, table: &TablePlan) -> Made {
    match &table.made_by {
        Some(by) if *by == template.template => Made::Table(Arc::clone(&table.schema)),
        _ => Made::Refused(format!("`{}` is the table of another route", table.name)),
    }
}

/// The tables of the lake that the template may have made.
async fn of_template(lake: &Lake, plan: &Plan, template: &TemplatePlan) -> Result<BTreeSet<TableName>> {
    lake.create_namespace(template.template.namespace()).await?;
    let tables = lake.tables(template.template.namespace()).await?;
    let others = |name: &TableName| {
        plan.tables
            .iter()
            .any(|table| table.name == *name && table.made_by.as_ref() != Some(&template.template))
    };
    let may_be = |name: &TableName| template.template.can_make(name) && !others(name);
    Ok(tables.into_iter().filter(may_be).collect())
}

async fn open(lake: &Lake, key: (usize, usize, TableName), table: TablePlan) -> Result<Answer> {
    match tables::open(lake, &table).await {
        Ok(snapshot) => Ok((key, Made::Table(snapshot.schema()), Some(snapshot))),
        Err(Error::Table { table, fact }) => {
            tracing::warn!(%table, fact, "its messages are dead letters");
            Ok((key, Made::Refused(format!("`{table}` does not fit the template: {fact}")), None))
        }
        Err(Error::Lake(error)) if matches!(*error, LakeError::NameTaken { .. }) => {
            Ok((key, Made::Refused(error.to_string()), None))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
