//! Tables that grow with their messages: from fields that a table lacks to columns that it has.
//!
//! ```text
//! route: rows with unknown fields -> wanted (what must change) -> Plans::grow -> Alter commit -> new plan
//!   ^------------------------------ the same messages again --------------------------------------'
//! ```
//!
//! | a message's schema has | the table |
//! |---|---|
//! | a new field, at any depth | gets an optional column of that type |
//! | `int` as `long`, `float` as `double`, a decimal with more digits | is widened, at any depth |
//! | lost a field | keeps its column, which is null from then on |
//! | a narrower type | keeps its type, which holds the values |
//! | any other type | keeps its type; a value that does not fit it exactly is a dead letter |
//!
//! The columns are committed before the rows that need them: a crash in between leaves columns that are null, and
//! the rows are read again. Another worker that adds the same column at the same time is found out by looking: the
//! table is the one authority on its columns.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::{DataType, Fields, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use sluice_catalog::{
    Alteration, Commit, CommitOutcome, Error as LakeError, Lake, Operation, Position, TableName,
    TableSnapshot,
};
use tokio::runtime::Handle;

use crate::decode::fit;
use crate::error::{Error, Result};
use crate::pipeline::{new_token, now};
use crate::plan::Plan;

/// A table with more columns is not given new ones by messages.
const COLUMNS_MAX: usize = 1000;
/// Longer names of fields become no columns.
const NAME_MAX: usize = 255;
/// So many alterations are refused one by one; the table is then left as it is.
const REFUSED_MAX: usize = 50;
/// How often a table is looked at again when others change it at the same time.
const ATTEMPTS: usize = 8;

/// The plan as the tables have grown, for all decode threads of a session.
#[derive(Debug)]
pub(crate) struct Plans {
    pub(crate) lake: Lake,
    pub(crate) runtime: Handle,
    current: Mutex<Arc<Plan>>,
    /// Held while a table is changed, so that threads do not ask for the same column at once.
    growing: Mutex<()>,
    /// Tables that came into the plan, for who writes to them.
    met: Mutex<BTreeMap<TableName, TableSnapshot>>,
}

/// What a table shall become so that it can take some rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) table: usize,
    pub(crate) alterations: Vec<Alteration>,
}

impl Plans {
    /// Must be called inside of the runtime that makes the commits.
    pub(crate) fn new(lake: Lake, plan: Arc<Plan>) -> Self {
        Self {
            lake,
            runtime: Handle::current(),
            current: Mutex::new(plan),
            growing: Mutex::default(),
            met: Mutex::default(),
        }
    }

    /// The plan as of now.
    pub(crate) fn current(&self) -> Arc<Plan> {
        Arc::clone(&lock(&self.current))
    }

    /// Makes another plan out of the current one, unless the current one is not `seen` any more.
    pub(crate) fn replace(
        &self,
        seen: &Arc<Plan>,
        make: impl FnOnce(&Plan) -> Result<Option<Plan>>,
    ) -> Result<bool> {
        let _growing = lock(&self.growing);
        let plan = self.current();
        if !Arc::ptr_eq(&plan, seen) {
            return Ok(false); // Another thread was first; perhaps nothing is wanted any more.
        }
        let made = make(&plan)?;
        let is_new = made.is_some();
        if let Some(made) = made {
            *lock(&self.current) = Arc::new(made);
        }
        Ok(is_new)
    }

    /// Keeps the state in which a table came into the plan.
    pub(crate) fn meet(&self, snapshot: TableSnapshot) {
        lock(&self.met).insert(snapshot.name().clone(), snapshot);
    }

    /// The state in which a table came into the plan, once.
    pub(crate) fn take_met(&self, table: &TableName) -> Option<TableSnapshot> {
        lock(&self.met).remove(table)
    }

    /// Changes the tables; the plan is another one afterwards. Blocks, so never to be called by an asynchronous task.
    pub(crate) fn grow(&self, seen: &Arc<Plan>, wanted: &[Wanted]) -> Result<()> {
        let _growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut plan = self.current();
        if !Arc::ptr_eq(&plan, seen) {
            return Ok(()); // Another thread was first; perhaps nothing is wanted any more.
        }
        for wanted in wanted {
            let table = &plan.tables[wanted.table].name;
            let (snapshot, refused) = self.runtime.block_on(alter(&self.lake, table, &wanted.alterations))?;
            plan = Arc::new(plan.grown(wanted.table, &snapshot.schema(), &refused));
        }
        *lock(&self.current) = plan;
        Ok(())
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the alterations that the table still lacks; returns the table, and those that it refused.
async fn alter(
    lake: &Lake,
    table: &TableName,
    wanted: &[Alteration],
) -> Result<(TableSnapshot, Vec<Alteration>)> {
    let mut refused: Vec<Alteration> = Vec::new();
    for _ in 0..ATTEMPTS {
        let snapshot = lake.load(table).await?;
        let schema = snapshot.schema();
        let open: Vec<_> =
            wanted.iter().filter(|it| !refused.contains(it) && !is_done(&schema, it)).cloned().collect();
        let Some(first) = open.first().cloned() else { return Ok((snapshot, refused)) };
        tracing::info!(%table, alterations = open.len(), ?first, "the table grows with its messages");
        let commit = Commit::new(table.clone(), Operation::Alter(open.clone()), new_token());
        match lake.commit(vec![commit], now()).await {
            Ok(CommitOutcome::Committed(_) | CommitOutcome::AlreadyCommitted(_)) => {}
            Ok(CommitOutcome::Conflicted { .. } | CommitOutcome::Fenced { .. }) => {}
            // Refused as a whole: each is judged by itself.
            Err(LakeError::Schema { .. }) => refused.extend(by_halves(lake, table, open).await?),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Grow { table: table.clone() })
}

/// Makes alterations that the table refused as a whole: half of them, and half of a half that it refuses too, so
/// that few bad ones among many cost few commits. Returns those that it refuses alone, and after many of these the
/// rest, untried.
async fn by_halves(lake: &Lake, table: &TableName, open: Vec<Alteration>) -> Result<Vec<Alteration>> {
    let (mut refused, mut parts) = (Vec::new(), vec![open]);
    while let Some(mut part) = parts.pop() {
        let schema = lake.load(table).await?.schema();
        part.retain(|alteration| !is_done(&schema, alteration));
        if part.is_empty() || refused.len() >= REFUSED_MAX {
            refused.append(&mut part);
            continue;
        }
        let commit = Commit::new(table.clone(), Operation::Alter(part.clone()), new_token());
        match lake.commit(vec![commit], now()).await {
            Err(LakeError::Schema { .. }) if part.len() > 1 => {
                let later = part.split_off(part.len() / 2);
                parts.extend([later, part]);
            }
            Err(LakeError::Schema { fact, .. }) => {
                if !is_done(&lake.load(table).await?.schema(), &part[0]) {
                    tracing::warn!(%table, alteration = ?part[0], fact, "the table refuses to grow");
                    refused.append(&mut part);
                }
            }
            outcome => drop(outcome?),
        }
    }
    Ok(refused)
}

/// Whether a table has what an alteration would give it. A column of another type counts: the table decides.
fn is_done(schema: &Schema, alteration: &Alteration) -> bool {
    match alteration {
        Alteration::AddColumn { column, .. } => type_at(schema.fields(), column).is_some(),
        Alteration::WidenColumn { column, to } => {
            type_at(schema.fields(), column).is_none_or(|has| has == *to || !widens(&has, to))
        }
        _ => true,
    }
}

/// The type of the column at a path.
fn type_at(fields: &Fields, path: &[String]) -> Option<DataType> {
    let (name, rest) = path.split_first()?;
    let mut found = fields.iter().find(|field| field.name() == name)?.data_type().clone();
    for name in rest {
        found = match &found {
            DataType::Struct(fields) => fields.iter().find(|field| field.name() == name)?.data_type().clone(),
            DataType::List(element) => element.data_type().clone(),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(entry) => entry.get(usize::from(name == "value"))?.data_type().clone(),
                _ => return None,
            },
            _ => return None,
        };
    }
    Some(found)
}

/// Whether a column of type `from` may become one of type `to` without touching its files.
pub(crate) fn widens(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Int32, DataType::Int64) | (DataType::Float32, DataType::Float64) => true,
        (DataType::Decimal128(from, old), DataType::Decimal128(to, new)) => to > from && old == new,
        _ => false,
    }
}

/// What must change so that `known` holds all of `fields`, but for what was refused before.
pub(crate) fn alterations(known: &Fields, fields: &Fields, refused: &[Alteration]) -> Vec<Alteration> {
    let mut found = Vec::new();
    compare(known, fields, &mut Vec::new(), &mut found);
    found.retain(|alteration| !refused.iter().any(|refused| path_of(refused) == path_of(alteration)));
    found
}

/// The column that an alteration is about.
fn path_of(alteration: &Alteration) -> &[String] {
    match alteration {
        Alteration::AddColumn { column, .. } | Alteration::WidenColumn { column, .. } => column,
        _ => &[],
    }
}

fn compare(known: &Fields, fields: &Fields, path: &mut Vec<String>, found: &mut Vec<Alteration>) {
    let mut room = COLUMNS_MAX.saturating_sub(known.len() + found.len());
    let mut taken: Option<HashSet<String>> = None;
    for field in fields {
        path.push(field.name().clone());
        match known.iter().find(|known| known.name() == field.name()) {
            Some(known) => widen(known.data_type(), field.data_type(), path, found),
            None => {
                let names = || known.iter().map(|known| known.name().to_lowercase()).collect();
                let reserved = path.len() == 1 && field.name().starts_with("_src_");
                if let Some(data_type) = landing(field.data_type())
                    && (room > 0 && is_name(field.name()) && !reserved)
                    && taken.get_or_insert_with(names).insert(field.name().to_lowercase())
                {
                    room -= 1;
                    let (column, doc) = (path.clone(), None);
                    found.push(Alteration::AddColumn { column, data_type, doc, position: Position::Last });
                }
            }
        }
        path.pop();
    }
}

/// Whether a column may be called so.
fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= NAME_MAX
}

fn widen(known: &DataType, given: &DataType, path: &mut Vec<String>, found: &mut Vec<Alteration>) {
    let mut inside = |name: &str, known: &DataType, given: &DataType| {
        path.push(name.to_owned());
        widen(known, given, path, found);
        path.pop();
    };
    match (known, given) {
        (DataType::Struct(known), DataType::Struct(given)) => compare(known, given, path, found),
        (DataType::List(known), DataType::List(given)) => {
            inside("element", known.data_type(), given.data_type());
        }
        (DataType::Map(known, _), DataType::Map(given, _)) => {
            if let (DataType::Struct(known), DataType::Struct(given)) = (known.data_type(), given.data_type())
                && let (Some(known), Some(given)) = (known.get(1), given.get(1))
            {
                inside("value", known.data_type(), given.data_type());
            }
        }
        (known, given) => {
            if let Some(to) = landing(given).filter(|to| widens(known, to)) {
                found.push(Alteration::WidenColumn { column: path.clone(), to });
            }
        }
    }
}

/// The type in which a column of a message's own schema lands; `None` when no table can hold it.
fn landing(data_type: &DataType) -> Option<DataType> {
    use arrow::datatypes::Field;
    let inside = |field: &Field| Some(Field::new(field.name(), landing(field.data_type())?, true));
    Some(match data_type {
        DataType::Dictionary(_, values) => landing(values)?,
        DataType::UInt64 | DataType::UInt32 => DataType::Int64,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| inside(field)).collect::<Option<Fields>>()?;
            let mut names = HashSet::new();
            let mut named =
                fields.iter().map(|field| (field.name(), names.insert(field.name().to_lowercase())));
            if fields.is_empty() || !named.all(|(name, is_new)| is_new && is_name(name)) {
                return None;
            }
            DataType::Struct(fields)
        }
        DataType::List(element) => {
            DataType::List(Arc::new(Field::new("element", landing(element.data_type())?, true)))
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(entry) = entries.data_type() else { return None };
            let (key, value) = (landing(entry.first()?.data_type())?, landing(entry.get(1)?.data_type())?);
            let entry = vec![Field::new("key", key, false), Field::new("value", value, true)];
            DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entry.into()), false)), false)
        }
        DataType::Boolean
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::Binary
        | DataType::FixedSizeBinary(_)
        | DataType::Date32
        | DataType::Decimal128(..) => data_type.clone(),
        _ => return None,
    })
}

/// Whether a table has every column of some rows, in the same type.
pub(crate) fn has_columns(table: &Schema, rows: &Schema) -> bool {
    rows.fields().iter().enumerate().all(|(at, field)| {
        let beside = table.fields().get(at).filter(|column| column.name() == field.name());
        let column = beside.or_else(|| table.fields().find(field.name()).map(|(_, column)| column));
        column.is_some_and(|column| column.data_type() == field.data_type())
    })
}

/// Rows made for an earlier state of a table that grew since: its types hold theirs.
pub(crate) fn refit(table: &Schema, rows: &RecordBatch) -> Result<RecordBatch> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let target = table.field_with_name(field.name()).map_err(Error::Columns)?;
        let (made, misfits) = fit::column(column, target.data_type()).map_err(Error::Columns)?;
        if let Some((_, fault)) = misfits.into_iter().next() {
            let fact = format!("column `{}` was changed while rows were written: {fault}", field.name());
            return Err(Error::Columns(ArrowError::CastError(fact)));
        }
        fields.push(target.clone());
        columns.push(made);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(Error::Columns)
}

#[cfg(test)]
mod tests;
