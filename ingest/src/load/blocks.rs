//! A content cut into blocks of whole records, with their place: the unit that threads parse.
//!
//! ```text
//! content -> segments (4 MiB) -> cut after the last record that is whole -> Block
//!            crc per segment      what is left begins the next block
//! ```
//!
//! The first reading takes the SHA-256 of the content and a checksum of each segment. Every later reading compares
//! the checksums before a byte is handed on, so what is parsed is what was hashed, although rows are
//! committed before the end has been read again.

use std::sync::Arc;

use memchr::{memchr, memrchr};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::content::Content;
use super::part::Part;
use super::{Error, Progress, Result};

/// The longest record, in bytes. A longer one is no row.
pub(super) const RECORD_BYTES_MAX: usize = if cfg!(test) { 1 << 20 } else { 16 << 20 };
/// What the dead letters keep of a record that is too long.
const KEPT_BYTES: usize = 64 << 10;

/// How records end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// With the line.
    Line,
    /// With a line end outside of quotes; fields are separated by this byte.
    Csv(u8),
}

/// Whole records of a content.
#[derive(Debug)]
pub(super) struct Block {
    /// The records, from the first byte of the first to the line end of the last.
    pub(super) bytes: Vec<u8>,
    /// Where it begins and ends in the content; record boundaries both.
    pub(super) start: u64,
    pub(super) end: u64,
    /// The line of its first byte, counted from 1.
    pub(super) line: u64,
    /// It is one record that is too long; `bytes` holds only how it begins.
    pub(super) too_long: bool,
}

/// What the first reading of a content found.
#[derive(Clone, Debug, Default)]
pub(super) struct Fingerprint {
    /// SHA-256 in hexadecimal; that of `sha256sum` on the unpacked file.
    pub(super) sha256: String,
    /// Bytes of the content.
    pub(super) length: u64,
    segments: Vec<u32>,
}

impl Fingerprint {
    /// That of a content which is not read in segments.
    pub(super) fn of(sha256: String) -> Self {
        Self { sha256, ..Self::default() }
    }
}

/// Takes or compares the checksums while a content is read.
enum Check {
    Take { sha256: Sha256, found: Fingerprint },
    Compare { expected: Fingerprint, segment: usize },
}

/// Reads a part to its end on this thread, handing each block on; `give` says whether to go on.
///
/// With a fingerprint the content is compared with it, else its fingerprint is taken.
///
/// # Errors
/// When it cannot be read, is not what it was, or holds a quoted text without end.
pub(super) fn read(
    part: &Part,
    ends: Ends,
    known: Option<Fingerprint>,
    progress: &Arc<Progress>,
    mut give: impl FnMut(Block) -> bool,
) -> Result<Fingerprint> {
    let mut content = Content::open(part, progress)?;
    let mut check = match known {
        None => Check::Take { sha256: Sha256::new(), found: Fingerprint::default() },
        Some(expected) => Check::Compare { expected, segment: 0 },
    };
    let mut cutter = Cutter { ends, start: 0, line: 1, rest: Vec::new(), skipping: false };
    loop {
        let before = cutter.rest.len();
        let count = content.segment(&mut cutter.rest)?;
        check.see(&cutter.rest[before..], part)?;
        let last = count < super::content::SEGMENT;
        while let Some(block) = cutter.cut(part, last)? {
            if !give(block) {
                return Ok(Fingerprint::default());
            }
        }
        if last {
            return check.finish(part);
        }
    }
}

/// As [`read`], on a thread of its own: the receiver gets one block while the next is read.
pub(super) fn send(
    part: Part,
    ends: Ends,
    known: Option<Fingerprint>,
    progress: Arc<Progress>,
) -> (mpsc::Receiver<Block>, tokio::task::JoinHandle<Result<Fingerprint>>) {
    let (sender, receiver) = mpsc::channel(1);
    let reading = tokio::task::spawn_blocking(move || {
        // Whoever receives has given up when a block cannot be sent, and knows why.
        read(&part, ends, known, &progress, |block| sender.blocking_send(block).is_ok())
    });
    (receiver, reading)
}

impl Check {
    fn see(&mut self, bytes: &[u8], part: &Part) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        match self {
            Self::Take { sha256, found } => {
                sha256.update(bytes);
                found.length += bytes.len() as u64;
                found.segments.push(crc32fast::hash(bytes));
            }
            Self::Compare { expected, segment } => {
                if expected.segments.get(*segment) != Some(&crc32fast::hash(bytes)) {
                    return Err(Error::Changed { path: part.subject() });
                }
                *segment += 1;
            }
        }
        Ok(())
    }

    fn finish(self, part: &Part) -> Result<Fingerprint> {
        match self {
            Self::Take { sha256, mut found } => {
                found.sha256 = format!("{:x}", sha256.finalize());
                Ok(found)
            }
            Self::Compare { expected, segment } if segment == expected.segments.len() => Ok(expected),
            Self::Compare { .. } => Err(Error::Changed { path: part.subject() }),
        }
    }
}

/// Finds where records end.
struct Cutter {
    ends: Ends,
    start: u64,
    line: u64,
    /// Bytes that were read and not yet handed on; they begin at `start`.
    rest: Vec<u8>,
    /// The rest of a record that is too long is being passed over.
    skipping: bool,
}

impl Cutter {
    /// The next block of what was read, if there is one; `last` says that nothing follows.
    fn cut(&mut self, part: &Part, last: bool) -> Result<Option<Block>> {
        if self.start == 0 && self.rest.starts_with(b"\xef\xbb\xbf") {
            self.take(3);
        }
        if self.skipping {
            let end = memchr(b'\n', &self.rest).map_or(self.rest.len(), |at| at + 1);
            self.skipping = end == self.rest.len() && !self.rest.ends_with(b"\n");
            self.take(end);
        }
        let end = match last {
            true if self.rest.len() <= RECORD_BYTES_MAX => self.rest.len(),
            _ => record_end(&self.rest, self.ends),
        };
        if end == 0 && self.rest.len() > RECORD_BYTES_MAX {
            if matches!(self.ends, Ends::Csv(delimiter) if is_open(&self.rest, delimiter)) {
                let fact =
                    format!("the record that begins here is longer than {} MiB", RECORD_BYTES_MAX >> 20);
                return Err(part.content(self.line, fact, "look for an opening quote without its end"));
            }
            self.skipping = true;
            let (start, line) = (self.start, self.line);
            let mut bytes = self.take(self.rest.len());
            bytes.truncate(KEPT_BYTES);
            return Ok(Some(Block { bytes, start, end: self.start, line, too_long: true }));
        }
        if end == 0 {
            return Ok(None);
        }
        let (start, line) = (self.start, self.line);
        let bytes = self.take(end);
        Ok(Some(Block { bytes, start, end: self.start, line, too_long: false }))
    }

    /// The first bytes of the rest, which are counted and gone from it.
    fn take(&mut self, count: usize) -> Vec<u8> {
        let tail = self.rest.split_off(count);
        let bytes = std::mem::replace(&mut self.rest, tail);
        self.start += count as u64;
        self.line += line_ends(&bytes);
        bytes
    }
}

impl Block {
    /// The block without what lies before `start`, which is a record's boundary; `None` when nothing is left.
    pub(super) fn from(mut self, start: u64) -> Option<Self> {
        if start <= self.start {
            return Some(self);
        }
        if start >= self.end {
            return None;
        }
        let gone = usize::try_from(start - self.start).ok()?.min(self.bytes.len());
        self.line += line_ends(&self.bytes[..gone]);
        self.bytes.drain(..gone);
        self.start = start;
        Some(self)
    }
}

/// Line feeds among these bytes.
pub(super) fn line_ends(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Where the last whole record ends; 0 when none does.
fn record_end(bytes: &[u8], ends: Ends) -> usize {
    let Ends::Csv(delimiter) = ends else { return after_line(bytes) };
    let (mut at, mut end) = (0, 0);
    while let Some(open) = opening(bytes, at, delimiter) {
        match after_line(&bytes[at..open]) {
            0 => {}
            line => end = at + line,
        }
        match closing(bytes, open + 1) {
            Some(close) => at = close + 1,
            None => return end,
        }
    }
    match after_line(&bytes[at..]) {
        0 => end,
        line => at + line,
    }
}

fn after_line(bytes: &[u8]) -> usize {
    memrchr(b'\n', bytes).map_or(0, |at| at + 1)
}

/// Whether the bytes, which begin with a record, end inside of quotes.
fn is_open(bytes: &[u8], delimiter: u8) -> bool {
    let mut at = 0;
    while let Some(open) = opening(bytes, at, delimiter) {
        match closing(bytes, open + 1) {
            Some(close) => at = close + 1,
            None => return true,
        }
    }
    false
}

/// The next quote that opens a field: one that stands where a field begins.
fn opening(bytes: &[u8], from: usize, delimiter: u8) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr(b'"', &bytes[at..])?;
        let begins = at == 0 || matches!(bytes[at - 1], b'\n' | b'\r') || bytes[at - 1] == delimiter;
        if begins {
            return Some(at);
        }
        at += 1;
    }
}

/// The quote that closes a field: one that no other follows. One at the very end may yet be the half of two.
fn closing(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr(b'"', bytes.get(at..)?)?;
        match bytes.get(at + 1) {
            Some(b'"') => at += 2,
            Some(_) => return Some(at),
            None => return None,
        }
    }
}
