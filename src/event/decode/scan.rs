//! Walks over JSON text once and builds nothing: it says where values begin and end, and what a scalar is.
//!
//! It accepts exactly JSON (what `serde_json` skips as `IgnoredAny`), whichever parts are kept, so that whether a line
//! is valid never depends on the patterns installed. A line break ends a value: a line is the most that it reads.

use crate::event::Slot;

/// The text is no JSON. What is wrong with it is worked out anew, for that line alone.
#[derive(Debug)]
pub(super) struct Malformed;

/// A string in the text: the range between its quotes, and whether it has escapes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quoted {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) escaped: bool,
}

/// A place in a text.
#[derive(Debug)]
pub(super) struct Scanner<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    /// The brackets that are open while a value is skipped.
    open: Vec<u8>,
}

impl<'t> Scanner<'t> {
    /// At the beginning of a text.
    pub(super) fn new(text: &'t str) -> Scanner<'t> {
        Scanner { text, at: 0, open: Vec::new() }
    }

    /// The next byte; 0, which no token begins with, at the end.
    #[inline(always)]
    pub(super) fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// Goes over white space within a line; the byte after it.
    #[inline(always)]
    pub(super) fn past_space(&mut self) -> u8 {
        loop {
            match self.peek() {
                b' ' | b'\t' | b'\r' => self.at += 1,
                other => return other,
            }
        }
    }

    #[inline(always)]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.past_space() != byte {
            return Err(Malformed);
        }
        self.at += 1;
        Ok(())
    }

    /// A member's name and the colon after it.
    #[inline(always)]
    pub(super) fn name(&mut self) -> Result<Quoted, Malformed> {
        self.expect(b'"')?;
        let name = self.string()?;
        self.expect(b':')?;
        self.past_space();
        Ok(name)
    }

    /// After a member or element: whether another follows (then at it), or `close` ended the object or array.
    #[inline(always)]
    pub(super) fn goes_on(&mut self, close: u8) -> Result<bool, Malformed> {
        let byte = self.past_space();
        self.at += 1;
        match byte {
            b',' => {
                self.past_space();
                Ok(true)
            }
            _ if byte == close => Ok(false),
            _ => Err(Malformed),
        }
    }

    /// After an opening bracket: whether the object or array has anything (then at it).
    #[inline(always)]
    pub(super) fn begins(&mut self, close: u8) -> bool {
        let empty = self.past_space() == close;
        self.at += usize::from(empty);
        !empty
    }

    /// The rest of a string whose opening quote was passed.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Result<Quoted, Malformed> {
        let from = self.at;
        let mut escaped = false;
        loop {
            self.plain();
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(Quoted { from, to: self.at - 1, escaped });
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(Malformed),
            }
        }
    }

    /// Goes to the next quote, backslash or control character, eight bytes at a time.
    #[inline(always)]
    fn plain(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        let bytes = self.text.as_bytes();
        while let Some(&eight) = bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            let word = u64::from_le_bytes(eight);
            // A byte's high bit is set where the byte is below the one subtracted; borrows only reach later bytes.
            let quote = word ^ (ONES * u64::from(b'"'));
            let backslash = word ^ (ONES * u64::from(b'\\'));
            let control = word.wrapping_sub(ONES * 0x20) & !word;
            let found =
                quote.wrapping_sub(ONES) & !quote | backslash.wrapping_sub(ONES) & !backslash | control;
            let found = found & (ONES << 7);
            if found != 0 {
                self.at += found.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while !matches!(self.peek(), 0..0x20 | b'"' | b'\\') {
            self.at += 1;
        }
    }

    #[cold]
    fn escape(&mut self) -> Result<(), Malformed> {
        let rest = &self.text.as_bytes()[self.at + 1..];
        match rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 2,
            [b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) => {
                self.at += 6
            }
            _ => return Err(Malformed),
        }
        Ok(())
    }

    /// A number. An integer of 64 bits is kept exactly, others are floats, infinite where they are too large for one.
    #[inline(always)]
    pub(super) fn number(&mut self, out: &mut Slot) -> Result<(), Malformed> {
        let start = self.at;
        let negative = self.peek() == b'-';
        self.at += usize::from(negative);
        let mut value: u64 = 0;
        let first = self.peek();
        let whole = self.digits(&mut value)?;
        if first == b'0' && whole > 1 {
            return Err(Malformed);
        }
        let next = self.peek();
        if !matches!(next, b'.' | b'e' | b'E') && whole < 19 {
            *out = Slot::Int(if negative { -(value as i64) } else { value as i64 });
            return Ok(());
        }
        let mut fraction = 0;
        if next == b'.' {
            self.at += 1;
            fraction = self.digits(&mut value)?;
        }
        let exponent = matches!(self.peek(), b'e' | b'E');
        if exponent {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.digits(&mut 0)?;
        }
        // Up to 10^15 both are exact as floats, so their quotient is the float nearest to what is written.
        const POWERS: [f64; 16] =
            [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
        match POWERS.get(fraction) {
            Some(power) if whole + fraction <= 15 && !exponent => {
                let float = value as f64 / power;
                *out = Slot::Float(if negative { -float } else { float });
            }
            _ => *out = self.long_number(start),
        }
        Ok(())
    }

    /// At least one digit; how many. The value wraps around: it counts only for few digits.
    #[inline(always)]
    fn digits(&mut self, value: &mut u64) -> Result<usize, Malformed> {
        let from = self.at;
        while let digit @ b'0'..=b'9' = self.peek() {
            *value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        if self.at == from { Err(Malformed) } else { Ok(self.at - from) }
    }

    #[cold]
    fn long_number(&self, start: usize) -> Slot {
        let text = &self.text[start..self.at];
        if let Ok(int) = text.parse() {
            return Slot::Int(int);
        }
        match (text.parse(), text.parse::<f64>()) {
            (Ok(int), _) => Slot::UInt(int),
            (_, Ok(float)) => Slot::Float(float),
            _ => Slot::Null,
        }
    }

    /// `true`, `false` or `null`, whose first byte was seen.
    #[inline]
    pub(super) fn word(&mut self) -> Result<Slot, Malformed> {
        let (word, slot) = match self.peek() {
            b't' => ("true", Slot::Bool(true)),
            b'f' => ("false", Slot::Bool(false)),
            _ => ("null", Slot::Null),
        };
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(slot)
    }

    /// Goes over a value of any kind, without recursion: its depth is bounded by the line's length alone.
    #[inline]
    pub(super) fn skip(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            b'{' | b'[' => self.skip_nested(),
            _ => self.skip_scalar(),
        }
    }

    #[inline]
    fn skip_scalar(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            b'"' => {
                self.at += 1;
                self.string().map(drop)
            }
            b'-' | b'0'..=b'9' => self.skip_number(),
            b't' | b'f' | b'n' => self.word().map(drop),
            _ => Err(Malformed),
        }
    }

    fn skip_number(&mut self) -> Result<(), Malformed> {
        self.at += usize::from(self.peek() == b'-');
        let first = self.peek();
        let whole = self.digits(&mut 0)?;
        if first == b'0' && whole > 1 {
            return Err(Malformed);
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits(&mut 0)?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.digits(&mut 0)?;
        }
        Ok(())
    }

    fn skip_nested(&mut self) -> Result<(), Malformed> {
        self.open.clear();
        loop {
            let bracket = self.peek();
            if matches!(bracket, b'{' | b'[') {
                self.at += 1;
                let close = bracket + 2; // `}` and `]` follow their opening brackets by two in ASCII.
                if self.begins(close) {
                    self.open.push(close);
                    if close == b'}' {
                        self.name()?;
                    }
                    continue;
                }
            } else {
                self.skip_scalar()?;
            }
            loop {
                let Some(&close) = self.open.last() else { return Ok(()) };
                if self.goes_on(close)? {
                    if close == b'}' {
                        self.name()?;
                    }
                    break;
                }
                self.open.pop();
            }
        }
    }

    /// Appends a string without its escapes. Half a surrogate pair becomes U+FFFD.
    pub(super) fn unescape(&self, string: Quoted, out: &mut String) {
        let mut rest = &self.text[string.from..string.to];
        while let Some(at) = rest.find('\\') {
            out.push_str(&rest[..at]);
            let kind = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
            rest = &rest[(at + 2).min(rest.len())..];
            out.push(match kind {
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    let (unit, after) = code_unit(rest);
                    rest = after;
                    match (unit, rest.strip_prefix("\\u").map(code_unit)) {
                        (0xd800..0xdc00, Some((low @ 0xdc00..0xe000, after))) => {
                            rest = after;
                            char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
                                .unwrap_or('\u{fffd}')
                        }
                        _ => char::from_u32(unit).unwrap_or('\u{fffd}'),
                    }
                }
                other => char::from(other),
            });
        }
        out.push_str(rest);
    }
}

/// The four hexadecimal digits of an escape, and what follows.
fn code_unit(text: &str) -> (u32, &str) {
    let digits = text.get(..4).unwrap_or("");
    (u32::from_str_radix(digits, 16).unwrap_or(0xfffd), &text[digits.len()..])
}
