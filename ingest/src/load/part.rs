//! What there is to load: the files behind paths, patterns, folders of a data set and zip archives.
//!
//! A part is one content: a file, or one member of an archive. Members are read where they lie; nothing is
//! ever unpacked to disk, so a member's name is a label and can lead nowhere.

use std::fs::File;
use std::path::{Path, PathBuf};

use zip::{CompressionMethod, ZipArchive};

use super::{Error, Result};

/// Files that one load takes, and members that one archive may list.
const PARTS_MAX: usize = 100_000;
/// Longest label, in bytes: it is repeated in every row.
const LABEL_MAX: usize = 256;

/// One content to load.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The file on disk.
    pub(super) path: PathBuf,
    /// Where in it, when it is an archive.
    pub(super) member: Option<Member>,
    /// The name by which rows remember where they come from: of the file, or of the member.
    pub(super) label: String,
    /// Bytes to read from disk.
    pub(super) bytes: u64,
}

/// A member of a zip archive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Where its bytes begin in the archive.
    pub(super) start: u64,
    /// Packed with deflate, else stored as it is.
    pub(super) deflated: bool,
    pub(super) crc32: u32,
}

/// The parts behind paths and patterns, in their order; archives give their members.
///
/// # Errors
/// When something is not there, is no regular file, or matches nothing.
pub(super) fn find(inputs: &[PathBuf]) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for input in inputs {
        for path in expand(input)? {
            if path.is_dir() {
                let remedy = "name files, or a pattern such as 'FOLDER/*.csv'";
                return Err(unfit(&path, "it is a folder", remedy));
            }
            parts.extend(open(&path)?);
            if parts.len() > PARTS_MAX {
                let fact = format!("it brings the files of this load to more than {PARTS_MAX}");
                return Err(unfit(input, fact, "load them in several runs"));
            }
        }
    }
    Ok(parts)
}

/// The parts of one path: the file, or the members of an archive.
pub(super) fn open(path: &Path) -> Result<Vec<Part>> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(read)?;
    if !metadata.is_file() {
        let remedy = "each file is read twice: write the data to a regular file first";
        return Err(unfit(path, "it is not a regular file", remedy));
    }
    if is_zip(path).map_err(read)? {
        return members(path);
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    Ok(vec![Part { path: path.to_owned(), member: None, label: label(&name), bytes: metadata.len() }])
}

/// A path as it is; or, when there is no such file and it holds `*`, `?` or `[`, what the pattern matches.
fn expand(input: &Path) -> Result<Vec<PathBuf>> {
    let text = input.to_string_lossy();
    if input.exists() || !text.contains(['*', '?', '[']) {
        return Ok(vec![input.to_owned()]);
    }
    let paths = glob::glob(&text).map_err(|error| unfit(input, error.msg, "correct the pattern"))?;
    let mut found = Vec::new();
    for path in paths.take(PARTS_MAX + 1) {
        let path = path.map_err(|error| {
            let path = error.path().to_owned();
            Error::Read { path, source: error.into() }
        })?;
        if !path.is_dir() {
            found.push(path);
        }
    }
    match found.is_empty() {
        true => Err(unfit(input, "no file matches this pattern", "check the folder and the pattern")),
        false => Ok(found),
    }
}

fn is_zip(path: &Path) -> std::io::Result<bool> {
    use std::io::Read;
    let mut first = [0; 4];
    let count = File::open(path)?.read(&mut first)?;
    Ok(first[..count] == *b"PK\x03\x04" || first[..count] == *b"PK\x05\x06")
}

/// The regular members of an archive, without what macOS adds.
fn members(path: &Path) -> Result<Vec<Part>> {
    let broken = |error: zip::result::ZipError| {
        unfit(path, format!("it is no readable zip archive: {error}"), "fetch or pack it again")
    };
    let file = File::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let mut archive = ZipArchive::new(file).map_err(broken)?;
    if archive.len() > PARTS_MAX {
        let fact = format!("it lists {} members, more than {PARTS_MAX}", archive.len());
        return Err(unfit(path, fact, "unpack it and load the files in several runs"));
    }
    let mut parts = Vec::new();
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(broken)?;
        let name = String::from_utf8_lossy(member.name_raw()).into_owned();
        let last = name.rsplit('/').next().unwrap_or(&name);
        let hidden = last.starts_with('.') || name.split('/').any(|step| step == "__MACOSX");
        if !member.is_file() || hidden {
            continue;
        }
        let deflated = member.compression() == CompressionMethod::DEFLATE;
        let wrong = match member.compression() {
            _ if member.encrypted() => Some("is encrypted"),
            _ if deflated => None,
            CompressionMethod::Stored => None,
            _ => Some("is packed with a method other than deflate"),
        };
        let start = member.data_start().unwrap_or_default();
        if let Some(wrong) = wrong.or((start == 0).then_some("has no place in it")) {
            let fact = format!("its member `{}` {wrong}", label(&name));
            return Err(unfit(path, fact, "unpack the archive and load the files"));
        }
        let member_of = Member { start, deflated, crc32: member.crc32() };
        let (bytes, label) = (member.compressed_size(), label(last));
        parts.push(Part { path: path.to_owned(), member: Some(member_of), label, bytes });
    }
    match parts.is_empty() {
        true => Err(unfit(path, "the archive holds no files", "check the archive")),
        false => Ok(parts),
    }
}

impl Part {
    /// The part in words: the path, and the member when there is one.
    pub(super) fn subject(&self) -> PathBuf {
        match self.member {
            None => self.path.clone(),
            Some(_) => self.path.join(&self.label),
        }
    }

    /// The label without the endings of formats and compressions: `events` of `events.csv.zst`.
    pub(super) fn stem(&self) -> &str {
        let mut stem = self.label.as_str();
        for ending in [".zst", ".gz", ".csv", ".tsv", ".txt", ".ndjson", ".jsonl", ".json", ".parquet"] {
            let at = stem.len().saturating_sub(ending.len());
            if at > 0 && stem.is_char_boundary(at) && stem[at..].eq_ignore_ascii_case(ending) {
                stem = &stem[..at];
            }
        }
        stem
    }

    /// What keeps this part from being loaded.
    pub(super) fn unfit(&self, fact: impl Into<String>, remedy: &'static str) -> Error {
        unfit(&self.subject(), fact, remedy)
    }

    pub(super) fn read_error(&self, source: std::io::Error) -> Error {
        Error::Read { path: self.subject(), source }
    }

    /// A fault of the content at a line.
    pub(super) fn content(&self, line: u64, fact: impl Into<String>, remedy: &'static str) -> Error {
        Error::Content { path: self.subject(), line, fact: fact.into(), remedy }
    }

    pub(super) fn broken(&self, cause: &dyn std::fmt::Display) -> Error {
        Error::Broken { path: self.subject(), fact: cause.to_string() }
    }
}

fn unfit(path: &Path, fact: impl Into<String>, remedy: &'static str) -> Error {
    Error::Input { path: path.to_owned(), fact: fact.into(), remedy }
}

/// A name fit for rows and terminals: no control characters, not too long.
fn label(name: &str) -> String {
    let mut label: String = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    label.truncate(label.floor_char_boundary(LABEL_MAX));
    label
}
