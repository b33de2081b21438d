//! The bytes of a file: decompressed, hashed, and kept as long as the record they belong to.
//!
//! The format is told by the first bytes, not by the name. The hash is that of the decompressed content,
//! so a file is recognised whether it is compressed or not (and equals `sha256sum` of the plain file).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Error, Progress, Result};

/// The longest record, in bytes: more means a quote that is never closed.
pub(super) const RECORD_BYTES_MAX: u64 = 16 << 20;
/// Bytes before the present record that may stay in memory.
const SLACK: usize = 256 << 10;

/// Reads a file and remembers the bytes from the present record on.
pub(super) struct Tape {
    inner: Box<dyn Read + Send>,
    hash: Sha256,
    kept: Vec<u8>,
    /// Position of `kept[0]` in the decompressed content.
    base: u64,
    /// Where the present record begins.
    mark: u64,
    ended: bool,
}

impl Tape {
    pub(super) fn open(path: &Path, progress: &Arc<Progress>) -> Result<Self> {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let counted = Counted { inner: file, progress: Arc::clone(progress) };
        let mut start = BufReader::with_capacity(256 << 10, counted);
        let inner: Box<dyn Read + Send> = match start.fill_buf().map_err(failed)? {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(start).map_err(failed)?),
            [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(start)),
            _ => Box::new(start),
        };
        Ok(Self { inner, hash: Sha256::new(), kept: Vec::new(), base: 0, mark: 0, ended: false })
    }

    /// A new record begins at this position.
    pub(super) fn begin_record(&mut self, at: u64) {
        self.mark = at;
    }

    /// The bytes from the present record's begin to `end`.
    pub(super) fn record(&self, end: u64) -> &[u8] {
        let index = |at: u64| {
            usize::try_from(at.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.kept.len())
        };
        &self.kept[index(self.mark)..index(end).max(index(self.mark))]
    }

    /// Whether the content ends at this position.
    pub(super) fn ends_at(&self, at: u64) -> bool {
        self.ended && at == self.base + self.kept.len() as u64
    }

    /// SHA-256 of all that was read, in hexadecimal.
    pub(super) fn sha256(&self) -> String {
        self.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Read for Tape {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.base + self.kept.len() as u64;
        if end - self.mark > RECORD_BYTES_MAX {
            let limit = RECORD_BYTES_MAX >> 20;
            let text = format!("the record that begins here is longer than {limit} MiB");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let passed = usize::try_from(self.mark - self.base).unwrap_or(0).min(self.kept.len());
        if passed > SLACK {
            self.kept.drain(..passed);
            self.base += passed as u64;
        }
        let count = self.inner.read(buffer)?;
        self.ended = count == 0;
        self.hash.update(&buffer[..count]);
        self.kept.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

/// Counts the bytes that leave the disk.
struct Counted {
    inner: File,
    progress: Arc<Progress>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.progress.add_bytes(count as u64);
        Ok(count)
    }
}
