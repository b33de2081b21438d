//! `date_diff`: how many boundaries of a unit lie between two times.
//!
//! From 23:59 to 00:01 is one day, as in DuckDB, Snowflake and SQL Server: boundaries are counted, not
//! elapsed time.

use std::any::Any;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, Int64Array};
use datafusion::arrow::compute::try_binary;
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::arrow::error::ArrowError;
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::addition::{shaped, unit_of};
use super::time_type;
use super::unit::{MICROS_PER_DAY, Unit};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DateDiff {
    aliases: Vec<String>,
    signature: Signature,
}

impl DateDiff {
    pub(super) fn new() -> Self {
        let aliases = vec!["datediff".to_owned(), "timestampdiff".to_owned()];
        Self { aliases, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for DateDiff {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        "date_diff"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let instant = |data_type: &DataType| match time_type(data_type) {
            Some(_) => Ok(DataType::Timestamp(TimeUnit::Microsecond, None)),
            None => plan_err!("date_diff compares dates and timestamps, not {data_type}"),
        };
        match given {
            [end, start] => Ok(vec![instant(end)?, instant(start)?]),
            [end, start, unit] if unit.is_string() && !end.is_string() => {
                Ok(vec![instant(end)?, instant(start)?, DataType::Utf8])
            }
            [_, start, end] => Ok(vec![DataType::Utf8, instant(start)?, instant(end)?]),
            _ => plan_err!("date_diff takes (unit, start, end), (end, start, unit) or (end, start)"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (unit, start, end) = match arguments.args.as_slice() {
            [end, start] => (Unit::Micros(MICROS_PER_DAY), start, end),
            [end, start, unit] if !end.data_type().is_string() => (unit_of("date_diff", unit)?, start, end),
            [unit, start, end] => (unit_of("date_diff", unit)?, start, end),
            other => return plan_err!("date_diff takes two or three arguments, not {}", other.len()),
        };
        let is_scalar = [start, end].iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { arguments.number_rows };
        let (start, end) = (start.to_array(rows)?, end.to_array(rows)?);
        let days: Int64Array = try_binary(
            start.as_primitive::<TimestampMicrosecondType>(),
            end.as_primitive::<TimestampMicrosecondType>(),
            |start, end| {
                let between = || unit.number(end)?.checked_sub(unit.number(start)?);
                between()
                    .ok_or_else(|| ArrowError::ComputeError("date_diff: a time is out of range".to_owned()))
            },
        )?;
        shaped(Arc::new(days), is_scalar)
    }
}
