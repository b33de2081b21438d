//! How many values a body unpacks to, counted before it is unpacked.
//!
//! A null takes one byte, and where a record is not there each of its columns gets a value: a megabyte of nulls
//! could fill the memory. That matters only for records that may be null inside of lists and maps, so most schemas
//! are never weighed, and of the others only bodies that are long enough to be dangerous.

use serde_json::Value;

/// A message that unpacks to more values than this is rejected.
const VALUES_MAX: usize = 4_000_000;

/// A schema as far as lengths go.
#[derive(Debug)]
enum Shape {
    /// Nothing at all.
    Null,
    /// So many bytes.
    Fixed(usize),
    /// A number of variable length.
    Number,
    /// A length, and so many bytes.
    Bytes,
    Record(Vec<Shape>),
    Union(Vec<Shape>),
    List(Box<Shape>),
    Map(Box<Shape>),
}

/// The scales of one schema.
#[derive(Debug)]
pub(super) struct Scales {
    shape: Shape,
    /// Values that one byte can make.
    leverage: usize,
}

impl Scales {
    /// For an expanded schema.
    pub(super) fn new(schema: &str) -> Result<Self, String> {
        let schema: Value = serde_json::from_str(schema).map_err(|error| error.to_string())?;
        let shape = Shape::new(&schema);
        Ok(Self { leverage: shape.leverage(false), shape })
    }

    /// Refuses a body that unpacks to too many values. One that is damaged is let through: the decoder says how.
    pub(super) fn check(&self, body: &[u8]) -> Result<(), String> {
        if body.len().saturating_mul(self.leverage) <= VALUES_MAX {
            return Ok(());
        }
        let mut walk = Walk { rest: body, values: 0 };
        // A body that ends too early has made as many values as were counted.
        let _ = walk.skip(&self.shape);
        if walk.values > VALUES_MAX {
            Err(format!("it unpacks to too many values, more than {VALUES_MAX}"))
        } else {
            Ok(())
        }
    }
}

impl Shape {
    fn new(schema: &Value) -> Self {
        match schema {
            Value::Array(branches) => Self::Union(branches.iter().map(Self::new).collect()),
            Value::String(name) => Self::primitive(name),
            _ => match schema["type"].as_str().unwrap_or_default() {
                "record" => {
                    let fields = schema["fields"].as_array().into_iter().flatten();
                    Self::Record(fields.map(|field| Self::new(&field["type"])).collect())
                }
                "array" => Self::List(Box::new(Self::new(&schema["items"]))),
                "map" => Self::Map(Box::new(Self::new(&schema["values"]))),
                "fixed" => Self::Fixed(schema["size"].as_u64().unwrap_or_default() as usize),
                "enum" => Self::Number,
                name => Self::primitive(name),
            },
        }
    }

    fn primitive(name: &str) -> Self {
        match name {
            "null" => Self::Null,
            "boolean" => Self::Fixed(1),
            "float" => Self::Fixed(4),
            "double" => Self::Fixed(8),
            "int" | "long" => Self::Number,
            _ => Self::Bytes,
        }
    }

    /// Columns that get a value where this is null.
    fn width(&self) -> usize {
        match self {
            Self::Record(fields) => 1 + fields.iter().map(Self::width).sum::<usize>(),
            Self::Union(branches) => branches.iter().map(Self::width).max().unwrap_or(1),
            _ => 1,
        }
    }

    /// The most values that a byte inside of a list or a map can make; 0 when it is never more than one.
    fn leverage(&self, repeats: bool) -> usize {
        match self {
            Self::Record(fields) => fields.iter().map(|field| field.leverage(repeats)).max().unwrap_or(0),
            Self::Union(branches) => {
                let own = if repeats && self.width() > 1 { self.width() } else { 0 };
                branches.iter().map(|branch| branch.leverage(repeats)).fold(own, usize::max)
            }
            Self::List(inner) | Self::Map(inner) => inner.leverage(true),
            _ => 0,
        }
    }
}

/// The way through a body.
struct Walk<'a> {
    rest: &'a [u8],
    values: usize,
}

impl Walk<'_> {
    /// Steps over a value; `None` when the body ends or too much was counted.
    fn skip(&mut self, shape: &Shape) -> Option<()> {
        self.values += 1;
        match shape {
            Shape::Null => Some(()),
            Shape::Fixed(size) => self.bytes(*size),
            Shape::Number => self.number().map(drop),
            Shape::Bytes => {
                let length = self.number()?;
                self.bytes(usize::try_from(length).ok()?)
            }
            Shape::Record(fields) => fields.iter().try_for_each(|field| self.skip(field)),
            Shape::Union(branches) => {
                let branch = branches.get(usize::try_from(self.number()?).ok()?)?;
                if let Shape::Null = branch {
                    self.values = self.values.saturating_add(shape.width());
                }
                self.skip(branch)
            }
            Shape::List(inner) => self.blocks(|walk| walk.skip(inner)),
            Shape::Map(inner) => self.blocks(|walk| {
                walk.skip(&Shape::Bytes)?;
                walk.skip(inner)
            }),
        }
    }

    /// Blocks of elements; a negative count is followed by the block's bytes.
    fn blocks(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        loop {
            let count = self.number()?;
            if count == 0 {
                return Some(());
            }
            if count < 0 {
                self.number()?;
            }
            for _ in 0..count.unsigned_abs() {
                element(self)?;
                if self.values > VALUES_MAX {
                    return None;
                }
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Option<()> {
        self.rest = self.rest.get(count..)?;
        Some(())
    }

    fn number(&mut self) -> Option<i64> {
        let mut value = 0_u64;
        for at in 0..10 {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return Some((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        None
    }
}
