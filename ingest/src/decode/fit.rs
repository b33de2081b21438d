//! Decoded columns become columns of the types that a table has: exactly, or not at all.
//!
//! | decoded as | fits |
//! |---|---|
//! | text | every type, by its spelling ([`exact`]); JSON for nested types ([`nested`]) |
//! | numbers, booleans | numbers that hold the very value; text |
//! | a long | a timestamp, as milliseconds |
//! | timestamps, times, dates | their kind; nanoseconds are cut to microseconds |
//! | bytes | bytes |
//! | structs, lists, maps | their kind, field by field and by name; a field that is missing is null |
//!
//! A value that does not fit is reported with its row, which must be dropped by the caller: the column holds
//! anything there. Values inside of a list or a map are reported with the row of the list or map.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Int64Array, ListArray, MapArray, StructArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, FieldRef, Fields, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;

use super::exact::{self, DAYS, MILLIS, Misfit, describe};
use super::nested;

const DAY_MICROS: i64 = 86_400_000_000;

/// A column, and what does not fit it.
type Fitted = Result<(ArrayRef, Vec<Misfit>), ArrowError>;

/// The column of type `target`, and the rows whose value does not fit it.
pub(crate) fn column(source: &ArrayRef, target: &DataType) -> Fitted {
    if source.data_type() == target && !(target.is_nested() && is_bounded(target)) {
        return Ok((Arc::clone(source), out_of_bounds(source)));
    }
    match (source.data_type(), target) {
        (DataType::Null, _) => Ok((new_null_array(target, source.len()), Vec::new())),
        (DataType::Dictionary(_, values), _) => column(&cast(source, values)?, target),
        (DataType::Struct(_), DataType::Struct(fields)) => structs(source.as_struct(), fields),
        (DataType::List(_), DataType::List(element)) => lists(source.as_list(), element),
        (DataType::Map(..), DataType::Map(entries, _)) => maps(source.as_map(), entries),
        (DataType::Utf8, to) if to.is_nested() => {
            let (unfolded, mut misfits) = nested::unfold(source.as_string(), to)?;
            let (made, inside) = column(&unfolded, to)?;
            misfits.extend(inside);
            Ok((made, misfits))
        }
        (from, to) if from.is_nested() || to.is_nested() => all_misfit(source, target),
        (DataType::Utf8, _) => exact::column(target, source.as_string()),
        (DataType::Int64, DataType::Timestamp(TimeUnit::Microsecond, Some(zone))) => {
            millis(source.as_primitive(), zone)
        }
        (from, to) if is_comparable(from, to) => scalar(source, target),
        _ => all_misfit(source, target),
    }
}

/// Whether a column of this type, or one inside of it, could hold what is no value of the type.
fn is_bounded(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().any(|field| is_bounded(field.data_type())),
        DataType::List(inner) | DataType::Map(inner, _) => is_bounded(inner.data_type()),
        DataType::Decimal128(..) | DataType::Date32 => true,
        DataType::Timestamp(unit, _) | DataType::Time64(unit) => *unit == TimeUnit::Microsecond,
        _ => false,
    }
}

/// Values that their own type does not allow; a decoder passes them on. A decimal with more digits than its precision
/// would become another number in a file, and engines that check times would refuse the whole file.
fn out_of_bounds(source: &ArrayRef) -> Vec<Misfit> {
    fn find<T: ArrowPrimitiveType>(
        source: &ArrayRef,
        fits: impl Fn(T::Native) -> bool,
        fault: &str,
    ) -> Vec<Misfit> {
        let source = source.as_primitive::<T>();
        let bad = source.iter().enumerate().filter(|(_, value)| value.is_some_and(|value| !fits(value)));
        bad.map(|(row, value)| (row as u32, describe(&format!("{:?}", value.unwrap_or_default()), fault)))
            .collect()
    }
    let calendar = "lies outside the years 1 to 9999";
    match source.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            find::<TimestampMicrosecondType>(source, is_shown, calendar)
        }
        DataType::Date32 => find::<Date32Type>(source, |days| DAYS.contains(&days), calendar),
        DataType::Time64(TimeUnit::Microsecond) => {
            let fits = |micros| (0..DAY_MICROS).contains(&micros);
            find::<Time64MicrosecondType>(source, fits, "is no time of a day")
        }
        DataType::Decimal128(precision, scale) => {
            let limit = 10_u128.pow(u32::from(*precision));
            let fits = |value: i128| value.unsigned_abs() < limit;
            find::<Decimal128Type>(
                source,
                fits,
                &format!("has too many digits for decimal({precision},{scale})"),
            )
        }
        _ => Vec::new(),
    }
}

/// Whether values of one type can be values of the other.
fn is_comparable(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, Boolean, Date32, Date64, FixedSizeBinary, LargeBinary, LargeUtf8, Time32, Time64, Timestamp,
        Utf8, Utf8View,
    };
    match (from, to) {
        (Boolean | Date32 | Time32(_) | Time64(_) | Timestamp(..), Utf8) => true,
        (from, Utf8) if from.is_numeric() => true,
        (from, to) if from.is_numeric() && to.is_numeric() => true,
        (Timestamp(_, from), Timestamp(_, to)) => from.is_some() == to.is_some(),
        (Date32 | Date64, Date32) | (Time32(_) | Time64(_), Time64(_)) => true,
        (LargeUtf8 | Utf8View, Utf8) => true,
        (Binary | LargeBinary | FixedSizeBinary(_), Binary | FixedSizeBinary(_)) => true,
        _ => false,
    }
}

/// How many values of a type fit a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    All,
    Some,
    None,
}

/// How many values of type `from` fit a column of type `to`; neither is nested in the same way.
pub(crate) fn holds(from: &DataType, to: &DataType) -> Holds {
    match (from, to) {
        (from, to) if from == to || *from == DataType::Null => Holds::All,
        (DataType::Dictionary(_, values), to) => holds(values, to),
        (from, to) if from.is_nested() || to.is_nested() => Holds::None,
        (from, DataType::Utf8) if is_comparable(from, to) => Holds::All,
        (DataType::Int32, DataType::Int64 | DataType::Float64) => Holds::All,
        (DataType::Float32, DataType::Float64) => Holds::All,
        (DataType::Timestamp(..), DataType::Timestamp(..)) if is_comparable(from, to) => Holds::All,
        (DataType::Time32(_) | DataType::Time64(_), DataType::Time64(_)) => Holds::All,
        (DataType::Utf8, _) | (DataType::Int64, DataType::Timestamp(_, Some(_))) => Holds::Some,
        (from, to) if is_comparable(from, to) => Holds::Some,
        _ => Holds::None,
    }
}

/// Casts, and finds what changed by casting it back.
fn scalar(source: &ArrayRef, target: &DataType) -> Fitted {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let made = cast_with_options(source, target, &options)?;
    let mut misfits = Vec::new();
    let mut report = |row: usize| -> Result<(), ArrowError> {
        let text = array_value_to_string(source, row)?;
        misfits.push((row as u32, describe(&text, &format!("does not fit {}", name(target)))));
        Ok(())
    };
    let is_cut = matches!(source.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, _));
    if is_cut || *target == DataType::Utf8 {
        for row in (0..made.len()).filter(|row| source.is_valid(*row) && made.is_null(*row)) {
            report(row)?;
        }
    } else {
        let back = cast_with_options(&made, source.data_type(), &options)?;
        let changed = distinct(&back, source)?;
        for row in changed.values().set_indices().filter(|row| source.is_valid(*row)) {
            report(row)?;
        }
    }
    misfits.extend(out_of_bounds(&made));
    Ok((made, misfits))
}

/// Whether a time in microseconds lies in the years that every engine can show.
fn is_shown(micros: i64) -> bool {
    MILLIS.contains(&micros.div_euclid(1000))
}

/// Milliseconds as a time.
fn millis(source: &Int64Array, zone: &Arc<str>) -> Fitted {
    let mut misfits = Vec::new();
    let times = source.iter().enumerate().map(|(row, millis)| {
        let millis = millis?;
        if !MILLIS.contains(&millis) {
            misfits.push((row as u32, describe(&millis.to_string(), "lies outside the years 1 to 9999")));
            return Some(0);
        }
        Some(millis * 1000)
    });
    let times = TimestampMicrosecondArray::from_iter(times).with_timezone(Arc::clone(zone));
    Ok((Arc::new(times), misfits))
}

fn structs(source: &StructArray, fields: &Fields) -> Fitted {
    let (mut columns, mut misfits) = (Vec::with_capacity(fields.len()), Vec::new());
    for field in fields {
        let Some(inner) = source.column_by_name(field.name()) else {
            columns.push(new_null_array(field.data_type(), source.len()));
            continue;
        };
        let (made, inside) = column(inner, field.data_type())?;
        let real = inside.into_iter().filter(|(row, _)| source.is_valid(*row as usize));
        misfits.extend(real.map(|(row, fault)| (row, format!("in `{}`: {fault}", field.name()))));
        columns.push(made);
    }
    let made =
        StructArray::try_new_with_length(fields.clone(), columns, source.nulls().cloned(), source.len())?;
    Ok((Arc::new(made), misfits))
}

fn lists(source: &ListArray, element: &FieldRef) -> Fitted {
    let (values, inside) = column(source.values(), element.data_type())?;
    let misfits = outside(source.offsets(), inside, |row| source.is_valid(row));
    let made =
        ListArray::try_new(Arc::clone(element), source.offsets().clone(), values, source.nulls().cloned())?;
    Ok((Arc::new(made), misfits))
}

fn maps(source: &MapArray, entries: &FieldRef) -> Fitted {
    let DataType::Struct(fields) = entries.data_type() else {
        return all_misfit(&erased(source), entries.data_type());
    };
    let [key, value] = fields.as_ref() else { return all_misfit(&erased(source), entries.data_type()) };
    let (keys, mut inside) = column(source.keys(), key.data_type())?;
    let (values, of_values) = column(source.values(), value.data_type())?;
    inside.extend(of_values);
    let misfits = outside(source.offsets(), inside, |row| source.is_valid(row));
    let made = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    let nulls = source.nulls().cloned();
    let made = MapArray::try_new(Arc::clone(entries), source.offsets().clone(), made, nulls, false)?;
    Ok((Arc::new(made), misfits))
}

fn erased(source: &MapArray) -> ArrayRef {
    Arc::new(source.clone())
}

/// Misfits of elements as misfits of the rows that hold them.
fn outside(
    offsets: &OffsetBuffer<i32>,
    inside: Vec<Misfit>,
    is_valid: impl Fn(usize) -> bool,
) -> Vec<Misfit> {
    let row_of = |element: u32| {
        let row = offsets.partition_point(|offset| *offset <= element as i32).checked_sub(1)?;
        (row + 1 < offsets.len() && is_valid(row)).then_some(row as u32)
    };
    inside.into_iter().filter_map(|(element, fault)| Some((row_of(element)?, fault))).collect()
}

/// No value of such a type fits.
fn all_misfit(source: &ArrayRef, target: &DataType) -> Fitted {
    let fault = format!("is {}, which does not fit {}", name(source.data_type()), name(target));
    let rows = (0..source.len()).filter(|row| source.is_valid(*row));
    let misfits = rows.map(|row| (row as u32, fault.clone())).collect();
    Ok((new_null_array(target, source.len()), misfits))
}

/// A type in few words.
pub(crate) fn name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "string".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "long".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Time64(_) => "time".to_owned(),
        DataType::Binary => "binary".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Timestamp(_, Some(_)) => "a timestamp with zone".to_owned(),
        DataType::Timestamp(_, None) => "a timestamp without zone".to_owned(),
        DataType::Struct(_) => "a struct".to_owned(),
        DataType::List(_) => "a list".to_owned(),
        DataType::Map(..) => "a map".to_owned(),
        DataType::Union(..) => "a union".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
