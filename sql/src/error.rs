//! What can go wrong with a statement: fact, place, remedy.
//!
//! The class tells a server whose mistake it is; the first line of the text is the cause, for clients that
//! show one line. The library's errors are unwrapped to their root and lose their prefixes.

use std::fmt;

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, Diagnostic, SchemaError, Span};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

/// The result of an operation on SQL.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A statement that could not be planned or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no statement, or beyond the limits.
    #[error("{0}")]
    Syntax(Complaint),
    /// The text is a statement, but its names or types do not fit together.
    #[error("{0}")]
    Plan(Complaint),
    /// There is no table or view of that name.
    #[error("{0}")]
    NotFound(Complaint),
    /// Understood, and not done here: writing through SQL, or a feature that the engine lacks.
    #[error("{0}")]
    Unsupported(Complaint),
    /// The memory or disk set aside for queries is used up.
    #[error("{0}")]
    ResourcesExhausted(Complaint),
    /// The values at hand do not allow it: a failed cast, a division by zero, an overflow.
    #[error("{0}")]
    Execution(Complaint),
    /// The caller gave up.
    #[error("the query was cancelled")]
    Cancelled,
    /// The catalog or the object store did not answer as it should.
    #[error("{0}")]
    Lake(Complaint),
    /// A defect of this program or of its query engine.
    #[error("{0}")]
    Internal(Complaint),
}

/// A position in a statement's text, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

/// Fact, place and remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    message: String,
    remedy: Option<String>,
    place: Option<Place>,
    line: Option<String>,
}

impl Complaint {
    /// States the fact, naming its subject.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: None, place: None, line: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The fact alone.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn at(mut self, place: Option<Place>) -> Self {
        self.place = self.place.or(place);
        self
    }

    /// Keeps the line that the place points into, to be shown with a caret.
    pub(crate) fn with_text(mut self, sql: &str) -> Self {
        if let (Some(place), None) = (self.place, &self.line) {
            self.line = usize::try_from(place.line)
                .ok()
                .and_then(|line| sql.lines().nth(line.checked_sub(1)?))
                .map(str::to_owned);
        }
        self
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(Place { line, column }) = self.place {
            write!(f, "\n  at line {line}, column {column}")?;
            if let Some(text) = &self.line {
                let before = usize::try_from(column.saturating_sub(1)).unwrap_or(0);
                // A window around the place keeps a statement on one long line readable.
                let start = before.saturating_sub(60);
                let shown: String = text.chars().skip(start).take(100).collect();
                let indent: String =
                    shown.chars().take(before - start).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
                write!(f, "\n  | {shown}\n  | {indent}^")?;
            }
        }
        match &self.remedy {
            Some(remedy) => write!(f, "\n  {remedy}"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// Line and column in the text given to `prepare`, where they are known.
    pub fn location(&self) -> Option<(u64, u64)> {
        self.complaint()?.place.map(|place| (place.line, place.column))
    }

    /// The fact without place and remedy.
    pub fn message(&self) -> &str {
        self.complaint().map_or("the query was cancelled", Complaint::message)
    }

    fn complaint(&self) -> Option<&Complaint> {
        match self {
            Self::Syntax(c)
            | Self::Plan(c)
            | Self::NotFound(c)
            | Self::Unsupported(c)
            | Self::ResourcesExhausted(c)
            | Self::Execution(c)
            | Self::Lake(c)
            | Self::Internal(c) => Some(c),
            Self::Cancelled => None,
        }
    }

    /// Changes the complaint, keeping the class.
    pub(crate) fn map(self, change: impl FnOnce(Complaint) -> Complaint) -> Self {
        match self {
            Self::Syntax(c) => Self::Syntax(change(c)),
            Self::Plan(c) => Self::Plan(change(c)),
            Self::NotFound(c) => Self::NotFound(change(c)),
            Self::Unsupported(c) => Self::Unsupported(change(c)),
            Self::ResourcesExhausted(c) => Self::ResourcesExhausted(change(c)),
            Self::Execution(c) => Self::Execution(change(c)),
            Self::Lake(c) => Self::Lake(change(c)),
            Self::Internal(c) => Self::Internal(change(c)),
            Self::Cancelled => Self::Cancelled,
        }
    }

    pub(crate) fn with_text(self, sql: &str) -> Self {
        self.map(|complaint| complaint.with_text(sql))
    }
}

impl From<sluice_catalog::Error> for Error {
    fn from(error: sluice_catalog::Error) -> Self {
        let text = error.to_string();
        let (message, remedy) = text.split_once("\n  ").unwrap_or((&text, ""));
        let complaint = Complaint::new(message);
        let complaint = if remedy.is_empty() { complaint } else { complaint.remedy(remedy) };
        match error {
            sluice_catalog::Error::NoSuchTable { .. } | sluice_catalog::Error::InvalidName { .. } => {
                Self::NotFound(complaint)
            }
            _ => Self::Lake(complaint),
        }
    }
}

/// Our own errors travel through the library inside `External`.
impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::SQL(error, _) => Self::Syntax(syntax(&error)),
            DataFusionError::NotImplemented(message) => Self::Unsupported(Complaint::new(message)),
            DataFusionError::Plan(message) | DataFusionError::Configuration(message) => {
                Self::Plan(with_hint(&message))
            }
            DataFusionError::SchemaError(error, _) => Self::Plan(schema(&error)),
            DataFusionError::ResourcesExhausted(message) => Self::ResourcesExhausted(
                Complaint::new(message).remedy("ask for less at once, or raise `query.memory`"),
            ),
            DataFusionError::Execution(message) => Self::Execution(Complaint::new(message)),
            DataFusionError::ArrowError(error, _) => arrow(*error),
            DataFusionError::ObjectStore(error) => Self::Lake(Complaint::new(error.to_string())),
            DataFusionError::ParquetError(error) => Self::Lake(Complaint::new(error.to_string())),
            DataFusionError::IoError(error) => Self::Lake(Complaint::new(error.to_string())),
            DataFusionError::ExecutionJoin(error) if error.is_cancelled() => Self::Cancelled,
            DataFusionError::External(error) => external(error),
            DataFusionError::Context(_, inner) => Self::from(*inner),
            DataFusionError::Diagnostic(diagnostic, inner) => {
                let place = place(&diagnostic);
                Self::from(*inner).map(|complaint| complaint.at(place))
            }
            DataFusionError::Collection(errors) => match errors.into_iter().next() {
                Some(error) => Self::from(error),
                None => Self::Internal(Complaint::new("an empty list of errors")),
            },
            DataFusionError::Shared(error) => shared(&error),
            other => Self::Internal(
                Complaint::new(other.strip_backtrace())
                    .remedy("this is a defect; please report the statement"),
            ),
        }
    }
}

fn external(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(own) => return *own,
        Err(error) => error,
    };
    let error = match error.downcast::<sluice_catalog::Error>() {
        Ok(error) => return Error::from(*error),
        Err(error) => error,
    };
    match error.downcast::<DataFusionError>() {
        Ok(error) => Error::from(*error),
        Err(error) => Error::Lake(Complaint::new(error.to_string())),
    }
}

fn arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(error) => external(error),
        ArrowError::NotYetImplemented(message) => Error::Unsupported(Complaint::new(message)),
        ArrowError::DivideByZero => {
            Error::Execution(Complaint::new("division by zero").remedy("guard the divisor: x / nullif(y, 0)"))
        }
        other => Error::Execution(Complaint::new(other.to_string())),
    }
}

/// A shared error cannot be taken apart: its class is read off, its root's text kept.
fn shared(error: &DataFusionError) -> Error {
    let root = error.find_root();
    match root {
        DataFusionError::External(inner) if inner.is::<Error>() => {
            inner.downcast_ref::<Error>().map_or(Error::Cancelled, Error::duplicate)
        }
        DataFusionError::ResourcesExhausted(m) => Error::from(DataFusionError::ResourcesExhausted(m.clone())),
        DataFusionError::ArrowError(inner, _) if matches!(**inner, ArrowError::DivideByZero) => {
            arrow(ArrowError::DivideByZero)
        }
        DataFusionError::Execution(_) | DataFusionError::ArrowError(..) => {
            Error::Execution(Complaint::new(root.strip_backtrace()))
        }
        DataFusionError::Plan(m) => Error::Plan(with_hint(m)),
        DataFusionError::NotImplemented(m) => Error::Unsupported(Complaint::new(m)),
        DataFusionError::Internal(_) => Error::Internal(Complaint::new(root.strip_backtrace())),
        _ => Error::Lake(Complaint::new(root.strip_backtrace())),
    }
}

impl Error {
    fn duplicate(&self) -> Self {
        match self {
            Self::Syntax(c) => Self::Syntax(c.clone()),
            Self::Plan(c) => Self::Plan(c.clone()),
            Self::NotFound(c) => Self::NotFound(c.clone()),
            Self::Unsupported(c) => Self::Unsupported(c.clone()),
            Self::ResourcesExhausted(c) => Self::ResourcesExhausted(c.clone()),
            Self::Execution(c) => Self::Execution(c.clone()),
            Self::Lake(c) => Self::Lake(c.clone()),
            Self::Internal(c) => Self::Internal(c.clone()),
            Self::Cancelled => Self::Cancelled,
        }
    }
}

/// The library puts its suggestion on a second line.
fn with_hint(message: &str) -> Complaint {
    match message.split_once('\n') {
        Some((fact, hint)) => Complaint::new(fact.trim_end_matches('.')).remedy(hint.trim()),
        None => Complaint::new(message),
    }
}

/// The parser puts the place at the end of its message.
fn syntax(error: &ParserError) -> Complaint {
    let text = match error {
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
        ParserError::RecursionLimitExceeded => {
            return Complaint::new("the statement is nested too deep")
                .remedy("move inner parts into WITH queries or views");
        }
    };
    let parts = text.rsplit_once(" at Line: ").and_then(|(message, at)| {
        let (line, column) = at.split_once(", Column: ")?;
        Some((message, Place { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? }))
    });
    match parts {
        Some((message, place)) => Complaint::new(message).at(Some(place)),
        None => Complaint::new(text.clone()),
    }
}

fn schema(error: &SchemaError) -> Complaint {
    let SchemaError::FieldNotFound { field, valid_fields } = error else {
        return Complaint::new(error.to_string());
    };
    let complaint = Complaint::new(format!("there is no column `{}`", field.flat_name())).at(span(field));
    let names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
    match (nearest(&field.name, names.iter().copied()), names.is_empty()) {
        (Some(name), _) => complaint.remedy(format!("did you mean `{}`?", quoted(name))),
        (None, false) => complaint.remedy(format!("the columns are {}", listed(&names))),
        (None, true) => complaint,
    }
}

fn span(column: &Column) -> Option<Place> {
    column.spans().first().map(|span| start(&span))
}

fn place(diagnostic: &Diagnostic) -> Option<Place> {
    diagnostic.span.as_ref().map(start)
}

fn start(span: &Span) -> Place {
    Place { line: span.start.line, column: span.start.column }
}

/// The name in the list that was most likely meant.
pub(crate) fn nearest<'a>(name: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    among
        .map(|other| (strsim::osa_distance(&wanted, &other.to_lowercase()), other))
        .filter(|(distance, other)| *distance <= 1 + other.chars().count().min(wanted.chars().count()) / 4)
        .min()
        .map(|(_, other)| other)
}

/// A name as it must be written: quoted when it is not all lower case.
pub(crate) fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{name}\"") }
}

/// The first names of a list.
pub(crate) fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let mut text = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

#[cfg(test)]
mod tests;
