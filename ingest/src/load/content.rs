//! The bytes of a part: unpacked, in segments of a fixed size, within limits.
//!
//! The packing (gzip, zstd, a zip member, none) is told by the first bytes, not by the name. What is small
//! packed and endless unpacked is stopped: after [`FREE_BYTES`] the content may be [`RATIO_MAX`] times as large
//! as what was read from disk.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::part::Part;
use super::{Progress, Result};

/// Bytes of content that are handed on at once. (Limits are smaller in tests, so that what exceeds them is.)
pub(super) const SEGMENT: usize = if cfg!(test) { 64 << 10 } else { 4 << 20 };
/// Content that is never too much.
const FREE_BYTES: u64 = if cfg!(test) { 4 << 20 } else { 256 << 20 };
/// Beyond that, bytes of content per byte on disk. Log files reach 100; a bomb of one level has 1,000.
const RATIO_MAX: u64 = 500;

/// The unpacked content of one part.
pub(super) struct Content {
    part: Part,
    inner: Box<dyn Read + Send>,
    packed: Arc<AtomicU64>,
    /// What the archive says of the member, and what it is so far.
    crc: Option<(u32, crc32fast::Hasher)>,
    read: u64,
    ratio_max: u64,
}

impl Content {
    pub(super) fn open(part: &Part, progress: &Arc<Progress>) -> Result<Self> {
        let failed = |source| part.read_error(source);
        let packed = Arc::new(AtomicU64::new(0));
        let mut file = File::open(&part.path).map_err(failed)?;
        let limit = match part.member {
            None => u64::MAX,
            Some(member) => {
                file.seek(SeekFrom::Start(member.start)).map_err(failed)?;
                part.bytes
            }
        };
        let counted = Counted { inner: file, packed: Arc::clone(&packed), progress: Arc::clone(progress) };
        let mut start = BufReader::with_capacity(256 << 10, counted.take(limit));
        let (inner, is_packed): (Box<dyn Read + Send>, bool) = match part.member {
            Some(member) if member.deflated => (Box::new(flate2::bufread::DeflateDecoder::new(start)), true),
            Some(_) => (Box::new(start), false),
            None => match start.fill_buf().map_err(failed)? {
                [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                    (Box::new(zstd::Decoder::with_buffer(start).map_err(failed)?), true)
                }
                [0x1f, 0x8b, ..] => (Box::new(flate2::bufread::MultiGzDecoder::new(start)), true),
                _ => (Box::new(start), false),
            },
        };
        let crc = part.member.map(|member| (member.crc32, crc32fast::Hasher::new()));
        let ratio_max = if is_packed { RATIO_MAX } else { u64::MAX };
        Ok(Self { part: part.clone(), inner, packed, crc, read: 0, ratio_max })
    }

    /// Appends the next segment to `bytes`: [`SEGMENT`] bytes, or fewer at the end. Gives their number.
    pub(super) fn segment(&mut self, bytes: &mut Vec<u8>) -> Result<usize> {
        let before = bytes.len();
        bytes.reserve(SEGMENT);
        let mut segment = (&mut self.inner).take(SEGMENT as u64);
        segment.read_to_end(bytes).map_err(|source| self.part.read_error(source))?;
        let count = bytes.len() - before;
        self.read += count as u64;
        let allowed = self.packed.load(Ordering::Relaxed).saturating_mul(self.ratio_max).max(FREE_BYTES);
        if self.ratio_max < u64::MAX && self.read > allowed {
            let fact = format!("it unpacks to more than {RATIO_MAX} times its size, as a bomb does");
            return Err(self.part.unfit(fact, "if it is right, unpack it and load the plain file"));
        }
        if let Some((_, crc)) = &mut self.crc {
            crc.update(&bytes[before..]);
        }
        if count < SEGMENT {
            self.check_end()?;
        }
        Ok(count)
    }

    fn check_end(&mut self) -> Result<()> {
        let Some((said, crc)) = self.crc.take() else { return Ok(()) };
        match crc.finalize() == said {
            true => Ok(()),
            false => {
                let fact = "its bytes are not those the archive was made of";
                Err(self.part.unfit(fact, "fetch or pack it again"))
            }
        }
    }
}

/// Counts the bytes that leave the disk.
struct Counted {
    inner: File,
    packed: Arc<AtomicU64>,
    progress: Arc<Progress>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.packed.fetch_add(count as u64, Ordering::Relaxed);
        self.progress.add_bytes(count as u64);
        Ok(count)
    }
}
