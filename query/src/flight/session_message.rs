//! The messages of Flight sessions, as the protocol defines them.
//!
//! The arrow-flight crate does not have them. They travel in actions as they are, without `Any`.

use std::collections::HashMap;

use prost::{Enumeration, Message, Oneof};

/// A value of an option; without one, the option is to be cleared.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OptionValue {
    #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5")]
    pub(crate) value: Option<Value>,
}

/// The types an option's value may have.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(sfixed64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Texts(Texts),
}

/// Several texts.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Texts {
    #[prost(string, repeated, tag = "1")]
    pub(crate) values: Vec<String>,
}

/// Sets options, in a new session if there is none.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetRequest {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) options: HashMap<String, OptionValue>,
}

/// The options that could not be set; those not named were.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetResult {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) errors: HashMap<String, SetError>,
}

/// Why an option was not set.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetError {
    #[prost(enumeration = "SetErrorKind", tag = "1")]
    pub(crate) kind: i32,
}

/// The kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(crate) enum SetErrorKind {
    Unspecified = 0,
    InvalidName = 1,
    InvalidValue = 2,
    Error = 3,
}

/// The options of the session.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetResult {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) options: HashMap<String, OptionValue>,
}

/// Answer to the end of a session.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CloseResult {
    #[prost(enumeration = "CloseStatus", tag = "1")]
    pub(crate) status: i32,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(crate) enum CloseStatus {
    Unspecified = 0,
    Closed = 1,
    Closing = 2,
    NotCloseable = 3,
}

impl From<&str> for OptionValue {
    fn from(text: &str) -> Self {
        Self { value: Some(Value::Text(text.to_owned())) }
    }
}
