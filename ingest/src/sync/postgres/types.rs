//! What the types of PostgreSQL become.
//!
//! | PostgreSQL | the lake |
//! |---|---|
//! | `boolean` | boolean |
//! | `smallint` `integer` | int |
//! | `bigint` | long |
//! | `real` `double precision` | float, double |
//! | `numeric(p, s)`, p up to 38 | `decimal(p, s)`; without p and s, or NaN: refused until `types` says which |
//! | `date` `time` | date, time |
//! | `timestamp` `timestamptz` | timestamp; timestamptz, in UTC; to the microsecond |
//! | `text` `varchar` `char` `name` `citext`, enums | string |
//! | `json` `jsonb` `uuid` `xml` `inet` `cidr` `macaddr` `macaddr8` `interval` `timetz` `bit` `varbit` | string, as PostgreSQL writes it |
//! | `bytea` | binary |
//! | arrays of one dimension of all these | list |
//! | domains | as the type behind |
//! | everything else | refused, by the column's name |
//!
//! Infinite dates and times, and years outside 1 to 9999, are refused with their column.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::quoted;
use crate::topics::Kind;

/// Types that the server writes as text.
const TEXTS: [&str; 18] = [
    "text", "varchar", "bpchar", "name", "citext", "json", "jsonb", "uuid", "xml", "inet", "cidr", "macaddr",
    "macaddr8", "interval", "timetz", "bit", "varbit", "char",
];

/// A column as the database describes it.
pub(super) struct Described {
    pub(super) name: String,
    /// Its type as SQL writes it.
    shown: String,
    base: String,
    modifier: i32,
    class: String,
    element: String,
    element_class: String,
    required: bool,
}

/// How the bytes of a value are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    Boolean,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric(u8, i8),
    Text,
    Bytes,
    Date,
    Time,
    Timestamp,
    TimestampUtc,
    List(Box<Take>),
}

/// A column to be read.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) take: Take,
    /// The server casts it to text.
    as_text: bool,
    pub(crate) required: bool,
}

impl Described {
    pub(super) fn read(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            name: row.try_get(0)?,
            shown: row.try_get(1)?,
            base: row.try_get(2)?,
            modifier: row.try_get(3)?,
            class: row.try_get(4)?,
            element: row.try_get(5)?,
            element_class: row.try_get(6)?,
            required: row.try_get(7)?,
        })
    }

    #[cfg(test)]
    pub(super) fn of(name: &str, base: &str, modifier: i32, class: &str) -> Self {
        let text = str::to_owned;
        Self {
            name: text(name),
            shown: text(base),
            base: text(base),
            modifier,
            class: text(class),
            element: base.strip_prefix('_').map(text).unwrap_or_default(),
            element_class: text("b"),
            required: false,
        }
    }
}

/// How a column is read; `declared` is what the sync file says of it.
pub(super) fn mapped(column: &Described, declared: Option<&Kind>) -> Result<Column, String> {
    let is_list = !column.element.is_empty();
    let (base, class) = match is_list {
        true => (column.element.as_str(), column.element_class.as_str()),
        false => (column.base.as_str(), column.class.as_str()),
    };
    let (take, as_text) = match (base, declared) {
        ("numeric", Some(Kind::Decimal(precision, scale))) => (Take::Numeric(*precision, *scale), false),
        (_, Some(Kind::String)) => (Take::Text, true),
        (_, Some(kind)) => {
            return Err(format!("column `{}` is {}, and `types` says {kind}", column.name, column.shown));
        }
        (base, None) => take(column, base, class)?,
    };
    let take = if is_list { Take::List(Box::new(take)) } else { take };
    Ok(Column { name: column.name.clone(), take, as_text, required: column.required })
}

fn take(column: &Described, base: &str, class: &str) -> Result<(Take, bool), String> {
    Ok(match base {
        "bool" => (Take::Boolean, false),
        "int2" => (Take::Int2, false),
        "int4" => (Take::Int4, false),
        "int8" => (Take::Int8, false),
        "float4" => (Take::Float4, false),
        "float8" => (Take::Float8, false),
        "numeric" => (numeric(column)?, false),
        "bytea" => (Take::Bytes, false),
        "date" => (Take::Date, false),
        "time" => (Take::Time, false),
        "timestamp" => (Take::Timestamp, false),
        "timestamptz" => (Take::TimestampUtc, false),
        text if class == "e" || TEXTS.contains(&text) => (Take::Text, true),
        _ => {
            return Err(format!(
                "column `{}` is of type {}, which has no counterpart",
                column.name, column.shown
            ));
        }
    })
}

/// Precision and scale are in the modifier: 4 bytes of header, 16 bits each, the scale with a sign in 11 bits.
fn numeric(column: &Described) -> Result<Take, String> {
    let modifier = column.modifier - 4;
    let (precision, scale) = (modifier >> 16 & 0xffff, ((modifier & 0x7ff) ^ 1024) - 1024);
    if column.modifier < 4 {
        return Err(format!("column `{}` is numeric without digits", column.name));
    }
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(precision @ 1..=38), Ok(scale @ 0..)) if scale as u8 <= precision => {
            Ok(Take::Numeric(precision, scale))
        }
        _ => {
            Err(format!("column `{}` is {}, which no decimal of 38 digits holds", column.name, column.shown))
        }
    }
}

impl Take {
    pub(super) fn data_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int2 | Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Numeric(precision, scale) => DataType::Decimal128(*precision, *scale),
            Self::Text => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampUtc => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::List(element) => DataType::List(Arc::new(Field::new("element", element.data_type(), true))),
        }
    }
}

impl Column {
    pub(super) fn field(&self) -> Field {
        Field::new(&self.name, self.take.data_type(), true)
    }

    /// The column as it is asked for.
    pub(super) fn selected(&self) -> String {
        let name = quoted(&self.name);
        match (&self.take, self.as_text) {
            (_, false) => name,
            (Take::List(_), true) => format!("CAST({name} AS text[])"),
            (_, true) => format!("CAST({name} AS text)"),
        }
    }
}
