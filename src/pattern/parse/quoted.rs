//! Strings, raw strings and names in backticks. Each ends on its line, so that a forgotten quote harms one line only.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while_m_n, take_while1};
use nom::character::complete::{anychar, char, none_of, one_of};
use nom::combinator::{map_opt, opt, verify};
use nom::multi::fold_many0;
use nom::sequence::preceded;
use nom::{IResult, Parser};

use super::lexical::{Lexeme, Scan};
use super::token::Kind;
use crate::pattern::code;
use crate::pattern::diagnostic::{Diagnostic, Span};

/// `"text"` or `'text'` with JSON's escapes.
pub(super) fn string(input: &str) -> Scan<'_, Lexeme> {
    let (body, quote) = one_of("\"'").parse(input)?;
    let place = |rest: &str| input.len() - rest.len();
    let fill = |(mut text, mut mistakes): (String, Vec<Diagnostic>), piece| {
        match piece {
            Piece::Plain(run) => text.push_str(run),
            Piece::Char(c) => text.push(c),
            Piece::Bad(at) => {
                let start = place(at);
                let end = start + 1 + at[1..].chars().next().map_or(0, char::len_utf8);
                // As it stands: in a regular expression that is most likely what was meant.
                text.push_str(&input[start..end]);
                mistakes.push(bad_escape(&input[start..end], Span::new(start, end)));
            }
        }
        (text, mistakes)
    };
    let (after, (text, mut mistakes)) = fold_many0(piece(quote), Default::default, fill).parse(body)?;
    let (after, closed) = opt(char(quote)).parse(after)?;
    if closed.is_none() {
        mistakes.push(unclosed(quote, place(after)));
    }
    Ok((after, Lexeme { kind: Some(Kind::Str(text)), mistakes }))
}

/// `r"text"` or `r'text'`: as it stands, up to the next quote.
pub(super) fn raw_string(input: &str) -> Scan<'_, Lexeme> {
    let (body, quote) = preceded(one_of("rR"), one_of("\"'")).parse(input)?;
    let (after, text) = opt(take_while1(|c| c != quote && !ends_line(c))).parse(body)?;
    let kind = Kind::Str(text.unwrap_or_default().to_owned());
    let (after, closed) = opt(char(quote)).parse(after)?;
    let lexeme = match closed {
        Some(_) => Lexeme::right(kind),
        None => Lexeme::wrong(kind, unclosed(quote, input.len() - after.len())),
    };
    Ok((after, lexeme))
}

/// A name in backticks; a backtick in it is written twice.
pub(super) fn quoted_name(input: &str) -> Scan<'_, Lexeme> {
    let (body, _) = char('`').parse(input)?;
    let piece = alt((tag("``").map(|_| '`'), none_of("`\r\n")));
    let fill = |mut name: String, c| {
        name.push(c);
        name
    };
    let (after, name) = fold_many0(piece, String::new, fill).parse(body)?;
    let (after, closed) = opt(char('`')).parse(after)?;
    let span = Span::new(0, input.len() - after.len());
    let lexeme = if closed.is_none() {
        let mistake = Diagnostic::new(code::BAD_QUOTED_NAME, span, "this name is not closed on its line");
        Lexeme::wrong(Kind::Invalid, mistake.help("close it with a backtick"))
    } else if name.is_empty() {
        let mistake = Diagnostic::new(code::BAD_QUOTED_NAME, span, "a name cannot be empty");
        Lexeme::wrong(Kind::Name(name), mistake)
    } else {
        Lexeme::right(Kind::Name(name))
    };
    Ok((after, lexeme))
}

/// A part of a string.
enum Piece<'a> {
    Plain(&'a str),
    Char(char),
    /// Text from a backslash on that begins no escape.
    Bad(&'a str),
}

fn piece<'a>(quote: char) -> impl Parser<&'a str, Output = Piece<'a>, Error = ()> {
    let plain = take_while1(move |c| c != quote && c != '\\' && !ends_line(c)).map(Piece::Plain);
    let escape = preceded(char('\\'), alt((simple_escape, unicode_escape))).map(Piece::Char);
    alt((plain, escape, bad))
}

/// A backslash and the character after it that make no escape.
fn bad(input: &str) -> Scan<'_, Piece<'_>> {
    let (after, _) = char('\\').parse(input)?;
    let (after, _) = opt(verify(anychar, |c| !ends_line(*c))).parse(after)?;
    Ok((after, Piece::Bad(input)))
}

fn simple_escape(input: &str) -> Scan<'_, char> {
    map_opt(anychar, |c| {
        Some(match c {
            '"' | '\'' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            _ => return None,
        })
    })
    .parse(input)
}

/// `uXXXX`, or two of them that make one character as in UTF-16.
fn unicode_escape(input: &str) -> Scan<'_, char> {
    let (after, unit) = utf16_unit(input)?;
    if let Some(c) = char::from_u32(unit) {
        return Ok((after, c));
    }
    let pair = preceded(char('\\'), utf16_unit);
    map_opt(pair, |low| match (unit, low) {
        (0xD800..=0xDBFF, 0xDC00..=0xDFFF) => {
            char::from_u32(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
        }
        _ => None,
    })
    .parse(after)
}

fn utf16_unit(input: &str) -> IResult<&str, u32, ()> {
    let digits = take_while_m_n(4, 4, |c: char| c.is_ascii_hexdigit());
    map_opt(preceded(char('u'), digits), |digits| u32::from_str_radix(digits, 16).ok()).parse(input)
}

fn ends_line(c: char) -> bool {
    c == '\n' || c == '\r'
}

fn unclosed(quote: char, end: usize) -> Diagnostic {
    Diagnostic::new(code::UNTERMINATED_STRING, Span::new(0, end), "this string is not closed on its line")
        .help(format!("close it with {quote}; a line break in a string is written \\n"))
}

fn bad_escape(escape: &str, span: Span) -> Diagnostic {
    let message = match escape {
        "\\" => "a backslash cannot end a line".to_owned(),
        "\\u" => "`\\u` takes four hexadecimal digits that make a character".to_owned(),
        _ => format!("`{escape}` is no escape"),
    };
    Diagnostic::new(code::BAD_ESCAPE, span, message)
        .help("write a backslash as `\\\\`, or the string raw: r\"…\"; the escapes are \\\" \\' \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX")
}
