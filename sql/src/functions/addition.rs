//! `date_add` and `date_sub`: a time some units, days or an interval later or earlier.

use std::any::Any;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Date32Array, TimestampMicrosecondArray};
use datafusion::arrow::compute::kernels::numeric::{add, sub};
use datafusion::arrow::compute::try_binary;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Int64Type, IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::datatypes::{Field, FieldRef};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::time_type;
use super::unit::{MICROS_PER_DAY, Unit};

const DAY: Unit = Unit::Micros(MICROS_PER_DAY);

pub(super) fn all() -> Vec<ScalarUDF> {
    let signature = || Signature::user_defined(Volatility::Immutable);
    let aliases = vec!["dateadd".to_owned(), "timestampadd".to_owned()];
    let forward = Shift { name: "date_add", aliases, forward: true, signature: signature() };
    let back = Shift { name: "date_sub", aliases: Vec::new(), forward: false, signature: signature() };
    vec![ScalarUDF::from(forward), ScalarUDF::from(back)]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Shift {
    name: &'static str,
    aliases: Vec<String>,
    forward: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Shift {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let time = |data_type: &DataType| match time_type(data_type) {
            Some(time) => Ok(time),
            None => plan_err!("{} takes a date or timestamp, not {data_type}", self.name),
        };
        match given {
            [at, DataType::Interval(_)] => {
                Ok(vec![time(at)?, DataType::Interval(IntervalUnit::MonthDayNano)])
            }
            [at, days] if days.is_integer() || days.is_null() => Ok(vec![time(at)?, DataType::Int64]),
            [unit, count, at]
                if self.forward && unit.is_string() && (count.is_numeric() || count.is_null()) =>
            {
                Ok(vec![DataType::Utf8, DataType::Int64, time(at)?])
            }
            _ if self.forward => {
                plan_err!("date_add takes (unit, number, time), (time, days) or (time, interval)")
            }
            _ => plan_err!("date_sub takes (time, days) or (time, interval)"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        plan_err!("the type of {} depends on the unit", self.name)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<&DataType> = arguments.arg_fields.iter().map(|field| field.data_type()).collect();
        let to = match (types.as_slice(), arguments.scalar_arguments) {
            ([at, _], _) => (*at).clone(),
            ([_, _, at], [Some(unit), ..]) => shifted_type(at, named(self.name, unit)?),
            _ => return plan_err!("the unit of {} must be a literal, such as 'day'", self.name),
        };
        Ok(Arc::new(Field::new(self.name, to, true)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (unit, at, by) = match arguments.args.as_slice() {
            [at, by] => (DAY, at, by),
            [unit, by, at] => (unit_of(self.name, unit)?, at, by),
            other => return plan_err!("{} takes two or three arguments, not {}", self.name, other.len()),
        };
        let is_scalar = [at, by].iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { arguments.number_rows };
        let (at, by) = (at.to_array(rows)?, by.to_array(rows)?);
        if matches!(by.data_type(), DataType::Interval(_)) {
            let shifted = if self.forward { add(&at, &by)? } else { sub(&at, &by)? };
            return shaped(shifted, is_scalar);
        }
        let sign = if self.forward { 1 } else { -1 };
        shaped(shift(&at, &by, unit, sign, arguments.return_field.data_type())?, is_scalar)
    }
}

/// A date moved by less than a day is a timestamp.
fn shifted_type(at: &DataType, unit: Unit) -> DataType {
    match at {
        DataType::Date32 if !unit.is_whole_days() => DataType::Timestamp(TimeUnit::Microsecond, None),
        other => other.clone(),
    }
}

fn shift(at: &ArrayRef, by: &ArrayRef, unit: Unit, sign: i64, to: &DataType) -> Result<ArrayRef> {
    let by = by.as_primitive::<Int64Type>();
    let later = |micros: i64, count: i64| {
        let out_of_range = || ArrowError::ComputeError("date_add: the time is out of range".to_owned());
        count.checked_mul(sign).and_then(|count| unit.later(micros, count)).ok_or_else(out_of_range)
    };
    Ok(match (at.data_type(), to) {
        (DataType::Date32, DataType::Date32) => {
            let days: Date32Array = try_binary(at.as_primitive::<Date32Type>(), by, |days, count| {
                let micros = later(i64::from(days) * MICROS_PER_DAY, count)?;
                Ok(micros.div_euclid(MICROS_PER_DAY) as i32)
            })?;
            Arc::new(days)
        }
        (DataType::Date32, _) => {
            let start = |days: i32| i64::from(days) * MICROS_PER_DAY;
            let at = at.as_primitive::<Date32Type>();
            let times: TimestampMicrosecondArray =
                try_binary(at, by, |days, count| later(start(days), count))?;
            Arc::new(times)
        }
        (DataType::Timestamp(_, zone), _) => {
            let at = at.as_primitive::<TimestampMicrosecondType>();
            let times: TimestampMicrosecondArray = try_binary(at, by, later)?;
            Arc::new(times.with_timezone_opt(zone.clone()))
        }
        (other, _) => return exec_err!("date_add does not move {other}"),
    })
}

/// The unit that a literal names.
pub(super) fn unit_of(function: &str, unit: &ColumnarValue) -> Result<Unit> {
    match unit {
        ColumnarValue::Scalar(unit) => named(function, unit),
        ColumnarValue::Array(_) => plan_err!("the unit of {function} must be a literal, such as 'day'"),
    }
}

fn named(function: &str, unit: &ScalarValue) -> Result<Unit> {
    let name = unit.try_as_str().flatten().unwrap_or_default();
    match Unit::named(name) {
        Some(unit) => Ok(unit),
        None => plan_err!(
            "`{name}` is no unit of {function}; use microsecond, millisecond, second, minute, hour, day, \
             week, month, quarter or year"
        ),
    }
}

/// An array of one row as the scalar that was asked for.
pub(super) fn shaped(values: ArrayRef, is_scalar: bool) -> Result<ColumnarValue> {
    if is_scalar {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?));
    }
    Ok(ColumnarValue::Array(values))
}
