//! The type of a column, from all its values: the narrowest that keeps what each of them says.
//!
//! | values | type |
//! |---|---|
//! | `true`, `false` in any case | boolean |
//! | whole numbers without leading zeros, within 64 bits | long |
//! | numbers of up to 4 decimals and 14 digits before them | decimal(18, s): sums of money are exact |
//! | other numbers of up to 15 digits before the point | double: what is beyond its 15 to 17 digits is rounded |
//! | `2018-01-31` | date |
//! | `2018-01-31 10:00:00[.123456]`, or with `T` (dates among them: midnight) | timestamp without time zone |
//! | the same with `Z` or `+01:00`, all of them | timestamp with time zone |
//! | anything else, or a mixture | string |
//!
//! So what looks like a number but is a name stays text: `007`, `+49`, `1e5x`, digits beyond what a number
//! holds. An empty field is null and says nothing about the type; a column of nothing but nulls is text.
//! The scale of a decimal is 2, or more where a value has more, so that files of one kind agree.

use arrow::datatypes::{DataType, TimeUnit};
use chrono::{NaiveDate, NaiveTime};

const BOOLEAN: u8 = 1;
const LONG: u8 = 2;
const DECIMAL: u8 = 4;
const DOUBLE: u8 = 8;
const DATE: u8 = 16;
const TIMESTAMP: u8 = 32;
const TIMESTAMP_TZ: u8 = 64;
const ALL: u8 = 127;

/// The precision of inferred decimals: the most that a 64-bit integer holds.
pub(super) const PRECISION: u8 = 18;
const SCALE_MIN: usize = 2;
const SCALE_MAX: usize = 4;
/// A double keeps every number of so many digits.
const DOUBLE_DIGITS: usize = 15;

/// What the values of a column seen so far allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guess {
    possible: u8,
    seen: bool,
    scale: usize,
    digits: usize,
}

/// What a single value can be taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shape {
    possible: u8,
    /// Digits before and after the point, without trailing zeros after it.
    digits: usize,
    scale: usize,
}

impl Guess {
    pub(super) fn new() -> Self {
        Self { possible: ALL, seen: false, scale: 0, digits: 0 }
    }

    /// Takes one more value into account.
    pub(super) fn see(&mut self, text: &str) {
        if text.is_empty() || self.possible == 0 {
            return;
        }
        let shape = Shape::of(text);
        self.seen = true;
        self.possible &= shape.possible;
        self.scale = self.scale.max(shape.scale);
        self.digits = self.digits.max(shape.digits);
    }

    /// A value that is a text whatever it looks like.
    pub(super) fn see_text(&mut self) {
        (self.seen, self.possible) = (true, 0);
    }

    /// Takes the values of another part of the column into account.
    pub(super) fn merge(&mut self, other: &Self) {
        self.possible &= other.possible;
        self.seen |= other.seen;
        self.scale = self.scale.max(other.scale);
        self.digits = self.digits.max(other.digits);
    }

    /// The type that all values seen have in common.
    pub(super) fn settle(&self) -> DataType {
        let can = |kind| self.seen && self.possible & kind != 0;
        let scale = self.scale.max(SCALE_MIN);
        match () {
            () if can(BOOLEAN) => DataType::Boolean,
            () if can(LONG) => DataType::Int64,
            () if can(DECIMAL) && scale <= SCALE_MAX && self.digits + scale <= usize::from(PRECISION) => {
                DataType::Decimal128(PRECISION, scale as i8)
            }
            () if can(DOUBLE) => DataType::Float64,
            () if can(DATE) => DataType::Date32,
            () if can(TIMESTAMP) => DataType::Timestamp(TimeUnit::Microsecond, None),
            () if can(TIMESTAMP_TZ) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            () => DataType::Utf8,
        }
    }
}

/// Whether a value can be stored in a column of this type without loss; types that no file can fill are not.
pub(super) fn fits(text: &str, data_type: &DataType) -> bool {
    let shape = || Shape::of(text);
    match data_type {
        DataType::Utf8 => true,
        DataType::Boolean => shape().possible & BOOLEAN != 0,
        DataType::Int32 => shape().possible & LONG != 0 && text.parse::<i32>().is_ok(),
        DataType::Int64 => shape().possible & LONG != 0,
        DataType::Float64 => shape().possible & DOUBLE != 0,
        DataType::Decimal128(precision, scale) => {
            let shape = shape();
            let (precision, scale) = (usize::from(*precision), usize::try_from(*scale).unwrap_or(0));
            shape.possible & DECIMAL != 0
                && shape.scale <= scale
                && shape.digits <= precision - scale.min(precision)
        }
        DataType::Date32 => shape().possible & DATE != 0,
        DataType::Timestamp(TimeUnit::Microsecond, None) => shape().possible & TIMESTAMP != 0,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => shape().possible & TIMESTAMP_TZ != 0,
        _ => false,
    }
}

/// The type's name in SQL and Iceberg, for people.
pub(super) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "string".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "long".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
        other => other.to_string(),
    }
}

impl Shape {
    fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        match bytes[0] {
            b'0'..=b'9' if bytes.len() >= 10 && bytes[4] == b'-' => {
                Self { possible: time(text), ..Self::default() }
            }
            b'0'..=b'9' | b'-' | b'.' => number(bytes, text).unwrap_or_default(),
            _ if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") => {
                Self { possible: BOOLEAN, ..Self::default() }
            }
            _ => Self::default(),
        }
    }
}

/// `-12.50`, `.5`, `1.5e-7`; not `007`, `1.`, `-`.
fn number(bytes: &[u8], text: &str) -> Option<Shape> {
    let unsigned = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let count = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = count(unsigned);
    let (mut rest, mut fraction) = (&unsigned[whole..], &unsigned[..0]);
    if let Some(after) = rest.strip_prefix(b".") {
        let (head, tail) = after.split_at(count(after));
        (fraction, rest) = (head, tail);
        if fraction.is_empty() {
            return None;
        }
    }
    if whole == 0 && fraction.is_empty() || whole > 1 && unsigned[0] == b'0' {
        return None;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent =
            exponent.strip_prefix(b"-").or_else(|| exponent.strip_prefix(b"+")).unwrap_or(exponent);
        let complete = !exponent.is_empty() && count(exponent) == exponent.len();
        let finite = complete && text.parse::<f64>().is_ok_and(f64::is_finite);
        return finite.then_some(Shape { possible: DOUBLE, ..Shape::default() });
    }
    if !rest.is_empty() {
        return None;
    }
    let scale = fraction.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + 1);
    let mut possible = 0;
    if unsigned.len() == whole && text != "-0" && text.parse::<i64>().is_ok() {
        possible |= LONG;
    }
    if whole + scale <= 38 {
        possible |= DECIMAL;
    }
    if whole <= DOUBLE_DIGITS {
        possible |= DOUBLE;
    }
    Some(Shape { possible, digits: whole, scale })
}

/// What a text that begins like a date can be: date, timestamp, timestamp with zone, or none of them.
fn time(text: &str) -> u8 {
    let bytes = text.as_bytes();
    let (date, rest) = bytes.split_at(10);
    if !is_date(date) {
        return 0;
    }
    let clock = match rest {
        [] => return DATE | TIMESTAMP,
        [b' ' | b'T', clock @ ..] => clock,
        _ => return 0,
    };
    let zone = clock.iter().position(|byte| matches!(byte, b'Z' | b'+' | b'-'));
    let (clock, zone) = clock.split_at(zone.unwrap_or(clock.len()));
    let (seconds, fraction) = clock.split_at(clock.len().min(8));
    let micros = match fraction {
        [] => true,
        [b'.', micros @ ..] => (1..=6).contains(&micros.len()) && digits(micros).is_some(),
        _ => false,
    };
    let exact = is_clock(seconds) && micros;
    match (exact, zone) {
        (true, []) => TIMESTAMP,
        (true, zone) if is_zone(zone) => TIMESTAMP_TZ,
        _ => 0,
    }
}

/// The number that these digits are; none for anything but digits.
fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0, |number, byte| Some(number * 10 + char::from(*byte).to_digit(10)?))
}

/// A day of the years 1 to 9999, which every engine's dates reach.
fn is_date(bytes: &[u8]) -> bool {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = bytes else { return false };
    let parts = (digits(&[*y1, *y2, *y3, *y4]), digits(&[*m1, *m2]), digits(&[*d1, *d2]));
    match parts {
        (Some(year @ 1..), Some(month), Some(day)) => {
            NaiveDate::from_ymd_opt(year as i32, month, day).is_some()
        }
        _ => false,
    }
}

fn is_clock(bytes: &[u8]) -> bool {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = bytes else { return false };
    match (digits(&[*h1, *h2]), digits(&[*m1, *m2]), digits(&[*s1, *s2])) {
        (Some(hour), Some(minute), Some(second)) => NaiveTime::from_hms_opt(hour, minute, second).is_some(),
        _ => false,
    }
}

/// `Z`, `+01:00`, `-0330`.
fn is_zone(bytes: &[u8]) -> bool {
    let (hours, minutes) = match bytes {
        b"Z" => return true,
        [_, h1, h2, b':', m1, m2] | [_, h1, h2, m1, m2] => ([*h1, *h2], [*m1, *m2]),
        _ => return false,
    };
    digits(&hours).is_some_and(|hours| hours < 24) && digits(&minutes).is_some_and(|minutes| minutes < 60)
}
