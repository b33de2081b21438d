//! Functions that SQL users expect and the library does not have, under the names other engines use.
//!
//! | name | arguments | gives |
//! |---|---|---|
//! | `year` `quarter` `month` `week` `day` `dayofmonth` `dayofyear` | time | integer |
//! | `hour` `minute` `second` | time | integer |
//! | `date` | time or text | date |
//! | `last_day` | time | the last date of its month |
//! | `date_diff` `datediff` `timestampdiff` | unit, start, end | boundaries of the unit between them |
//! | the same | end, start, unit · end, start | the same; days |
//! | `date_add` `dateadd` `timestampadd` | unit, number, time · time, days · time, interval | time |
//! | `date_sub` | time, days · time, interval | time |
//!
//! A unit may stand bare (`datediff(day, a, b)`); [`bare_units`] quotes it before names are resolved.
//! What differs between engines under one name (`dayofweek`, `dayname`) is left out rather than guessed.

mod addition;
pub(crate) mod bare_units;
mod difference;
mod parts;
mod unit;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::ScalarUDF;

/// Adds all functions of this module.
pub(crate) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    let mut functions = parts::all();
    functions.push(ScalarUDF::from(difference::DateDiff::new()));
    functions.extend(addition::all());
    for function in functions {
        registry.register_udf(function.into())?;
    }
    Ok(())
}

/// The type under which a time is taken: dates as they are, all else as microseconds.
fn time_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Date32 | DataType::Date64 => Some(DataType::Date32),
        DataType::Timestamp(_, zone) => Some(DataType::Timestamp(TimeUnit::Microsecond, zone.clone())),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
            Some(DataType::Timestamp(TimeUnit::Microsecond, None))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
