//! How the messages of a topic are written, and what happens to fields that a table does not know.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::file::unknown;

const FORMATS: [&str; 5] = ["json", "avro", "protobuf", "text", "csv: {fields: [...]}"];
const POLICIES: [&str; 4] = ["ignore", "evolve", "keep", "reject"];

/// How the messages of a topic are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a message.
    #[default]
    Json,
    /// Avro, its schema in a schema registry.
    Avro,
    /// Protobuf, its schema in a schema registry.
    Protobuf,
    /// The payload as it is, in the field `line`.
    Text,
    /// One line of values a message.
    Csv(CsvFormat),
}

/// How a line of values is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvFormat {
    /// The names of the values, in their order.
    pub fields: Vec<String>,
    /// What stands between two values.
    pub delimiter: u8,
}

/// What happens to a field that a message has and the table has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemaPolicy {
    /// It is left out, as the topics file asks for the listed ones only.
    #[default]
    Ignore,
    /// It becomes a column, and a column of a narrower type is widened.
    Evolve,
    /// It lands as JSON text in the column `_rest`.
    Keep,
    /// The message is a dead letter.
    Reject,
}

impl Format {
    /// Whether the schema of a message is in a schema registry.
    pub fn is_registered(&self) -> bool {
        matches!(self, Self::Avro | Self::Protobuf)
    }

    fn named(name: &str) -> Result<Self, String> {
        Ok(match name {
            "json" => Self::Json,
            "avro" => Self::Avro,
            "protobuf" => Self::Protobuf,
            "text" => Self::Text,
            "csv" => {
                let text = "`csv` needs the names of the values\n  write csv: {fields: [a, b]}";
                return Err(text.to_owned());
            }
            other => return Err(unknown("format", other, &FORMATS)),
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Avro => "avro",
            Self::Protobuf => "protobuf",
            Self::Text => "text",
            Self::Csv(_) => "csv",
        })
    }
}

impl fmt::Display for SchemaPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ignore => "ignore",
            Self::Evolve => "evolve",
            Self::Keep => "keep",
            Self::Reject => "reject",
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CsvShape {
    fields: Vec<String>,
    #[serde(default = "comma")]
    delimiter: String,
}

fn comma() -> String {
    ",".to_owned()
}

impl CsvShape {
    fn checked(self) -> Result<CsvFormat, String> {
        let [delimiter] = self.delimiter.as_bytes() else {
            return Err(format!("`{}` is no delimiter\n  give one ASCII character", self.delimiter));
        };
        if self.fields.is_empty() {
            return Err("csv names no fields\n  name the values of a line in their order".to_owned());
        }
        let twice = self.fields.iter().enumerate().find(|(at, name)| self.fields[..*at].contains(name));
        match twice {
            Some((_, name)) => Err(format!("csv names the field `{name}` twice\n  remove one")),
            None => Ok(CsvFormat { fields: self.fields, delimiter: *delimiter }),
        }
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Format;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a format: {}", FORMATS.join(", "))
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Format, E> {
                Format::named(name).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Format, A::Error> {
                match map.next_key::<String>()?.as_deref() {
                    Some("csv") => {
                        let shape = map.next_value::<CsvShape>()?;
                        shape.checked().map(Format::Csv).map_err(de::Error::custom)
                    }
                    other => Err(de::Error::custom(unknown("format", other.unwrap_or(""), &FORMATS))),
                }
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl<'de> Deserialize<'de> for SchemaPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "ignore" => Self::Ignore,
            "evolve" => Self::Evolve,
            "keep" => Self::Keep,
            "reject" => Self::Reject,
            other => return Err(de::Error::custom(unknown("schema policy", other, &POLICIES))),
        })
    }
}
