//! From text to tokens and comments. A lexical mistake is reported here, and a token left in its place that lets the
//! parser go on as if the text were right, where it is clear what was meant.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till, take_until, take_while, take_while1};
use nom::character::complete::satisfy;
use nom::combinator::{recognize, rest};
use nom::sequence::pair;
use nom::{IResult, Parser};

use super::number::number;
use super::quoted::{quoted_name, raw_string, string};
use super::token::{Kind, SYMBOLS, Token, begins_name, goes_on_name, keyword};
use crate::pattern::ast::Comment;
use crate::pattern::code;
use crate::pattern::diagnostic::{Diagnostic, Diagnostics, Span};

/// What a nom parser over text gives here. Its errors say nothing but "not this".
pub(super) type Scan<'a, T> = IResult<&'a str, T, ()>;

/// The tokens of a text, of which the last is [`Kind::End`], and its comments.
pub(super) struct Lexed {
    pub(super) tokens: Vec<Token>,
    pub(super) comments: Vec<Comment>,
    /// Where tokens with mistakes begin, in ascending order.
    pub(super) mistakes: Vec<u32>,
}

/// What one lexeme means, and what is wrong with it: spans count from the lexeme's first byte.
pub(super) struct Lexeme {
    /// No token where there is nothing that the parser should see.
    pub(super) kind: Option<Kind>,
    pub(super) mistakes: Vec<Diagnostic>,
}

impl Lexeme {
    pub(super) fn right(kind: Kind) -> Lexeme {
        Lexeme { kind: Some(kind), mistakes: Vec::new() }
    }

    pub(super) fn wrong(kind: Kind, mistake: Diagnostic) -> Lexeme {
        Lexeme { kind: Some(kind), mistakes: vec![mistake] }
    }
}

/// Takes a text apart.
pub(super) fn tokens(text: &str, sink: &mut Diagnostics) -> Lexed {
    let mut lexed = Lexed { tokens: Vec::new(), comments: Vec::new(), mistakes: Vec::new() };
    let mut input = text;
    loop {
        input = white_space(input).map_or(input, |(after, _)| after);
        let start = text.len() - input.len();
        if let Ok((after, (comment, closed))) = comment(input) {
            if !closed {
                let span = Span::new(start, start + 2);
                let mistake =
                    Diagnostic::new(code::UNTERMINATED_COMMENT, span, "this comment is never closed");
                sink.push(mistake.help("close it with `*/`"));
                lexed.mistakes.push(span.start);
            }
            let span = Span::new(start, start + comment.len());
            lexed.comments.push(Comment { text: comment.to_owned(), span });
            input = after;
            continue;
        }
        let Ok((after, lexeme)) = lexeme(input) else {
            // Right after the last token: there the text goes on where something is missing.
            let end = lexed.tokens.last().map_or(0, |token| token.span.end);
            lexed.tokens.push(Token { kind: Kind::End, span: Span { start: end, end } });
            return lexed;
        };
        let span = Span::new(start, text.len() - after.len());
        if !lexeme.mistakes.is_empty() {
            lexed.mistakes.push(span.start);
        }
        lexeme.mistakes.into_iter().for_each(|mistake| sink.push(mistake.shift(start)));
        lexed.tokens.extend(lexeme.kind.map(|kind| Token { kind, span }));
        input = after;
    }
}

/// One lexeme; an error at the end of the text only.
fn lexeme(input: &str) -> Scan<'_, Lexeme> {
    match input.chars().next() {
        Some('"' | '\'') => string(input),
        Some('`') => quoted_name(input),
        Some(c) if c.is_ascii_digit() => number(input),
        Some(c) if begins_name(c) => alt((raw_string, word)).parse(input),
        _ => sign(input),
    }
}

fn sign(input: &str) -> Scan<'_, Lexeme> {
    alt((foreign(FOREIGN_LONG), symbol, foreign(FOREIGN_SHORT), superfluous, unknown)).parse(input)
}

fn white_space(input: &str) -> Scan<'_, &str> {
    take_while(is_white_space).parse(input)
}

/// A byte order mark counts as white space: some editors write one.
fn is_white_space(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}

/// A comment without white space at the end of its line, and whether it is closed.
fn comment(input: &str) -> Scan<'_, (&str, bool)> {
    let line = recognize(pair(tag("//"), take_till(|c| c == '\n'))).map(|text: &str| (text.trim_end(), true));
    let block = recognize((tag("/*"), take_until("*/"), tag("*/"))).map(|text| (text, true));
    let open = recognize(pair(tag("/*"), rest)).map(|text: &str| (text.trim_end(), false));
    alt((line, block, open)).parse(input)
}

fn word(input: &str) -> Scan<'_, Lexeme> {
    recognize(pair(satisfy(begins_name), take_while(goes_on_name)))
        .map(|word: &str| {
            Lexeme::right(match keyword(word) {
                Some(keyword) => Kind::Keyword(keyword),
                None => Kind::Name(word.to_owned()),
            })
        })
        .parse(input)
}

fn symbol(input: &str) -> Scan<'_, Lexeme> {
    let Some(symbol) = SYMBOLS.iter().find(|symbol| begins_with(input, symbol)) else {
        return Err(nom::Err::Error(()));
    };
    Ok((&input[symbol.len()..], Lexeme::right(Kind::Symbol(symbol))))
}

/// Whether a text begins with a sign. Most do not, as the first byte tells.
fn begins_with(input: &str, sign: &str) -> bool {
    input.as_bytes().first() == sign.as_bytes().first() && input.starts_with(sign)
}

/// Signs of other languages: what is written here instead, and the token that they stand for.
type Foreign = (&'static str, &'static str, Kind);

/// Those that begin with signs of this language, so they are looked for first.
const FOREIGN_LONG: &[Foreign] = &[
    ("===", "==", Kind::Symbol("==")),
    ("!==", "!=", Kind::Symbol("!=")),
    ("=>", ">=", Kind::Symbol(">=")),
    ("=<", "<=", Kind::Symbol("<=")),
    ("=~", "matches", Kind::Keyword("matches")),
    ("->", "followed by", Kind::Invalid),
    ("||", "or", Kind::Keyword("or")),
];

/// The others.
const FOREIGN_SHORT: &[Foreign] = &[
    ("&&", "and", Kind::Keyword("and")),
    ("&", "and", Kind::Keyword("and")),
    ("!", "not", Kind::Keyword("not")),
];

fn foreign<'a>(table: &'static [Foreign]) -> impl Fn(&'a str) -> Scan<'a, Lexeme> {
    move |input| {
        let Some((sign, instead, kind)) = table.iter().find(|(sign, ..)| begins_with(input, sign)) else {
            return Err(nom::Err::Error(()));
        };
        let span = Span::new(0, sign.len());
        let mistake = Diagnostic::new(
            code::UNEXPECTED_CHARACTER,
            span,
            format!("`{sign}` is no sign of this language"),
        )
        .help(format!("write `{instead}`"))
        .suggest(span, *instead);
        Ok((&input[sign.len()..], Lexeme::wrong(kind.clone(), mistake)))
    }
}

/// Signs that mean nothing here and can be left out: a semicolon, and `#` with the line that it would begin.
fn superfluous(input: &str) -> Scan<'_, Lexeme> {
    let semicolon = tag(";").map(|_| "clauses and patterns need no sign between them: leave it out");
    let hash = pair(tag("#"), take_till(|c| c == '\n')).map(|_| "comments begin with `//`");
    alt((semicolon, hash))
        .map(|help| {
            let message = format!("`{}` is no sign of this language", &input[..1]);
            let mistake = Diagnostic::new(code::UNEXPECTED_CHARACTER, Span::new(0, 1), message).help(help);
            Lexeme { kind: None, mistakes: vec![mistake] }
        })
        .parse(input)
}

/// Whatever is left: a run of characters that nothing begins with.
fn unknown(input: &str) -> Scan<'_, Lexeme> {
    take_while1(is_unknown)
        .map(|run: &str| {
            let span = Span::new(0, run.len());
            let shown: String = run.chars().take(8).flat_map(char::escape_debug).collect();
            let mistake = Diagnostic::new(code::UNEXPECTED_CHARACTER, span, format!("unexpected `{shown}`"));
            let mistake = if run.contains(['“', '”', '„', '‘', '’', '«', '»']) {
                mistake.help("strings stand in straight quotes: \"…\" or '…'")
            } else {
                mistake.help("a name with such characters stands in backticks, text in quotes")
            };
            Lexeme::wrong(Kind::Invalid, mistake)
        })
        .parse(input)
}

fn is_unknown(c: char) -> bool {
    let known =
        is_white_space(c) || goes_on_name(c) || c.is_ascii_graphic() && !matches!(c, '$' | '\\' | '^' | '~');
    !known
}
