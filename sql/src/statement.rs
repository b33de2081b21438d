//! A statement: text and plan over pinned tables, ready to run any number of times.
//!
//! It keeps reading the state that was current when it was prepared. Prepare again to see later commits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ParamValues};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Cast, DescribeTable, Expr, LogicalPlan, TryCast};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SQLOptions;
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::Statement as Ast;
use futures::StreamExt;
use sluice_catalog::{TableName, TableSnapshot};

use crate::catalog::Scope;
use crate::engine::Engine;
use crate::error::{Complaint, Error, Result};
use crate::session::Session;
use crate::text::Text;
use crate::types::{parameter_type, plain_batch, plain_schema};

/// A planned statement; clones share it.
#[derive(Clone, Debug)]
pub struct Statement {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    sql: String,
    state: SessionState,
    plan: LogicalPlan,
    schema: SchemaRef,
    parameters: Vec<DataType>,
    /// The types that the plan takes; `parameters` are those that clients bind.
    planned: Vec<DataType>,
    inputs: BTreeSet<TableName>,
    snapshots: BTreeMap<TableName, TableSnapshot>,
}

impl Statement {
    pub(crate) async fn prepare(session: Session, sql: String) -> Result<Self> {
        let workers = session.engine().workers().clone();
        let inner = workers.run(plan(session, sql)).await?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The text as given.
    pub fn text(&self) -> &str {
        &self.inner.sql
    }

    /// The logical plan, before optimisation.
    pub fn plan(&self) -> &LogicalPlan {
        &self.inner.plan
    }

    /// Exactly the schema of the batches that leave. Every column is nullable: a result promises no more.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.inner.schema)
    }

    /// The types of `$1`, `$2`, … as a client shall bind them; text where nothing tells the type.
    pub fn parameters(&self) -> &[DataType] {
        &self.inner.parameters
    }

    /// Every table and view that is read, directly or through views.
    pub fn inputs(&self) -> &BTreeSet<TableName> {
        &self.inner.inputs
    }

    /// The state at which each table is read.
    pub fn snapshots(&self) -> &BTreeMap<TableName, TableSnapshot> {
        &self.inner.snapshots
    }

    pub(crate) async fn execute(
        &self,
        engine: &Engine,
        parameters: Vec<ScalarValue>,
    ) -> Result<SendableRecordBatchStream> {
        let values = bind(parameters, &self.inner.planned)?;
        let inner = Arc::clone(&self.inner);
        let physical = async move {
            let mut state = inner.state.clone();
            state.mark_start_execution();
            let plan = inner.plan.clone();
            let plan =
                if values.is_empty() { plan } else { plan.with_param_values(ParamValues::from(values))? };
            let physical = state.create_physical_plan(&plan).await?;
            Ok((physical, state.task_ctx()))
        };
        let (physical, task) = engine.workers().run(physical).await?;
        let schema = self.schema();
        let plain = async move {
            let batches = execute_stream(physical, task)?;
            Ok(batches.map(move |batch| plain_batch(&batch?, &schema)))
        };
        Ok(engine.workers().stream(self.schema(), plain))
    }
}

/// Casts each value to the type that the plan takes.
pub(crate) fn bind(values: Vec<ScalarValue>, wanted: &[DataType]) -> Result<Vec<ScalarValue>> {
    if values.len() != wanted.len() {
        let message =
            format!("the statement has {} parameters, {} values were given", wanted.len(), values.len());
        return Err(Error::Plan(Complaint::new(message).remedy("bind one value to each marker")));
    }
    let cast = |(at, (value, to)): (usize, (ScalarValue, &DataType))| {
        value.cast_to(to).map_err(|_| {
            let from = value.data_type();
            Error::Plan(Complaint::new(format!(
                "parameter ${} is {to}; a value of type {from} does not fit",
                at + 1
            )))
        })
    };
    values.into_iter().zip(wanted).enumerate().map(cast).collect()
}

async fn plan(session: Session, sql: String) -> Result<Inner> {
    let text = Text::read(&sql)?;
    let markers = text.markers();
    let parsed = text.parse()?;
    refuse_writes(&parsed)?;

    let scope = Scope::open(session);
    let state = scope.state(&[]);
    let (plan, _) = scope.plan(&state, &text, parsed).await.map_err(|error| error.with_text(&sql))?;
    read_only(&plan)?;
    let plan = match plan {
        LogicalPlan::DescribeTable(table) => {
            LogicalPlan::DescribeTable(DescribeTable { schema: plain_schema(&table.schema), ..table })
        }
        other => other,
    };
    let (plan, planned) = type_parameters(plan, markers)?;

    let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
    let fields: Vec<Field> = plain_schema(plan.schema().as_arrow()).fields().iter().map(nullable).collect();
    let (inputs, snapshots) = scope.pinned();
    let parameters = planned.iter().map(parameter_type).collect();
    Ok(Inner {
        schema: Arc::new(Schema::new(fields)),
        sql,
        state,
        plan,
        parameters,
        planned,
        inputs,
        snapshots,
    })
}

/// Refuses by its kind a statement that is no query, before anything is looked up.
fn refuse_writes(parsed: &Parsed) -> Result<()> {
    let ast = match parsed {
        Parsed::Statement(ast) => ast.as_ref(),
        Parsed::Explain(explain) => return refuse_writes(&explain.statement),
        Parsed::CreateExternalTable(_) => return Err(refused("CREATE EXTERNAL TABLE")),
        Parsed::CopyTo(_) => return Err(refused("COPY")),
        Parsed::Reset(_) => return Err(refused("RESET")),
    };
    match ast {
        Ast::Query(_)
        | Ast::Explain { .. }
        | Ast::ExplainTable { .. }
        | Ast::ShowTables { .. }
        | Ast::ShowColumns { .. }
        | Ast::ShowVariable { .. }
        | Ast::ShowFunctions { .. }
        | Ast::ShowCreate { .. } => Ok(()),
        other => {
            let text = other.to_string();
            let first: Vec<&str> = text.split_whitespace().take(1).collect();
            Err(refused(&first.join(" ").to_uppercase()))
        }
    }
}

/// The same for what only the plan shows, such as a write inside EXPLAIN.
fn read_only(plan: &LogicalPlan) -> Result<()> {
    let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    reading.verify_plan(plan).map_err(|error| match error {
        DataFusionError::Plan(message) => refused(message.rsplit(": ").next().unwrap_or("this statement")),
        other => Error::from(other),
    })
}

fn refused(what: &str) -> Error {
    Error::Unsupported(Complaint::new(format!("{what} is not possible here")).remedy(
        "queries are, and where writing is allowed INSERT, UPDATE, DELETE, MERGE, CREATE, ALTER and DROP; \
             tables are also written by `sluice ingest` and `sluice load`, models by `sluice build`",
    ))
}

/// Gives each parameter a type: that of what it is compared with or cast to, else a whole number for LIMIT
/// and OFFSET, else text. One number has one type, wherever it stands: the first that was found.
pub(crate) fn type_parameters(plan: LogicalPlan, markers: usize) -> Result<(LogicalPlan, Vec<DataType>)> {
    if markers == 0 {
        return Ok((plan, Vec::new()));
    }
    let mut found = BTreeMap::new();
    let plan = each_expression(plan, |expr, schema, _| {
        let (expr, has) = expr.infer_placeholder_types(schema)?;
        if has {
            expr.apply(|part| {
                note_type(part, &mut found);
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(Transformed::yes(expr))
    })?;
    let plan = each_expression(plan, |expr, _, fallback| {
        expr.transform_up(|part| match part {
            Expr::Placeholder(Placeholder { id, .. }) => {
                let data_type = found.entry(id.clone()).or_insert_with(|| fallback.clone());
                let field = Arc::new(Field::new(&id, data_type.clone(), true));
                Ok(Transformed::yes(Expr::Placeholder(Placeholder::new_with_field(id, Some(field)))))
            }
            other => Ok(Transformed::no(other)),
        })
    })?;
    let types = (1..=markers).map(|n| found.remove(&format!("${n}")).unwrap_or(DataType::Utf8)).collect();
    Ok((plan, types))
}

/// Rewrites all expressions of a plan, given the columns they may name and their place's fallback type.
fn each_expression(
    plan: LogicalPlan,
    mut rewrite: impl FnMut(Expr, &DFSchema, &DataType) -> datafusion::error::Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let fallback = if matches!(node, LogicalPlan::Limit(_)) { DataType::Int64 } else { DataType::Utf8 };
        let inputs = node.inputs();
        let schema = Arc::clone(if let [one] = inputs.as_slice() { one.schema() } else { node.schema() });
        node.map_expressions(|expr| rewrite(expr, &schema, &fallback))?
            .map_data(LogicalPlan::recompute_schema)
    });
    Ok(rewritten.data()?)
}

fn note_type(expr: &Expr, found: &mut BTreeMap<String, DataType>) {
    match expr {
        Expr::Placeholder(Placeholder { id, field: Some(field) }) => {
            found.entry(id.clone()).or_insert_with(|| field.data_type().clone());
        }
        Expr::Cast(Cast { expr, data_type }) | Expr::TryCast(TryCast { expr, data_type }) => {
            if let Expr::Placeholder(Placeholder { id, field: None }) = expr.as_ref() {
                found.entry(id.clone()).or_insert_with(|| data_type.clone());
            }
        }
        _ => {}
    }
}
