//! Names that are made from messages: topics by pattern, tables by template.
//!
//! ```text
//! pattern  shop\.[a-z]+                 the topics whose whole name matches
//! template bronze.{topic}_{field:kind}  the table of a message, by its topic, a field or a header
//! ```
//!
//! A value becomes a part of a table's name by one rule: letters A to Z become small, and whatever is no ASCII
//! letter, digit or `_` becomes `_`. So values that differ only in such characters share a table, whose rows still
//! tell their topic. A value that is missing, null, empty or no text, or that makes the name longer than a name may
//! be, makes no table: its message is a dead letter.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer};
use sluice_catalog::TableName;

/// A pattern needs no more memory than this when it is compiled.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A regular expression over whole names of topics.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

/// Where a message says something about itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A field of the event, at its top level.
    Field(String),
    /// A Kafka header; of several with one name the last counts.
    Header(String),
}

/// A table, or the tables that a template makes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// One table.
    Table(TableName),
    /// As many tables as the messages name.
    Template(Template),
}

/// The name of a table with places to be filled in, behind the last dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Template {
    namespace: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Literal(String),
    Topic,
    Value(Origin),
}

impl Pattern {
    /// The expression, as the file gives it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a topic is meant; Kafka's own topics never are.
    pub fn matches(&self, topic: &str) -> bool {
        !topic.starts_with("__") && self.regex.is_match(topic)
    }
}

impl Template {
    /// What of a message fills the places, in their order; each once.
    pub fn origins(&self) -> Vec<&Origin> {
        let mut origins: Vec<&Origin> = Vec::new();
        for part in &self.parts {
            if let Part::Value(origin) = part
                && !origins.contains(&origin)
            {
                origins.push(origin);
            }
        }
        origins
    }

    /// The table of a message of `topic`; `value` gives what the message says at an origin.
    ///
    /// # Errors
    /// Why the message names no table.
    pub fn table<'a>(
        &self,
        topic: &str,
        value: impl Fn(&Origin) -> Option<&'a str>,
    ) -> Result<TableName, String> {
        let mut name = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => name.push_str(text),
                Part::Topic => sanitize(topic, &mut name),
                Part::Value(origin) => match value(origin) {
                    Some(text) if !text.is_empty() => sanitize(text, &mut name),
                    Some(_) => return Err(format!("{origin}, which names the table, is empty")),
                    None => return Err(format!("{origin}, which names the table, is missing or no text")),
                },
            }
        }
        TableName::new(self.namespace.clone(), name.clone())
            .map_err(|_| format!("`{}.{name:.80}` is longer than the name of a table may be", self.namespace))
    }

    /// The namespace of all its tables.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether the template can have made that name.
    pub fn can_make(&self, table: &TableName) -> bool {
        table.namespace() == self.namespace && can_make(&self.parts, table.name())
    }
}

/// Whether the places can be filled so that `name` comes out; each takes one character at least. The first place
/// where a literal fits is as good as any later one, so nothing is tried twice.
fn can_make(parts: &[Part], name: &str) -> bool {
    let last = parts.len().saturating_sub(1);
    let (mut rest, mut places) = (name, 0);
    for (number, part) in parts.iter().enumerate() {
        let Part::Literal(text) = part else {
            places += 1;
            continue;
        };
        let Some(behind) = rest.get(places..) else { return false };
        let found = match (places, number == last) {
            (0, _) => behind.starts_with(text).then_some(0),
            (_, true) => behind.ends_with(text).then(|| behind.len() - text.len()),
            (_, false) => behind.find(text),
        };
        let Some(at) = found else { return false };
        (rest, places) = (&behind[at + text.len()..], 0);
    }
    if places == 0 { rest.is_empty() } else { rest.len() >= places }
}

/// Appends a value by the rule of the module.
fn sanitize(value: &str, name: &mut String) {
    name.extend(value.chars().map(|c| match c {
        'A'..='Z' | 'a'..='z' | '0'..='9' | '_' => c.to_ascii_lowercase(),
        _ => '_',
    }));
}

impl Target {
    /// The one table; `None` for a template.
    pub fn table(&self) -> Option<&TableName> {
        match self {
            Self::Table(table) => Some(table),
            Self::Template(_) => None,
        }
    }

    /// The template; `None` for one table.
    pub fn template(&self) -> Option<&Template> {
        match self {
            Self::Table(_) => None,
            Self::Template(template) => Some(template),
        }
    }
}

impl From<TableName> for Target {
    fn from(table: TableName) -> Self {
        Self::Table(table)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(PATTERN_BYTES_MAX).build();
        let regex = built.map_err(|error| {
            let error = error.to_string().lines().last().unwrap_or_default().to_owned();
            format!("`{text}` is no pattern: {error}\n  use a regular expression, such as `shop\\.[a-z]+`")
        })?;
        Ok(Self { text: text.to_owned(), regex })
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':').map(|(kind, name)| (kind.trim(), name.trim())) {
            Some(("field", name)) if !name.is_empty() => Ok(Self::Field(name.to_owned())),
            Some(("header", name)) if !name.is_empty() => Ok(Self::Header(name.to_owned())),
            _ => Err(format!("`{text}` is no place in a message\n  use `field:NAME` or `header:NAME`")),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains('{') {
            return text.parse().map(Self::Table).map_err(|error: sluice_catalog::Error| error.to_string());
        }
        let wrong = |fact: &str| {
            format!(
                "`{text}` is no template of tables: {fact}\n  use, for example, `bronze.{{topic}}`, \
                 `bronze.{{field:kind}}` or `bronze.{{header:tenant}}_events`"
            )
        };
        let open = text.find('{').unwrap_or_default();
        let Some(dot) = text[..open].rfind('.') else {
            return Err(wrong("it needs a namespace, a dot, and places only behind the dot"));
        };
        let (namespace, mut rest) = (text[..dot].to_owned(), &text[dot + 1..]);
        let mut parts = Vec::new();
        while let Some(open) = rest.find('{') {
            let close = rest[open..].find('}').ok_or_else(|| wrong("a `{` is not closed"))? + open;
            if open > 0 {
                parts.push(Part::Literal(rest[..open].to_owned()));
            }
            parts.push(match &rest[open + 1..close] {
                "topic" => Part::Topic,
                place => Part::Value(place.parse().map_err(|_| wrong("a place is of no known kind"))?),
            });
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        let template = Template { namespace, parts };
        if template.table("t", |_| Some("v")).is_err() {
            return Err(wrong("besides the places it has characters that no name has"));
        }
        Ok(Self::Template(template))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, "the field `{name}`"),
            Self::Header(name) => write!(f, "the header `{name}`"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(table) => table.fmt(f),
            Self::Template(template) => template.fmt(f),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.namespace)?;
        for part in &self.parts {
            match part {
                Part::Literal(text) => f.write_str(text)?,
                Part::Topic => f.write_str("{topic}")?,
                Part::Value(Origin::Field(name)) => write!(f, "{{field:{name}}}")?,
                Part::Value(Origin::Header(name)) => write!(f, "{{header:{name}}}")?,
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
