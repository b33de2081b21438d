//! Whether bytes are one well-formed Thrift structure, found out without allocating anything.
//!
//! The Parquet library makes room for as many list entries as a footer claims to have, before it looks for
//! them: seventeen damaged bytes ask for hundreds of gigabytes, and a failed allocation ends the process.
//! So each footer and page index is walked first. Every entry of every list must really be there, nesting is
//! shallow, and there are not more structures in lists than the largest honest footer has.

/// Structures nest no deeper in any Parquet version.
const DEPTH_MAX: usize = 24;

/// Entries of lists in one footer: a thousand columns in four thousand row groups.
const ENTRIES_MAX: usize = 4_000_000;

/// What is wrong with a structure.
pub(crate) type Fault = &'static str;

/// Checks that `bytes` start with one whole structure.
///
/// # Errors
/// When it ends early, claims more than there is, or nests too deep.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Fault> {
    Walk { rest: bytes, entries: 0 }.structure(0)
}

struct Walk<'a> {
    rest: &'a [u8],
    /// List entries so far.
    entries: usize,
}

const SHORT: Fault = "it ends in the middle of a value";

impl Walk<'_> {
    fn byte(&mut self) -> Result<u8, Fault> {
        let (first, rest) = self.rest.split_first().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*first)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Fault> {
        let bytes = usize::try_from(bytes).map_err(|_| SHORT)?;
        self.rest = self.rest.get(bytes..).ok_or(SHORT)?;
        Ok(())
    }

    fn number(&mut self) -> Result<u64, Fault> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number has too many bytes")
    }

    fn structure(&mut self, depth: usize) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err("it is nested too deep");
        }
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Ok(());
            }
            if header & 0xf0 == 0 {
                self.number()?;
            }
            match header & 0x0f {
                // Booleans are in the header.
                1 | 2 => {}
                kind => self.value(kind, depth)?,
            }
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<(), Fault> {
        match kind {
            1..=3 => self.skip(1),
            4..=6 => self.number().map(drop),
            7 => self.skip(8),
            8 => {
                let bytes = self.number()?;
                self.skip(bytes)
            }
            9 | 10 => self.list(depth + 1),
            11 => self.map(depth + 1),
            12 => self.structure(depth + 1),
            _ => Err("a value has an unknown type"),
        }
    }

    fn list(&mut self, depth: usize) -> Result<(), Fault> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.number()?,
            few => u64::from(few),
        };
        self.count(count)?;
        (0..count).try_for_each(|_| self.value(header & 0x0f, depth))
    }

    fn map(&mut self, depth: usize) -> Result<(), Fault> {
        let count = self.number()?;
        if count == 0 {
            return Ok(());
        }
        self.count(count)?;
        let kinds = self.byte()?;
        (0..count).try_for_each(|_| {
            self.value(kinds >> 4, depth)?;
            self.value(kinds & 0x0f, depth)
        })
    }

    /// Each entry takes at least one byte.
    fn count(&mut self, count: u64) -> Result<(), Fault> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > self.rest.len() {
            return Err("a list claims more entries than there are bytes");
        }
        self.entries = self.entries.saturating_add(count);
        if self.entries > ENTRIES_MAX {
            return Err("its lists have more than 4,000,000 entries");
        }
        Ok(())
    }
}
