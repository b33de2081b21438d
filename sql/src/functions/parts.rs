//! `year(x)` and its like, which become `date_part`, so that the optimizer turns them into ranges; `date(x)`
//! and `last_day(x)`.

use std::any::Any;
use std::sync::Arc;

use chrono::{Datelike, Months, NaiveDate};
use datafusion::arrow::array::{AsArray, Date32Array};
use datafusion::arrow::datatypes::{DataType, Date32Type};
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use datafusion::functions::datetime::date_part;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};

use super::time_type;

/// Name, part of `date_part`, other name.
const PARTS: [(&str, &str, Option<&str>); 9] = [
    ("year", "year", None),
    ("quarter", "quarter", None),
    ("month", "month", None),
    ("week", "week", Some("weekofyear")),
    ("day", "day", Some("dayofmonth")),
    ("dayofyear", "doy", None),
    ("hour", "hour", None),
    ("minute", "minute", None),
    ("second", "second", None),
];

pub(super) fn all() -> Vec<ScalarUDF> {
    let signature = || Signature::user_defined(Volatility::Immutable);
    let parts = PARTS.map(|(name, part, alias)| {
        let aliases = alias.map(str::to_owned).into_iter().collect();
        ScalarUDF::from(Part { name, part, aliases, signature: signature() })
    });
    let dates = [("date", false), ("last_day", true)]
        .map(|(name, month_end)| ScalarUDF::from(ToDate { name, month_end, signature: signature() }));
    parts.into_iter().chain(dates).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Part {
    name: &'static str,
    part: &'static str,
    aliases: Vec<String>,
    signature: Signature,
}

impl ScalarUDFImpl for Part {
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
        one_time(self.name, given)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn simplify(&self, mut arguments: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        arguments.insert(0, lit(self.part));
        Ok(ExprSimplifyResult::Simplified(date_part().call(arguments)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} is replaced by date_part while optimising", self.name)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ToDate {
    name: &'static str,
    month_end: bool,
    signature: Signature,
}

impl ScalarUDFImpl for ToDate {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        one_time(self.name, given)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(time) = arguments.args.first() else { return plan_err!("{} takes one time", self.name) };
        let dates = time.cast_to(&DataType::Date32, None)?;
        if !self.month_end {
            return Ok(dates);
        }
        let is_scalar = matches!(dates, ColumnarValue::Scalar(_));
        let rows = if is_scalar { 1 } else { arguments.number_rows };
        let dates = dates.into_array(rows)?;
        let ends: Date32Array = dates.as_primitive::<Date32Type>().unary_opt(month_end);
        super::addition::shaped(Arc::new(ends), is_scalar)
    }
}

/// The last day of the month, both in days since 1970.
fn month_end(days: i32) -> Option<i32> {
    let date = Date32Type::to_naive_date_opt(days)?;
    let next = date.with_day(1)?.checked_add_months(Months::new(1))?;
    Some(next.pred_opt()?.signed_duration_since(NaiveDate::default()).num_days() as i32)
}

fn one_time(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    match given {
        [one] => match time_type(one) {
            Some(time) => Ok(vec![time]),
            None => plan_err!("{name} takes a date or timestamp, not {one}"),
        },
        _ => plan_err!("{name} takes one argument, {} were given", given.len()),
    }
}
