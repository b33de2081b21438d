//! The types of event fields: how they are written in a topics file, and the Arrow types in which they land.
//!
//! | written | lands as |
//! |---|---|
//! | `string` `int` `long` `float` `double` `boolean` `date` `time` `binary` `decimal(P,S)` | itself |
//! | `timestamp_ms` | timestamp with time zone, in microseconds |
//! | `struct(a: T, b: T)`, or a YAML map of names to types | struct |
//! | `list(T)`, or a YAML list with one type | list |
//! | `map(T)` | map from string to `T` |
//!
//! Everything inside of a nested type is nullable, so that a requirement never changes a table.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::file::unknown;

const KINDS: [&str; 14] = [
    "string",
    "int",
    "long",
    "float",
    "double",
    "boolean",
    "date",
    "time",
    "binary",
    "decimal(P,S)",
    "timestamp_ms",
    "struct(name: T, ...)",
    "list(T)",
    "map(T)",
];
/// Types nested deeper than this are refused.
const DEPTH_MAX: usize = 16;

/// The type of an event field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// 32-bit integer; a fraction or an overflow is a dead letter.
    Int,
    /// 64-bit integer; a fraction or an overflow is a dead letter.
    Long,
    /// 32-bit floating point.
    Float,
    /// 64-bit floating point.
    Double,
    /// `true` or `false`.
    Boolean,
    /// A day; in text `YYYY-MM-DD`.
    Date,
    /// A time of day in microseconds; in text `HH:MM:SS[.ffffff]`.
    Time,
    /// Bytes; text lands as its UTF-8.
    Binary,
    /// Exact decimal (precision, scale); more digits than the scale holds are a dead letter.
    Decimal(u8, i8),
    /// Milliseconds since 1970-01-01 UTC, or a timestamp of the format's own; landed as a timestamp with time
    /// zone in microseconds.
    TimestampMillis,
    /// Fields with names.
    Struct(Vec<(String, Kind)>),
    /// Values of one type, in order.
    List(Box<Kind>),
    /// Values of one type by text keys.
    Map(Box<Kind>),
}

impl Kind {
    /// The Arrow type in which it lands.
    pub fn data_type(&self) -> DataType {
        let field = |name: &str, kind: &Self| Field::new(name, kind.data_type(), true);
        match self {
            Self::String => DataType::Utf8,
            Self::Int => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Binary => DataType::Binary,
            Self::Decimal(precision, scale) => DataType::Decimal128(*precision, *scale),
            Self::TimestampMillis => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Struct(fields) => {
                DataType::Struct(fields.iter().map(|(name, kind)| field(name, kind)).collect())
            }
            Self::List(element) => DataType::List(Arc::new(field("element", element))),
            Self::Map(value) => map_of(field("value", value)),
        }
    }

    /// Whether it has types inside.
    pub fn is_nested(&self) -> bool {
        matches!(self, Self::Struct(_) | Self::List(_) | Self::Map(_))
    }

    fn parse(text: &str, depth: usize) -> Result<Self, String> {
        if depth > DEPTH_MAX {
            return Err(format!("types nested deeper than {DEPTH_MAX}\n  flatten the inner ones"));
        }
        let text = text.trim();
        let inside = |name: &str| {
            let rest = text.strip_prefix(name)?.trim_start();
            rest.strip_prefix('(')?.strip_suffix(')')
        };
        if let Some(inside) = inside("decimal") {
            return decimal(text, inside);
        }
        if let Some(inside) = inside("list") {
            return Ok(Self::List(Box::new(Self::parse(inside, depth + 1)?)));
        }
        if let Some(inside) = inside("map") {
            return Ok(Self::Map(Box::new(Self::parse(inside, depth + 1)?)));
        }
        if let Some(inside) = inside("struct") {
            let fields = split(inside).into_iter().map(|part| {
                let (name, kind) = part.split_once(':').ok_or_else(|| {
                    format!("`{}` is no field of a struct\n  write struct(name: type, ...)", part.trim())
                })?;
                Ok((name.trim().to_owned(), Self::parse(kind, depth + 1)?))
            });
            return structure(fields.collect::<Result<_, String>>()?);
        }
        Ok(match text {
            "string" => Self::String,
            "int" => Self::Int,
            "long" => Self::Long,
            "float" => Self::Float,
            "double" => Self::Double,
            "boolean" => Self::Boolean,
            "date" => Self::Date,
            "time" => Self::Time,
            "binary" => Self::Binary,
            "timestamp_ms" => Self::TimestampMillis,
            other => return Err(unknown("type", other, &KINDS)),
        })
    }

    fn depth(&self) -> usize {
        1 + match self {
            Self::Struct(fields) => fields.iter().map(|(_, kind)| kind.depth()).max().unwrap_or(0),
            Self::List(inner) | Self::Map(inner) => inner.depth(),
            _ => 0,
        }
    }
}

/// The Arrow type of a map from text to `value`.
pub(crate) fn map_of(value: Field) -> DataType {
    let entry = vec![Field::new("key", DataType::Utf8, false), value];
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entry.into()), false)), false)
}

fn decimal(text: &str, inside: &str) -> Result<Kind, String> {
    let numbers = inside.split_once(',').map(|(p, s)| (p.trim().parse(), s.trim().parse()));
    match numbers {
        Some((Ok(precision @ 1..=38), Ok(scale))) if (0..=precision as i8).contains(&scale) => {
            Ok(Kind::Decimal(precision, scale))
        }
        _ => {
            Err(format!("`{text}` is not possible\n  use decimal(P,S) with P from 1 to 38 and S from 0 to P"))
        }
    }
}

fn structure(fields: Vec<(String, Kind)>) -> Result<Kind, String> {
    if fields.is_empty() {
        return Err("a struct without fields\n  name at least one".to_owned());
    }
    for (index, (name, _)) in fields.iter().enumerate() {
        if name.is_empty() || fields[..index].iter().any(|(other, _)| other == name) {
            return Err(format!(
                "field `{name}` of a struct is empty or there twice\n  give each its own name"
            ));
        }
    }
    Ok(Kind::Struct(fields))
}

/// The parts between the commas that are not inside parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, 0)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Int => f.write_str("int"),
            Self::Long => f.write_str("long"),
            Self::Float => f.write_str("float"),
            Self::Double => f.write_str("double"),
            Self::Boolean => f.write_str("boolean"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
            Self::Binary => f.write_str("binary"),
            Self::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            Self::TimestampMillis => f.write_str("timestamp_ms"),
            Self::Struct(fields) => {
                let fields: Vec<_> = fields.iter().map(|(name, kind)| format!("{name}: {kind}")).collect();
                write!(f, "struct({})", fields.join(", "))
            }
            Self::List(element) => write!(f, "list({element})"),
            Self::Map(value) => write!(f, "map({value})"),
        }
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Kind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a type such as `long`, a list with one type, or a map from field names to types")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Kind, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
                let element = seq.next_element::<Kind>()?;
                match (element, seq.next_element::<de::IgnoredAny>()?) {
                    (Some(element), None) => shallow(Kind::List(Box::new(element))),
                    _ => Err(de::Error::custom("a list has one type of elements\n  write [type]")),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry::<String, Kind>()? {
                    fields.push(field);
                }
                structure(fields).map_err(de::Error::custom).and_then(shallow)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

fn shallow<E: de::Error>(kind: Kind) -> Result<Kind, E> {
    match kind.depth() {
        1..=DEPTH_MAX => Ok(kind),
        _ => Err(E::custom(format!("types nested deeper than {DEPTH_MAX}\n  flatten the inner ones"))),
    }
}
