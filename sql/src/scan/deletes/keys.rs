//! Rows that are deleted by key: a null-safe anti-join whose small side is built once for a scan.
//!
//! All equality deletes of one scope (the table, or a partition) over the same columns are one table: key ->
//! the highest sequence number that deletes it. A data file probes it with its own sequence number, so files
//! of a hundred commits share one table instead of joining a hundred times.
//!
//! Two keys are the same when all columns are: null equals null, every NaN equals every NaN, and -0.0 is not
//! 0.0. The keys are compared as bytes of the row format, under the types that the table has today.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::compute::{cast, filter_record_batch};
use datafusion::arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::HashMap;
use datafusion::common::hash_map::Entry;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::{StreamExt, TryStreamExt};
use sluice_catalog::{DeleteFile, Deletes, EqualityDeletes, LiveFile};
use tokio::sync::OnceCell;

use super::{Reading, broken};
use crate::types::plain_type;

/// Delete files read at the same time.
const FILES_IN_FLIGHT: usize = 4;

/// A column that some equality delete compares.
#[derive(Clone, Debug)]
pub(crate) struct KeyColumn {
    pub(crate) id: i32,
    /// As the data files are read.
    pub(crate) field: FieldRef,
}

/// The equality deletes that the files of a scan meet.
#[derive(Debug)]
pub(crate) struct KeyDeletes {
    reading: Reading,
    pool: Arc<dyn MemoryPool>,
    columns: Vec<KeyColumn>,
    tables: Vec<KeyTable>,
}

/// The deletes of one scope over one set of columns.
#[derive(Debug)]
struct KeyTable {
    scope: Arc<[Arc<DeleteFile>]>,
    /// Field ids, ascending.
    ids: Vec<i32>,
    /// Older deletes of the scope apply to no file of the scan.
    from: usize,
    keys: OnceCell<Keys>,
}

/// Keys in the row format, each with the highest sequence number that deletes it.
#[derive(Debug)]
struct Keys {
    converter: RowConverter,
    newest: HashMap<Box<[u8]>, i64>,
    memory: MemoryReservation,
}

/// The field ids over which a file deletes.
pub(crate) fn ids(file: &DeleteFile) -> Vec<i32> {
    let mut ids = file.data_file.equality_ids().unwrap_or_default();
    ids.sort_unstable();
    ids.dedup();
    ids
}

impl KeyDeletes {
    /// The deletes of `files`; `columns` holds every column that they compare.
    pub(crate) fn of(
        files: &[&LiveFile],
        columns: Vec<KeyColumn>,
        reading: Reading,
        pool: Arc<dyn MemoryPool>,
    ) -> Self {
        let mut tables: HashMap<(*const Arc<DeleteFile>, Vec<i32>), KeyTable> = HashMap::new();
        // Files of one commit meet the same deletes; each such group is looked at once.
        let mut seen = HashMap::new();
        for scope in files.iter().flat_map(|file| &file.parts().1.equality) {
            if seen.insert((scope.scope.as_ptr(), scope.from), ()).is_some() {
                continue;
            }
            for delete in scope.applicable() {
                let table = KeyTable {
                    scope: Arc::clone(&scope.scope),
                    ids: ids(delete),
                    from: scope.from,
                    keys: OnceCell::new(),
                };
                match tables.entry((scope.scope.as_ptr(), table.ids.clone())) {
                    Entry::Occupied(mut known) => known.get_mut().from = known.get().from.min(scope.from),
                    Entry::Vacant(free) => drop(free.insert(table)),
                }
            }
        }
        Self { reading, pool, columns, tables: tables.into_values().collect() }
    }

    /// The columns that must be read besides, in this order behind all others.
    pub(crate) fn columns(&self) -> &[KeyColumn] {
        &self.columns
    }

    /// The batch without the rows that `deletes` delete from a file of this sequence number, and without the
    /// key columns at its end.
    pub(crate) async fn apply(
        &self,
        batch: RecordBatch,
        sequence_number: i64,
        deletes: &Deletes,
    ) -> Result<RecordBatch> {
        let width = batch.num_columns() - self.columns.len();
        let mut live = vec![true; batch.num_rows()];
        for scope in &deletes.equality {
            for table in self.tables.iter().filter(|table| table.serves(scope)) {
                let keys = table.keys.get_or_try_init(|| self.load(table)).await?;
                let columns = self.positions(&table.ids);
                let columns = columns.map(|at| Arc::clone(batch.column(width + at)));
                keys.probe(columns.collect(), sequence_number, &mut live)?;
            }
        }
        let rest = batch.project(&(0..width).collect::<Vec<_>>())?;
        if live.iter().all(|live| *live) {
            return Ok(rest);
        }
        Ok(filter_record_batch(&rest, &BooleanArray::from(live))?)
    }

    /// Where the columns with these ids stand among [`KeyDeletes::columns`].
    fn positions<'a>(&'a self, ids: &'a [i32]) -> impl Iterator<Item = usize> + 'a {
        ids.iter().filter_map(|id| self.columns.iter().position(|column| column.id == *id))
    }

    async fn load(&self, table: &KeyTable) -> Result<Keys> {
        let types = || self.positions(&table.ids).filter_map(|at| self.columns.get(at));
        let fields = types().map(|column| SortField::new(column.field.data_type().clone()));
        let mut keys = Keys {
            converter: RowConverter::new(fields.collect())?,
            newest: HashMap::new(),
            memory: MemoryConsumer::new("keys of deleted rows").register(&self.pool),
        };
        let columns: Vec<(i32, &str)> =
            types().map(|column| (column.id, column.field.name().as_str())).collect();
        let to: Vec<&DataType> = types().map(|column| column.field.data_type()).collect();
        let mut files: Vec<Arc<DeleteFile>> = table.scope.iter().skip(table.from).cloned().collect();
        files.retain(|file| ids(file) == table.ids);
        let mut opened = Vec::with_capacity(files.len());
        for file in files {
            let columns = &columns;
            opened.push(async move {
                let batches = self.reading.batches(&file, columns).await?;
                Ok::<_, DataFusionError>((file, batches))
            });
        }
        let mut opened = std::pin::pin!(futures::stream::iter(opened).buffered(FILES_IN_FLIGHT));
        while let Some((file, mut batches)) = opened.try_next().await? {
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                let fit = batch.columns().iter().zip(&to).map(|(column, to)| widened(column, to));
                let fit = fit.collect::<Result<Vec<ArrayRef>, String>>();
                let fit = fit.map_err(|fact| broken(file.data_file.file_path(), fact))?;
                keys.add(fit, file.sequence_number)?;
            }
        }
        Ok(keys)
    }
}

impl KeyTable {
    /// Whether it holds deletes that the scope has.
    fn serves(&self, scope: &EqualityDeletes) -> bool {
        Arc::ptr_eq(&self.scope, &scope.scope)
    }
}

impl Keys {
    fn add(&mut self, columns: Vec<ArrayRef>, sequence_number: i64) -> Result<()> {
        let rows = self.converter.convert_columns(&one_nan(columns))?;
        let mut bytes = 0;
        for row in &rows {
            let key = row.as_ref();
            match self.newest.get_mut(key) {
                Some(newest) => *newest = sequence_number.max(*newest),
                None => {
                    bytes += key.len() + 64;
                    self.newest.insert(key.into(), sequence_number);
                }
            }
        }
        self.memory.try_grow(bytes)
    }

    fn probe(&self, columns: Vec<ArrayRef>, sequence_number: i64, live: &mut [bool]) -> Result<()> {
        if self.newest.is_empty() {
            return Ok(());
        }
        let rows = self.converter.convert_columns(&one_nan(columns))?;
        for (row, live) in rows.iter().zip(live) {
            *live &= self.newest.get(row.as_ref()).is_none_or(|newest| *newest <= sequence_number);
        }
        Ok(())
    }
}

/// The column under the type that the table has today, which may be wider than when the file was written.
fn widened(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    let from = plain_type(column.data_type());
    let fits = match (&from, &plain_type(to)) {
        (DataType::Int32, DataType::Int64)
        | (DataType::Float32, DataType::Float64)
        | (DataType::Date32, DataType::Timestamp(..)) => true,
        (DataType::Decimal128(less, scale), DataType::Decimal128(more, same)) => {
            less <= more && scale == same
        }
        (from, to) => from == to,
    };
    if !fits {
        return Err(format!("a key column is of type {from}, which is not {to}"));
    }
    cast(column, to).map_err(|error| error.to_string())
}

/// Writes every NaN the same way.
fn one_nan(mut columns: Vec<ArrayRef>) -> Vec<ArrayRef> {
    for column in &mut columns {
        match column.data_type() {
            DataType::Float32 => {
                let one = |value: f32| if value.is_nan() { f32::NAN } else { value };
                *column = Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(one));
            }
            DataType::Float64 => {
                let one = |value: f64| if value.is_nan() { f64::NAN } else { value };
                *column = Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(one));
            }
            _ => {}
        }
    }
    columns
}
