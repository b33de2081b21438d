//! Whether bytes are one well-formed Thrift structure, found out without allocating anything.
//!
//! The Parquet library makes room for as many list entries as a footer claims to have, before it looks for
//! them: seventeen damaged bytes ask for hundreds of gigabytes, and a failed allocation ends the process.
//! So each footer and page index is walked first. Every entry of every list must really be there, nesting is
//! shallow, and there are not more structures in lists than the largest honest footer has.

/// Structures nest no deeper in any Parquet version.
const DEPTH_MAX: usize = 24;

/// Columns nest no deeper in any honest schema: a list takes three levels.
const SCHEMA_DEPTH_MAX: usize = 200;

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

/// Checks a footer: besides being whole, its schema must not nest deeper than the library, which calls itself for
/// each level, can follow.
///
/// # Errors
/// As [`check`], and when the schema nests too deep.
pub(crate) fn check_footer(bytes: &[u8]) -> Result<(), Fault> {
    check(bytes)?;
    Walk { rest: bytes, entries: 0 }.fields(&mut |walk, id, kind| match (id, kind) {
        (SCHEMA, LIST) => walk.schema(),
        _ => walk.value(kind, 0),
    })
}

/// The fields of a footer and of an element of its schema that say how the schema nests.
const SCHEMA: u64 = 2;
const CHILDREN: u64 = 5;

const LIST: u8 = 9;

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

    /// Shows the fields of a structure, but for those that have no bytes, by number and kind.
    fn fields(&mut self, show: &mut dyn FnMut(&mut Self, u64, u8) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut id = 0_u64;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Ok(());
            }
            id = match header >> 4 {
                0 => self.number()? >> 1,
                step => id.saturating_add(u64::from(step)),
            };
            if !matches!(header & 0x0f, 1 | 2) {
                show(self, id, header & 0x0f)?;
            }
        }
    }

    /// The elements of a schema, each before its children.
    fn schema(&mut self) -> Result<(), Fault> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.number()?,
            few => u64::from(few),
        };
        // How many children of each open group are still to come.
        let mut open: Vec<u64> = Vec::new();
        for _ in 0..count {
            let mut children = 0;
            self.fields(&mut |walk, id, kind| match (id, kind) {
                (CHILDREN, 4..=6) => walk.number().map(|number| children = number >> 1),
                _ => walk.value(kind, 0),
            })?;
            while let Some(left) = open.last_mut() {
                if *left > 0 {
                    *left -= 1;
                    break;
                }
                open.pop();
            }
            if children > 0 {
                open.push(children);
            }
            if open.len() > SCHEMA_DEPTH_MAX {
                return Err("its schema is nested too deep");
            }
        }
        Ok(())
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
