//! Whole numbers, numbers with a fraction or an exponent, and durations.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, digit1, one_of, satisfy};
use nom::combinator::{consumed, not, opt, peek, recognize};
use nom::multi::many1;
use nom::sequence::{pair, preceded, terminated};

use super::lexical::{Lexeme, Scan};
use super::token::{Kind, goes_on_name};
use crate::event::time::{UNITS, scaled};
use crate::pattern::code;
use crate::pattern::diagnostic::{Diagnostic, Span};

/// A number or a duration.
pub(super) fn number(input: &str) -> Scan<'_, Lexeme> {
    alt((terminated(alt((float, whole)), end), terminated(duration, end), malformed)).parse(input)
}

/// No letter, digit or further fraction may follow a number at once.
fn end(input: &str) -> Scan<'_, ()> {
    let fraction = preceded(char('.'), digit1);
    not(alt((satisfy(goes_on_name).map(|_| ()), fraction.map(|_| ())))).parse(input)
}

fn whole(input: &str) -> Scan<'_, Lexeme> {
    digit1
        .map(|digits: &str| match digits.parse() {
            Ok(int) => Lexeme::right(Kind::Int(int)),
            Err(_) => Lexeme::wrong(Kind::Int(0), out_of_range(digits)),
        })
        .parse(input)
}

fn float(input: &str) -> Scan<'_, Lexeme> {
    let fraction = recognize(pair(char('.'), digit1));
    let exponent = || recognize((one_of("eE"), opt(one_of("+-")), digit1));
    let tail = alt((recognize(pair(fraction, opt(exponent()))), exponent()));
    recognize(pair(digit1, tail))
        .map(|text: &str| match text.parse::<f64>() {
            Ok(float) if float.is_finite() => Lexeme::right(Kind::Float(float)),
            _ => Lexeme::wrong(Kind::Float(0.0), out_of_range(text)),
        })
        .parse(input)
}

fn out_of_range(text: &str) -> Diagnostic {
    Diagnostic::new(code::NUMBER_OUT_OF_RANGE, Span::new(0, text.len()), "this number is out of range")
        .help("integers have 64 bits; floats go up to about 1.8e308")
}

/// Numbers with a unit each: `1h30m`, `1.5s`.
fn duration(input: &str) -> Scan<'_, Lexeme> {
    let decimal = pair(digit1, opt(preceded(char('.'), digit1)));
    consumed(many1(pair(decimal, unit)))
        .map(|(text, parts)| {
            let total = parts.into_iter().try_fold(0_u64, |sum, ((whole, fraction), unit)| {
                sum.checked_add(scaled(whole, fraction.unwrap_or_default(), unit)?)
            });
            match total.and_then(|total| i64::try_from(total).ok()) {
                Some(total) => Lexeme::right(Kind::Duration(total)),
                None => {
                    let span = Span::new(0, text.len());
                    let message = "this duration is out of range, or no whole number of milliseconds";
                    Lexeme::wrong(Kind::Duration(1), Diagnostic::new(code::BAD_DURATION, span, message))
                }
            }
        })
        .parse(input)
}

/// A unit. `m` is not one before an `s`, which the order of the table sees to.
fn unit(input: &str) -> Scan<'_, u64> {
    let unit = UNITS.iter().find(|(unit, _)| input.starts_with(unit));
    let Some((unit, ms)) = unit else { return Err(nom::Err::Error(())) };
    (tag(*unit), peek(not(satisfy(|c| goes_on_name(c) && !c.is_ascii_digit())))).map(|_| *ms).parse(input)
}

/// Digits with something at their end that makes them no number: all of it, and what may have been meant.
fn malformed(input: &str) -> Scan<'_, Lexeme> {
    let (after, text) = recognize(pair(
        peek(satisfy(|c| c.is_ascii_digit())),
        many1(alt((take_while1(goes_on_name), recognize(pair(char('.'), digit1))))),
    ))
    .parse(input)?;
    let span = Span::new(0, text.len());
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, tail) = text.split_at(digits);
    let lexeme = if let Some(unit) = unit_meant(tail) {
        let mistake = Diagnostic::new(code::BAD_DURATION, span, format!("`{tail}` is no unit of time"))
            .help(format!("the units are ms, s, m, h, d and w: `{number}{unit}`"))
            .suggest(span, format!("{number}{unit}"));
        Lexeme::wrong(Kind::Duration(1), mistake)
    } else if tail.starts_with(['_', 'x', 'X', 'b', 'o']) || number.matches('.').count() > 1 {
        let mistake =
            Diagnostic::new(code::MALFORMED_NUMBER, span, format!("`{}` is no number", shorten(text)))
                .help("numbers are written like 12, 0.5 or 1e6");
        Lexeme::wrong(Kind::Int(0), mistake)
    } else {
        let mistake = Diagnostic::new(
            code::BAD_DURATION,
            span,
            format!("`{}` is neither a number nor a duration", shorten(text)),
        )
        .help(
            "a duration is numbers with units, as in 500ms, 10s or 1h30m; the units are ms, s, m, h, d and w",
        );
        Lexeme::wrong(Kind::Duration(1), mistake)
    };
    Ok((after, lexeme))
}

/// The unit that other languages call so.
pub(super) fn unit_meant(word: &str) -> Option<&'static str> {
    Some(match word.to_lowercase().as_str() {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => "ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        "w" | "week" | "weeks" => "w",
        _ => return None,
    })
}

fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(24).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::time::duration_of;

    #[test]
    fn patterns_and_settings_have_the_same_durations() {
        let texts = [
            "5s",
            "1h30m",
            "500ms",
            "1.5s",
            "0.5ms",
            "1w2d3h4m5s6ms",
            "1m5s",
            "5ms5",
            "1h30",
            "h",
            "1.h",
            ".5h",
            "1..5h",
            "1.5.5h",
            "5S",
            "5 s",
            "5sec",
            "5s_",
            "5s-",
            "",
            "5",
            "00s",
            "1.0000s",
            "9223372036854775807ms",
            "9223372036854775808ms",
            "99999999999999999999s",
            "15250284453w",
            "-5s",
            "5sm",
            "5µs",
        ];
        for text in texts {
            let of_pattern = match number(text) {
                Ok(("", Lexeme { kind: Some(Kind::Duration(ms)), mistakes })) if mistakes.is_empty() => {
                    Some(ms)
                }
                _ => None,
            };
            assert_eq!(duration_of(text).ok().map(|span| span.0), of_pattern, "{text}");
        }
        assert_eq!(duration_of("0").map(|span| span.0), Ok(0));
    }
}
