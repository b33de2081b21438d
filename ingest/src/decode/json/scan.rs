//! One pass over one JSON document, by RFC 8259.
//!
//! The scanner stands at a byte and moves forward only. Every method either takes what it is named after or
//! returns a fault with the byte where it stands; after a fault the document is of no more use. Everything is
//! checked, also what nobody wants: the grammar of numbers, escapes, surrogate pairs, control characters. The
//! bytes are known to be UTF-8.
//!
//! Nesting is followed by recursion, which `DEPTH_MAX` bounds.

use crate::reject::Cause;

/// Nesting beyond this is a fault.
pub(super) const DEPTH_MAX: usize = 128;

/// A document on its way to be read.
#[derive(Debug)]
pub(super) struct Scan<'a, 's> {
    bytes: &'a [u8],
    at: usize,
    scratch: &'s mut Vec<u8>,
}

/// A value that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    /// A text without escapes, or a number or boolean as it was spelled.
    Plain(&'a [u8]),
    /// A text whose escapes are resolved in [`Scan::unescaped`].
    Unescaped,
    List,
    Object,
}

/// What is wrong, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    cause: Cause,
    what: &'static str,
    at: usize,
}

impl Fault {
    /// The cause and a text for people.
    pub(super) fn told(self) -> (Cause, String) {
        (self.cause, format!("{} at byte {}", self.what, self.at))
    }
}

type Read<T> = Result<T, Fault>;

impl<'a, 's> Scan<'a, 's> {
    pub(super) fn new(bytes: &'a [u8], scratch: &'s mut Vec<u8>) -> Self {
        Self { bytes, at: 0, scratch }
    }

    /// The text of the last value that was [`Value::Unescaped`].
    pub(super) fn unescaped(&self) -> &[u8] {
        self.scratch
    }

    /// Reads the whole document, which is an object; `member` reads key, colon and value of each member.
    #[inline]
    pub(super) fn document(&mut self, member: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        self.blank();
        self.object(1, member)?;
        self.blank();
        if self.at == self.bytes.len() {
            return Ok(());
        }
        let at = self.at;
        let (cause, what) = match self.value(0) {
            Ok(_) => {
                (Cause::SeveralValues, "another JSON value in the same message; send one object per message")
            }
            Err(_) => (Cause::Malformed, "something follows the object"),
        };
        Err(Fault { cause, what, at })
    }

    /// The byte where the scanner stands.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What was read since the scanner stood at `begin`, as it was spelled.
    #[inline]
    pub(super) fn since(&self, begin: usize) -> &'a [u8] {
        self.bytes.get(begin..self.at).unwrap_or_default()
    }

    /// Takes exactly these bytes, or nothing.
    #[inline]
    pub(super) fn skip(&mut self, expected: &[u8]) -> bool {
        let found = self.rest().starts_with(expected);
        self.at += if found { expected.len() } else { 0 };
        found
    }

    /// A key: plain or unescaped.
    pub(super) fn key(&mut self) -> Read<Value<'a>> {
        match self.peek() {
            Some(b'"') => self.text(),
            _ => self.fault("expected a key in quotes"),
        }
    }

    /// The colon after a key, with blanks around it.
    #[inline]
    pub(super) fn colon(&mut self) -> Read<()> {
        self.blank();
        if self.peek() != Some(b':') {
            return self.fault("expected `:` after a key");
        }
        self.at += 1;
        self.blank();
        Ok(())
    }

    /// A value inside `depth` lists and objects.
    #[inline]
    pub(super) fn value(&mut self, depth: usize) -> Read<Value<'a>> {
        match self.peek() {
            Some(b'"') => self.text(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null").map(|_| Value::Null),
            Some(b'{') => self.nested_object(depth + 1),
            Some(b'[') => self.list(depth + 1),
            Some(_) => self.fault("expected a value"),
            None => self.fault("the message ends where a value belongs"),
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[cold]
    fn fault<T>(&self, what: &'static str) -> Read<T> {
        Err(Fault { cause: Cause::Malformed, what, at: self.at })
    }

    #[inline]
    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn deep(&self, depth: usize) -> Read<()> {
        if depth <= DEPTH_MAX {
            return Ok(());
        }
        Err(Fault { cause: Cause::TooDeep, what: "nested deeper than 128 levels", at: self.at })
    }

    /// An object at whose `{` the scanner stands.
    #[inline]
    fn object(&mut self, depth: usize, mut member: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        self.deep(depth)?;
        self.at += 1;
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            member(self)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(_) => return self.fault("expected `,` or `}` after a value"),
                None => return self.fault("the message ends before its JSON object does"),
            }
            self.blank();
        }
    }

    fn nested_object(&mut self, depth: usize) -> Read<Value<'a>> {
        self.object(depth, |scan| {
            scan.key()?;
            scan.colon()?;
            scan.value(depth).map(drop)
        })?;
        Ok(Value::Object)
    }

    fn list(&mut self, depth: usize) -> Read<Value<'a>> {
        self.deep(depth)?;
        self.at += 1;
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List);
        }
        loop {
            self.value(depth)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::List);
                }
                Some(_) => return self.fault("expected `,` or `]` after a value"),
                None => return self.fault("the message ends before its list does"),
            }
            self.blank();
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Read<Value<'a>> {
        if self.skip(word) { Ok(Value::Plain(word)) } else { self.fault("expected true, false or null") }
    }

    /// `-`, whole part without leading zeros, fraction, exponent.
    fn number(&mut self) -> Read<Value<'a>> {
        let begin = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.fault("expected a digit"),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.some_digits()?;
        }
        Ok(Value::Plain(&self.bytes[begin..self.at]))
    }

    #[inline]
    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Read<()> {
        let begin = self.at;
        self.digits();
        if self.at == begin { self.fault("expected a digit") } else { Ok(()) }
    }

    /// A text at whose opening quote the scanner stands.
    #[inline]
    fn text(&mut self) -> Read<Value<'a>> {
        self.at += 1;
        let begin = self.at;
        self.at += plain_length(self.rest());
        if self.peek() != Some(b'"') {
            return self.escaped_text(begin);
        }
        let text = &self.bytes[begin..self.at];
        self.at += 1;
        Ok(Value::Plain(text))
    }

    /// The same for a text that goes on after its plain beginning.
    fn escaped_text(&mut self, begin: usize) -> Read<Value<'a>> {
        self.scratch.clear();
        self.scratch.extend_from_slice(&self.bytes[begin..self.at]);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Value::Unescaped);
                }
                Some(b'\\') => {
                    let character = self.escape()?;
                    self.scratch.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(_) => return self.fault("a control character that is not escaped in a text"),
                None => return self.fault("the message ends inside a text"),
            }
            let plain = plain_length(self.rest());
            self.scratch.extend_from_slice(&self.rest()[..plain]);
            self.at += plain;
        }
    }

    /// An escape at whose backslash the scanner stands.
    fn escape(&mut self) -> Read<char> {
        self.at += 1;
        let character = match self.peek() {
            Some(b'u') => return self.unicode(),
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            _ => return self.fault("an unknown escape in a text"),
        };
        self.at += 1;
        Ok(character)
    }

    /// `uXXXX`, or two of them with a backslash between for a character beyond U+FFFF.
    fn unicode(&mut self) -> Read<char> {
        let first = self.four_digits()?;
        let code = match first {
            0xD800..0xDC00 if self.rest().starts_with(b"\\u") => {
                self.at += 1;
                match self.four_digits()? {
                    second @ 0xDC00..0xE000 => 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00),
                    _ => return self.fault("half of a surrogate pair in a text"),
                }
            }
            code => code,
        };
        char::from_u32(code).map_or_else(|| self.fault("half of a surrogate pair in a text"), Ok)
    }

    /// The four hexadecimal digits after a `u`.
    fn four_digits(&mut self) -> Read<u32> {
        self.at += 1;
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else { return self.fault("expected four hexadecimal digits") };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}

/// Bytes before the first quote, backslash or control character, eight at a time.
///
/// For each of the three a byte's highest bit is set where the byte is meant. The arithmetic may also mark bytes
/// after the first meant one, but none before it.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let quote = zero_in(word ^ (ONES * u64::from(b'"')));
        let backslash = zero_in(word ^ (ONES * u64::from(b'\\')));
        let meant = control | quote | backslash;
        if meant != 0 {
            return index * 8 + meant.trailing_zeros() as usize / 8;
        }
    }
    let meant = |byte: &u8| matches!(byte, b'"' | b'\\' | ..0x20);
    words.len() * 8 + tail.iter().position(meant).unwrap_or(tail.len())
}

#[cfg(test)]
mod tests;
