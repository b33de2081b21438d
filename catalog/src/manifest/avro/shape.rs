//! What a value of a schema looks like in bytes, and the walk over one.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Bytes, Fault};

/// Types nest no deeper in any manifest.
const DEPTH_MAX: usize = 32;

/// A type, as far as it decides where its values end.
#[derive(Debug)]
pub(super) enum Shape {
    Nothing,
    Boolean,
    /// A whole number that must fit 32 bits, or 64.
    Int,
    Long,
    Fixed(usize),
    Bytes,
    Text,
    Enum(usize),
    Array(Arc<Shape>),
    Map(Arc<Shape>),
    Union(Vec<Arc<Shape>>),
    Record(Vec<Arc<Shape>>),
}

impl Shape {
    /// The shape of a schema, which is JSON.
    pub(super) fn parse(schema: &[u8]) -> Result<Arc<Self>, Fault> {
        let schema: Value =
            serde_json::from_slice(schema).map_err(|error| format!("its schema is no JSON: {error}"))?;
        Names::default().shape(&schema, "", 0)
    }

    /// Steps over one value; `steps` is how many more may be made.
    pub(super) fn walk(&self, bytes: &mut Bytes<'_>, steps: &mut usize) -> Result<(), Fault> {
        *steps = steps.checked_sub(1).ok_or("it has more values than its size allows")?;
        match self {
            Self::Nothing => Ok(()),
            Self::Boolean => match bytes.take(1)? {
                [0 | 1] => Ok(()),
                _ => Err("a boolean is neither true nor false".into()),
            },
            Self::Int => i32::try_from(bytes.long()?).map(drop).map_err(|_| "a number is too large".into()),
            Self::Long => bytes.long().map(drop),
            Self::Fixed(size) => bytes.take(*size).map(drop),
            Self::Bytes => bytes.text().map(drop),
            Self::Text => match std::str::from_utf8(bytes.text()?) {
                Ok(_) => Ok(()),
                Err(_) => Err("a text is not UTF-8".into()),
            },
            Self::Enum(symbols) => match bytes.length()? {
                symbol if symbol < *symbols => Ok(()),
                _ => Err("a symbol is not among those of its type".into()),
            },
            Self::Array(items) => Self::many(bytes, |bytes| items.walk(bytes, steps)),
            Self::Map(values) => Self::many(bytes, |bytes| {
                Self::Text.walk(bytes, steps)?;
                values.walk(bytes, steps)
            }),
            Self::Union(branches) => {
                let branch = bytes.length()?;
                branches.get(branch).ok_or("a value is of none of its types")?.walk(bytes, steps)
            }
            Self::Record(fields) => fields.iter().try_for_each(|field| field.walk(bytes, steps)),
        }
    }

    fn many(
        bytes: &mut Bytes<'_>,
        mut one: impl FnMut(&mut Bytes<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        loop {
            let items = bytes.items()?;
            if items == 0 {
                return Ok(());
            }
            (0..items).try_for_each(|_| one(bytes))?;
        }
    }
}

/// The types that have a name, once they are complete: a type that holds itself is none.
#[derive(Default)]
struct Names {
    known: HashMap<String, Arc<Shape>>,
}

impl Names {
    fn shape(&mut self, schema: &Value, space: &str, depth: usize) -> Result<Arc<Shape>, Fault> {
        if depth > DEPTH_MAX {
            return Err("its schema is nested too deep".into());
        }
        match schema {
            Value::String(name) => self.named(name, space),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.shape(branch, space, depth + 1));
                Ok(Arc::new(Shape::Union(branches.collect::<Result<_, _>>()?)))
            }
            Value::Object(object) => {
                let kind = object.get("type").unwrap_or(&Value::Null);
                match kind.as_str() {
                    Some("record" | "error" | "enum" | "fixed") => self.define(schema, space, depth),
                    Some("array") => {
                        Ok(Arc::new(Shape::Array(self.shape(&schema["items"], space, depth + 1)?)))
                    }
                    Some("map") => {
                        Ok(Arc::new(Shape::Map(self.shape(&schema["values"], space, depth + 1)?)))
                    }
                    Some(name) => self.named(name, space),
                    None => self.shape(kind, space, depth + 1),
                }
            }
            _ => Err("its schema has a part that is no type".into()),
        }
    }

    fn named(&self, name: &str, space: &str) -> Result<Arc<Shape>, Fault> {
        Ok(Arc::new(match name {
            "null" => Shape::Nothing,
            "boolean" => Shape::Boolean,
            "int" => Shape::Int,
            "long" => Shape::Long,
            "float" => Shape::Fixed(4),
            "double" => Shape::Fixed(8),
            "bytes" => Shape::Bytes,
            "string" => Shape::Text,
            _ => {
                let known = self.known.get(&full(name, space)).or_else(|| self.known.get(name));
                let unknown = || format!("its schema uses the type `{name}` before it is complete");
                return Ok(Arc::clone(known.ok_or_else(unknown)?));
            }
        }))
    }

    /// A type with a name of its own.
    fn define(&mut self, schema: &Value, space: &str, depth: usize) -> Result<Arc<Shape>, Fault> {
        let name = schema["name"].as_str().ok_or("its schema has a type without a name")?;
        let space = schema["namespace"].as_str().unwrap_or(space);
        let name = full(name, space);
        let inner = name.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
        let shape = match schema["type"].as_str() {
            Some("enum") => Shape::Enum(schema["symbols"].as_array().map_or(0, Vec::len)),
            Some("fixed") => {
                let size = schema["size"].as_u64().and_then(|size| usize::try_from(size).ok());
                Shape::Fixed(size.ok_or("its schema has a type of no size")?)
            }
            _ => {
                let fields = schema["fields"].as_array().ok_or("its schema has a record without fields")?;
                let fields = fields.iter().map(|field| self.shape(&field["type"], &inner, depth + 1));
                Shape::Record(fields.collect::<Result<_, _>>()?)
            }
        };
        let shape = Arc::new(shape);
        self.known.insert(name, Arc::clone(&shape));
        Ok(shape)
    }
}

fn full(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") }
}
