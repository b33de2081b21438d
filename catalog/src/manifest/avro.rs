//! Whether bytes are one whole Avro file, found out before the library decodes them.
//!
//! The library trusts manifests and manifest lists: a few damaged bytes make it ask for hundreds of gigabytes,
//! recurse without end, take a text that is cut short for null, or skip the rest of a block, which silently loses
//! files. So each such file is walked first, by the schema in its own header:
//!
//! | checked | what the library does otherwise |
//! |---|---|
//! | every value is whole, every branch and symbol exists | null where the bytes end |
//! | a block holds exactly as many objects as it says, and no block but the last is empty | leaves the rest out |
//! | blocks unpack to no more than [`UNPACKED_MAX`] | unpacks them whatever they become |
//! | no list claims more than there is, no type holds itself | allocates it; recurses |
//!
//! What passes can still be refused by the library; it is then an error like any other.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;

mod shape;

use shape::Shape;

/// How an Avro file begins.
const MAGIC: &[u8] = b"Obj\x01";

/// The most that the blocks of one file may unpack to, together.
const UNPACKED_MAX: usize = 256 << 20;

/// What is wrong with a file.
pub(crate) type Fault = Cow<'static, str>;

const SHORT: Fault = Cow::Borrowed("it ends in the middle of a value");

/// Whether the bytes claim to be an Avro file.
pub(crate) fn is_avro(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Checks an Avro file.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Fault> {
    let mut rest = Bytes { rest: bytes.strip_prefix(MAGIC).ok_or("it is no Avro file")? };
    let header = rest.header()?;
    let schema = header.get("avro.schema").ok_or("it has no schema")?;
    let shape = Shape::parse(schema)?;
    let codec = header.get("avro.codec").copied().unwrap_or(b"null");
    let marker = rest.take(16)?;
    let mut unpacked_max = UNPACKED_MAX;
    let mut ended = false;
    while !rest.rest.is_empty() {
        let objects = rest.length()?;
        let packed = rest.length()?;
        let packed = rest.take(packed)?;
        if rest.take(16)? != marker {
            return Err("a block does not end with the file's marker".into());
        }
        if ended {
            return Err("a block follows an empty one".into());
        }
        ended = objects == 0;
        let block = unpacked(packed, codec, unpacked_max)?;
        unpacked_max -= block.len();
        let mut values = Bytes { rest: &block };
        // A value of no bytes would let a block claim any number of them.
        let mut steps = block.len().saturating_mul(4).saturating_add(10_000);
        for _ in 0..objects {
            let before = values.rest.len();
            shape.walk(&mut values, &mut steps)?;
            if values.rest.len() == before {
                return Err("it has objects without content".into());
            }
        }
        if !values.rest.is_empty() {
            return Err("a block holds more than it says".into());
        }
    }
    Ok(())
}

/// The content of a block, which must not have more than `most` bytes.
fn unpacked<'a>(packed: &'a [u8], codec: &[u8], most: usize) -> Result<Cow<'a, [u8]>, Fault> {
    let too_much = || Fault::from("its blocks unpack to more than 256 MiB");
    let limited = |reader: &mut dyn Read| {
        let mut block = Vec::new();
        match reader.take(most as u64 + 1).read_to_end(&mut block) {
            Ok(bytes) if bytes <= most => Ok(Cow::Owned(block)),
            Ok(_) => Err(too_much()),
            Err(error) => Err(Fault::from(format!("a block cannot be unpacked: {error}"))),
        }
    };
    match codec {
        b"null" if packed.len() <= most => Ok(Cow::Borrowed(packed)),
        b"null" => Err(too_much()),
        b"deflate" => limited(&mut flate2::read::DeflateDecoder::new(packed)),
        b"zstandard" => match zstd::Decoder::new(packed) {
            Ok(mut decoder) => limited(&mut decoder),
            Err(error) => Err(format!("a block cannot be unpacked: {error}").into()),
        },
        b"snappy" => {
            let (packed, _) = packed.split_last_chunk::<4>().ok_or(SHORT)?;
            let unpackable = |error| Fault::from(format!("a block cannot be unpacked: {error}"));
            if snap::raw::decompress_len(packed).map_err(unpackable)? > most {
                return Err(too_much());
            }
            snap::raw::Decoder::new().decompress_vec(packed).map(Cow::Owned).map_err(unpackable)
        }
        other => Err(format!("its codec `{}` is not known", String::from_utf8_lossy(other)).into()),
    }
}

/// What is left to be read.
struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A whole number as Avro writes it.
    fn long(&mut self) -> Result<i64, Fault> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?.first().copied().unwrap_or_default();
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err("a number has too many bytes".into())
    }

    /// A number of bytes or objects. No object has less than one byte where it matters.
    fn length(&mut self) -> Result<usize, Fault> {
        usize::try_from(self.long()?).map_err(|_| "a length is negative".into())
    }

    /// A length, and as many bytes.
    fn text(&mut self) -> Result<&'a [u8], Fault> {
        let bytes = self.length()?;
        self.take(bytes)
    }

    /// The number of items of the next part of an array or map; none when it is over.
    fn items(&mut self) -> Result<usize, Fault> {
        let items = self.long()?;
        if items < 0 {
            // The bytes of the part follow, for those who would skip it.
            self.length()?;
        }
        let items = usize::try_from(items.unsigned_abs()).unwrap_or(usize::MAX);
        if items > self.rest.len() {
            return Err("a list claims more items than there are bytes".into());
        }
        Ok(items)
    }

    /// The metadata in front of the blocks.
    fn header(&mut self) -> Result<HashMap<&'a str, &'a [u8]>, Fault> {
        let mut header = HashMap::new();
        loop {
            let items = self.items()?;
            if items == 0 {
                return Ok(header);
            }
            for _ in 0..items {
                let key = std::str::from_utf8(self.text()?).map_err(|_| "its header is no text")?;
                header.insert(key, self.text()?);
            }
        }
    }
}

#[cfg(test)]
mod tests;
