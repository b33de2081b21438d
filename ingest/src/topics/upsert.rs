//! Tables with a key: an event changes the row of its key instead of adding one.

use super::{Column, Kind, Route, Topic};
use crate::topics::Format;

/// The `op` of a Debezium envelope as a field of the flat event, and of events that Debezium itself made flat.
pub(crate) const FLAT_OP: &str = "__op";
/// What such flat events may say instead: whether the row is deleted.
const FLAT_DELETED: &str = "__deleted";

/// How the events of a route change rows of its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upsert {
    /// The columns that tell rows apart: the table has one row a key.
    pub key: Vec<String>,
    /// Where an event says what it does.
    pub changes: Changes,
    /// The column that says which of two events is the later one; without it the order in the topic does.
    pub order_by: Option<String>,
}

/// Where an event says what it does to the row of its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Changes {
    /// Nowhere: every event is the row as it is from now on, and a message without payload deletes it. Where an
    /// event has the fields that Debezium adds when it makes its envelopes flat, they count: `__op` as with
    /// [`Changes::Op`], and `__deleted`.
    #[default]
    Upsert,
    /// In its field `op`.
    Op,
    /// In a Debezium envelope.
    Debezium,
}

impl Changes {
    /// The fields that say it; the first one is enough.
    pub(crate) fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Op => &["op"],
            Self::Debezium => &[FLAT_OP],
            Self::Upsert => &[FLAT_OP, FLAT_DELETED],
        }
    }
}

/// What must hold for a route with a key.
pub(super) fn check(route: &Route) -> Result<(), String> {
    let Some(upsert) = &route.upsert else { return Ok(()) };
    let table = &route.table;
    if upsert.key.is_empty() {
        return Err(format!("the key of `{table}` has no columns\n  name those that tell its rows apart"));
    }
    for (at, name) in upsert.key.iter().enumerate() {
        if upsert.key[..at].contains(name) {
            return Err(format!("the key of `{table}` names `{name}` twice\n  remove one"));
        }
    }
    for name in upsert.key.iter().chain(&upsert.order_by) {
        let Some(Column { kind, .. }) = route.columns.iter().find(|column| column.name == *name) else {
            return Err(format!("`{name}` is not one of the columns of `{table}`\n  add it under `columns`"));
        };
        if kind.is_nested() || matches!(kind, Kind::Float | Kind::Double) {
            return Err(format!(
                "`{name}` of `{table}` is {kind}, whose values cannot be told apart or put in order exactly\n  \
                 choose a column of another type"
            ));
        }
    }
    if !route.event_types.is_empty() {
        return Err(format!(
            "`{table}` has a key and its route names event types, which a delete need not have\n  \
             give its events a topic of their own"
        ));
    }
    Ok(())
}

/// What must hold for a topic that has such a route.
pub(super) fn check_topic(topic: &Topic) -> Result<(), String> {
    let Some(upsert) = topic.routes.iter().find_map(|route| route.upsert.as_ref()) else { return Ok(()) };
    let name = &topic.name;
    if topic.routes.len() > 1 {
        return Err(format!(
            "topic `{name}` has a route with a key beside others\n  give its events a topic of their own"
        ));
    }
    if upsert.changes == Changes::Debezium && topic.format != Format::Json {
        return Err(format!(
            "topic `{name}` is {}, and Debezium envelopes are read from JSON\n  set `format: json` and let Debezium \
             write with its JSON converter",
            topic.format
        ));
    }
    Ok(())
}
