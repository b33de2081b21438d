//! `CREATE TABLE`, `CREATE TABLE … AS`, `CREATE VIEW`, `CREATE NAMESPACE`.
//!
//! A table made from a query exists without rows while the query runs, and goes again when the query fails.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::helpers::stmt_create_table::CreateTableBuilder;
use datafusion::sql::sqlparser::ast::{ColumnDef, ColumnOption, Query, Statement as Ast};
use sluice_catalog::{Created, TableName, TableSpec, View};

use super::parse::{CreateTable, CreateView};
use super::rows::Rows;
use super::{Attempt, Changed, Context, target};
use crate::catalog::Scope;
use crate::error::{Complaint, Error, Result};
use crate::types::plain_schema;

/// Checks all that can be known before the table is made.
pub(super) async fn check(context: &Context<'_>, create: &CreateTable) -> Result<()> {
    target::name(context, &create.name)?;
    let (spec, _) = spec(context, create).await?;
    spec.stored_schema().map(drop).map_err(super::rows::unfit)
}

pub(super) async fn table(context: &Context<'_>, create: &CreateTable) -> Result<Attempt> {
    let name = target::name(context, &create.name)?;
    let statement = if create.query.is_some() { "CREATE TABLE AS" } else { "CREATE TABLE" };
    let done = |inserted| Changed { inserted, ..Changed::nothing(statement, &name) };
    let (spec, rows) = spec(context, create).await?;
    let table = match context.lake().create(&name, spec).await.map_err(super::rows::unfit)? {
        Created::New(table) => table,
        Created::Existed(_) if create.if_not_exists => return Ok(Attempt::Done(done(0))),
        Created::Existed(_) => return Err(exists("table", &name)),
    };
    let Some(rows) = rows else { return Ok(Attempt::Done(done(0))) };
    let filled = async {
        let staged = rows.stage(context, &table, &[]).await?;
        let inserted = staged.row_count();
        Ok((inserted, context.append(&table, staged).await?))
    };
    match filled.await {
        Ok((inserted, None)) => Ok(Attempt::Done(done(inserted))),
        Ok((_, Some(reason))) => {
            let message = format!("`{name}` was changed by others while it was filled: {reason}");
            Err(Error::Lake(Complaint::new(message).remedy("look at the table, and insert the rows into it")))
        }
        Err(error) => {
            if let Err(cause) = context.lake().drop_table(&name).await {
                tracing::warn!(table = %name, %cause, "a table whose query failed could not be dropped again");
            }
            Err(error)
        }
    }
}

fn exists(what: &str, name: &TableName) -> Error {
    let complaint = Complaint::new(format!("the {what} `{name}` exists already"));
    Error::Plan(complaint.remedy("choose another name; IF NOT EXISTS makes this no error"))
}

/// What the table shall look like, and the rows it shall hold.
async fn spec(context: &Context<'_>, create: &CreateTable) -> Result<(TableSpec, Option<Rows>)> {
    let (schema, rows) = match &create.query {
        Some(query) => {
            let rows = plan_query(context, query).await?;
            (optional(&rows.schema()), Some(rows))
        }
        None => (columns(context, &create.columns).await?, None),
    };
    let spec = TableSpec {
        schema,
        partition_by: create.partition_by.clone(),
        sort_by: Vec::new(),
        properties: create.properties.clone(),
    };
    Ok((spec, rows))
}

/// The columns of a query as those of a table: each may be null, whatever the plan knows.
fn optional(schema: &Schema) -> SchemaRef {
    let plain = plain_schema(schema);
    let fields = plain.fields().iter().map(|field| Field::new(field.name(), field.data_type().clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

async fn plan_query(context: &Context<'_>, query: &Query) -> Result<Rows> {
    let scope = Scope::open(context.session.clone());
    let state = scope.state(&[]);
    let parsed = Parsed::Statement(Box::new(Ast::Query(Box::new(query.clone()))));
    let planned = scope.plan(&state, context.text, parsed).await;
    let (plan, _) = planned.map_err(|error| error.with_text(context.text.sql()))?;
    Ok(Rows { state, plan, parameters: Vec::new() })
}

/// The columns of a list of definitions.
pub(super) async fn columns(context: &Context<'_>, defined: &[ColumnDef]) -> Result<SchemaRef> {
    let mut docs = Vec::with_capacity(defined.len());
    let mut plain = Vec::with_capacity(defined.len());
    for column in defined {
        let mut doc = None;
        let mut kept = Vec::new();
        for option in &column.options {
            match &option.option {
                ColumnOption::NotNull | ColumnOption::Null => kept.push(option.clone()),
                ColumnOption::Comment(text) => doc = Some(text.clone()),
                other => {
                    let message = format!("column `{}`: {other} is not possible here", column.name);
                    let remedy = "a column has a type, and may be NOT NULL and have a COMMENT";
                    return Err(Error::Unsupported(Complaint::new(message).remedy(remedy)));
                }
            }
        }
        docs.push(doc);
        plain.push(ColumnDef { options: kept, ..column.clone() });
    }
    let scope = Scope::open(context.session.clone());
    let name = datafusion::sql::sqlparser::ast::ObjectName::from(vec!["columns".into()]);
    let create = CreateTableBuilder::new(name).columns(plain).build();
    let parsed = Parsed::Statement(Box::new(Ast::CreateTable(create)));
    let plan = scope.state(&[]).statement_to_plan(parsed).await;
    let plan = plan.map_err(|error| Error::from(error).with_text(context.text.sql()))?;
    let LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(table)) = plan else {
        return Err(Error::Internal(Complaint::new("columns were planned as something else")));
    };
    let schema = plain_schema(table.input.schema().as_arrow());
    let fields = schema.fields().iter().zip(docs).map(|(field, doc)| match doc {
        Some(doc) => field.as_ref().clone().with_metadata([("doc".to_owned(), doc)].into()),
        None => field.as_ref().clone(),
    });
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

pub(super) async fn plan_view(context: &Context<'_>, create: &CreateView) -> Result<View> {
    let name = target::name(context, &create.name)?;
    let rows = plan_query(context, &create.query).await?;
    Ok(View { name, sql: create.query.to_string(), schema: optional(&rows.schema()) })
}

pub(super) async fn view(context: &Context<'_>, create: &CreateView) -> Result<Attempt> {
    let view = plan_view(context, create).await?;
    let done = Attempt::Done(Changed::nothing("CREATE VIEW", &view.name));
    let name = view.name.clone();
    if !create.or_replace && context.lake().find_view(&name).await?.is_some() {
        return if create.if_not_exists { Ok(done) } else { Err(exists("view", &name)) };
    }
    context.lake().put_view(view, context.now()).await?;
    Ok(done)
}

pub(super) async fn namespace(context: &Context<'_>, name: &str, if_not_exists: bool) -> Result<Attempt> {
    match context.lake().add_namespace(name, &Default::default()).await? || if_not_exists {
        true => Ok(Attempt::Done(Changed::nothing("CREATE NAMESPACE", name))),
        false => {
            let complaint = Complaint::new(format!("the namespace `{name}` exists already"));
            Err(Error::Plan(complaint.remedy("choose another name; IF NOT EXISTS makes this no error")))
        }
    }
}
