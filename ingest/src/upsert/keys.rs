//! Keys as bytes: equal when the keys are equal, and of one column in the order of its values.
//!
//! That is the row format of Arrow. The files' own bounds are brought into the same bytes, so that one comparison
//! does for every type.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, StringArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows, SortField};
use sluice_catalog::field_id;

use crate::topics::Upsert;

/// A key or a value as bytes.
pub(super) type Bytes = Box<[u8]>;

/// The columns of a table that matter for its rows' keys, and how they become bytes.
#[derive(Debug)]
pub(crate) struct KeyColumns {
    /// The key columns, then the one that orders events.
    pub(super) columns: Vec<KeyColumn>,
    key: RowConverter,
    /// How many of the columns are the key.
    pub(super) key_width: usize,
}

#[derive(Debug)]
pub(super) struct KeyColumn {
    pub(super) name: String,
    pub(super) field_id: Option<i32>,
    pub(super) data_type: DataType,
    single: RowConverter,
}

impl KeyColumns {
    /// The columns of a table with this schema, which has them all.
    pub(crate) fn new(schema: &Schema, upsert: &Upsert) -> Result<Self, ArrowError> {
        let fields: Vec<&Field> = upsert
            .key
            .iter()
            .chain(&upsert.order_by)
            .map(|name| schema.field_with_name(name))
            .collect::<Result<_, _>>()?;
        let key_width = upsert.key.len();
        let sort = |field: &&Field| SortField::new(field.data_type().clone());
        let key = RowConverter::new(fields.iter().take(key_width).map(sort).collect())?;
        let columns = fields.iter().map(|field| {
            Ok::<_, ArrowError>(KeyColumn {
                name: field.name().clone(),
                field_id: field_id(field),
                data_type: field.data_type().clone(),
                single: RowConverter::new(vec![sort(field)])?,
            })
        });
        Ok(Self { columns: columns.collect::<Result<_, ArrowError>>()?, key, key_width })
    }

    /// The columns in a batch of the table's rows; `None` when one is of another type by now.
    pub(super) fn of(&self, batch: &RecordBatch) -> Option<Vec<ArrayRef>> {
        let column = |column: &KeyColumn| {
            batch.column_by_name(&column.name).filter(|it| *it.data_type() == column.data_type).cloned()
        };
        self.columns.iter().map(column).collect()
    }

    /// Whether the columns have these types in a table.
    pub(super) fn fit(&self, schema: &Schema) -> bool {
        let fits = |column: &KeyColumn| {
            schema.field_with_name(&column.name).is_ok_and(|field| *field.data_type() == column.data_type)
        };
        self.columns.iter().all(fits)
    }

    /// The keys of rows, given their columns.
    pub(super) fn keys(&self, columns: &[ArrayRef]) -> Result<Rows, ArrowError> {
        self.key.convert_columns(&columns[..self.key_width])
    }

    /// What orders events, by row; `None` when nothing but the topic does.
    pub(super) fn orders(&self, columns: &[ArrayRef]) -> Result<Option<Rows>, ArrowError> {
        match (self.columns.get(self.key_width), columns.get(self.key_width)) {
            (Some(column), Some(values)) => column.bytes(values).map(Some),
            _ => Ok(None),
        }
    }
}

impl KeyColumn {
    /// The values of the column as bytes.
    pub(super) fn bytes(&self, values: &ArrayRef) -> Result<Rows, ArrowError> {
        self.single.convert_columns(std::slice::from_ref(values))
    }

    /// A bound in the binary form of the Iceberg format; `None` for types of which bounds are not compared.
    pub(super) fn bound(&self, bytes: &[u8]) -> Option<Bytes> {
        let array = value(bytes, &self.data_type)?;
        let rows = self.bytes(&array).ok()?;
        Some(rows.row(0).as_ref().into())
    }
}

fn value(bytes: &[u8], data_type: &DataType) -> Option<ArrayRef> {
    let int = || bytes.try_into().ok().map(i32::from_le_bytes);
    // Bounds of a column that was an int keep the width of an int.
    let long = || bytes.try_into().ok().map(i64::from_le_bytes).or_else(|| int().map(i64::from));
    Some(match data_type {
        DataType::Int32 => Arc::new(Int32Array::from(vec![int()?])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![long()?])),
        DataType::Date32 => Arc::new(Date32Array::from(vec![int()?])),
        DataType::Time64(TimeUnit::Microsecond) => Arc::new(Time64MicrosecondArray::from(vec![long()?])),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            Arc::new(TimestampMicrosecondArray::from(vec![long()?]).with_timezone_opt(zone.clone()))
        }
        DataType::Utf8 => Arc::new(StringArray::from(vec![std::str::from_utf8(bytes).ok()?])),
        DataType::Decimal128(precision, scale) => {
            let sign = if bytes.first()? & 0x80 == 0 { 0 } else { 0xff };
            let mut wide = [sign; 16];
            wide[16_usize.checked_sub(bytes.len())?..].copy_from_slice(bytes);
            let unscaled = i128::from_be_bytes(wide);
            Arc::new(Decimal128Array::from(vec![unscaled]).with_precision_and_scale(*precision, *scale).ok()?)
        }
        _ => return None,
    })
}
