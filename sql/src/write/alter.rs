//! `ALTER TABLE`: columns, partitioning and properties in one commit; branches, tags and names by themselves.

use datafusion::sql::sqlparser::ast::ColumnDef;
use iceberg::spec::Transform as IcebergTransform;
use sluice_catalog::{
    Alteration, Commit, Operation, PartitionBy, RefChange, Renamed, TableName, TableSnapshot, Transform,
};

use super::parse::{Alter, Step};
use super::{Attempt, Changed, Context, create, missing, target};
use crate::error::{Complaint, Error, Result};

pub(super) async fn run(context: &Context<'_>, alter: &Alter) -> Result<Attempt> {
    let name = target::name(context, &alter.name)?;
    let done = Attempt::Done(Changed::nothing("ALTER TABLE", &name));
    if let [Step::RenameTable { to }] = alter.steps.as_slice() {
        rename(context, &name, &target::name(context, to)?).await?;
        return Ok(done);
    }
    let Some(table) = context.lake().find(&name).await? else { return Err(missing("table", &name)) };
    let operation = match alter.steps.as_slice() {
        [Step::Refer { change, keep }] => {
            if *keep && is_so(&table, change)? {
                return Ok(done);
            }
            Operation::Refer(change.clone())
        }
        steps => {
            let mut alterations = Vec::with_capacity(steps.len());
            for step in steps {
                alterations.push(alteration(context, &table, step).await?);
            }
            Operation::Alter(alterations)
        }
    };
    let refers = matches!(operation, Operation::Refer(_));
    let commit = Commit::new(name.clone(), operation, context.id());
    match context.commit(commit).await? {
        None => Ok(done),
        // A name that is taken, or not there, stays so: trying again cures nothing.
        Some(reason) if refers => {
            let complaint = Complaint::new(format!("`{name}`: {reason}"));
            Err(Error::Plan(complaint.remedy("the table's `$refs` lists its branches and tags")))
        }
        Some(reason) => Ok(Attempt::Lost(reason)),
    }
}

async fn rename(context: &Context<'_>, from: &TableName, to: &TableName) -> Result<()> {
    match context.lake().rename_table(from, to).await? {
        Renamed::Done => Ok(()),
        Renamed::Missing => Err(missing("table", from)),
        Renamed::Taken => {
            let complaint = Complaint::new(format!("the name `{to}` is taken"));
            Err(Error::Plan(complaint.remedy("choose another name, or drop what has it")))
        }
    }
}

/// Whether the name is already as `IF [NOT] EXISTS` wants it.
fn is_so(table: &TableSnapshot, change: &RefChange) -> Result<bool> {
    let refs = table.refs()?;
    Ok(match change {
        RefChange::CreateBranch { name, .. } | RefChange::CreateTag { name, .. } => refs.contains_key(name),
        RefChange::Drop { name } => !refs.contains_key(name),
        RefChange::SetBranch { .. } => false,
    })
}

async fn alteration(context: &Context<'_>, table: &TableSnapshot, step: &Step) -> Result<Alteration> {
    Ok(match step {
        Step::Add { column, define, position } => {
            let field = one_column(context, define).await?;
            Alteration::AddColumn {
                column: column.clone(),
                data_type: field.data_type().clone(),
                doc: field.metadata().get("doc").cloned(),
                position: position.clone(),
            }
        }
        Step::Drop { column } => Alteration::DropColumn { column: column.clone() },
        Step::Rename { column, to } => Alteration::RenameColumn { column: column.clone(), to: to.clone() },
        Step::Widen { column, to } => {
            let define = ColumnDef {
                name: datafusion::sql::sqlparser::ast::Ident::new("widened"),
                data_type: to.as_ref().clone(),
                options: Vec::new(),
            };
            let field = one_column(context, &define).await?;
            Alteration::WidenColumn { column: column.clone(), to: field.data_type().clone() }
        }
        Step::MakeOptional { column } => Alteration::MakeOptional { column: column.clone() },
        Step::Move { column, position } => {
            Alteration::MoveColumn { column: column.clone(), position: position.clone() }
        }
        Step::AddPartition(by) => Alteration::AddPartitionField(by.clone()),
        Step::DropPartition(by) => Alteration::DropPartitionField { field: partition_field(table, by)? },
        Step::Order(by) => Alteration::SetSortOrder(by.clone()),
        Step::Set { key, value } => Alteration::SetProperty { key: key.clone(), value: value.clone() },
        Step::Unset { key } => Alteration::UnsetProperty { key: key.clone() },
        Step::RenameTable { .. } | Step::Refer { .. } => {
            let complaint = Complaint::new("ALTER TABLE does one such change at a time");
            return Err(Error::Plan(complaint.remedy("write a statement for each")));
        }
    })
}

async fn one_column(
    context: &Context<'_>,
    define: &ColumnDef,
) -> Result<datafusion::arrow::datatypes::Field> {
    let schema = create::columns(context, std::slice::from_ref(define)).await?;
    Ok(schema.field(0).clone())
}

/// The name of the partition field that is made so, or is called so.
fn partition_field(table: &TableSnapshot, by: &PartitionBy) -> Result<String> {
    let metadata = table.metadata();
    let source = metadata.current_schema().field_by_name(&by.column).map(|column| column.id);
    let transform = match by.transform {
        Transform::Identity => IcebergTransform::Identity,
        Transform::Year => IcebergTransform::Year,
        Transform::Month => IcebergTransform::Month,
        Transform::Day => IcebergTransform::Day,
        Transform::Hour => IcebergTransform::Hour,
        Transform::Bucket(buckets) => IcebergTransform::Bucket(buckets),
        Transform::Truncate(width) => IcebergTransform::Truncate(width),
    };
    let fields = metadata.default_partition_spec().fields();
    let made = fields.iter().find(|field| Some(field.source_id) == source && field.transform == transform);
    let named = fields.iter().find(|field| by.transform == Transform::Identity && field.name == by.column);
    made.or(named).map(|field| field.name.clone()).ok_or_else(|| {
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        let message = format!("`{}` is not partitioned by `{}` that way", table.name(), by.column);
        Error::Plan(Complaint::new(message).remedy(format!("its partition fields are: {}", names.join(", "))))
    })
}
