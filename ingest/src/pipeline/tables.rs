//! The tables of a run: created when missing, compared with the topics file when they exist.

use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use futures::{StreamExt, TryStreamExt, stream};
use sluice_catalog::{Created, Lake, TableSnapshot, TableSpec};

use crate::error::{Error, Result};
use crate::evolve::widens;
use crate::plan::{Plan, TablePlan};
use crate::topics::SchemaPolicy;

/// Tables that are created or loaded at the same time.
const AT_ONCE: usize = 16;

/// Creates all tables of the plan.
///
/// # Errors
/// [`Error::Table`] when one exists with other columns.
pub(crate) async fn create(lake: &Lake, plan: &Plan) -> Result<()> {
    let opens: Vec<_> = plan.tables.iter().map(|table| open(lake, table)).collect();
    stream::iter(opens).buffer_unordered(AT_ONCE).try_for_each(|_| async { Ok(()) }).await
}

/// The table, created if it is missing.
///
/// # Errors
/// [`Error::Table`] when it exists with other columns.
pub(crate) async fn open(lake: &Lake, table: &TablePlan) -> Result<TableSnapshot> {
    let mut spec = TableSpec::new(SchemaRef::clone(&table.schema));
    spec.partition_by.clone_from(&table.partition_by);
    spec.sort_by.clone_from(&table.sort_by);
    spec.properties.clone_from(&table.properties);
    match lake.create(&table.name, spec).await? {
        Created::New(snapshot) => {
            tracing::info!(table = %table.name, "created");
            Ok(snapshot)
        }
        Created::Existed(snapshot) => {
            fits(table, &snapshot)?;
            Ok(snapshot)
        }
    }
}

/// The present state of all tables, in the plan's order.
pub(crate) async fn load(lake: &Lake, plan: &Plan) -> Result<Vec<TableSnapshot>> {
    let loads: Vec<_> = plan.tables.iter().map(|table| lake.load(&table.name)).collect();
    let snapshots: Vec<TableSnapshot> = stream::iter(loads).buffered(AT_ONCE).try_collect().await?;
    for (table, snapshot) in plan.tables.iter().zip(&snapshots) {
        fits(table, snapshot)?;
    }
    Ok(snapshots)
}

/// Whether values of a declared type can land in a column; a table that evolves may be ahead of the topics file.
fn lands(declared: &DataType, found: &DataType, policy: SchemaPolicy) -> bool {
    let evolves = policy == SchemaPolicy::Evolve;
    match (declared, found) {
        (DataType::Struct(declared), DataType::Struct(found)) => {
            let has = |field: &FieldRef| {
                let other = found.iter().find(|other| other.name() == field.name());
                other.is_some_and(|other| lands(field.data_type(), other.data_type(), policy))
            };
            declared.iter().all(has) && (evolves || declared.len() == found.len())
        }
        (DataType::List(declared), DataType::List(found))
        | (DataType::Map(declared, _), DataType::Map(found, _)) => {
            lands(declared.data_type(), found.data_type(), policy)
        }
        (declared, found) => declared == found || (evolves && widens(declared, found)),
    }
}

/// Every column that will be written must be there with its type; the table may have more that are optional.
pub(crate) fn fits(table: &TablePlan, snapshot: &TableSnapshot) -> Result<()> {
    let found = snapshot.schema();
    let fault = |fact| Err(Error::Table { table: table.name.clone(), fact });
    for field in table.schema.fields() {
        match found.field_with_name(field.name()) {
            Err(_) => return fault(format!("it has no column `{}`", field.name())),
            Ok(other) if !lands(field.data_type(), other.data_type(), table.policy) => {
                let (name, is, want) = (field.name(), other.data_type(), field.data_type());
                return fault(format!("its column `{name}` is {is}, the topics file says {want}"));
            }
            Ok(_) => {}
        }
    }
    let extra = found
        .fields()
        .iter()
        .find(|field| !field.is_nullable() && table.schema.field_with_name(field.name()).is_err());
    match extra {
        Some(field) => fault(format!("its required column `{}` is not in the topics file", field.name())),
        None => Ok(()),
    }
}
