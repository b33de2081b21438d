//! The lake as one statement sees it: every name resolved once and then fixed.
//!
//! Flow: the names in the statement -> [`Scope`] -> pinned table, or view planned from its stored SQL.
//!
//! A scope lives as long as its statement, so a table named twice, or once here and once inside a view, is
//! the same state both times. Names are looked up while planning; only statements that ask for the list of
//! tables pay for the list.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::{ResolvedTableReference, TableReference};
use datafusion::datasource::{TableType, ViewTable};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as Parsed;
use sluice_catalog::{TableName, TableSnapshot};

use crate::described::Described;
use crate::engine::CATALOG;
use crate::error::{Complaint, Error, Result, nearest, quoted};
use crate::metadata::MetadataTable;
use crate::naming::Asked;
use crate::scan::rows::NumberedTable;
use crate::session::Session;
use crate::table::{LakeTable, Reading};
use crate::text::Text;
use crate::unfold;

const INFORMATION_SCHEMA: &str = "information_schema";

/// The name of the table that a statement changes, with the ids of its rows; no table can have it.
pub(crate) const TARGET: &str = "sluice target";

/// What one statement has resolved so far.
#[derive(Debug)]
pub(crate) struct Scope {
    session: Session,
    target: Option<Arc<NumberedTable>>,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    providers: HashMap<Asked, Arc<dyn TableProvider>>,
    /// The state in which each table was found; its versions and what is told about it come from there.
    states: HashMap<TableName, Reading>,
    inputs: BTreeSet<TableName>,
    snapshots: BTreeMap<TableName, TableSnapshot>,
    /// How many tables each view reads.
    weights: HashMap<TableName, u64>,
    listing: Option<Listing>,
    /// Whether planning is over.
    planned: bool,
}

/// All tables and views, by namespace.
type Listing = BTreeMap<String, BTreeMap<String, TableType>>;

impl Scope {
    pub(crate) fn open(session: Session) -> Arc<Self> {
        Arc::new(Self { session, target: None, found: Mutex::default() })
    }

    /// A scope in which [`TARGET`] names the table that is changed.
    pub(crate) fn with_target(session: Session, target: Arc<NumberedTable>) -> Arc<Self> {
        Arc::new(Self { session, target: Some(target), found: Mutex::default() })
    }

    /// The engine's state with this scope's tables, for text that stands inside the views of `path`.
    pub(crate) fn state(self: &Arc<Self>, path: &[TableName]) -> SessionState {
        let base = self.session.engine().state().clone();
        let namespace = path.last().map_or(self.session.namespace(), TableName::namespace);
        let mut config = base.config().clone().with_default_catalog_and_schema(CATALOG, namespace);
        if let Some(rows) = self.session.batch_rows() {
            config = config.with_batch_size(rows);
        }
        let names = Names { scope: Arc::clone(self), path: path.into() };
        SessionStateBuilder::new_from_existing(base)
            .with_config(config)
            .with_catalog_list(Arc::new(names))
            .build()
    }

    /// Plans a parsed statement; a name that does not exist is reported with its place and the likely one.
    /// The number is that of the tables it reads, each use counted.
    pub(crate) async fn plan(
        &self,
        state: &SessionState,
        text: &Text<'_>,
        parsed: Parsed,
    ) -> Result<(LogicalPlan, u64)> {
        let missing = self.look_up(state, &parsed).await?;
        let tables = unfold::count(&parsed, |name| self.weight(state, name))?;
        match (state.statement_to_plan(parsed).await, missing) {
            (Ok(plan), _) => Ok((plan, tables)),
            (Err(_), Some(name)) => {
                let at = text.place_of(&name.table);
                Err(self.unknown(&name.catalog, &name.schema, &name.table).await?.map(|c| c.at(at)))
            }
            (Err(error), None) => Err(error.into()),
        }
    }

    /// Resolves the names of a statement and returns the first that is no table. It may still be a function.
    async fn look_up(&self, state: &SessionState, parsed: &Parsed) -> Result<Option<ResolvedTableReference>> {
        let catalog = &state.config_options().catalog;
        let mut missing = None;
        for name in state.resolve_table_references(parsed)? {
            let name = name.resolve(&catalog.default_catalog, &catalog.default_schema);
            if name.schema.as_ref() == INFORMATION_SCHEMA {
                self.list().await?;
                continue;
            }
            let found = match state.schema_for_ref(TableReference::from(name.clone())) {
                Ok(schema) => schema.table(&name.table).await?,
                Err(_) => None,
            };
            if found.is_none() && !state.table_functions().contains_key(name.table.as_ref()) {
                missing.get_or_insert(name);
            }
        }
        Ok(missing)
    }

    /// How many tables a name stands for: a view's, or itself.
    fn weight(&self, state: &SessionState, name: &[&str]) -> u64 {
        let default = &state.config_options().catalog.default_schema;
        let name = match name {
            [table] => TableName::new(default, *table),
            [.., namespace, table] => TableName::new(*namespace, *table),
            [] => return 1,
        };
        name.ok().and_then(|name| self.found().weights.get(&name).copied()).unwrap_or(1)
    }

    /// The inputs and their states, once planning is over.
    pub(crate) fn pinned(&self) -> (BTreeSet<TableName>, BTreeMap<TableName, TableSnapshot>) {
        let mut found = self.found();
        found.planned = true;
        (found.inputs.clone(), found.snapshots.clone())
    }

    async fn unknown(&self, catalog: &str, namespace: &str, table: &str) -> Result<Error> {
        if catalog != CATALOG {
            let complaint = Complaint::new(format!("there is no catalog `{catalog}`"));
            return Ok(Error::NotFound(complaint.remedy(format!("the one catalog is `{CATALOG}`"))));
        }
        let complaint = Complaint::new(format!("there is no table or view `{namespace}.{table}`"));
        self.list().await?;
        let found = self.found();
        let listing = found.listing.iter().flatten();
        let names: Vec<(&str, &str)> = listing
            .flat_map(|(ns, tables)| tables.keys().map(move |name| (ns.as_str(), name.as_str())))
            .collect();
        let elsewhere = names.iter().find(|(_, name)| *name == table);
        let near = || {
            let here = names.iter().filter(|(ns, _)| *ns == namespace).map(|(_, name)| *name);
            nearest(table, here).map(|name| (namespace, name))
        };
        let spelt: Vec<String> = names.iter().map(|(ns, name)| format!("{ns}.{name}")).collect();
        let anywhere = || {
            let name = nearest(&format!("{namespace}.{table}"), spelt.iter().map(String::as_str))?;
            name.split_once('.')
        };
        let remedy = match elsewhere.copied().or_else(near).or_else(anywhere) {
            Some((ns, name)) => format!("did you mean {}.{}?", quoted(ns), quoted(name)),
            None => "SHOW TABLES lists what there is".to_owned(),
        };
        Ok(Error::NotFound(complaint.remedy(remedy)))
    }

    /// Fetches the names of all tables and views, once.
    async fn list(&self) -> Result<()> {
        if self.found().listing.is_some() {
            return Ok(());
        }
        let lake = self.session.engine().lake();
        let mut listing = Listing::new();
        for namespace in lake.namespaces().await? {
            let tables = lake.tables(&namespace).await?.into_iter().map(|name| (name, TableType::Base));
            let views = lake.views(&namespace).await?.into_iter().map(|name| (name, TableType::View));
            let names = tables.chain(views).map(|(name, kind)| (name.name().to_owned(), kind)).collect();
            listing.insert(namespace, names);
        }
        self.found().listing.get_or_insert(listing);
        Ok(())
    }

    async fn resolve(
        self: Arc<Self>,
        asked: Asked,
        path: &[TableName],
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        let name = asked.table.clone();
        if path.contains(&name) {
            let mut steps: Vec<String> = path.iter().map(TableName::to_string).collect();
            steps.push(name.to_string());
            let message = format!("view `{name}` reads itself: {}", steps.join(" -> "));
            return Err(Error::Plan(Complaint::new(message).remedy("change one of these views")));
        }
        if let Some(provider) = self.found().providers.get(&asked) {
            return Ok(Some(Arc::clone(provider)));
        }
        let engine = self.session.engine();
        let provider: Arc<dyn TableProvider> = if let Some(reading) = self.state_of(&name).await? {
            match self.provide(&asked, reading)? {
                Some(provider) => provider,
                None => return Ok(None),
            }
        } else if let Some(view) = engine.lake().find_view(&name).await?.filter(|_| asked.is_plain()) {
            self.plan_view(&name, &view.sql, path).await?
        } else {
            return Ok(None);
        };
        let mut found = self.found();
        found.inputs.insert(name);
        found.providers.insert(asked, Arc::clone(&provider));
        Ok(Some(provider))
    }

    /// The state of a table that this statement reads, looked up once.
    async fn state_of(&self, name: &TableName) -> Result<Option<Reading>> {
        if let Some(known) = self.found().states.get(name) {
            return Ok(Some(known.clone()));
        }
        let reading = match self.session.readings().get(name) {
            Some(reading) => Some(reading.clone()),
            None => self.session.engine().lake().find(name).await?.map(Reading::current),
        };
        if let Some(reading) = &reading {
            self.found().states.insert(name.clone(), reading.clone());
        }
        Ok(reading)
    }

    /// The table, a version of it, or what is told about it; `None` when the name asks for nothing known.
    fn provide(&self, asked: &Asked, reading: Reading) -> Result<Option<Arc<dyn TableProvider>>> {
        let engine = self.session.engine().clone();
        if asked.is_plain() {
            self.found().snapshots.insert(asked.table.clone(), reading.table.clone());
            return Ok(Some(Arc::new(LakeTable::new(engine, reading))));
        }
        let Some(state) = asked.state(&reading.table)? else { return Ok(None) };
        if let Some(kind) = asked.metadata {
            return Ok(Some(Arc::new(MetadataTable::new(kind, state)?)));
        }
        self.found().snapshots.entry(asked.table.clone()).or_insert_with(|| state.clone());
        Ok(Some(Arc::new(LakeTable::new(engine, Reading::current(state)))))
    }

    async fn plan_view(
        self: &Arc<Self>,
        name: &TableName,
        sql: &str,
        path: &[TableName],
    ) -> Result<Arc<dyn TableProvider>> {
        let inside = |error: Error| {
            let message = |c: Complaint| format!("view `{name}` cannot be read: {}", c.message());
            error.map(|complaint| {
                Complaint::new(message(complaint)).remedy("correct the view, or what it reads")
            })
        };
        let path: Vec<TableName> = path.iter().cloned().chain([name.clone()]).collect();
        let state = self.state(&path);
        let text = Text::read(sql).map_err(inside)?;
        let parsed = text.parse().map_err(inside)?;
        // Boxed because views nest: planning one resolves the names in it.
        let (plan, tables) = Box::pin(self.plan(&state, &text, parsed)).await.map_err(inside)?;
        self.found().weights.insert(name.clone(), tables.max(1));
        Ok(Arc::new(ViewTable::new(plan, Some(sql.to_owned()))))
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        // Every change under the lock is one insertion: a panic elsewhere leaves nothing half done.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The scope under the library's names: list of catalogs, catalog, schema, for text inside `path`.
#[derive(Clone, Debug)]
struct Names {
    scope: Arc<Scope>,
    path: Arc<[TableName]>,
}

#[derive(Debug)]
struct Namespace {
    names: Names,
    namespace: String,
}

impl CatalogProviderList for Names {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::new(self.clone()) as Arc<dyn CatalogProvider>)
    }
}

impl CatalogProvider for Names {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema_names(&self) -> Vec<String> {
        self.scope.found().listing.iter().flat_map(|listing| listing.keys().cloned()).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(Namespace { names: self.clone(), namespace: name.to_owned() }))
    }
}

#[async_trait]
impl SchemaProvider for Namespace {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn table_names(&self) -> Vec<String> {
        let found = self.names.scope.found();
        let tables = found.listing.as_ref().and_then(|listing| listing.get(&self.namespace));
        tables.iter().flat_map(|tables| tables.keys().cloned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if let (TARGET, Some(target)) = (name, &self.names.scope.target) {
            return Ok(Some(Arc::clone(target) as Arc<dyn TableProvider>));
        }
        // What can be no name of a table is the name of none.
        let Some(name) = Asked::parse(&self.namespace, name) else { return Ok(None) };
        let scope = Arc::clone(&self.names.scope);
        let planned = scope.found().planned;
        let provider = scope.resolve(name, &self.names.path).await?;
        // After planning only information_schema asks, to show the columns as clients know them.
        Ok(if planned { provider.map(Described::of) } else { provider })
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>, DataFusionError> {
        let listed = {
            let found = self.names.scope.found();
            let tables = found.listing.as_ref().and_then(|listing| listing.get(&self.namespace));
            tables.and_then(|tables| tables.get(name).copied())
        };
        match listed {
            Some(kind) => Ok(Some(kind)),
            None => Ok(self.table(name).await?.map(|table| table.table_type())),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}
