//! What can be wrong with a project or a build: fact, place, remedy.
//!
//! A project is checked as a whole, so one error carries every [`Problem`] that was found. A model that
//! fails while it is built is no error of the build: it is a [`crate::Status`] in the report, and the other
//! models go on.

use std::fmt;

/// The result of an operation on a project.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A file of the project, and the line if one is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Path relative to the project.
    pub file: String,
    /// Line, from 1.
    pub line: Option<usize>,
}

impl Place {
    /// The file as a whole.
    pub fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), line: None }
    }

    /// A line of the file, from 1.
    pub fn line(file: impl Into<String>, line: Option<usize>) -> Self {
        Self { file: file.into(), line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// One thing that is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// What is wrong, naming the subject.
    pub fact: String,
    /// What to do; may be empty when the fact says it.
    pub remedy: String,
}

impl Problem {
    /// A problem at `place`.
    pub fn new(place: Place, fact: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place, fact: fact.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.fact)?;
        if !self.remedy.is_empty() {
            write!(f, "\n  {}", self.remedy)?;
        }
        Ok(())
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Invalid(Problems(vec![problem]))
    }
}

/// All problems that were found, in file order.
#[derive(Clone, Debug)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// Why a project cannot be loaded, planned or built at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder without a project file.
    #[error(
        "`{dir}` is no model project: it has no dbt_project.yml\n  \
         name the folder that holds it, or create one with `name: shop`"
    )]
    NotAProject {
        /// The folder.
        dir: String,
    },
    /// A file or folder of the project cannot be read.
    #[error("{path} cannot be read: {source}\n  check that it exists, is UTF-8 text and may be read")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A compiled file cannot be written.
    #[error("{path} cannot be written: {source}\n  choose another target folder")]
    Write {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The project is wrong in one or several places.
    #[error("{0}")]
    Invalid(Problems),
    /// A selection names nothing.
    #[error("`{selector}` selects no model\n  {remedy}")]
    NothingSelected {
        /// The selector as given.
        selector: String,
        /// What exists.
        remedy: String,
    },
    /// The lake could not be asked.
    #[error(transparent)]
    Catalog(Box<sluice_catalog::Error>),
    /// A task of the build ended without a result.
    #[error("the build of `{model}` broke off: {reason}\n  this is a defect; please report it")]
    Broken {
        /// The model.
        model: String,
        /// What is known.
        reason: String,
    },
}

impl From<sluice_catalog::Error> for Error {
    fn from(error: sluice_catalog::Error) -> Self {
        Self::Catalog(Box::new(error))
    }
}

/// ` (did you mean `orders`?)`, or nothing when no name comes near.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let nearest = known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    nearest.map(|(_, candidate)| format!("did you mean `{candidate}`?")).unwrap_or_default()
}

/// The first line (from 1) of `text` that contains `needle`.
pub(crate) fn line_of(text: &str, needle: &str) -> Option<usize> {
    text.lines().position(|line| line.contains(needle)).map(|index| index + 1)
}
