//! The records of a CSV file, each with the line it begins on; what is no record keeps its bytes.
//!
//! Quoted fields may hold commas, quotes and line breaks; a byte-order mark is skipped; blank lines are no
//! records. A record with another number of fields than the header, or with bytes that are no UTF-8, is
//! given with its [`Fault`] instead of ending the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use csv::ByteRecord;

use super::source::Tape;
use super::{Error, Progress, Result};

/// A file being read record by record.
pub(super) struct Records {
    path: PathBuf,
    reader: csv::Reader<Tape>,
    record: ByteRecord,
    delimiter: u8,
    /// Column names, as the table will have them.
    pub(super) names: Vec<String>,
}

/// One record.
pub(super) struct Row<'a> {
    /// The line it begins on, counted from 1.
    pub(super) line: u64,
    /// Its bytes, without the end of the line.
    pub(super) raw: &'a [u8],
    /// Its fields: as many as the header has and all UTF-8, unless there is a fault.
    pub(super) record: &'a ByteRecord,
    pub(super) fault: Option<Fault>,
}

/// Why a record cannot become a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The class, as the dead letters name it.
    pub(super) cause: &'static str,
    pub(super) text: String,
}

impl Records {
    pub(super) fn open(path: &Path, delimiter: u8, progress: &Arc<Progress>) -> Result<Self> {
        let tape = Tape::open(path, progress)?;
        let mut builder = csv::ReaderBuilder::new();
        let mut reader =
            builder.delimiter(delimiter).flexible(true).buffer_capacity(128 << 10).from_reader(tape);
        let header = reader.byte_headers().map_err(|error| failed(path, 1, error))?.clone();
        let names = column_names(path, &header, delimiter)?;
        Ok(Self { path: path.to_owned(), reader, record: ByteRecord::new(), delimiter, names })
    }

    /// The next record; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>> {
        let (begin, line) = (self.reader.position().byte(), self.reader.position().line());
        self.reader.get_mut().begin_record(begin);
        if !self.reader.read_byte_record(&mut self.record).map_err(|error| failed(&self.path, line, error))? {
            return Ok(None);
        }
        let end = self.reader.position().byte();
        let tape = self.reader.get_ref();
        let raw = tape.record(end);
        // Blank lines, and the line feed of a CRLF that ended the record before, come first.
        let blank = raw.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        let line = line + raw[..blank].iter().filter(|byte| **byte == b'\n').count() as u64;
        let raw = &raw[blank..];
        let unclosed = tape.ends_at(end) && open_quote(&self.record, raw, self.delimiter);
        let fault = self.fault(unclosed);
        Ok(Some(Row { line, raw: without_line_end(raw), record: &self.record, fault }))
    }

    fn fault(&self, unclosed: bool) -> Option<Fault> {
        if unclosed {
            return Some(Fault { cause: "malformed", text: "a quote is opened and never closed".to_owned() });
        }
        if self.record.len() != self.names.len() {
            let text = format!("{} fields, the header has {}", self.record.len(), self.names.len());
            return Some(Fault { cause: "ragged", text });
        }
        let column = self.record.iter().position(|field| std::str::from_utf8(field).is_err())?;
        let text = format!("column `{}` is not valid UTF-8", self.names[column]);
        Some(Fault { cause: "invalid_utf8", text })
    }

    /// SHA-256 of the content, once it has been read to its end.
    pub(super) fn sha256(&self) -> String {
        self.reader.get_ref().sha256()
    }
}

/// Whether the last record of a file ends inside a quoted field: then its bytes end with the text of its
/// last field, and a quote that opens a field stands before it.
fn open_quote(record: &ByteRecord, raw: &[u8], delimiter: u8) -> bool {
    let Some(field) = record.iter().next_back() else { return false };
    let written: Vec<u8> =
        field.iter().flat_map(|byte| std::iter::repeat_n(*byte, 1 + usize::from(*byte == b'"'))).collect();
    match raw.strip_suffix(written.as_slice()) {
        Some([.., before, b'"']) => *before == delimiter,
        Some([b'"']) => true,
        _ => false,
    }
}

fn without_line_end(raw: &[u8]) -> &[u8] {
    let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
    raw.strip_suffix(b"\r").unwrap_or(raw)
}

/// Names as SQL takes them without quotes: lower case, with `_` for every other character.
fn column_names(path: &Path, header: &ByteRecord, delimiter: u8) -> Result<Vec<String>> {
    let fault = |fact: String, remedy| Err(Error::Content { path: path.to_owned(), line: 1, fact, remedy });
    let others = [b',', b';', b'\t', b'|'].into_iter().filter(|other| *other != delimiter);
    if let Some(other) = others.into_iter().find(|other| header.len() == 1 && header[0].contains(other)) {
        let fact = format!("the only column is `{}`", String::from_utf8_lossy(&header[0]).escape_debug());
        return match other {
            b',' => fault(fact, "the file seems to be separated by commas: leave out --delimiter"),
            b';' => fault(fact, "the file seems to be separated by semicolons: add --delimiter ';'"),
            b'\t' => fault(fact, "the file seems to be separated by tabs: add --delimiter $'\\t'"),
            _ => fault(fact, "the file seems to be separated by bars: add --delimiter '|'"),
        };
    }
    let mut names: Vec<String> = Vec::new();
    for (at, field) in header.iter().enumerate() {
        let Ok(text) = std::str::from_utf8(field) else {
            return fault("the header is not valid UTF-8".to_owned(), "convert the file to UTF-8");
        };
        let clean = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '_' };
        let name: String = text.trim().to_lowercase().chars().map(clean).collect();
        if name.is_empty() {
            return fault(
                format!("column {} has no name", at + 1),
                "give every column a name in the first line",
            );
        }
        if crate::topics::RESERVED_COLUMNS.contains(&name.as_str()) {
            return fault(format!("column `{name}` is one that Sluice adds to every row"), "rename it");
        }
        if names.contains(&name) {
            return fault(
                format!("two columns are called `{name}`"),
                "rename one (case does not tell them apart)",
            );
        }
        names.push(name);
    }
    if names.is_empty() {
        return fault("there is no header".to_owned(), "the first line must name the columns");
    }
    Ok(names)
}

fn failed(path: &Path, line: u64, error: csv::Error) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(source) if source.kind() == std::io::ErrorKind::InvalidData && line > 0 => {
            Error::Content {
                path: path.to_owned(),
                line,
                fact: source.to_string(),
                remedy: "look for an opening quote without its end, or for a damaged file",
            }
        }
        csv::ErrorKind::Io(source) => Error::Read { path: path.to_owned(), source },
        other => Error::Broken { path: path.to_owned(), fact: format!("{other:?}") },
    }
}
