//! Which column a key belongs to.
//!
//! A producer writes the keys of its events in the same order nearly always. So the keys of the last messages
//! are remembered by their place, and the key at a place is compared with what stood there before; only another
//! one is looked up by its hash.

use std::collections::HashMap;

use super::scan::{Fault, Scan, Value};

/// Places beyond this are looked up each time, so that a message with a million keys is not remembered.
const PLACES_MAX: usize = 256;
/// Longer keys are looked up each time.
const KEY_MAX: usize = 64;

/// The wanted keys, and those seen last.
#[derive(Debug)]
pub(super) struct Keys {
    columns: HashMap<Box<[u8]>, usize>,
    seen: Vec<Seen>,
}

/// A key as it was spelled, with its quotes; empty when it was not worth remembering.
#[derive(Debug, Default)]
struct Seen {
    spelled: Vec<u8>,
    column: Option<usize>,
}

impl Keys {
    /// The names of the columns, in their order.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let columns = names.enumerate().map(|(column, name)| (Box::from(name.as_bytes()), column));
        Self { columns: columns.collect(), seen: Vec::new() }
    }

    /// Reads the key that stands at this place of its object; returns its column if it is wanted.
    #[inline]
    pub(super) fn read(&mut self, scan: &mut Scan<'_, '_>, place: usize) -> Result<Option<usize>, Fault> {
        match self.seen.get(place) {
            Some(seen) if !seen.spelled.is_empty() && scan.skip(&seen.spelled) => Ok(seen.column),
            _ => self.look_up(scan, place),
        }
    }

    fn look_up(&mut self, scan: &mut Scan<'_, '_>, place: usize) -> Result<Option<usize>, Fault> {
        let Value::Plain(key) = scan.key()? else {
            return Ok(self.columns.get(scan.unescaped()).copied());
        };
        let column = self.columns.get(key).copied();
        if place < PLACES_MAX && key.len() <= KEY_MAX {
            if self.seen.len() <= place {
                self.seen.resize_with(place + 1, Seen::default);
            }
            let seen = &mut self.seen[place];
            seen.column = column;
            seen.spelled.clear();
            seen.spelled.push(b'"');
            seen.spelled.extend_from_slice(key);
            seen.spelled.push(b'"');
        }
        Ok(column)
    }
}
