//! Where a dead letter comes from, which is also its name: `TOPIC/PARTITION/OFFSET`.

use std::fmt;
use std::str::FromStr;

/// The place of a message in Kafka, or of a record in a file (then the topic is the file's name).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A text that names no place.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` names no dead letter: it should be TOPIC/PARTITION/OFFSET, such as orders/0/1234")]
pub struct PlaceError(String);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let parse = || {
            // From behind: the name of a file may hold slashes.
            let mut parts = text.rsplitn(3, '/');
            let offset = parts.next()?.parse().ok()?;
            let partition = parts.next()?.parse().ok()?;
            let topic = parts.next().filter(|topic| !topic.is_empty())?.to_owned();
            Some(Self { topic, partition, offset })
        };
        parse().ok_or_else(|| PlaceError(text.to_owned()))
    }
}
