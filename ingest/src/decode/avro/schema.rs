//! An Avro schema made ready for the decoder: every name replaced by what it stands for.
//!
//! The decoder takes one text, borrows its strings (so that no escape may be in them), knows no references to other
//! schemas, and loops as often as a list's count says, however few bytes follow. So:
//! - names are looked up here, in the schema and in those it refers to, and each use becomes a definition of its own;
//! - only what decides the encoding stays: no documentation, defaults, aliases or order;
//! - refused are schemas that contain themselves (no table can hold such values), lists and maps of elements that
//!   take no bytes (a few bytes could claim 2^62 of them), unions of several types (which no table can hold, and
//!   whose nulls the decoder does not read), and schemas that grow too large or too deep.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// Deeper nesting is refused.
const DEPTH_MAX: usize = 32;
/// A schema with more types than this is refused.
const TYPES_MAX: usize = 10_000;

const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// The text for the decoder.
///
/// # Errors
/// What is wrong with the schema.
pub(super) fn expand(text: &str, references: &[(String, String)]) -> Result<String, String> {
    let parse = |name: &str, text: &str| {
        serde_json::from_str::<Value>(text).map_err(|error| format!("{name} is not JSON: {error}"))
    };
    let root = parse("it", text)?;
    let references =
        references.iter().map(|(name, text)| parse(name, text)).collect::<Result<Vec<_>, _>>()?;
    let mut names = HashMap::new();
    for schema in references.iter().chain([&root]) {
        collect(schema, "", &mut names, 0)?;
    }
    let mut expansion = Expansion { names, open: Vec::new(), count: 0 };
    let made = expansion.expand(&root, "")?;
    match made.value["type"].as_str() {
        Some("record") if made.takes_bytes => Ok(made.value.to_string()),
        Some("record") => Err("its records take no bytes".to_owned()),
        _ => Err("it is no record; a message must be one to have columns".to_owned()),
    }
}

/// A definition and the namespace it stands in.
type Names<'a> = HashMap<String, (&'a Map<String, Value>, String)>;

/// Notes every named type of a schema.
fn collect<'a>(schema: &'a Value, space: &str, names: &mut Names<'a>, depth: usize) -> Result<(), String> {
    if depth > 2 * DEPTH_MAX {
        return Err(format!("it is nested deeper than {DEPTH_MAX} levels"));
    }
    match schema {
        Value::Array(branches) => {
            branches.iter().try_for_each(|branch| collect(branch, space, names, depth + 1))
        }
        Value::Object(object) => {
            let mut space = space.to_owned();
            if let (Some("record" | "enum" | "fixed" | "error"), Some(name)) =
                (object.get("type").and_then(Value::as_str), object.get("name").and_then(Value::as_str))
            {
                let own = object.get("namespace").and_then(Value::as_str);
                let full = full_name(name, own.unwrap_or(&space));
                space = full.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
                names.entry(full).or_insert((object, space.clone()));
            }
            for key in ["type", "items", "values"] {
                if let Some(inner) = object.get(key) {
                    collect(inner, &space, names, depth + 1)?;
                }
            }
            let fields = object.get("fields").and_then(Value::as_array);
            let mut types = fields.into_iter().flatten().filter_map(|field| field.get("type"));
            types.try_for_each(|inner| collect(inner, &space, names, depth + 1))
        }
        _ => Ok(()),
    }
}

fn full_name(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") }
}

struct Expansion<'a> {
    names: Names<'a>,
    /// The named types around the place where the expansion is.
    open: Vec<String>,
    count: usize,
}

/// An expanded type, and whether a value of it takes at least one byte.
struct Expanded {
    value: Value,
    takes_bytes: bool,
}

impl<'a> Expansion<'a> {
    fn expand(&mut self, schema: &'a Value, space: &str) -> Result<Expanded, String> {
        self.count += 1;
        if self.count > TYPES_MAX {
            return Err(format!("it has more than {TYPES_MAX} types"));
        }
        if self.open.len() > DEPTH_MAX {
            return Err(format!("it is nested deeper than {DEPTH_MAX} levels"));
        }
        match schema {
            Value::String(name) => self.name(name, space),
            Value::Array(branches) => self.union(branches, space),
            Value::Object(object) => self.object(object, space),
            _ => Err(format!("`{schema}` is no type")),
        }
    }

    fn name(&mut self, name: &str, space: &str) -> Result<Expanded, String> {
        if PRIMITIVES.contains(&name) {
            return Ok(Expanded { value: json!(name), takes_bytes: name != "null" });
        }
        let full = full_name(name, space);
        let found = self.names.get(&full).or_else(|| self.names.get(name)).cloned();
        let Some((object, space)) = found else { return Err(format!("the type `{full}` is not defined")) };
        self.object(object, &space)
    }

    fn union(&mut self, branches: &'a [Value], space: &str) -> Result<Expanded, String> {
        let mut made = Vec::with_capacity(branches.len());
        for branch in branches {
            self.open.push("union".to_owned());
            made.push(self.expand(branch, space)?.value);
            self.open.pop();
        }
        match made.iter().filter(|branch| **branch != "null").count() {
            0 => return Err("a union without a type has no values".to_owned()),
            // The decoder takes a union of one for a union of several; with null behind it nothing else changes.
            1 if made.len() == 1 => made.push(json!("null")),
            1 => {}
            _ => return Err("a union of several types, which no table can hold".to_owned()),
        }
        Ok(taking_bytes(Value::Array(made)))
    }

    fn object(&mut self, object: &'a Map<String, Value>, space: &str) -> Result<Expanded, String> {
        let kind = object.get("type").ok_or("a type without `type`")?;
        let Some(kind) = kind.as_str() else { return self.inner(kind, space) };
        match kind {
            "record" | "error" => self.record(object, space),
            "enum" => {
                let symbols = object.get("symbols").and_then(Value::as_array);
                let symbols = symbols.filter(|symbols| symbols.iter().all(Value::is_string));
                let symbols = symbols.ok_or("an enum without symbols")?;
                let name = self.own_name();
                Ok(taking_bytes(json!({"type": "enum", "name": name, "symbols": symbols})))
            }
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64).ok_or("a fixed without a size")?;
                if size > 1 << 20 {
                    return Err(format!("a fixed of {size} bytes is too large"));
                }
                let mut made = json!({"type": "fixed", "name": self.own_name(), "size": size});
                keep_logical_type(object, &mut made, &["decimal"]);
                Ok(Expanded { value: made, takes_bytes: size > 0 })
            }
            "array" | "map" => {
                let key = if kind == "array" { "items" } else { "values" };
                let inner = object.get(key).ok_or_else(|| format!("{kind} without `{key}`"))?;
                let inner = self.inner(inner, space)?;
                if !inner.takes_bytes && kind == "array" {
                    return Err("a list of elements without bytes has no bound".to_owned());
                }
                Ok(taking_bytes(json!({"type": kind, key: inner.value})))
            }
            primitive if PRIMITIVES.contains(&primitive) => {
                let mut made = json!({"type": primitive});
                let (int, long): (&[&str], &[&str]) = (
                    &["date", "time-millis"],
                    &[
                        "time-micros",
                        "timestamp-millis",
                        "timestamp-micros",
                        "timestamp-nanos",
                        "local-timestamp-millis",
                        "local-timestamp-micros",
                        "local-timestamp-nanos",
                    ],
                );
                keep_logical_type(
                    object,
                    &mut made,
                    match primitive {
                        "int" => int,
                        "long" => long,
                        "bytes" => &["decimal"],
                        _ => &[], // A uuid is the text that it is written as.
                    },
                );
                let bare = made.as_object().is_some_and(|made| made.len() == 1);
                let value = if bare { json!(primitive) } else { made };
                Ok(Expanded { value, takes_bytes: primitive != "null" })
            }
            name => self.name(name, space),
        }
    }

    fn inner(&mut self, schema: &'a Value, space: &str) -> Result<Expanded, String> {
        self.open.push(String::new());
        let made = self.expand(schema, space);
        self.open.pop();
        made
    }

    fn record(&mut self, object: &'a Map<String, Value>, space: &str) -> Result<Expanded, String> {
        let name = object.get("name").and_then(Value::as_str).ok_or("a record without a name")?;
        let full = full_name(name, object.get("namespace").and_then(Value::as_str).unwrap_or(space));
        if self.open.contains(&full) {
            return Err(format!("`{full}` contains itself, which no table can hold"));
        }
        let space = full.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
        let fields = object.get("fields").and_then(Value::as_array).ok_or("a record without fields")?;
        let own = self.own_name();
        self.open.push(full);
        let (mut made, mut takes_bytes) = (Vec::with_capacity(fields.len()), false);
        for field in fields {
            let name = field.get("name").and_then(Value::as_str).ok_or("a field without a name")?;
            if !is_name(name) {
                return Err(format!("`{name}` is no name of a field"));
            }
            let schema = field.get("type").ok_or_else(|| format!("field `{name}` has no type"))?;
            let inner = self.expand(schema, &space).map_err(|fact| format!("{name}: {fact}"))?;
            takes_bytes |= inner.takes_bytes;
            made.push(json!({"name": name, "type": inner.value}));
        }
        self.open.pop();
        Ok(Expanded { value: json!({"type": "record", "name": own, "fields": made}), takes_bytes })
    }

    /// A name that no other type of the text has.
    fn own_name(&self) -> String {
        format!("t{}", self.count)
    }
}

fn taking_bytes(value: Value) -> Expanded {
    Expanded { value, takes_bytes: true }
}

/// Logical types that the decoder reads as more than their bytes; others are what they are written as.
fn keep_logical_type(object: &Map<String, Value>, made: &mut Value, known: &[&str]) {
    let Some(logical) = object.get("logicalType").and_then(Value::as_str) else { return };
    if !known.contains(&logical) {
        return;
    }
    if logical == "decimal" {
        let number = |key: &str| object.get(key).and_then(Value::as_u64);
        let (precision, scale) = (number("precision").unwrap_or(0), number("scale").unwrap_or(0));
        if !(1..=38).contains(&precision) || scale > precision {
            return; // Wider than a table holds: it lands as bytes.
        }
        (made["precision"], made["scale"]) = (json!(precision), json!(scale));
    }
    made["logicalType"] = json!(logical);
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests;
