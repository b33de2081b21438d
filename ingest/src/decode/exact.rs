//! Text columns become columns of the declared kinds: exactly, or not at all.
//!
//! A JSON number arrives as it was spelled. `1.0` and `1e3` are integers, `1.5` is not; `1.005` is no
//! decimal with two places, `1.500` is. Nothing is rounded, cut or wrapped; a value that would need it
//! is reported, and its row must be dropped by the caller (the column holds a zero there).

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, Decimal128Array, PrimitiveArray,
    StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType, TimeUnit,
};
use arrow::error::ArrowError;
use chrono::{Datelike, NaiveDate};

/// 0001-01-01 and 9999-12-31T23:59:59.999 in milliseconds: what every engine can show.
pub(crate) const MILLIS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;
/// The same in days since 1970.
pub(super) const DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;
/// 1970-01-01, in days since the year 0 ended.
const EPOCH_FROM_CE: i32 = 719_163;
const SHOWN_MAX: usize = 64;

/// A value that does not fit: its row, and what is wrong.
pub(crate) type Misfit = (u32, String);

/// The column of type `target`, and the rows whose text does not fit it.
pub(crate) fn column(target: &DataType, texts: &StringArray) -> Result<(ArrayRef, Vec<Misfit>), ArrowError> {
    let mut misfits = Vec::new();
    let array: ArrayRef = match target {
        DataType::Utf8 => Arc::new(texts.clone()),
        DataType::Int32 => Arc::new(parse::<Int32Type>(texts, &mut misfits, |text| {
            let value = integer(text, "a 32-bit integer")?;
            i32::try_from(value).map_err(|_| "is out of range for a 32-bit integer".to_owned())
        })),
        DataType::Int64 => {
            Arc::new(parse::<Int64Type>(texts, &mut misfits, |text| integer(text, "a 64-bit integer")))
        }
        DataType::Float32 => Arc::new(parse::<Float32Type>(texts, &mut misfits, finite)),
        DataType::Float64 => Arc::new(parse::<Float64Type>(texts, &mut misfits, finite)),
        DataType::Date32 => Arc::new(parse::<Date32Type>(texts, &mut misfits, day)),
        DataType::Time64(TimeUnit::Microsecond) => {
            Arc::new(parse::<Time64MicrosecondType>(texts, &mut misfits, time))
        }
        DataType::Boolean => Arc::new(booleans(texts, &mut misfits)),
        &DataType::Decimal128(precision, scale) => {
            let array: Decimal128Array = parse(texts, &mut misfits, |text| decimal(text, precision, scale));
            Arc::new(array.with_precision_and_scale(precision, scale)?)
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
            let array: TimestampMicrosecondArray = parse(texts, &mut misfits, |text| {
                let millis = integer(text, "a time in milliseconds")?;
                let inside = MILLIS.contains(&millis);
                inside.then(|| millis * 1000).ok_or_else(|| "lies outside the years 1 to 9999".to_owned())
            });
            Arc::new(array.with_timezone(Arc::clone(zone)))
        }
        DataType::Binary => Arc::new(BinaryArray::from(texts.clone())),
        other => spelled(other, texts, &mut misfits)?,
    };
    Ok((array, misfits))
}

/// Types whose spelling is the one that Arrow reads: those that no topics file declares and a table has all the same.
fn spelled(
    target: &DataType,
    texts: &StringArray,
    misfits: &mut Vec<Misfit>,
) -> Result<ArrayRef, ArrowError> {
    let array = cast_with_options(texts, target, &CastOptions { safe: true, ..CastOptions::default() })?;
    for row in 0..texts.len() {
        if texts.is_valid(row) && array.is_null(row) {
            misfits.push((row as u32, describe(texts.value(row), &format!("is no {target}"))));
        }
    }
    Ok(array)
}

fn parse<T: ArrowPrimitiveType>(
    texts: &StringArray,
    misfits: &mut Vec<Misfit>,
    one: impl Fn(&str) -> Result<T::Native, String>,
) -> PrimitiveArray<T> {
    let mut values = Vec::with_capacity(texts.len());
    for row in 0..texts.len() {
        let value = if texts.is_null(row) { Ok(T::Native::default()) } else { one(texts.value(row)) };
        values.push(value.unwrap_or_else(|fault| {
            misfits.push((row as u32, describe(texts.value(row), &fault)));
            T::Native::default()
        }));
    }
    PrimitiveArray::new(ScalarBuffer::from(values), texts.nulls().cloned())
}

fn booleans(texts: &StringArray, misfits: &mut Vec<Misfit>) -> BooleanArray {
    let values = BooleanBuffer::collect_bool(texts.len(), |row| {
        let text = if texts.is_null(row) { "false" } else { texts.value(row) };
        if !matches!(text, "true" | "false") {
            misfits.push((row as u32, describe(text, "is neither true nor false")));
        }
        text == "true"
    });
    BooleanArray::new(values, texts.nulls().cloned())
}

pub(super) fn describe(text: &str, fault: &str) -> String {
    let shown = &text[..text.floor_char_boundary(SHOWN_MAX)];
    let more = if shown.len() < text.len() { "..." } else { "" };
    format!("`{shown}{more}` {fault}")
}

fn integer(text: &str, what: &str) -> Result<i64, String> {
    if let Ok(value) = text.parse::<i64>() {
        return Ok(value);
    }
    match scaled(text, 0) {
        Ok(value) => i64::try_from(value).map_err(|_| format!("is out of range for {what}")),
        Err(Inexact::NotANumber) => Err(format!("is not {what}")),
        Err(Inexact::Fraction) => Err(format!("has a fraction, which {what} cannot hold")),
        Err(Inexact::TooLarge) => Err(format!("is out of range for {what}")),
    }
}

fn finite<T: FromStr + Into<f64> + Copy>(text: &str) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(value) if value.into().is_finite() => Ok(value),
        Ok(_) => Err("is not a finite number".to_owned()),
        Err(_) => Err("is not a number".to_owned()),
    }
}

/// Days since 1970.
fn day(text: &str) -> Result<i32, String> {
    let spelled = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let day = spelled.then(|| text.parse::<NaiveDate>().ok()).flatten();
    let days = day.map(|day| day.num_days_from_ce() - EPOCH_FROM_CE).filter(|days| DAYS.contains(days));
    days.ok_or_else(|| "is no day from 0001-01-01 to 9999-12-31".to_owned())
}

/// Microseconds since midnight.
fn time(text: &str) -> Result<i64, String> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let part = |at: usize, end: i64| {
        let digits =
            clock.get(at..at + 2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse::<i64>().ok().filter(|value| *value < end)
    };
    let clock = match clock.as_bytes() {
        [_, _, b':', _, _, b':', _, _] => part(0, 24).zip(part(3, 60)).zip(part(6, 60)),
        _ => None,
    };
    let digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let Some(((hours, minutes), seconds)) = clock.filter(|_| digits) else {
        return Err("is no time of day such as 12:34:56.789".to_owned());
    };
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 6 {
        return Err("is more exact than a microsecond".to_owned());
    }
    let micros = format!("{fraction:0<6}").parse::<i64>().unwrap_or_default();
    Ok(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros)
}

fn decimal(text: &str, precision: u8, scale: i8) -> Result<i128, String> {
    let fault = |inexact| match inexact {
        Inexact::NotANumber => "is not a number".to_owned(),
        Inexact::Fraction => format!("has more decimals than decimal({precision},{scale}) holds"),
        Inexact::TooLarge => format!("is too large for decimal({precision},{scale})"),
    };
    let value = scaled(text, i32::from(scale)).map_err(fault)?;
    let limit = 10_u128.checked_pow(u32::from(precision));
    let fits = limit.is_none_or(|limit| value.unsigned_abs() < limit);
    fits.then_some(value).ok_or_else(|| fault(Inexact::TooLarge))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inexact {
    NotANumber,
    Fraction,
    TooLarge,
}

/// The number times ten to the power of `scale`, when that is a whole number.
fn scaled(text: &str, scale: i32) -> Result<i128, Inexact> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (number, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent_value(exponent)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || number.ends_with('.') {
        return Err(Inexact::NotANumber);
    }
    let fraction = fraction.trim_end_matches('0');
    let mut shift = i64::from(scale) + i64::from(exponent) - fraction.len() as i64;
    let mut value: u128 = 0;
    let mut zeros: u32 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if byte == b'0' {
            zeros += u32::from(value != 0);
            continue;
        }
        value = 10_u128
            .checked_pow(zeros + 1)
            .and_then(|power| value.checked_mul(power))
            .and_then(|value| value.checked_add(u128::from(byte - b'0')))
            .ok_or(Inexact::TooLarge)?;
        zeros = 0;
    }
    if value == 0 {
        return Ok(0);
    }
    shift += i64::from(zeros);
    if shift < 0 {
        return Err(Inexact::Fraction);
    }
    let power = u32::try_from(shift).ok().and_then(|shift| 10_u128.checked_pow(shift));
    let value = power.and_then(|power| value.checked_mul(power)).ok_or(Inexact::TooLarge)?;
    let value = i128::try_from(value).map_err(|_| Inexact::TooLarge)?;
    Ok(if negative { -value } else { value })
}

fn exponent_value(text: &str) -> Result<i32, Inexact> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Inexact::NotANumber);
    }
    // Beyond a million the sign alone decides: too large, or a fraction.
    let size = digits.parse::<i32>().unwrap_or(1_000_000).min(1_000_000);
    Ok(if text.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests;
