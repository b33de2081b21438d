//! The part of a plan that grows: tables that messages name, by the templates of the topics file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use sluice_catalog::TableName;

use super::{Plan, RoutePlan, TablePlan, adopt};
use crate::topics::{Route, SchemaPolicy, Template};

/// A route whose tables are named by the messages.
#[derive(Clone, Debug)]
pub(crate) struct TemplatePlan {
    pub(crate) template: Template,
    pub(crate) tables_max: usize,
    /// What its tables look like before they grow; the number of the table means nothing.
    pub(super) blueprint: RoutePlan,
    route: Arc<Route>,
    /// What became of the names so far.
    pub(crate) known: BTreeMap<TableName, Known>,
    /// When no more tables may be created: those that are there.
    pub(crate) full: Option<Arc<BTreeSet<TableName>>>,
}

/// What became of a name.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    Route(usize),
    /// Its messages are dead letters; why.
    Refused(String),
}

/// The answer to a name that a template had not met.
#[derive(Clone, Debug)]
pub(crate) enum Made {
    /// There is such a table, with these columns.
    Table(SchemaRef),
    Refused(String),
    /// There is none, and no more may be created than these.
    Full(Arc<BTreeSet<TableName>>),
}

impl Plan {
    /// The plan after names of templates were looked up: topic, template and name of each.
    pub(crate) fn made(&self, made: Vec<((usize, usize, TableName), Made)>) -> Self {
        let mut plan = self.clone();
        for ((topic, template, name), made) in made {
            let schema = match made {
                Made::Table(schema) => schema,
                Made::Refused(fact) => {
                    plan.topics[topic].templates[template].known.insert(name, Known::Refused(fact));
                    continue;
                }
                Made::Full(names) => {
                    plan.topics[topic].templates[template].full = Some(names);
                    continue;
                }
            };
            let own = &plan.topics[topic].templates[template];
            let (mut route, blueprint) = (own.blueprint.clone(), Arc::clone(&own.blueprint.schema));
            route.table = match plan.tables.iter().position(|table| table.name == name) {
                Some(known) => known,
                None => {
                    let made_by = Some(own.template.clone());
                    let table = TablePlan::new(name.clone(), &own.route, &own.blueprint.schema, made_by);
                    plan.tables.push(table);
                    plan.tables.len() - 1
                }
            };
            adopt(&mut route, &schema);
            // Tables that grow may differ at any time.
            let fixed = route.policy != SchemaPolicy::Evolve;
            route.alike = (fixed && route.schema == blueprint).then_some(template);
            plan.tables[route.table].schema = Arc::clone(&route.schema);
            let own = &mut plan.topics[topic];
            own.templates[template].known.insert(name, Known::Route(own.routes.len()));
            own.routes.push(route);
        }
        for topic in plan.topics.iter_mut().filter(|topic| !topic.templates.is_empty()) {
            topic.refresh();
        }
        plan
    }
}

impl TemplatePlan {
    pub(super) fn new(template: Template, route: &Route, blueprint: RoutePlan) -> Self {
        let (known, full) = (BTreeMap::new(), None);
        Self {
            template,
            tables_max: route.tables_max,
            blueprint,
            route: Arc::new(route.clone()),
            known,
            full,
        }
    }

    /// What a table that it creates looks like.
    pub(crate) fn blueprint(&self) -> &RoutePlan {
        &self.blueprint
    }

    /// The plan of a table that the template names.
    pub(crate) fn table(&self, name: TableName) -> TablePlan {
        TablePlan::new(name, &self.route, &self.blueprint.schema, Some(self.template.clone()))
    }
}
