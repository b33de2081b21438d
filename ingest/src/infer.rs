//! Types of JSON fields that no one declared.
//!
//! The type follows from the kind of JSON value alone, never from how large, long or precise a value is, so that
//! the next value of the same producer fits:
//!
//! | JSON | column |
//! |---|---|
//! | text | string |
//! | a number | double; a whole number that a double cannot hold exactly is a dead letter |
//! | `true`, `false` | boolean |
//! | an object | struct of its fields, sorted by name |
//! | a list | list; its elements' kind is the first one's |
//! | `null`, an empty object, an empty list | nothing yet: the column comes with the first value |
//!
//! Where one field has values of several kinds, the first in the order of the offsets decides; the others are
//! then dead letters, or texts where the column is one. Whoever wants another type declares the column.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};

use crate::decode::nested::{elements, is_null, members};

/// Objects nested deeper than this are not followed.
const DEPTH_MAX: usize = 16;

/// What is known of a field so far.
#[derive(Debug, Default)]
enum Guess {
    #[default]
    Nothing,
    Text,
    Number,
    Boolean,
    List(Box<Guess>),
    Object(BTreeMap<String, Guess>),
}

/// The fields of some objects, in the order of the objects.
pub(crate) fn fields<'a>(objects: impl Iterator<Item = &'a str>) -> Fields {
    let mut all = Guess::Object(BTreeMap::new());
    objects.for_each(|object| all.look(object, 0));
    match all.data_type() {
        Some(DataType::Struct(fields)) => fields,
        _ => Fields::empty(),
    }
}

impl Guess {
    fn look(&mut self, value: &str, depth: usize) {
        if is_null(value) || depth > DEPTH_MAX {
            return;
        }
        if let Self::Nothing = self {
            *self = match value.as_bytes().first() {
                Some(b'{') => Self::Object(BTreeMap::new()),
                Some(b'[') => Self::List(Box::default()),
                Some(b'"') => Self::Text,
                Some(b't' | b'f') => Self::Boolean,
                _ => Self::Number,
            };
        }
        match self {
            Self::Object(fields) => {
                for (key, value) in members(value).into_iter().flatten() {
                    fields.entry(key.into_owned()).or_default().look(value, depth + 1);
                }
            }
            Self::List(element) => {
                elements(value).into_iter().flatten().for_each(|value| element.look(value, depth + 1));
            }
            _ => {}
        }
    }

    fn data_type(&self) -> Option<DataType> {
        Some(match self {
            Self::Nothing => return None,
            Self::Text => DataType::Utf8,
            Self::Number => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::List(element) => {
                DataType::List(Arc::new(Field::new("element", element.data_type()?, true)))
            }
            Self::Object(fields) => {
                let fields = fields.iter();
                let fields: Fields = fields
                    .filter_map(|(name, guess)| Some(Field::new(name, guess.data_type()?, true)))
                    .collect();
                if fields.is_empty() {
                    return None;
                }
                DataType::Struct(fields)
            }
        })
    }
}

#[cfg(test)]
mod tests;
