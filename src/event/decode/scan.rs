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

/// A place in a text. Small enough to be held in registers: what walks over the text has one of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanner<'t> {
    /// The text's bytes, which are valid UTF-8.
    pub(super) bytes: &'t [u8],
    pub(super) at: usize,
}

impl<'t> Scanner<'t> {
    /// What has not been read; nothing behind the end.
    #[inline(always)]
    pub(super) fn rest(&self) -> &'t [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next byte; 0, which no token begins with, at the end.
    #[inline(always)]
    pub(super) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
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

    /// After a member or element: whether another follows, or `close` ended the object or array.
    #[inline(always)]
    pub(super) fn goes_on(&mut self, close: u8) -> Result<bool, Malformed> {
        let byte = self.past_space();
        self.at += 1;
        match byte {
            b',' => Ok(true),
            _ if byte == close => Ok(false),
            _ => Err(Malformed),
        }
    }

    /// After an opening bracket: whether the object or array is empty (then behind it).
    #[inline(always)]
    pub(super) fn closes(&mut self, close: u8) -> bool {
        let empty = self.peek() == close || self.past_space() == close;
        self.at += usize::from(empty);
        empty
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
                    self.at += escape(self.rest()).ok_or(Malformed)?;
                }
                _ => return Err(Malformed),
            }
        }
    }

    /// Goes to the next quote, backslash or control character.
    #[inline(always)]
    fn plain(&mut self) {
        while let Some(chunk) = self.rest().first_chunk() {
            match first_special(chunk) {
                Some(found) => {
                    self.at += found;
                    return;
                }
                None => self.at += chunk.len(),
            }
        }
        while !matches!(self.peek(), 0..0x20 | b'"' | b'\\') {
            self.at += 1;
        }
    }

    /// A number. An integer of 64 bits is kept exactly, others are floats, infinite where they are too large for one.
    #[inline(always)]
    pub(super) fn number(&mut self, out: &mut Slot) -> Result<(), Malformed> {
        let start = self.at;
        let negative = self.peek() == b'-';
        self.at += usize::from(negative);
        let mut value: u64 = 0;
        let whole = self.whole(&mut value)?;
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
        let exponent = self.exponent()?;
        // Up to 10^15 both are exact as floats, so their quotient is the float nearest to what is written.
        const POWERS: [f64; 16] =
            [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
        match POWERS.get(fraction) {
            Some(power) if whole + fraction <= 15 && !exponent => {
                // Below 2^63, and converted faster with a sign.
                let float = value as i64 as f64 / power;
                *out = Slot::Float(if negative { -float } else { float });
            }
            _ => *out = long_number(&self.bytes[start..self.at]),
        }
        Ok(())
    }

    /// The digits before a number's point: no zero before others.
    #[inline(always)]
    fn whole(&mut self, value: &mut u64) -> Result<usize, Malformed> {
        let first = self.peek();
        match self.digits(value)? {
            2.. if first == b'0' => Err(Malformed),
            count => Ok(count),
        }
    }

    /// Goes over an exponent; whether there is one.
    #[inline(always)]
    fn exponent(&mut self) -> Result<bool, Malformed> {
        if !matches!(self.peek(), b'e' | b'E') {
            return Ok(false);
        }
        self.at += 1;
        self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
        self.digits(&mut 0)?;
        Ok(true)
    }

    /// At least one digit, eight at a time; how many. The value wraps around: it counts only for few digits.
    #[inline(always)]
    fn digits(&mut self, value: &mut u64) -> Result<usize, Malformed> {
        let from = self.at;
        loop {
            let Some(&eight) = self.rest().first_chunk() else {
                while let digit @ b'0'..=b'9' = self.peek() {
                    *value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
                    self.at += 1;
                }
                break;
            };
            let (count, digits) = leading_digits(eight);
            *value = value.wrapping_mul(POWERS_OF_TEN[count]).wrapping_add(digits);
            self.at += count;
            if count < eight.len() {
                break;
            }
        }
        if self.at == from { Err(Malformed) } else { Ok(self.at - from) }
    }

    /// `true`, `false` or `null`, whose first byte was seen.
    #[inline(always)]
    pub(super) fn word(&mut self) -> Result<Slot, Malformed> {
        let (word, slot) = match self.peek() {
            b't' => ("true", Slot::Bool(true)),
            b'f' => ("false", Slot::Bool(false)),
            _ => ("null", Slot::Null),
        };
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(slot)
    }

    /// Goes over a value of any kind, without recursion: its depth is bounded by the line's length alone.
    #[inline(always)]
    pub(super) fn skip(&mut self, open: &mut Vec<u8>) -> Result<(), Malformed> {
        if let b'{' | b'[' = self.peek() {
            self.at = self.past_nested(open)?;
            return Ok(());
        }
        self.skip_scalar()
    }

    #[inline(always)]
    fn skip_scalar(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            b'"' => {
                self.at += 1;
                self.string().map(drop)
            }
            b'-' | b'0'..=b'9' => {
                self.at = self.past_number()?;
                Ok(())
            }
            b't' | b'f' | b'n' => self.word().map(drop),
            _ => Err(Malformed),
        }
    }

    /// The end of a number.
    #[inline(never)]
    pub(super) fn past_number(mut self) -> Result<usize, Malformed> {
        self.at += usize::from(self.peek() == b'-');
        self.whole(&mut 0)?;
        if self.peek() == b'.' {
            self.at += 1;
            self.digits(&mut 0)?;
        }
        self.exponent()?;
        Ok(self.at)
    }

    /// The end of an object or array. `open` holds the brackets that are open.
    #[inline(never)]
    pub(super) fn past_nested(mut self, open: &mut Vec<u8>) -> Result<usize, Malformed> {
        open.clear();
        loop {
            let bracket = self.peek();
            if matches!(bracket, b'{' | b'[') {
                self.at += 1;
                let close = bracket + 2; // `}` and `]` follow their opening brackets by two in ASCII.
                if !self.closes(close) {
                    open.push(close);
                    self.past_space();
                    if close == b'}' {
                        self.name()?;
                    }
                    continue;
                }
            } else {
                self.skip_scalar()?;
            }
            loop {
                let Some(&close) = open.last() else { return Ok(self.at) };
                if self.goes_on(close)? {
                    self.past_space();
                    if close == b'}' {
                        self.name()?;
                    }
                    break;
                }
                open.pop();
            }
        }
    }
}

/// The length of a valid escape.
#[cold]
fn escape(text: &[u8]) -> Option<usize> {
    match text {
        [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Some(2),
        [_, b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) => Some(6),
        _ => None,
    }
}

/// A valid number of any length.
#[cold]
fn long_number(text: &[u8]) -> Slot {
    let text = std::str::from_utf8(text).unwrap_or_default();
    if let Ok(int) = text.parse() {
        return Slot::Int(int);
    }
    match (text.parse(), text.parse::<f64>()) {
        (Ok(int), _) => Slot::UInt(int),
        (_, Ok(float)) => Slot::Float(float),
        _ => Slot::Null,
    }
}

/// Appends a valid string without its escapes. Half a surrogate pair becomes U+FFFD.
#[cold]
pub(super) fn unescape(bytes: &[u8], string: Quoted, out: &mut String) {
    let mut rest = std::str::from_utf8(&bytes[string.from..string.to]).unwrap_or_default();
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

/// Where the first quote, backslash or control character is.
#[inline(always)]
fn first_special(chunk: &[u8; 8]) -> Option<usize> {
    let word = u64::from_le_bytes(*chunk);
    // A byte's high bit is set where the byte is below the one subtracted; borrows only reach later bytes.
    let quote = word ^ (ONES * u64::from(b'"'));
    let backslash = word ^ (ONES * u64::from(b'\\'));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let found = quote.wrapping_sub(ONES) & !quote | backslash.wrapping_sub(ONES) & !backslash | control;
    let found = found & (ONES << 7);
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

/// 1 in each of eight bytes.
const ONES: u64 = 0x0101_0101_0101_0101;

const POWERS_OF_TEN: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// How many of eight bytes are digits before one is not, and the number that they write.
#[inline(always)]
fn leading_digits(bytes: [u8; 8]) -> (usize, u64) {
    // Each byte's digit; where it is none, adding 0x76 or the byte itself sets the high bit. Carries only reach later bytes.
    let digits = u64::from_le_bytes(bytes) ^ (ONES * 0x30);
    let others = (digits.wrapping_add(ONES * 0x76) | digits) & (ONES << 7);
    let count = others.trailing_zeros() as usize / 8;
    // Zeros in front of the digits, which are then the last of eight; pairs, fours and all of them are put together.
    let eight = digits.checked_shl(64 - 8 * count as u32).unwrap_or(0);
    let pairs = eight.wrapping_mul(10).wrapping_add(eight >> 8);
    let high = (pairs & 0xff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let low = (pairs >> 16 & 0xff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    (count, high.wrapping_add(low) >> 32)
}

/// The four hexadecimal digits of an escape, and what follows.
fn code_unit(text: &str) -> (u32, &str) {
    let digits = text.get(..4).unwrap_or("");
    (u32::from_str_radix(digits, 16).unwrap_or(0xfffd), &text[digits.len()..])
}
