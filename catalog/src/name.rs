//! The name of a table or view: parsed once, valid ever after.
//!
//! A name becomes a folder in the warehouse and an identifier in SQL, so it holds only what both take
//! as it is. In particular it holds no separator of paths, and dots only between its parts.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The longest part, in bytes: folder names end at 255 on common file systems.
const PART_BYTES_MAX: usize = 200;

/// `namespace.name`; each part is made of letters, digits, `_`, `-` and `$`.
///
/// A namespace may have several levels, joined by dots; what follows the last dot is the name.
///
/// Lower case is best: SQL folds a name without quotes to lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    namespace: String,
    name: String,
}

impl TableName {
    /// # Errors
    /// When a part is empty, longer than 200 bytes, or holds a character other than a letter, a digit,
    /// `_`, `-` or `$`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Result<Self> {
        let (namespace, name) = (namespace.into(), name.into());
        if is_valid_namespace(&namespace) && is_valid_part(&name) {
            Ok(Self { namespace, name })
        } else {
            Err(Error::InvalidName { name: format!("{namespace}.{name}") })
        }
    }

    /// The namespace: `bronze` in `bronze.orders`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name inside the namespace: `orders` in `bronze.orders`.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Whether `namespace` is made of valid parts, joined by dots.
pub(crate) fn is_valid_namespace(namespace: &str) -> bool {
    namespace.len() <= PART_BYTES_MAX && namespace.split('.').all(is_valid_part)
}

/// Whether `part` can be a level of a namespace or the name of a table.
pub(crate) fn is_valid_part(part: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$');
    !part.is_empty() && part.len() <= PART_BYTES_MAX && part.chars().all(allowed)
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.name)
    }
}

impl FromStr for TableName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.rsplit_once('.') {
            Some((namespace, name)) => Self::new(namespace, name),
            None => Err(Error::InvalidName { name: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests;
