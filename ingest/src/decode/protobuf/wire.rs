//! The wire format of Protobuf: a message as the occurrences of its fields, without copying a byte.

/// Groups nested deeper than this are damage.
const GROUPS_MAX: usize = 64;

/// The value of one occurrence of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    /// Text, bytes, a message, packed numbers; or what is inside of a group.
    Bytes(&'a [u8]),
}

/// Reads bytes from the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next field's number and value; `None` at the end.
    pub(super) fn field(&mut self) -> Result<Option<(u32, Raw<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (number, wire) = self.tag()?;
        let value = match wire {
            3 => Raw::Bytes(self.group(number)?),
            wire => self.value(wire)?,
        };
        Ok(Some((number, value)))
    }

    pub(super) fn varint(&mut self) -> Result<u64, String> {
        let mut value: u64 = 0;
        for (at, byte) in self.0.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if at == 9 && bits > 1 {
                break;
            }
            value |= bits << (7 * at);
            if byte & 0x80 == 0 {
                self.0 = &self.0[at + 1..];
                return Ok(value);
            }
        }
        Err(match self.0.len() {
            0..10 => "the message ends inside of a number".to_owned(),
            _ => "a number takes more than 64 bits".to_owned(),
        })
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, String> {
        self.take(8).map(|bytes| bytes.try_into().map_or(0, u64::from_le_bytes))
    }

    pub(super) fn fixed32(&mut self) -> Result<u32, String> {
        self.take(4).map(|bytes| bytes.try_into().map_or(0, u32::from_le_bytes))
    }

    fn tag(&mut self) -> Result<(u32, u8), String> {
        let tag = self.varint()?;
        match u32::try_from(tag >> 3) {
            Ok(number @ 1..=0x1fff_ffff) => Ok((number, (tag & 7) as u8)),
            _ => Err(format!("{} is no number of a field", tag >> 3)),
        }
    }

    fn value(&mut self, wire: u8) -> Result<Raw<'a>, String> {
        Ok(match wire {
            0 => Raw::Varint(self.varint()?),
            1 => Raw::Fixed64(self.fixed64()?),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| "a length is out of range")?;
                Raw::Bytes(self.take(length)?)
            }
            5 => Raw::Fixed32(self.fixed32()?),
            4 => return Err("a group ends that did not begin".to_owned()),
            other => return Err(format!("{other} is no wire type")),
        })
    }

    /// What is between the start of a group, which was read, and its end.
    fn group(&mut self, number: u32) -> Result<&'a [u8], String> {
        let start = self.0;
        let mut open = vec![number];
        while let Some(innermost) = open.last().copied() {
            let inside = start.len() - self.0.len();
            let (number, wire) = self.tag()?;
            match wire {
                3 if open.len() >= GROUPS_MAX => return Err("groups are nested too deep".to_owned()),
                3 => open.push(number),
                4 if number != innermost => return Err("a group ends inside of another".to_owned()),
                4 => {
                    open.pop();
                    if open.is_empty() {
                        return Ok(&start[..inside]);
                    }
                }
                wire => drop(self.value(wire)?),
            }
        }
        Ok(&[])
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("the message ends inside of a field")?;
        self.0 = rest;
        Ok(taken)
    }
}
