//! The records of CSV: fields as bytes, each record with its line; what is no record keeps its bytes.
//!
//! Quoted fields may hold delimiters, quotes and line breaks; blank lines are no records. A record with another
//! number of fields than the header, or with bytes that are no UTF-8, comes with its [`Fault`].

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::Result;
use super::blocks::{Block, line_ends};
use super::part::Part;

/// Columns that a file may have.
pub(super) const COLUMNS_MAX: usize = 2_000;

/// One record.
pub(super) struct Record<'a> {
    /// The line it begins on, counted from 1.
    pub(super) line: u64,
    /// Its bytes, without the end of the line.
    pub(super) raw: &'a [u8],
    /// As many fields as the header has, all UTF-8, unless there is a fault.
    pub(super) fields: Fields<'a>,
    pub(super) fault: Option<Fault>,
}

/// The fields of a record, unquoted.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    ends: &'a [usize],
}

/// Why a record cannot become a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The class, as the dead letters name it.
    pub(super) cause: String,
    pub(super) text: String,
}

impl Fault {
    pub(super) fn new(cause: impl Into<String>, text: impl Into<String>) -> Self {
        Self { cause: cause.into(), text: text.into() }
    }

    /// A record whose block says that it is too long.
    pub(super) fn too_long() -> Self {
        let limit = super::blocks::RECORD_BYTES_MAX >> 20;
        Self::new("too_large", format!("longer than {limit} MiB; the payload is how it begins"))
    }
}

impl<'a> Fields<'a> {
    pub(super) fn len(self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(self, index: usize) -> &'a [u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    pub(super) fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.len()).map(move |index| self.get(index))
    }
}

/// Reads the records of a block one after the other into buffers of its own.
pub(super) struct Records<'a> {
    reader: Reader,
    block: &'a Block,
    delimiter: u8,
    /// Fields that a record must have; 0 takes any number.
    width: usize,
    at: usize,
    line: u64,
    /// All of the block is UTF-8, so every field is.
    utf8: bool,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl<'a> Records<'a> {
    pub(super) fn new(block: &'a Block, delimiter: u8, width: usize) -> Self {
        let mut reader = ReaderBuilder::new().delimiter(delimiter).build();
        // A fresh reader passes over a byte-order mark; only the one that begins the content is none of its
        // bytes, and that is gone already.
        let (mut bytes, mut ends) = (vec![0; 4096], vec![0; width.max(16) + 1]);
        reader.read_record(b"\n", &mut bytes, &mut ends);
        let utf8 = std::str::from_utf8(&block.bytes).is_ok();
        Self { reader, block, delimiter, width, at: 0, line: block.line, utf8, bytes, ends }
    }

    /// The next record; `None` at the end of the block.
    pub(super) fn next(&mut self) -> Option<Record<'_>> {
        let begin = self.at;
        let (mut filled, mut fields) = (0, 0);
        loop {
            let input = &self.block.bytes[self.at..];
            let (result, read, written, ended) =
                self.reader.read_record(input, &mut self.bytes[filled..], &mut self.ends[fields..]);
            self.at += read;
            filled += written;
            fields += ended;
            match result {
                ReadRecordResult::OutputFull => self.bytes.resize(self.bytes.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                // Asked once more without input, the reader ends the record that has no line end.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return None,
            }
        }
        let raw = &self.block.bytes[begin..self.at];
        // Blank lines, and the line feed of a CRLF that ended the record before, come first.
        let blank = raw.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        let line = self.line + line_ends(&raw[..blank]);
        self.line += line_ends(raw);
        let raw = &raw[blank..];
        let fields = Fields { bytes: &self.bytes[..filled], ends: &self.ends[..fields] };
        let unclosed = self.at == self.block.bytes.len() && open_quote(fields, raw, self.delimiter);
        let fault = self.fault(fields, unclosed);
        Some(Record { line, raw: without_line_end(raw), fields, fault })
    }

    /// Where the record after the last one begins in the content.
    pub(super) fn position(&self) -> u64 {
        self.block.start + self.at as u64
    }

    fn fault(&self, fields: Fields<'_>, unclosed: bool) -> Option<Fault> {
        if unclosed {
            return Some(Fault::new("malformed", "a quote is opened and never closed"));
        }
        if self.width > 0 && fields.len() != self.width {
            let text = format!("{} fields, the header has {}", fields.len(), self.width);
            return Some(Fault::new("ragged", text));
        }
        if self.utf8 {
            return None;
        }
        let column = fields.iter().position(|field| std::str::from_utf8(field).is_err())?;
        Some(Fault::new("invalid_utf8", format!("field {} is not valid UTF-8", column + 1)))
    }
}

/// The column names and where the records begin, from the block that begins a content.
pub(super) fn header(part: &Part, block: Option<&Block>, delimiter: u8) -> Result<(Vec<String>, u64)> {
    let missing = || part.content(1, "there is no header", "the first line must name the columns");
    let block = block.ok_or_else(missing)?;
    let mut records = Records::new(block, delimiter, 0);
    let Some(record) = records.next() else { return Err(missing()) };
    if block.too_long || record.fields.len() > COLUMNS_MAX {
        let fact = format!("the header names more than {COLUMNS_MAX} columns, or is too long for one");
        return Err(part.content(record.line, fact, "is it the right file and delimiter?"));
    }
    if let Some(fault) = &record.fault {
        return Err(part.content(
            record.line,
            format!("the header: {}", fault.text),
            "convert the file to UTF-8",
        ));
    }
    let names = names(part, record.fields, delimiter)?;
    Ok((names, records.position()))
}

fn names(part: &Part, header: Fields<'_>, delimiter: u8) -> Result<Vec<String>> {
    let first = String::from_utf8_lossy(header.get(0));
    let others = [',', ';', '\t', '|'].into_iter().filter(|other| *other != char::from(delimiter));
    if let Some(other) = others.into_iter().find(|other| header.len() == 1 && first.contains(*other)) {
        let remedy = match other {
            ',' => "the file seems to be separated by commas: leave out --delimiter",
            ';' => "the file seems to be separated by semicolons: add --delimiter ';'",
            '\t' => "the file seems to be separated by tabs: add --delimiter $'\\t'",
            _ => "the file seems to be separated by bars: add --delimiter '|'",
        };
        return Err(part.content(1, format!("the only column is `{}`", first.escape_debug()), remedy));
    }
    let mut names: Vec<String> = Vec::new();
    for (at, field) in header.iter().enumerate() {
        let name = column_name(&String::from_utf8_lossy(field));
        check_name(part, at, &name, &names)?;
        names.push(name);
    }
    Ok(names)
}

/// Refuses a name that a table cannot take, or has already.
pub(super) fn check_name(part: &Part, at: usize, name: &str, before: &[String]) -> Result<()> {
    let (fact, remedy) = match name {
        "" => (format!("column {} has no name", at + 1), "give every column a name"),
        name if crate::topics::RESERVED_COLUMNS.contains(&name) => {
            (format!("column `{name}` is one that Sluice adds to every row"), "rename it")
        }
        name if before.iter().any(|known| known == name) => {
            (format!("two columns are called `{name}`"), "rename one (case and signs do not tell them apart)")
        }
        _ => return Ok(()),
    };
    Err(part.content(1, fact, remedy))
}

/// A name as SQL takes it without quotes: lower case, with `_` for every other character.
pub(super) fn column_name(text: &str) -> String {
    let clean = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '_' };
    text.trim().to_lowercase().chars().map(clean).collect()
}

/// Whether the last record of a file ends inside a quoted field: then its bytes end with the text of its
/// last field, and a quote that opens a field stands before it.
fn open_quote(fields: Fields<'_>, raw: &[u8], delimiter: u8) -> bool {
    if fields.len() == 0 || !raw.contains(&b'"') {
        return false;
    }
    let field = fields.get(fields.len() - 1);
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
