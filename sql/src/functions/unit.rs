//! Units of time: how many microseconds, or how many months.

use chrono::{DateTime, Datelike, Months};

pub(super) const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// So many microseconds.
    Micros(i64),
    /// Seven days, from Monday.
    Week,
    /// So many months.
    Months(i64),
}

impl Unit {
    /// The unit of that name, in singular or plural and any case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "microsecond" | "microseconds" | "us" => Self::Micros(1),
            "millisecond" | "milliseconds" | "ms" => Self::Micros(1_000),
            "second" | "seconds" | "sec" => Self::Micros(1_000_000),
            "minute" | "minutes" | "min" => Self::Micros(60_000_000),
            "hour" | "hours" => Self::Micros(3_600_000_000),
            "day" | "days" => Self::Micros(MICROS_PER_DAY),
            "week" | "weeks" => Self::Week,
            "month" | "months" => Self::Months(1),
            "quarter" | "quarters" => Self::Months(3),
            "year" | "years" => Self::Months(12),
            _ => return None,
        })
    }

    /// Whether dates can be counted in it.
    pub(super) fn is_whole_days(self) -> bool {
        match self {
            Self::Micros(micros) => micros % MICROS_PER_DAY == 0,
            Self::Week | Self::Months(_) => true,
        }
    }

    /// The number of the unit in which an instant lies, counted from some fixed one.
    pub(super) fn number(self, micros: i64) -> Option<i64> {
        Some(match self {
            Self::Micros(unit) => micros.div_euclid(unit),
            // 1970-01-01 was a Thursday: the week before it began three days earlier.
            Self::Week => (micros.div_euclid(MICROS_PER_DAY) + 3).div_euclid(7),
            Self::Months(unit) => {
                let at = DateTime::from_timestamp_micros(micros)?;
                (i64::from(at.year()) * 12 + i64::from(at.month0())).div_euclid(unit)
            }
        })
    }

    /// The instant `count` units later; a day of the month that does not exist becomes the last one.
    pub(super) fn later(self, micros: i64, count: i64) -> Option<i64> {
        match self {
            Self::Micros(unit) => micros.checked_add(unit.checked_mul(count)?),
            Self::Week => micros.checked_add((7 * MICROS_PER_DAY).checked_mul(count)?),
            Self::Months(unit) => {
                let months = unit.checked_mul(count)?;
                let size = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
                let at = DateTime::from_timestamp_micros(micros)?;
                let later =
                    if months < 0 { at.checked_sub_months(size) } else { at.checked_add_months(size) };
                Some(later?.timestamp_micros())
            }
        }
    }
}
